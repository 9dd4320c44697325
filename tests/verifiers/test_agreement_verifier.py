"""Agreement between samples as a check: what it asks, what it costs, and when it refuses."""

import asyncio
import pickle
from decimal import Decimal

import pytest

from effortctl import (
    Answer,
    Arm,
    AsyncController,
    BackendError,
    BudgetExceededError,
    ConfigError,
    Controller,
    Endpoint,
    Price,
    Task,
    TransientBackendError,
    adaptive,
)
from effortctl.stores import MemoryLedger
from effortctl.testing import AsyncFakeBackend, FakeBackend, answer
from effortctl.verifiers import agreement, all_of, not_empty, parse_spec

TASK = Task(input="What is 17 * 24?", id="t1")
PRICE = Price(input_usd_per_mtok=Decimal(10), output_usd_per_mtok=Decimal(100))
HERE = Endpoint(name="here")
MAKER = Arm(name="maker", model="m", endpoint=HERE, price=PRICE, max_output_tokens=100)
ONE_CALL = Decimal("0.003")


def run(answers, verify, *, arms=(MAKER,), **options):
    backend = FakeBackend(answers)
    controller = Controller(arms, verify=verify, backends={"here": backend}, **options)
    return controller.run(TASK), backend


@pytest.mark.parametrize(
    ("answers", "options", "status", "asked"),
    [
        (["408"] * 3, {}, "pass", 2),
        (["408", "407"], {}, "fail", 1),
        (["408", "408", "407"], {}, "fail", 2),
        (["408", "407", "so 408"], {"at_least": 1, "same_answer": "number"}, "pass", 2),
        (["408", "408"], {"at_least": 1}, "pass", 1),
        (["408", "1", "408", "408"], {"samples": 4, "at_least": 2}, "pass", 3),
        (["408", "1", "2", "3"], {"samples": 4, "at_least": 2}, "fail", 3),
        (["B", "(b) because", "b."], {"same_answer": "choice"}, "pass", 2),
        (["abc", "xyz", "uvw"], {"same_answer": len}, "pass", 2),
    ],
)
def test_it_asks_only_as_long_as_the_verdict_is_open(answers, options, status, asked):
    outcome, backend = run(answers, agreement(**options))
    verdict = outcome.trace.attempts[0].verdict
    assert (verdict.status, verdict.calls) == (status, asked)
    assert len(backend.calls) == 1 + asked
    assert outcome.cost_usd == ONE_CALL * (1 + asked)


def test_half_of_the_samples_is_not_enough_by_default():
    assert [agreement(samples=k).at_least for k in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]


def test_each_sample_is_a_new_one_of_the_same_request():
    _, backend = run(["408"] * 3, agreement())
    assert [call.sample_index for call in backend.calls] == [0, 1, 2]
    assert {call.messages for call in backend.calls} == {TASK.messages}
    assert {call.max_output_tokens for call in backend.calls} == {100}


def test_the_feedback_does_not_tell_what_the_others_said():
    outcome, _ = run(["41", "408"], agreement())
    verdict = outcome.trace.attempts[0].verdict
    assert verdict.feedback
    assert "408" not in verdict.feedback


def test_an_answer_with_nothing_to_compare_fails_without_a_call():
    outcome, backend = run(["no idea"], agreement(same_answer="number"))
    assert outcome.trace.attempts[0].verdict.status == "fail"
    assert len(backend.calls) == 1


def test_samples_that_are_cut_off_or_refused_do_not_agree():
    for finish in ("truncated", "refused"):
        script = ["408", answer("408", finish=finish), answer("408", finish=finish)]
        outcome, _ = run(script, agreement())
        assert outcome.trace.attempts[0].verdict.status == "fail"


def test_samples_that_cannot_be_had_leave_the_verdict_open_only_if_they_could_decide_it():
    down = BackendError("maker: gone", arm="maker", kind="not_found")
    verdict = run(["408", "408", down], agreement())[0].trace.attempts[0].verdict
    assert (verdict.status, verdict.error) == ("abstain", "BackendError: maker: gone")
    verdict = run(["408", down, "408", "408"], agreement(samples=3))[0].trace.attempts[0].verdict
    assert verdict.status == "pass"
    verdict = run(["408", down, "1"], agreement())[0].trace.attempts[0].verdict
    assert verdict.status == "fail"


def test_transient_faults_are_retried_like_those_of_any_call():
    busy = TransientBackendError("maker: 503", arm="maker", kind="server")
    outcome, _ = run(["408", busy, "408"], agreement(samples=1), sleep=lambda _: None)
    verdict = outcome.trace.attempts[0].verdict
    assert (verdict.status, verdict.calls, verdict.cost_usd) == ("pass", 2, ONE_CALL)


def test_the_ledger_and_the_outcome_agree_to_the_cent():
    ledger = MemoryLedger()
    outcome, _ = run(["408"] * 3, agreement(), ledger=ledger)
    assert sum(entry.cost_usd for entry in ledger.entries()) == outcome.cost_usd == 3 * ONE_CALL
    assert {entry.task_id for entry in ledger.entries()} == {"t1"}


def test_a_sample_that_could_break_the_budget_is_not_asked_for():
    backend = FakeBackend(["408"] * 3)
    controller = Controller(
        [MAKER], verify=agreement(), backends={"here": backend}, budget="$0.015"
    )
    with pytest.raises(BudgetExceededError) as caught:
        controller.run(TASK)
    assert len(backend.calls) == 2
    assert caught.value.trace.cost_usd == 2 * ONE_CALL
    assert caught.value.trace.best.verdict.cost_usd == ONE_CALL


def test_another_arm_may_give_the_samples():
    other = Arm(name="other", model="o", endpoint=HERE, price=PRICE, temperature=0.0)
    script = {"maker": "408", "other": "408"}
    outcome, backend = run(script, agreement(samples=1, arm=other))
    assert outcome.verified
    assert [call.arm.name for call in backend.calls] == ["maker", "other"]


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"temperature": 0.0}, "temperature 0"),
        ({"temperature": 0.7, "resample_temperature": 0.0}, "temperature 0"),
        ({"extra_body": {"seed": 1}}, "fixed seed"),
        ({"endpoint": Endpoint(name="here", kind="recorded")}, "recorded answers"),
    ],
)
def test_an_arm_that_would_repeat_itself_is_refused_before_any_call(update, reason):
    arm = MAKER.model_copy(update=update)
    backend = FakeBackend([])
    controller = Controller([arm], verify=agreement(), backends={"here": backend})
    with pytest.raises(ConfigError, match=reason):
        controller.run(TASK)
    assert backend.calls == []
    with pytest.raises(ConfigError, match=reason):
        agreement(arm=arm)


def test_a_resample_temperature_makes_an_arm_fit():
    arm = MAKER.model_copy(update={"temperature": 0.0, "resample_temperature": 0.7})
    assert run(["408"] * 3, agreement(), arms=[arm])[0].verified


def test_it_is_found_inside_combinations_too():
    arm = MAKER.model_copy(update={"temperature": 0.0})
    controller = Controller([arm], verify=all_of(not_empty(), agreement()), backends={})
    with pytest.raises(ConfigError, match="temperature 0"):
        controller.run(TASK)


def test_it_works_the_same_under_asyncio():
    async def go():
        backends = {"here": AsyncFakeBackend(["408"] * 3)}
        return await AsyncController([MAKER], verify=agreement(), backends=backends).run(TASK)

    outcome = asyncio.run(go())
    assert outcome.verified
    assert outcome.cost_usd == 3 * ONE_CALL


def test_behind_a_decorated_function_the_function_is_asked_again():
    asked = []

    @adaptive([MAKER.model_copy(update={"price": Price()})], verify=agreement(samples=2))
    def solve(arm, question):
        asked.append(question)
        return 400 + 8

    assert solve("17*24?") == 408
    assert asked == ["17*24?"] * 3


def test_outside_a_controller_an_arm_and_a_backend_must_be_given():
    with pytest.raises(ConfigError, match="set arm="):
        agreement()(TASK, Answer(text="408"))
    verify = agreement(samples=1, arm=MAKER, backend=FakeBackend("408"))
    verdict = verify(TASK, Answer(text="408"))
    assert verdict.passed
    assert verdict.cost_usd == ONE_CALL


def test_it_is_a_value():
    one, same = agreement(samples=3), agreement(samples=3)
    assert one == same
    assert hash(one) == hash(same)
    assert one != agreement(samples=3, at_least=1)
    assert pickle.loads(pickle.dumps(one)) == one
    assert repr(one) == "agreement(samples=3, same_answer='text', at_least=2)"


@pytest.mark.parametrize(
    "bad", [{"samples": 0}, {"samples": 65}, {"at_least": 0}, {"at_least": 3}, {"same_answer": "x"}]
)
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ConfigError):
        agreement(**bad)


def test_it_can_be_written_in_one_word():
    assert parse_spec("agreement:number") == agreement(same_answer="number")
    with pytest.raises(ConfigError, match="same_answer"):
        parse_spec("agreement:sometimes")
