"""The escalation loop alone: a generator, driven by hand, with no clock but a fake one."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl._engine import CAP_GROWTH, MAX_CAP_RAISES, Ended, Rules, escalate
from effortctl._errors import (
    BackendError,
    BudgetExceededError,
    ConfigError,
    DeadlineExceededError,
    TransientBackendError,
)
from effortctl._types import (
    Answer,
    Arm,
    Call,
    Cost,
    Endpoint,
    Message,
    Reply,
    Task,
    Usage,
    Verdict,
    Verify,
)
from effortctl.policies import LadderPolicy
from effortctl.testing import FakeClock

TASK = Task(input="What is 17*24?", id="t")
CENT = Decimal("0.01")


def arm(name, *, model=None, cap=100, limit=1000, samples=1, endpoint="here"):
    return Arm(
        name=name,
        model=model or name,
        endpoint=Endpoint(name=endpoint),
        max_output_tokens=cap,
        max_output_tokens_limit=limit,
        samples=samples,
    )


def replied(text="x", *, finish="complete", usd=CENT, calls=1, **more):
    answer = Answer(text=text, finish=finish, usage=Usage(input_tokens=1, output_tokens=1))
    return Reply(answer, Cost(usd=usd, source="user"), calls=calls, **more)


def fault(error, *, usd=CENT, calls=3):
    return Reply(None, Cost(usd=usd, source="worst_case"), calls=calls, error=error)


TRANSIENT = TransientBackendError("slow down", kind="rate_limit")
FAIL = Verdict(status="fail", feedback="Too small.", verifier="v")
PASS = Verdict(status="pass", verifier="v")
ABSTAIN = Verdict(status="abstain", verifier="v", error="ValueError: no")


class Drive:
    """Drives the engine with scripted results and remembers every action."""

    def __init__(self, *results, clock=None, task=TASK, **rules):
        self.clock = clock or FakeClock()
        self.actions = []
        rules.setdefault("policy", LadderPolicy())
        flow = escalate(
            task, Rules(**rules), trace_id="id", now=self.clock.now, clock=self.clock.monotonic
        )
        self.ended = self._run(flow, iter(results))
        self.trace, self.error = self.ended.trace, self.ended.error

    def _run(self, flow, results):
        result = None
        while True:
            try:
                action = flow.send(result)
            except StopIteration as stop:
                ended = stop.value
                break
            self.actions.append(action)
            result = next(results)
            if callable(result):
                result = result(action)
        assert isinstance(ended, Ended)
        assert next(results, None) is None, "the script was not used up"
        return ended

    @property
    def calls(self):
        return [action for action in self.actions if isinstance(action, Call)]


def drive(*results, arms=None, **rules):
    return Drive(*results, arms=arms or [arm("a"), arm("b"), arm("c")], **rules)


# --- verdicts --------------------------------------------------------------------------------------


def test_a_passed_answer_ends_the_loop():
    run = drive(replied(), PASS)
    assert run.trace.outcome == "accepted"
    assert run.error is None
    assert [c.arm.name for c in run.calls] == ["a"]


def test_a_failed_answer_escalates_to_the_next_arm():
    run = drive(replied("1"), FAIL, replied("2"), PASS)
    assert [a.arm for a in run.trace.attempts] == ["a", "b"]
    assert run.trace.best.answer.text == "2"


def test_exhaustion_is_no_error_and_leaves_the_best_answer():
    scored = Verdict(status="fail", score=0.9)
    run = drive(replied("near"), scored, replied("far"), FAIL, replied("far"), FAIL)
    assert run.trace.outcome == "exhausted"
    assert run.error is None
    assert run.trace.best.answer.text == "near"


def test_without_a_verifier_the_first_complete_answer_is_accepted():
    run = drive(replied("anything"), check=False)
    assert run.trace.outcome == "accepted"
    assert run.trace.attempts[0].verdict is None
    assert not any(isinstance(action, Verify) for action in run.actions)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_an_empty_answer_is_never_accepted_nor_sent_to_the_verifier(text, check):
    run = drive(*[replied(text)] * 3, check=check)
    assert run.trace.outcome == "exhausted"
    assert {a.verdict.verifier for a in run.trace.attempts} == {"not_empty"}


class Comparing:
    """Asks two arms where nothing is checked, and finds the answer of one arm best."""

    name = "comparing"
    compares = True

    def __init__(self, best=None):
        self._best = best

    def choose(self, situation):
        answered = [a for a in situation.attempts if a.answer is not None]
        return next(iter(situation.arms)) if len(answered) < 2 else None

    def best(self, _situation):
        return self._best


def test_a_policy_that_compares_answers_goes_on_and_its_best_one_is_returned():
    run = drive(replied("1"), replied("2"), check=False, policy=Comparing("a"))
    assert (run.trace.outcome, run.trace.chosen, run.error) == ("accepted", "a", None)
    assert run.trace.best.answer.text == "1"
    assert not any(isinstance(action, Verify) for action in run.actions)
    assert run.calls[1].messages == TASK.messages


def test_without_an_opinion_the_usual_order_decides_among_compared_answers():
    run = drive(replied("1"), replied("2"), check=False, policy=Comparing())
    assert (run.trace.chosen, run.trace.best.answer.text) == (None, "2")


@pytest.mark.parametrize(
    "second",
    [
        fault(BudgetExceededError("x", needed=CENT, left=CENT), calls=0),
        fault(DeadlineExceededError("late")),
        replied("no", finish="refused"),
    ],
)
def test_a_compared_answer_is_kept_when_no_second_opinion_can_be_had(second):
    run = drive(replied("1"), second, check=False, policy=Comparing("a"))
    assert (run.trace.outcome, run.error, run.trace.best.answer.text) == ("accepted", None, "1")


def test_a_second_opinion_that_no_other_arm_would_cure_is_an_error_with_the_first_one_at_hand():
    broken = BackendError("no such key")
    run = drive(replied("1"), fault(broken), check=False, policy=Comparing("a"))
    assert (run.trace.outcome, run.error) == ("failed", broken)
    assert run.trace.best.answer.text == "1"


def test_an_arm_is_not_resampled_before_a_policy_that_compares_was_asked():
    arms = [arm("a", samples=3), arm("b", samples=3)]
    run = Drive(replied("1"), replied("2"), arms=arms, check=False, policy=Comparing("b"))
    assert [c.arm.name for c in run.calls] == ["a", "b"]


def test_with_a_check_its_pass_is_returned_whatever_the_policy_finds_best():
    run = drive(replied("1"), FAIL, replied("2"), PASS, policy=Comparing("a"))
    assert (run.trace.outcome, run.trace.chosen) == ("accepted", None)
    assert run.trace.best.answer.text == "2"


def test_when_every_check_failed_the_answer_the_policy_finds_best_is_returned():
    near = Verdict(status="fail", score=0.9)
    run = drive(replied("1"), FAIL, replied("2"), near, policy=Comparing("a"))
    assert (run.trace.outcome, run.trace.chosen) == ("exhausted", "a")
    assert run.trace.best.answer.text == "1"


def test_a_policy_that_finds_an_answer_best_that_nobody_gave_is_an_error():
    run = drive(replied("1"), replied("2"), check=False, policy=Comparing("c"))
    assert run.trace.outcome == "failed"
    assert isinstance(run.error, ConfigError)
    assert "'c' best, which gave none" in str(run.error)


def test_a_value_that_is_not_text_is_not_empty():
    reply = Reply(Answer(text="", value=0), Cost(usd=CENT, source="user"))
    assert drive(reply, check=False).trace.outcome == "accepted"


def test_an_abstaining_verifier_does_not_object():
    run = drive(replied(), ABSTAIN)
    assert run.trace.outcome == "accepted"
    assert run.trace.attempts[0].verdict.error == "ValueError: no"
    assert not run.trace.best.passed


def test_an_abstaining_verifier_counts_as_a_failure_when_failing_closed():
    run = drive(replied(), ABSTAIN, replied(), PASS, fail_closed=True)
    assert [a.arm for a in run.trace.attempts] == ["a", "b"]


# --- what the next arm is told ---------------------------------------------------------------------


def test_the_next_arm_sees_the_failed_answer_and_why():
    run = drive(replied("399"), FAIL, replied("408"), PASS)
    first, second = run.calls
    assert first.messages == TASK.messages
    said, why = second.messages[-2:]
    assert said == Message(role="assistant", content="399")
    assert why.role == "user"
    assert "Too small." in why.text


def test_only_the_latest_failure_is_carried():
    other = Verdict(status="fail", feedback="Too large.")
    run = drive(replied("1"), FAIL, replied("2"), other, replied("3"), PASS)
    assert len(run.calls[2].messages) == len(TASK.messages) + 2
    assert "Too large." in run.calls[2].messages[-1].text


def test_an_empty_answer_is_carried_as_a_request_alone():
    run = drive(replied(""), replied("408"), PASS)
    assert [m.role for m in run.calls[1].messages] == ["user", "user"]


def test_nothing_is_carried_when_the_caller_does_not_want_it():
    run = drive(replied("399"), FAIL, replied("408"), PASS, carry="none")
    assert all(call.messages == TASK.messages for call in run.calls)


def test_samples_of_one_arm_do_not_see_each_other():
    run = drive(
        replied("1"), FAIL, replied("2"), FAIL, replied("3"), PASS, arms=[arm("a", samples=3)]
    )
    assert [c.sample_index for c in run.calls] == [0, 1, 2]
    assert all(call.messages == TASK.messages for call in run.calls)


# --- endings that are not failures -----------------------------------------------------------------


def test_a_truncated_answer_is_asked_for_again_with_a_doubled_cap():
    cut = replied("4", finish="truncated")
    run = drive(cut, cut, replied("408"), PASS)
    assert [(c.arm.name, c.max_output_tokens) for c in run.calls] == [
        ("a", 100),
        ("a", 200),
        ("a", 400),
    ]


def test_the_cap_is_raised_twice_and_then_another_arm_is_tried():
    cut = replied("4", finish="truncated")
    run = drive(cut, cut, cut, replied("408"), PASS)
    assert [c.arm.name for c in run.calls] == ["a", "a", "a", "b"]
    assert run.calls[3].messages == TASK.messages


def test_the_cap_never_exceeds_what_the_model_can_generate():
    cut = replied("4", finish="truncated")
    arms = [arm("a", cap=100, limit=150), arm("b", cap=500, limit=200)]
    run = drive(cut, cut, cut, arms=arms)
    assert [(c.arm.name, c.max_output_tokens) for c in run.calls] == [
        ("a", 100),
        ("a", 150),
        ("b", 200),
    ]
    assert run.trace.outcome == "exhausted"


def test_the_task_sets_the_first_cap():
    run = Drive(
        replied(),
        PASS,
        arms=[arm("a", cap=100)],
        task=TASK.model_copy(update={"max_output_tokens": 7}),
    )
    assert run.calls[0].max_output_tokens == 7


@pytest.mark.parametrize("finish", ["refused", "filtered"])
def test_a_refusal_stops_the_loop_without_an_error(finish):
    run = drive(replied("No.", finish=finish))
    assert run.trace.outcome == "refused"
    assert run.error is None


def test_a_conversation_that_does_not_fit_rules_out_every_arm_of_that_model():
    arms = [arm("a", model="m"), arm("b", model="m"), arm("c", model="big")]
    run = drive(replied("", finish="context_exceeded"), replied(), PASS, arms=arms)
    assert [c.arm.name for c in run.calls] == ["a", "c"]


# --- faults ----------------------------------------------------------------------------------------


def test_a_transient_fault_that_outlived_its_retries_moves_on():
    run = drive(fault(TRANSIENT), replied(), PASS)
    assert [a.arm for a in run.trace.attempts] == ["a", "b"]
    assert run.trace.attempts[0].error == "TransientBackendError: slow down"
    assert run.trace.outcome == "accepted"
    assert run.error is None


def test_a_transient_fault_of_every_arm_is_the_error():
    run = drive(fault(TRANSIENT), fault(TRANSIENT), fault(TRANSIENT))
    assert run.trace.outcome == "exhausted"
    assert run.error is TRANSIENT


def test_one_answer_among_faults_is_worth_more_than_an_error():
    run = drive(fault(TRANSIENT), replied("1"), FAIL, fault(TRANSIENT))
    assert run.trace.outcome == "exhausted"
    assert run.error is None


def test_any_other_fault_ends_the_loop():
    error = BackendError("no such model", kind="not_found")
    run = drive(fault(error, calls=1))
    assert run.trace.outcome == "failed"
    assert run.error is error


NO_CREDIT = BackendError("no credit", kind="quota")
TWO_PLACES = [arm("a", endpoint="x"), arm("b", endpoint="x"), arm("c", endpoint="y")]


def test_without_credit_at_one_endpoint_the_loop_goes_on_at_another():
    run = Drive(fault(NO_CREDIT, calls=1), replied(), PASS, arms=TWO_PLACES)
    assert [a.arm for a in run.trace.attempts] == ["a", "c"]
    assert (run.trace.outcome, run.error) == ("accepted", None)


def test_without_credit_anywhere_the_loop_ends_with_that_error():
    run = Drive(fault(NO_CREDIT, calls=1), fault(NO_CREDIT, calls=1), arms=TWO_PLACES)
    assert [a.arm for a in run.trace.attempts] == ["a", "c"]
    assert (run.trace.outcome, run.error) == ("failed", NO_CREDIT)


def test_a_call_the_budget_forbids_is_no_attempt():
    error = BudgetExceededError("no", needed=CENT, left=Decimal(0))
    run = drive(replied("1"), FAIL, fault(error, usd=Decimal(0), calls=0))
    assert run.trace.outcome == "over_budget"
    assert run.error is error
    assert [a.arm for a in run.trace.attempts] == ["a"]


def test_a_retry_the_budget_forbids_is_an_attempt_with_its_cost():
    error = BudgetExceededError("no", needed=CENT, left=Decimal(0))
    run = drive(fault(error, calls=1))
    assert run.trace.cost_usd == CENT


# --- time ------------------------------------------------------------------------------------------


def test_no_call_is_made_when_there_is_no_time():
    run = drive(deadline_s=0)
    assert run.trace.outcome == "past_deadline"
    assert isinstance(run.error, DeadlineExceededError)
    assert run.actions == []


def test_every_action_is_told_how_much_time_is_left():
    clock = FakeClock()

    def slow_reply(_call):
        clock.advance(2)
        return replied()

    run = drive(slow_reply, FAIL, replied(), PASS, clock=clock, deadline_s=10)
    assert [action.timeout_s for action in run.actions] == [10, 8, 8, 8]
    assert run.trace.latency_s == 2


def test_a_failed_check_after_the_deadline_ends_the_loop():
    clock = FakeClock()

    def late(_verify):
        clock.advance(11)
        return FAIL

    run = drive(replied("1"), late, clock=clock, deadline_s=10)
    assert run.trace.outcome == "past_deadline"
    assert run.trace.best.answer.text == "1"


def test_a_passed_check_after_the_deadline_is_still_accepted():
    clock = FakeClock()

    def late(_verify):
        clock.advance(11)
        return PASS

    assert drive(replied("1"), late, clock=clock, deadline_s=10).trace.outcome == "accepted"


def test_a_check_that_ran_out_of_time_is_not_accepted():
    clock = FakeClock()

    def late(_verify):
        clock.advance(11)
        return ABSTAIN

    assert drive(replied("1"), late, clock=clock, deadline_s=10).trace.outcome == "past_deadline"


def test_a_deadline_is_a_deadline_error_whatever_fault_it_ended_in():
    clock = FakeClock()

    def late(_call):
        clock.advance(11)
        return fault(TRANSIENT)

    run = drive(late, clock=clock, deadline_s=10)
    assert run.trace.outcome == "past_deadline"
    assert isinstance(run.error, DeadlineExceededError)
    assert run.error.__cause__ is TRANSIENT


# --- policies and watchers -------------------------------------------------------------------------


class Stubborn:
    name = "stubborn"

    def choose(self, situation):
        return arm("a")


def test_a_policy_that_repeats_an_arm_is_stopped_with_an_error():
    run = drive(replied("1"), FAIL, policy=Stubborn())
    assert run.trace.outcome == "failed"
    assert isinstance(run.error, ConfigError)
    assert "stubborn" in str(run.error)
    assert run.trace.cost_usd == CENT


def test_the_policy_sees_what_was_tried_and_what_is_left():
    seen = []

    class Watcher(LadderPolicy):
        def choose(self, situation):
            seen.append(situation)
            return super().choose(situation)

    costly = FAIL.model_copy(update={"cost_usd": CENT})
    drive(
        replied(), costly, replied(), PASS, policy=Watcher(), budget_usd=Decimal(1), deadline_s=60
    )
    assert [len(s.attempts) for s in seen] == [0, 1]
    assert [[a.name for a in s.arms] for s in seen] == [["a", "b", "c"], ["b", "c"]]
    assert [s.usd_left for s in seen] == [Decimal(1), Decimal("0.98")]
    assert seen[0].seconds_left == 60


def test_each_attempt_is_told_once_with_its_verdict():
    told = []
    run = drive(
        replied("1"), FAIL, replied("2", finish="truncated"), replied("3"), PASS,
        on_attempt=told.append,
    )  # fmt: skip
    assert tuple(told) == run.trace.attempts


# --- whatever happens ------------------------------------------------------------------------------

usd = st.decimals(min_value=0, max_value=1, places=6)
faults = st.sampled_from(
    [
        TRANSIENT,
        BackendError("no", kind="auth"),
        BudgetExceededError("no", needed=CENT, left=Decimal(0)),
        DeadlineExceededError("late"),
    ]
)
replies = st.one_of(
    st.builds(
        replied,
        st.sampled_from(["", "1", "2"]),
        finish=st.sampled_from(
            ["complete", "complete", "truncated", "refused", "filtered", "context_exceeded"]
        ),
        usd=usd,
        calls=st.integers(0, 3),
    ),
    st.builds(fault, st.just(TRANSIENT), usd=usd, calls=st.integers(1, 3)),
    st.builds(fault, faults, usd=usd, calls=st.integers(1, 3)),
)
verdicts = st.builds(
    Verdict, status=st.sampled_from(["pass", "fail", "fail", "fail", "abstain"]), cost_usd=usd
)
ladders = st.lists(
    st.tuples(
        st.integers(1, 400), st.integers(100, 1000), st.integers(1, 4), st.sampled_from("mn")
    ),
    max_size=5,
).map(
    lambda rows: [
        arm(str(i), cap=cap, limit=limit, samples=samples, model=model)
        for i, (cap, limit, samples, model) in enumerate(rows)
    ]
)


class AnyOrder:
    name = "any"

    def __init__(self, data):
        self.data = data

    def choose(self, situation):
        return self.data.draw(st.sampled_from([*situation.arms, None]))


class Chaos:
    """Answers every action with anything, and lets time pass."""

    def __init__(self, data, *, arms, **rules):
        self.data, self.spent = data, Decimal(0)
        self.clock = FakeClock()
        self.calls = []
        flow = escalate(
            TASK,
            Rules(arms=arms, policy=AnyOrder(data), **rules),
            trace_id="id",
            now=self.clock.now,
            clock=self.clock.monotonic,
        )
        result = None
        for _ in range(1000):
            try:
                action = flow.send(result)
            except StopIteration as stop:
                self.trace = stop.value.trace
                self.error = stop.value.error
                return
            result = self._result(action)
        raise AssertionError("the loop does not end")

    def _result(self, action):
        self.clock.advance(self.data.draw(st.integers(0, 3)))
        if isinstance(action, Verify):
            verdict = self.data.draw(verdicts)
            self.spent += verdict.cost_usd
            return verdict
        self.calls.append(action)
        reply = self.data.draw(replies)
        self.spent += reply.cost.usd
        return reply


@given(
    data=st.data(),
    arms=ladders,
    rules=st.fixed_dictionaries(
        {
            "check": st.booleans(),
            "fail_closed": st.booleans(),
            "carry": st.sampled_from(["feedback", "none"]),
            "deadline_s": st.none() | st.integers(0, 20).map(float),
            "budget_usd": st.none() | usd,
        }
    ),
)
def test_the_loop_ends_repeats_no_arm_and_books_every_cent(data, arms, rules):
    run = Chaos(data, arms=arms, **rules)
    trace = run.trace
    assert trace.cost_usd == run.spent
    assert len(trace.attempts) == len(run.calls)
    by_name = {a.name: a for a in arms}
    by_arm = defaultdict(list)
    for call in run.calls:
        by_arm[call.arm.name].append(call)
        assert call.max_output_tokens <= call.arm.max_output_tokens_limit
        assert call.timeout_s is None or call.timeout_s > 0
    for name, calls in by_arm.items():
        assert len(calls) <= by_name[name].samples + MAX_CAP_RAISES
        assert Counter(c.sample_index for c in calls).keys() == set(
            range(calls[-1].sample_index + 1)
        )
        caps = [c.max_output_tokens for c in calls]
        assert caps == sorted(caps)
        assert caps[-1] <= min(
            caps[0] * CAP_GROWTH**MAX_CAP_RAISES, by_name[name].max_output_tokens_limit
        )
    visits = [c.arm.name for c, before in zip(run.calls, [None, *run.calls], strict=False)
              if before is None or before.arm.name != c.arm.name]  # fmt: skip
    assert len(visits) == len(set(visits)), "an arm was left and tried again"


@given(data=st.data(), arms=ladders, check=st.booleans(), fail_closed=st.booleans())
def test_what_is_accepted_is_complete_not_empty_and_not_rejected(data, arms, check, fail_closed):
    run = Chaos(data, arms=arms, check=check, fail_closed=fail_closed)
    if run.trace.outcome != "accepted":
        return
    last = run.trace.attempts[-1]
    assert last.answer.finish == "complete"
    assert last.answer.text.strip()
    assert run.error is None
    if check:
        assert last.verdict.status == "pass" or (
            not fail_closed and last.verdict.status == "abstain"
        )
    assert all(a.verdict is None or not a.verdict.passed for a in run.trace.attempts[:-1])


@given(data=st.data(), arms=ladders, deadline_s=st.none() | st.integers(0, 5).map(float))
def test_an_outcome_without_an_answer_has_an_error(data, arms, deadline_s):
    run = Chaos(data, arms=arms, deadline_s=deadline_s)
    needs_error = {"failed", "over_budget", "past_deadline"}
    if run.trace.outcome in needs_error:
        assert run.error is not None
    if run.trace.outcome in {"accepted", "refused"}:
        assert run.error is None
    if run.trace.outcome == "past_deadline":
        assert isinstance(run.error, DeadlineExceededError)


@given(data=st.data(), arms=ladders)
def test_a_truncated_answer_is_never_followed_by_another_arm_while_its_cap_can_grow(data, arms):
    run = Chaos(data, arms=arms)
    raises = Counter()
    attempts = run.trace.attempts
    for now, after in itertools.pairwise(attempts):
        limit = next(a for a in arms if a.name == now.arm).max_output_tokens_limit
        cut = now.answer is not None and now.answer.finish == "truncated"
        if not cut:
            continue
        if raises[now.arm] < MAX_CAP_RAISES and now.max_output_tokens < limit:
            assert after.arm == now.arm
            assert after.max_output_tokens == min(now.max_output_tokens * CAP_GROWTH, limit)
            raises[now.arm] += 1
        else:
            assert after.arm != now.arm
