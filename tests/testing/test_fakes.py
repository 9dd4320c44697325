import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from effortctl._errors import TransientBackendError
from effortctl._types import Answer, Arm, Call, Task, Verdict
from effortctl.protocols import AsyncBackend, Backend
from effortctl.testing import (
    DEFAULT_USAGE,
    AsyncFakeBackend,
    FakeBackend,
    FakeClock,
    answer,
    scripted_verifier,
)


def call_for(arm: str = "small") -> Call:
    task = Task(input="6*7?")
    return Call(
        task=task,
        arm=Arm(name=arm, model=f"model-{arm}"),
        messages=task.messages,
        sample_index=0,
        max_output_tokens=100,
    )


def test_one_text_answers_every_call():
    backend = FakeBackend("42")
    first, second = backend.complete(call_for()), backend.complete(call_for("large"))
    assert first.text == second.text == "42"
    assert first.usage == DEFAULT_USAGE
    assert (first.model, second.model) == ("model-small", "model-large")


def test_a_sequence_is_used_in_order_and_then_runs_out_loudly():
    backend = FakeBackend(["41", "42"])
    assert [backend.complete(call_for()).text for _ in range(2)] == ["41", "42"]
    with pytest.raises(AssertionError, match="called more often than scripted: 2 items"):
        backend.complete(call_for())


def test_a_mapping_speaks_for_each_arm():
    backend = FakeBackend({"small": ["a", "b"], "large": answer("c", finish="refused")})
    assert backend.complete(call_for("large")).finish == "refused"
    assert backend.complete(call_for("small")).text == "a"
    assert backend.complete(call_for("large")).text == "c"
    assert backend.complete(call_for("small")).text == "b"
    with pytest.raises(AssertionError, match=r"no script for 'huge'.*large, small"):
        backend.complete(call_for("huge"))


def test_a_function_sees_the_call():
    backend = FakeBackend(lambda call: call.arm.model.upper())
    assert backend.complete(call_for("x")).text == "MODEL-X"


def test_exceptions_are_raised_and_the_call_is_still_recorded():
    fault = TransientBackendError("slow down", retry_after_s=2)
    backend = FakeBackend([fault, "42"])
    call = call_for()
    with pytest.raises(TransientBackendError) as caught:
        backend.complete(call)
    assert caught.value is fault
    assert backend.complete(call).text == "42"
    assert backend.calls == [call, call]


def test_exceptions_of_a_function_script_are_raised():
    backend = FakeBackend(lambda _call: KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        backend.complete(call_for())


def test_a_script_of_an_unknown_type_is_refused_when_built():
    with pytest.raises(TypeError, match="cannot read a script of type int"):
        FakeBackend(7)


def test_threads_share_a_sequence_without_losing_or_repeating_items():
    backend = FakeBackend([str(i) for i in range(200)])
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda _: backend.complete(call_for()).text, range(200)))
    assert sorted(texts, key=int) == [str(i) for i in range(200)]
    assert len(backend.calls) == 200


def test_the_fakes_are_backends():
    assert isinstance(FakeBackend("x"), Backend)
    assert isinstance(AsyncFakeBackend("x"), AsyncBackend)


def test_the_async_fake_answers_like_the_sync_one_and_lets_others_run():
    backend = AsyncFakeBackend({"small": ["a", "b"]})
    turns = []

    async def bystander():
        turns.append("bystander")

    async def ask():
        first = await backend.complete(call_for())
        turns.append("answered")
        return first

    async def both():
        return await asyncio.gather(ask(), bystander())

    assert asyncio.run(both())[0].text == "a"
    assert turns == ["bystander", "answered"]


def test_a_pretended_latency_moves_the_clock_and_is_reported():
    clock = FakeClock()
    before = clock.monotonic()
    reply = FakeBackend("x", clock=clock, latency_s=2.5).complete(call_for())
    assert clock.monotonic() - before == 2.5
    assert reply.latency_s == 2.5


def test_a_fake_clock_sleeps_without_waiting_and_remembers():
    clock = FakeClock()
    start, wall, real = clock.monotonic(), clock.now(), time.monotonic()
    clock.sleep(3600)
    asyncio.run(clock.asleep(0.5))
    assert clock.monotonic() - start == 3600.5
    assert clock.now() - wall == timedelta(seconds=3600.5)
    assert clock.time() == clock.now().timestamp()
    assert clock.sleeps == [3600, 0.5]
    assert clock() == clock.monotonic()
    assert time.monotonic() - real < 3600


def test_time_never_passes_backwards():
    with pytest.raises(ValueError, match="backwards"):
        FakeClock().advance(-1)


def test_a_scripted_verifier_says_what_it_was_told():
    task, said = Task(input="q"), Answer(text="42")
    whole = Verdict(status="fail", feedback="too small", verifier="mine")
    check = scripted_verifier([True, False, "abstain", whole, RuntimeError("crash")], name="v")
    statuses = [check(task, said) for _ in range(4)]
    assert [v.status for v in statuses] == ["pass", "fail", "abstain", "fail"]
    assert [v.verifier for v in statuses] == ["v", "v", "v", "mine"]
    with pytest.raises(RuntimeError, match="crash"):
        check(task, said)
    assert check.calls == [(task, said)] * 5


def test_a_scripted_verifier_may_go_by_answer_text():
    check = scripted_verifier({"42": True, "41": False})
    assert check(Task(input="q"), Answer(text="42")).passed
    assert not check(Task(input="q"), Answer(text="41")).passed


def test_a_word_that_is_no_verdict_is_refused():
    with pytest.raises(ValueError, match="'maybe' is not a verdict"):
        scripted_verifier("maybe")(Task(input="q"), Answer(text="x"))
