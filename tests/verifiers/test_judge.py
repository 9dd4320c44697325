"""What a judge's verdict is made of, and what becomes of a task whose check asks a model."""

import asyncio
import json
import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import JUDGE, MAKER, RUBRIC, honest

from effortctl import (
    Answer,
    Arm,
    AsyncController,
    BackendError,
    Budget,
    BudgetExceededError,
    ConfigError,
    Controller,
    DeadlineExceededError,
    Endpoint,
    Price,
    Task,
    TransientBackendError,
    UnknownPriceError,
    UnsupportedEffortError,
    VerifierError,
)
from effortctl._types import Usage, Verify
from effortctl.stores import MemoryLedger
from effortctl.testing import AsyncFakeBackend, FakeBackend, FakeClock, answer, judge_reply, judged
from effortctl.verifiers import (
    all_of,
    any_of,
    check,
    decisions_judge,
    guarded,
    is_async,
    judge,
    not_empty,
    number,
    parse_spec,
)
from effortctl.verifiers._judge_reply import UnclearError, read_decision, read_verdict

TASK = Task(input="What is 17 * 24?", id="t1")
PRICE = Price(input_usd_per_mtok=Decimal(10), output_usd_per_mtok=Decimal(100))
PRICED = JUDGE.model_copy(update={"price": PRICE, "max_output_tokens": 100})
TEAM = Budget(limit_usd=Decimal(1), scope="team")
ONE_CALL = Decimal("0.003")  # 100 input and 20 output tokens of a scripted answer


def verdict_of(reply, **options):
    """The verdict on "408" when the judge replies this, standing alone."""
    backend = FakeBackend(reply)
    return judge(RUBRIC, arm=JUDGE, backend=backend, **options)(TASK, Answer(text="408"))


def run(answers, verify, judging=honest, **options):
    backends = {"maker": FakeBackend(answers), "judge": FakeBackend(judging)}
    controller = Controller([MAKER], verify=verify, backends=backends, **options)
    return controller.run(TASK)


# --- the verdict ------------------------------------------------------------------------------------


def test_a_pass_passes_and_a_fail_fails_with_the_judges_words():
    assert verdict_of(lambda call: judge_reply(call, "pass", score=0.9)).status == "pass"
    failed = verdict_of(lambda call: judge_reply(call, "fail", score=0.1, feedback="Wrong\n sum."))
    assert (failed.status, failed.feedback, failed.score) == ("fail", "Wrong sum.", 0.1)


@pytest.mark.parametrize(("score", "status"), [(0.79, "fail"), (0.8, "pass"), (1, "pass")])
def test_a_pass_below_the_threshold_fails(score, status):
    verdict = verdict_of(lambda call: judge_reply(call, score=score), threshold=0.8)
    assert verdict.status == status


def test_a_fail_with_a_high_score_still_fails():
    assert verdict_of(lambda call: judge_reply(call, "fail", score=1.0)).status == "fail"


@pytest.mark.parametrize(("closed", "status"), [(True, "fail"), (False, "abstain")])
@pytest.mark.parametrize(
    "reply",
    [
        "pass",
        "",
        lambda call: judge_reply(call, "abstain"),
        lambda call: answer(judge_reply(call), finish="truncated"),
        lambda call: answer(judge_reply(call), finish="refused"),
        lambda call: answer("", finish="filtered"),
        lambda call: answer("", finish="context_exceeded"),
    ],
    ids=["prose", "empty", "unsure", "truncated", "refused", "filtered", "too long"],
)
def test_an_unclear_reply_is_never_a_pass_and_says_why(reply, closed, status):
    verdict = verdict_of(reply, fail_closed=closed)
    assert verdict.status == status
    assert verdict.error.startswith("VerifierError: the judge's reply is no verdict")


def test_a_fault_of_the_endpoint_is_an_abstention():
    fault = BackendError("judge: no such model", arm="judge", kind="not_found")
    verdict = verdict_of(fault)
    assert (verdict.status, verdict.cost_usd) == ("abstain", 0)
    assert "no such model" in verdict.error


GOOD = {"token": "t0", "feedback": "", "verdict": "pass", "score": 1}
MALFORMED = {
    "prose around": f"Verdict: {json.dumps(GOOD)}",
    "prose behind": f"{json.dumps(GOOD)} as asked",
    "code block": f"```json\n{json.dumps(GOOD)}\n```",
    "twice": json.dumps(GOOD) * 2,
    "list": json.dumps([GOOD]),
    "string": json.dumps(json.dumps(GOOD)),
    "other token": json.dumps(GOOD | {"token": "t1"}),
    "token in a list": json.dumps(GOOD | {"token": ["t0"]}),
    "no token": json.dumps({k: v for k, v in GOOD.items() if k != "token"}),
    "extra key": json.dumps(GOOD | {"note": ""}),
    "repeated key": '{"token":"t0","feedback":"","verdict":"fail","verdict":"pass","score":1}',
    "unknown verdict": json.dumps(GOOD | {"verdict": "PASS"}),
    "verdict true": json.dumps(GOOD | {"verdict": True}),
    "verdict list": json.dumps(GOOD | {"verdict": ["pass"]}),
    "feedback null": json.dumps(GOOD | {"feedback": None}),
    "score true": json.dumps(GOOD | {"score": True}),
    "score text": json.dumps(GOOD | {"score": "1"}),
    "score above 1": json.dumps(GOOD | {"score": 1.01}),
    "score below 0": json.dumps(GOOD | {"score": -0.1}),
    "score NaN": json.dumps(GOOD).replace(": 1", ": NaN"),
    "score infinite": json.dumps(GOOD).replace(": 1", ": Infinity"),
    "score huge": json.dumps(GOOD).replace(": 1", ": 1e999"),
    "score many digits": json.dumps(GOOD).replace(": 1", ": " + "9" * 5000),
    "deep nesting": "[" * 10_000,
    "byte order mark": "\ufeff" + json.dumps(GOOD),
    "no-break space": json.dumps(GOOD) + "\u00a0",
    "single quotes": str(GOOD),
    "too long": json.dumps(GOOD | {"feedback": "x" * 30_000}),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_a_reply_that_is_not_exactly_a_verdict_is_none(text):
    with pytest.raises(UnclearError):
        read_verdict(text, token="t0")


def test_the_well_formed_reply_these_are_made_from_is_read():
    assert read_verdict(f" {json.dumps(GOOD)}\n", token="t0").says == "pass"


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_nothing_but_a_verdict_is_ever_read_as_one(value):
    for text in (value if isinstance(value, str) else json.dumps(value), json.dumps(value)):
        with pytest.raises(UnclearError):
            read_verdict(text, token="t0")
        with pytest.raises(UnclearError):
            read_decision(text)


def test_the_feedback_is_one_short_printable_line():
    told = "a\n\n\x1b[31mb\u202e\ud800" + "c" * 1000
    verdict = verdict_of(lambda call: judge_reply(call, "fail", feedback=told))
    assert verdict.feedback.startswith("a [31mbc")
    assert len(verdict.feedback) == 500
    assert verdict.feedback.isprintable()


# --- answers that need no judge ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["42", "-7", "\u221e", "OK", "no", "Answer: 42", "Solution: x = 3", "Let it be", "\u89e3\u306f5", "C"]
)  # fmt: skip
def test_short_answers_with_content_reach_the_judge(text):
    backend = FakeBackend(judge_reply)
    assert judge(RUBRIC, arm=JUDGE, backend=backend)(TASK, Answer(text=text)).passed
    assert len(backend.calls) == 1


@pytest.mark.parametrize("text", ["", ":", "Thought process:", "Let's solve this step by step."])
def test_what_says_nothing_fails_without_a_call(text):
    backend = FakeBackend([])
    verdict = judge(RUBRIC, arm=JUDGE, backend=backend)(TASK, Answer(text=text))
    assert (verdict.status, verdict.error, verdict.calls) == ("fail", None, 0)


def test_an_answer_too_long_to_judge_fails_without_a_call():
    verifier = judge(RUBRIC, arm=JUDGE, max_chars=10, backend=FakeBackend([]))
    verdict = verifier(TASK, Answer(text="x" * 11))
    assert verdict.status == "fail"
    assert "10 characters" in verdict.feedback


@pytest.mark.parametrize(
    "opener", ["solution ", "answer the ", "let s think about ", "ok ", "the "]
)
def test_no_answer_makes_the_search_for_openers_slow(opener):
    for end in ("", "x", "!"):
        assert (
            judge(RUBRIC, arm=JUDGE, backend=FakeBackend(honest))(
                TASK, Answer(text=(opener * 100)[:299] + end)
            ).status
            == "fail"
        )


# --- the maker is not its own judge ------------------------------------------------------------------


def test_a_ladder_of_the_judges_own_model_is_refused_before_any_call():
    maker = MAKER.model_copy(update={"model": "vendor/Judge-1"})
    backend = FakeBackend([])
    controller = Controller([maker], verify=judge(RUBRIC, arm=JUDGE), backends={"maker": backend})
    with pytest.raises(ConfigError, match="only model that answers"):
        controller.run(TASK)
    assert backend.calls == []


def test_an_answer_of_the_judges_own_model_is_not_judged():
    own = MAKER.model_copy(update={"name": "own", "model": "judge-1-2026-03-01"})
    asked = FakeBackend(honest)
    backends = {"maker": FakeBackend({"maker": "41", "own": "408"}), "judge": asked}
    controller = Controller([MAKER, own], verify=judge(RUBRIC, arm=JUDGE), backends=backends)
    last = controller.run(TASK).trace.attempts[-1].verdict
    assert (last.status, last.calls) == ("abstain", 0)
    assert "own model" in last.error
    assert len(asked.calls) == 1


def test_the_model_the_endpoint_names_counts_too():
    backend = FakeBackend([])
    verifier = judge(RUBRIC, arm=JUDGE, backend=backend)
    assert verifier(TASK, Answer(text="408", model="judge-1-20260301")).status == "abstain"


def test_the_maker_may_judge_when_told_so():
    maker = MAKER.model_copy(update={"model": "judge-1"})
    backends = {"maker": FakeBackend("408"), "judge": FakeBackend(honest)}
    verify = judge(RUBRIC, arm=JUDGE, maker_may_judge=True)
    assert Controller([maker], verify=verify, backends=backends).run(TASK).verified


# --- money, time and the trace -------------------------------------------------------------------------


def test_what_the_judge_cost_is_in_the_outcome_the_trace_and_the_ledger():
    ledger = MemoryLedger()
    outcome = run("408", judge(RUBRIC, arm=PRICED), ledger=ledger)
    (attempt,) = outcome.trace.attempts
    assert outcome.cost_usd == attempt.verdict.cost_usd == ONE_CALL
    assert (attempt.verdict.calls, outcome.trace.calls) == (1, 2)
    rows = [entry for entry in ledger.entries() if entry.arm == "judge"]
    assert [(row.task_id, row.model, row.cost_usd) for row in rows] == [("t1", "judge-1", ONE_CALL)]
    assert sum(entry.cost_usd for entry in ledger.entries()) == outcome.cost_usd


def test_the_cost_of_a_failed_judgement_counts_as_well():
    outcome = run("41", judge(RUBRIC, arm=PRICED), judging="no verdict at all")
    assert not outcome.accepted
    assert outcome.cost_usd == ONE_CALL


def test_a_call_of_the_judge_that_could_break_the_budget_is_not_made():
    asked = FakeBackend(honest)
    backends = {"maker": FakeBackend("408"), "judge": asked}
    ledger = MemoryLedger()
    controller = Controller(
        [MAKER], verify=judge(RUBRIC, arm=PRICED), backends=backends, budget="$0.005", ledger=ledger
    )
    with pytest.raises(BudgetExceededError) as caught:
        controller.run(TASK)
    assert asked.calls == []
    trace = caught.value.trace
    assert (trace.outcome, trace.cost_usd) == ("over_budget", 0)
    assert trace.best.answer.text == "408"
    assert trace.best.verdict.status == "abstain"
    assert trace.best.verdict.error.startswith("BudgetExceededError")
    assert pickle.loads(pickle.dumps(caught.value)).trace == trace


def test_what_a_check_had_spent_when_the_budget_stopped_it_stays_in_the_trace():
    second = judge(
        "It is polite.", arm=PRICED.model_copy(update={"name": "dear", "max_output_tokens": 9000})
    )
    verify = all_of(judge(RUBRIC, arm=PRICED), second)
    with pytest.raises(BudgetExceededError) as caught:
        run("408", verify, budget="$0.1")
    assert caught.value.trace.cost_usd == ONE_CALL


def test_a_judge_without_a_price_is_refused_before_the_first_dollar_when_there_is_a_budget():
    unpriced = JUDGE.model_copy(update={"price": None})
    maker = FakeBackend([])
    controller = Controller(
        [MAKER], verify=judge(RUBRIC, arm=unpriced), backends={"maker": maker}, budget="$1"
    )
    with pytest.raises(UnknownPriceError):
        controller.run(TASK)
    assert maker.calls == []


def test_a_transport_fault_of_the_judge_is_retried_and_paid_once():
    lost = TransientBackendError("judge: 503", arm="judge", kind="server")
    script = iter([lost, None])
    outcome = run(
        "408",
        judge(RUBRIC, arm=PRICED),
        judging=lambda call: next(script) or honest(call),
        sleep=lambda _: None,
    )
    assert outcome.verified
    assert outcome.trace.attempts[0].verdict.calls == 2
    assert outcome.cost_usd == ONE_CALL


def test_a_judge_that_takes_the_rest_of_the_time_ends_the_task_past_its_deadline():
    clock = FakeClock()
    slow = FakeBackend(
        lambda _: TransientBackendError("judge: timeout", kind="timeout"), clock=clock, latency_s=9
    )
    backends = {"maker": FakeBackend("408"), "judge": slow}
    controller = Controller(
        [MAKER], verify=judge(RUBRIC, arm=JUDGE), backends=backends, deadline_s=5,
        clock=clock, sleep=clock.sleep,
    )  # fmt: skip
    with pytest.raises(DeadlineExceededError) as caught:
        controller.run(TASK)
    assert caught.value.trace.outcome == "past_deadline"
    assert [call.timeout_s for call in slow.calls] == [5]


def test_a_failed_judgement_escalates_with_the_judges_feedback():
    maker = FakeBackend(["41", "408"])
    verify = judge(RUBRIC, arm=JUDGE)
    ladder = [MAKER, MAKER.model_copy(update={"name": "large", "model": "maker-2"})]

    def judging(call):
        wrong = judged(call)["answer"] == "41"
        return judge_reply(
            call, "fail" if wrong else "pass", feedback="Carry the two." if wrong else ""
        )

    backends = {"maker": maker, "judge": FakeBackend(judging)}
    assert Controller(ladder, verify=verify, backends=backends).run(TASK).value == "408"
    assert "Carry the two." in maker.calls[1].messages[-1].text


def test_the_judge_is_asked_even_when_an_earlier_answer_came_from_the_cache(tmp_path):
    from effortctl.stores import DiskCache

    with DiskCache(tmp_path) as cache:
        for _ in range(2):
            outcome = run("408", judge(RUBRIC, arm=PRICED), cache=cache)
            assert outcome.verified
            assert outcome.cost_usd == ONE_CALL
        assert outcome.trace.attempts[0].cached


def test_it_works_the_same_under_asyncio_with_a_sync_or_an_async_backend():
    async def go(backend):
        backends = {"maker": AsyncFakeBackend("408"), "judge": backend}
        verify = judge(RUBRIC, arm=PRICED)
        return await AsyncController([MAKER], verify=verify, backends=backends).run(TASK)

    assert asyncio.run(go(AsyncFakeBackend(honest))).cost_usd == ONE_CALL

    async def own(backend):
        verify = judge(RUBRIC, arm=PRICED, backend=backend)
        backends = {"maker": AsyncFakeBackend("408")}
        return await AsyncController([MAKER], verify=verify, backends=backends).run(TASK)

    for backend in (FakeBackend(honest), AsyncFakeBackend(honest)):
        outcome = asyncio.run(own(backend))
        assert outcome.verified
        assert outcome.cost_usd == ONE_CALL


def test_a_sync_controller_refuses_an_async_backend_of_a_judge():
    verify = judge(RUBRIC, arm=JUDGE, backend=AsyncFakeBackend(honest))
    with pytest.raises(ConfigError, match="AsyncController"):
        run("408", verify)


def test_a_judge_that_shares_an_arms_name_does_not_change_that_arm():
    no_low = UnsupportedEffortError("judge: low?", arm="maker", supported=["high"])
    namesake = JUDGE.model_copy(update={"name": "maker", "effort": "low"})
    replies = iter([no_low, None, no_low, None])
    maker = FakeBackend("408")
    backends = {"maker": maker, "judge": FakeBackend(lambda call: next(replies) or honest(call))}
    verify = judge(RUBRIC, arm=namesake)
    controller = Controller([MAKER], verify=verify, backends=backends)
    assert controller.run(TASK).verified
    assert controller.run(TASK).verified
    assert [call.arm for call in maker.calls] == [MAKER, MAKER]


def test_a_task_cancelled_while_its_judge_is_asked_leaves_no_reservation_open():
    ledger = MemoryLedger()
    started = asyncio.Event()

    class Hanging:
        async def complete(self, call):
            started.set()
            await asyncio.Event().wait()

    async def go():
        backends = {"maker": AsyncFakeBackend("408"), "judge": Hanging()}
        verify = judge(RUBRIC, arm=PRICED)
        controller = AsyncController(
            [MAKER], verify=verify, backends=backends, ledger=ledger, budget=TEAM
        )
        task = asyncio.create_task(controller.run(TASK))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert ledger.reserved(TEAM) == 0
    assert ledger.spent(TEAM) > ONE_CALL


# --- together with other checks --------------------------------------------------------------------------


def test_a_cheaper_check_before_the_judge_saves_its_call():
    verify = all_of(number("408"), judge(RUBRIC, arm=PRICED))
    assert run("41", verify).cost_usd == 0
    outcome = run("408", verify)
    assert outcome.verified
    assert outcome.cost_usd == ONE_CALL
    assert outcome.trace.attempts[0].verdict.calls == 1


def test_any_of_asks_the_judge_only_when_the_check_before_it_failed():
    verify = any_of(number("7"), judge(RUBRIC, arm=PRICED))
    assert run("408", verify).cost_usd == ONE_CALL
    assert run("7", verify).cost_usd == 0


async def later(text):
    return text == "408"


def test_an_async_check_and_a_judge_make_an_async_check():
    verify = all_of(check(later), judge(RUBRIC, arm=PRICED))
    assert is_async(verify)
    with pytest.raises(ConfigError, match="AsyncController"):
        run("408", verify)
    backends = {"maker": AsyncFakeBackend("408"), "judge": AsyncFakeBackend(honest)}
    controller = AsyncController([MAKER], verify=verify, backends=backends)
    assert asyncio.run(controller.run(TASK)).cost_usd == ONE_CALL
    alone = all_of(check(later), judge(RUBRIC, arm=PRICED, backend=FakeBackend(honest)))
    assert asyncio.run(guarded(alone)(TASK, Answer(text="408"))).passed


def test_a_check_that_costs_money_itself_is_booked_once_beside_the_judge():
    from effortctl import Verdict

    def dear(task, text):
        return Verdict(status="pass", cost_usd=Decimal("0.01"))

    ledger = MemoryLedger()
    outcome = run("408", all_of(check(dear), judge(RUBRIC, arm=PRICED)), ledger=ledger)
    assert outcome.cost_usd == Decimal("0.01") + ONE_CALL
    assert sum(entry.cost_usd for entry in ledger.entries()) == outcome.cost_usd


@pytest.mark.filterwarnings("ignore:The check .* raised:effortctl.EffortctlWarning")
def test_a_crash_inside_an_asking_check_is_an_abstention():
    class Broken:
        name = "broken"

        def arms(self, makers):
            return ()

        def ask(self, verify: Verify):
            yield from ()
            raise RuntimeError("no")

        def __call__(self, task, answer):
            raise RuntimeError("no")

    verdict = run("408", Broken()).trace.attempts[0].verdict
    assert (verdict.status, verdict.error) == ("abstain", "RuntimeError: no")


# --- standing alone, and as a value ---------------------------------------------------------------------


def test_outside_a_controller_it_needs_a_backend_and_says_what_it_cost():
    with pytest.raises(VerifierError, match="backend="):
        judge(RUBRIC, arm=JUDGE)(TASK, Answer(text="408"))
    with pytest.raises(VerifierError, match="not async"):
        judge(RUBRIC, arm=JUDGE, backend=AsyncFakeBackend(honest))(TASK, Answer(text="408"))
    verdict = judge(RUBRIC, arm=PRICED, backend=FakeBackend(honest))(TASK, Answer(text="408"))
    assert verdict.cost_usd == ONE_CALL


def test_standing_alone_a_reply_without_usage_is_charged_at_its_worst_case():
    silent = FakeBackend(lambda call: answer(honest(call), usage=None))
    verdict = judge(RUBRIC, arm=PRICED, backend=silent)(TASK, Answer(text="408"))
    assert verdict.passed
    assert verdict.cost_usd > ONE_CALL


def test_it_is_a_value():
    one, same = judge(RUBRIC, arm=JUDGE), judge(RUBRIC, arm=JUDGE)
    assert one == same
    assert hash(one) == hash(same)
    assert one != judge(RUBRIC, arm=JUDGE, threshold=0.6)
    assert pickle.loads(pickle.dumps(one)) == one
    assert repr(one) == "judge(arm='judge', threshold=0.5)"
    assert RUBRIC not in repr(one)


@pytest.mark.parametrize(
    "bad", [{"rubric": " "}, {"threshold": 0}, {"threshold": 1.5}, {"max_chars": 0}, {"arm": "no@such"}]
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ConfigError):
        judge(**{"rubric": RUBRIC, "arm": JUDGE} | bad)


def test_it_can_be_written_in_one_word():
    verifier = parse_spec("judge:gpt-6-luna@low:'Is it: polite?'")
    assert (verifier.arm.name, verifier.rubric) == ("gpt-6-luna@low", "Is it: polite?")
    with pytest.raises(ConfigError, match="does not name a judge"):
        parse_spec("judge:polite?")


# --- decisions -------------------------------------------------------------------------------------------


def test_a_decisions_judge_is_asked_by_its_own_api_at_its_own_price():
    arm = decisions_judge(RUBRIC).arm
    assert (arm.name, arm.api) == ("gpt-6-luna@decisions", "decisions")
    assert arm.endpoint.price_provider == "openai-decisions"
    assert arm.sent_effort == "default"
    given = Arm(name="d", model="m", api="decisions", endpoint=Endpoint(name="x"))
    assert decisions_judge(RUBRIC, arm=given).arm == given


@pytest.mark.parametrize(
    ("text", "status"),
    [('{"probability": 0.5}', "pass"), ('{"probability": 0.49}', "fail"), ("0.9", "fail"),
     ('{"probability": true}', "fail"), ('{"probability": 1, "x": 1}', "fail")],
)  # fmt: skip
def test_the_probability_is_the_verdict(text, status):
    backend = FakeBackend(answer(text, usage=Usage(input_tokens=1)))
    verifier = decisions_judge(RUBRIC, arm=JUDGE, backend=backend)
    assert verifier(TASK, Answer(text="408")).status == status
    (call,) = backend.calls
    assert RUBRIC in call.messages[0].text
    assert json.loads(call.messages[1].text) == {"task": TASK.text, "answer": "408"}
    assert all_of(not_empty(), verifier) != verifier


def test_the_price_book_knows_what_a_decision_costs_input_only():
    from effortctl._pricing import GenaiPriceBook

    verifier, book = decisions_judge(RUBRIC), GenaiPriceBook()
    call = verifier.ask(Verify(TASK, Answer(text="408"))).send(None).call
    usage = Usage(input_tokens=2000, cached_tokens=500, cache_write_tokens=500, output_tokens=5)
    assert book.cost(call.arm, answer("", usage=usage)).usd == Decimal("0.0002")
    assert 0 < book.worst_case(call).usd < Decimal("0.001")
