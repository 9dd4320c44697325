"""The escalation loop, without any I/O.

`escalate` is a generator. It yields a `Call` (make this request) or a `Verify` (check this answer),
receives a `Reply` or a `Verdict`, and returns an `Ended` with the trace. A driver performs what is
yielded; the engine alone decides what happens next:

- a failed verdict escalates: the policy chooses another arm, which sees the failed answer and why;
- an arm with several samples is resampled before that, each sample on its own;
- without a check the first complete answer is accepted, unless the policy compares answers: then it is
  asked whether to go on, and the answer it finds best is accepted;
- an answer cut off by the output cap is asked for again with a larger cap, never with more effort;
- a refused or filtered answer stops the loop, because more effort does not change a refusal;
- a conversation that does not fit the model rules out the arms of that model;
- an account without credit rules out the arms of that endpoint;
- a transport fault that outlived its retries moves on to another arm; any other fault ends the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from effortctl._errors import (
    BackendError,
    BudgetExceededError,
    ConfigError,
    DeadlineExceededError,
    EffortctlError,
    TransientBackendError,
)
from effortctl._types import (
    EXACT,
    Answer,
    Arm,
    Attempt,
    Call,
    Estimate,
    Finish,
    Message,
    Reply,
    Situation,
    Stopped,
    Task,
    Trace,
    TraceOutcome,
    Verdict,
    Verify,
    total_usd,
)
from effortctl.protocols import Policy, WeighingPolicy

Action: TypeAlias = Call | Verify
Result: TypeAlias = Reply | Verdict | Stopped
Flow: TypeAlias = Generator[Action, Result, "Ended"]

CAP_GROWTH = 2
"""Factor by which the output cap grows after a truncated answer."""

MAX_CAP_RAISES = 2
"""How often the cap is raised on one arm before the loop goes on to another."""

EMPTY = Verdict(status="fail", feedback="The answer was empty.", verifier="not_empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How one task is to be run.

    Attributes:
        arms: The ladder, in order.
        policy: Chooses among them.
        estimates: By arm name; may be empty.
        carry: `feedback` shows a failed answer and its feedback to the next arm, `none` does not.
        check: False when the caller has no verifier: nothing objects to a complete answer.
        fail_closed: True when an abstaining verifier counts as a failed check.
        budget_usd: Dollars this task may cost. None: no limit.
        deadline_s: Seconds this task may take. None: no limit.
        on_attempt: Told of each attempt once its verdict is known.
    """

    arms: Sequence[Arm]
    policy: Policy
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    carry: Literal["feedback", "none"] = "feedback"
    check: bool = True
    fail_closed: bool = False
    budget_usd: Decimal | None = None
    deadline_s: float | None = None
    on_attempt: Callable[[Attempt], object] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The loop is over.

    Attributes:
        trace: All that happened.
        error: Why it could not go on, when it was not the loop's own decision to stop.
    """

    trace: Trace
    error: EffortctlError | None = None


def escalate(
    task: Task,
    rules: Rules,
    *,
    trace_id: str,
    now: Callable[[], datetime],
    clock: Callable[[], float],
) -> Flow:
    """Run the loop for one task.

    Args:
        task: What is asked.
        rules: Arms, policy and limits.
        trace_id: Identifies the decision.
        now: Wall clock, for the record.
        clock: Monotonic seconds, for the deadline.

    Yields:
        `Call` and `Verify` actions; send back the `Reply` or `Verdict`, or `Stopped` when the budget
        forbids to finish a check.

    Returns:
        The trace, and the error that ended the loop if one did.
    """
    run = _Run(task=task, rules=rules, started=clock(), clock=clock)
    started_at = now()
    outcome: TraceOutcome | None = None
    while outcome is None:
        arm = run.next_arm()
        if arm is None:
            outcome = run.why_no_arm()
        else:
            outcome = yield from _try_arm(run, arm)
    outcome = run.settled(outcome)
    trace = Trace(
        id=trace_id,
        task_id=task.id,
        category=task.category,
        outcome=outcome,
        attempts=tuple(run.attempts),
        policy=rules.policy.name,
        chosen=run.chosen,
        started_at=started_at,
        latency_s=max(0.0, clock() - run.started),
        metadata=task.metadata,
    )
    return Ended(trace, run.error_for(outcome))


@dataclass(slots=True)
class _Run:
    """What the loop has to remember while it runs."""

    task: Task
    rules: Rules
    started: float
    clock: Callable[[], float]
    attempts: list[Attempt] = field(default_factory=list)
    closed_arms: set[str] = field(default_factory=set)
    failed: tuple[Answer, Verdict] | None = None
    error: EffortctlError | None = None
    misled: ConfigError | None = None
    chosen: str | None = None
    compares: bool = field(init=False)

    def __post_init__(self) -> None:
        policy = self.rules.policy
        unchecked = not self.rules.check
        self.compares = unchecked and isinstance(policy, WeighingPolicy) and policy.compares

    def seconds_left(self) -> float | None:
        if self.rules.deadline_s is None:
            return None
        return self.rules.deadline_s - (self.clock() - self.started)

    def is_late(self) -> bool:
        left = self.seconds_left()
        return left is not None and left <= 0

    def situation(self) -> Situation:
        budget = self.rules.budget_usd
        spent = total_usd(attempt.cost_usd for attempt in self.attempts)
        return Situation(
            task=self.task,
            arms=[arm for arm in self.rules.arms if arm.name not in self.closed_arms],
            attempts=tuple(self.attempts),
            estimates=self.rules.estimates,
            usd_left=None if budget is None else EXACT.subtract(budget, spent),
            seconds_left=self.seconds_left(),
        )

    def next_arm(self) -> Arm | None:
        if self.is_late():
            return None
        situation = self.situation()
        arm = self.rules.policy.choose(situation)
        if arm is None:
            return None
        if arm.name not in {offered.name for offered in situation.arms}:
            # Trying it all the same would repeat an arm, and perhaps never end.
            self.misled = ConfigError(
                f"policy {self.rules.policy.name!r} chose {arm.name!r}, which was not offered; "
                "choose() must return one of situation.arms, or None to stop"
            )
            return None
        self.closed_arms.add(arm.name)
        return arm

    def why_no_arm(self) -> TraceOutcome:
        if self.misled is not None:
            return "failed"
        return "past_deadline" if self.is_late() else "exhausted"

    def settled(self, outcome: TraceOutcome) -> TraceOutcome:
        """How the task ends, once the policy has said which answer it finds best."""
        if self.misled is not None or (outcome == "accepted" and not self.compares):
            return outcome
        if isinstance(self.rules.policy, WeighingPolicy) and self.attempts:
            self.chosen = self.rules.policy.best(self.situation())
        if self.chosen not in {None, *(a.arm for a in self.attempts if a.answer is not None)}:
            self.misled = ConfigError(
                f"policy {self.rules.policy.name!r} found the answer of {self.chosen!r} best, which gave "
                "none; best() must return the name of an arm that answered, or None"
            )
            self.chosen = None
            return "failed"
        # A second opinion that could not be had takes nothing from an answer nobody objected to. A fault
        # that no other arm would cure stays one: it is most likely a mistake in the configuration.
        if self.compares and outcome != "failed" and any(map(_is_unopposed, self.attempts)):
            return "accepted"
        return outcome

    def note(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        if self.rules.on_attempt is not None:
            self.rules.on_attempt(attempt)

    def close_model(self, model: str) -> None:
        self.closed_arms.update(arm.name for arm in self.rules.arms if arm.model == model)

    def close_endpoint(self, name: str) -> bool:
        """Rule out the arms of an endpoint; False when there is no other arm left."""
        arms = self.rules.arms
        self.closed_arms.update(arm.name for arm in arms if arm.endpoint.name == name)
        return any(arm.name not in self.closed_arms for arm in arms)

    def messages(self) -> tuple[Message, ...]:
        if self.failed is None or self.compares or self.rules.carry == "none":
            return self.task.messages
        answer, verdict = self.failed
        return (*self.task.messages, *_correction(answer, verdict))

    def error_for(self, outcome: TraceOutcome) -> EffortctlError | None:
        if outcome == "past_deadline":
            return self._too_late()
        if self.misled is not None:
            return self.misled
        if outcome in {"accepted", "refused"}:
            return None
        if outcome == "exhausted" and any(a.answer is not None for a in self.attempts):
            return None
        return self.error

    def _too_late(self) -> DeadlineExceededError:
        if isinstance(self.error, DeadlineExceededError):
            return self.error
        late = DeadlineExceededError(
            f"the task's {self.rules.deadline_s:g} s are over and no answer was accepted"
        )
        late.__cause__ = self.error
        return late


def _try_arm(run: _Run, arm: Arm) -> Generator[Action, Result, TraceOutcome | None]:
    """Sample one arm until an answer is accepted or its samples are used up."""
    messages = run.messages()
    caps = _caps(run.task, arm)
    cap = next(caps)
    index = 0
    while index < arm.samples:
        if run.is_late():
            return "past_deadline"
        call = Call(run.task, arm, messages, index, cap, run.seconds_left())
        reply = yield call
        assert isinstance(reply, Reply)  # noqa: S101 - the driver's side of the contract
        arm = reply.arm or arm  # with an effort that was rejected it would be rejected again
        if reply.answer is None:
            return _after_fault(run, call, reply)
        if reply.answer.finish == "complete":
            outcome = yield from _judge(run, call, reply)
            if outcome is not None or _is_unopposed(run.attempts[-1]):
                return outcome  # a policy that compares answers decides before each of them
            index += 1
            continue
        run.note(_attempt(run, call, reply))
        larger = next(caps, None) if reply.answer.finish == "truncated" else None
        if larger is None:
            return _after_cut(run, arm, reply.answer.finish)
        cap = larger
    return None


def _caps(task: Task, arm: Arm) -> Iterator[int]:
    """Output caps to try in turn: the arm's, then larger ones up to what the model can generate.

    A cap that the task itself sets is the caller's word and is never raised.
    """
    if task.max_output_tokens is not None:
        yield min(task.max_output_tokens, arm.max_output_tokens_limit)
        return
    cap = min(arm.max_output_tokens, arm.max_output_tokens_limit)
    yield cap
    for _ in range(MAX_CAP_RAISES):
        if cap >= arm.max_output_tokens_limit:
            return
        cap = min(cap * CAP_GROWTH, arm.max_output_tokens_limit)
        yield cap


def _after_cut(run: _Run, arm: Arm, finish: Finish) -> TraceOutcome | None:
    """Decide what an answer that is not complete means for the loop."""
    if finish in {"refused", "filtered"}:
        return "refused"
    if finish == "context_exceeded":
        run.close_model(arm.model)
    return None


def _judge(run: _Run, call: Call, reply: Reply) -> Generator[Action, Result, TraceOutcome | None]:
    """Have a complete answer checked; None means: not accepted, go on."""
    answer = reply.answer
    assert answer is not None  # noqa: S101 - narrowed by the caller
    if answer.value is None and not answer.text.strip():
        verdict = EMPTY
    elif not run.rules.check:
        run.note(_attempt(run, call, reply))
        return None if run.compares else "accepted"
    else:
        asked = replace(call, arm=reply.arm or call.arm)
        checked = yield Verify(run.task, answer, run.seconds_left(), asked)
        if isinstance(checked, Stopped):
            run.note(_attempt(run, call, reply, verdict=checked.verdict))
            return _after_error(run, checked.error)
        assert isinstance(checked, Verdict)  # noqa: S101 - the driver's side of the contract
        verdict = checked
    run.note(_attempt(run, call, reply, verdict=verdict))
    if verdict.passed:
        return "accepted"
    if verdict.status == "abstain" and run.is_late():
        return "past_deadline"
    if verdict.status == "abstain" and not run.rules.fail_closed:
        return "accepted"
    run.failed = (answer, verdict)
    return None


def _after_fault(run: _Run, call: Call, reply: Reply) -> TraceOutcome | None:
    """Decide what a call without an answer means for the loop."""
    if reply.calls:
        run.note(_attempt(run, call, reply))
    error = reply.error
    without_credit = isinstance(error, BackendError) and error.kind == "quota"
    if isinstance(error, TransientBackendError) or (
        without_credit and run.close_endpoint(call.arm.endpoint.name)
    ):
        run.error = error
        return "past_deadline" if run.is_late() else None
    return _after_error(run, error)


def _after_error(run: _Run, error: EffortctlError | None) -> TraceOutcome:
    """How the task ends for a reason that no other arm would cure."""
    run.error = error
    if isinstance(error, BudgetExceededError):
        return "over_budget"
    if isinstance(error, DeadlineExceededError):
        return "past_deadline"
    return "failed"


def _is_unopposed(attempt: Attempt) -> bool:
    """Is there a complete answer that no check looked at?"""
    return (
        attempt.answer is not None
        and attempt.answer.finish == "complete"
        and attempt.verdict is None
    )


def _attempt(run: _Run, call: Call, reply: Reply, *, verdict: Verdict | None = None) -> Attempt:
    arm = reply.arm or call.arm
    return Attempt(
        arm=call.arm.name,
        model=arm.model,
        requested_effort=arm.effort,
        effective_effort=arm.sent_effort,
        sample_index=call.sample_index,
        max_output_tokens=call.max_output_tokens,
        answer=reply.answer,
        verdict=verdict,
        cost=reply.cost,
        calls=reply.calls,
        cached=reply.cached,
        error=None if reply.error is None else f"{type(reply.error).__name__}: {reply.error}",
        expected=run.rules.estimates.get(call.arm.name),
    )


def _correction(answer: Answer, verdict: Verdict) -> tuple[Message, ...]:
    """The turns that tell the next arm what was tried and why it was not good enough."""
    why = _sendable(verdict.feedback.strip()) or "It is not correct."
    request = (
        f"A check rejected this answer: {why}\n"
        "Give a corrected answer. It must be complete on its own and must not mention the earlier one."
    )
    text = _sendable(answer.text)
    said = (Message(role="assistant", content=text),) if text.strip() else ()
    return (*said, Message(role="user", content=request))


def _sendable(text: str) -> str:
    """The text without halves of surrogate pairs, which no request can hold."""
    return text.encode("utf-8", "replace").decode()
