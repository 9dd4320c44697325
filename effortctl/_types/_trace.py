"""What came back: answers, verdicts, attempts, and the trace of a whole task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, Self, TypeAlias, TypeVar

from pydantic import Field, model_validator

from effortctl._errors import ConfigError
from effortctl._types._base import (
    Count,
    Effort,
    Finish,
    Seconds,
    TraceOutcome,
    Usd,
    Value,
    VerdictStatus,
    total_usd,
)

T_co = TypeVar("T_co", covariant=True)

RecordFeedback: TypeAlias = Callable[[str, float, str | None], None]
"""Keeps a score, and why, under the id of a trace."""


class Usage(Value):
    """Tokens of one call, counted the same way whatever the endpoint.

    Attributes:
        input_tokens: All input tokens, cached and cache-written ones included.
        cached_tokens: Part of the input that was read from the provider's cache.
        cache_write_tokens: Part of the input that was written to the provider's cache.
        output_tokens: All generated tokens, reasoning included.
        reasoning_tokens: Part of the output spent on reasoning; None when the endpoint does not say.
        estimated: True when the endpoint reported no usage and these are upper-bound guesses.
    """

    input_tokens: Count = 0
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    output_tokens: Count = 0
    reasoning_tokens: Count | None = None
    estimated: bool = False

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.cached_tokens + self.cache_write_tokens > self.input_tokens:
            msg = "cached and cache-written tokens exceed the input tokens they are part of"
            raise ValueError(msg)
        if self.reasoning_tokens is not None and self.reasoning_tokens > self.output_tokens:
            msg = "reasoning tokens exceed the output tokens they are part of"
            raise ValueError(msg)
        return self

    def __add__(self, other: Usage) -> Usage:
        """Sum of two usages; unknown reasoning stays unknown unless one side knows it."""
        known = [u.reasoning_tokens for u in (self, other) if u.reasoning_tokens is not None]
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=sum(known) if known else None,
            estimated=self.estimated or other.estimated,
        )


class Answer(Value):
    """What an arm replied.

    Attributes:
        text: The visible answer, without reasoning. Empty when there was none.
        finish: How it ended.
        usage: Tokens used. None: the endpoint did not say.
        latency_s: Wall-clock seconds of the call.
        compute_s: CPU- or GPU-seconds of the call, where the model runs on our own machine.
        model: Model the endpoint says it used.
        service_tier: Tier the endpoint says it billed.
        request_id: The endpoint's own id of the call.
        started_at: When the call was sent (UTC); prices are looked up for this moment.
        value: What a decorated function returned, when that is not text. Never written to disk.
    """

    text: str
    finish: Finish = "complete"
    usage: Usage | None = None
    latency_s: Seconds = 0.0
    compute_s: Seconds | None = None
    model: str | None = None
    service_tier: str | None = None
    request_id: str | None = None
    started_at: datetime | None = None
    value: Any = Field(default=None, exclude=True, repr=False)


class Verdict(Value):
    """What a verifier says of an answer.

    Attributes:
        status: `pass`, `fail`, or `abstain` when the verifier cannot tell.
        feedback: What is wrong, in words the next attempt can use. Never the reference answer.
        verifier: Name of the verifier.
        score: Degree of correctness in 0..1 where the verifier has one; ranks failed answers.
        cost_usd: What the check itself cost.
        calls: Wire requests the check made, retries included.
        latency_s: Wall-clock seconds of the check.
        error: Type and message of the exception, when the verifier crashed; why it could not tell.
    """

    status: VerdictStatus
    feedback: str = ""
    verifier: str = ""
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    cost_usd: Usd = Decimal(0)
    calls: Count = 0
    latency_s: Seconds = 0.0
    error: str | None = None

    @property
    def passed(self) -> bool:
        """True for `pass` only."""
        return self.status == "pass"


class Estimate(Value):
    """What is expected of one arm on one task before it is tried.

    Attributes:
        arm: Name of the arm.
        p_correct: Probability that its answer is correct.
        cost_usd: Expected dollars of trying it.
        latency_s: Expected wall-clock seconds, where known.
    """

    arm: str
    p_correct: Annotated[float, Field(ge=0, le=1)]
    cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    latency_s: Seconds | None = None


class Cost(Value):
    """Dollars of one call and where the price came from.

    Attributes:
        usd: The dollars.
        source: `user`, `genai-prices`, `compute`, `free` or `worst_case`.
        version: Version or snapshot of the price source.
    """

    usd: Usd
    source: str
    version: str = ""


class Attempt(Value):
    """One arm's try at a task: its calls, its answer and the verdict on it.

    Attributes:
        arm: Name of the arm.
        model: Model id that was asked for.
        requested_effort: Effort the arm asked for.
        effective_effort: Effort that was really sent.
        sample_index: 0 for the first sample of this arm on this task, then 1, 2, …
        max_output_tokens: The cap that was in force.
        answer: The reply; None when every call of the attempt failed.
        verdict: The verdict on it; None when it could not be checked.
        cost: Dollars of all its calls, failed ones included. Verifier cost is in the verdict.
        calls: Wire requests made, retries included; 0 when the answer came from the cache.
        cached: True when the answer came from our own cache.
        error: Type and message of the last fault, when there was no reply.
        expected: What the policy's estimator expected of the arm before anything was tried; None when
            nothing was estimated.
    """

    arm: str
    model: str
    requested_effort: Effort
    effective_effort: Effort
    sample_index: Count = 0
    max_output_tokens: Annotated[int, Field(gt=0)]
    answer: Answer | None = None
    verdict: Verdict | None = None
    cost: Cost
    calls: Count = 1
    cached: bool = False
    error: str | None = None
    expected: Estimate | None = None

    @property
    def passed(self) -> bool:
        """True when the answer is complete and a verifier passed it."""
        return (
            self.answer is not None
            and self.answer.finish == "complete"
            and self.verdict is not None
            and self.verdict.passed
        )

    @property
    def cost_usd(self) -> Decimal:
        """Dollars of the calls and of the check."""
        return total_usd([self.cost.usd, *([self.verdict.cost_usd] if self.verdict else [])])


class Trace(Value):
    """All that happened to one task.

    Attributes:
        id: Identifies the decision; joins traces, ledger rows and later feedback.
        task_id: The task's own id.
        category: The task's category.
        outcome: How it ended.
        attempts: In the order they were made.
        policy: Name of the policy that chose the arms.
        chosen: Arm whose answer the policy found most likely correct, where no check passed one.
        started_at: When the task was started (UTC).
        latency_s: Wall-clock seconds from start to end.
        metadata: The task's own metadata.
        version: Version of this record's layout.
    """

    id: str
    task_id: str
    category: str | None = None
    outcome: TraceOutcome
    attempts: tuple[Attempt, ...] = ()
    policy: str
    chosen: str | None = None
    started_at: datetime
    latency_s: Seconds = 0.0
    metadata: dict[str, str] = Field(default_factory=dict)
    version: Literal[1] = 1

    @property
    def cost_usd(self) -> Decimal:
        """Dollars of every call and every check."""
        return total_usd(attempt.cost_usd for attempt in self.attempts)

    @property
    def compute_s(self) -> float:
        """Compute-seconds of local arms; 0 for hosted ones."""
        return sum(a.answer.compute_s or 0.0 for a in self.attempts if a.answer)

    @property
    def calls(self) -> int:
        """Wire requests, retries and those of checks included."""
        checks = sum(attempt.verdict.calls for attempt in self.attempts if attempt.verdict)
        return checks + sum(attempt.calls for attempt in self.attempts)

    @property
    def best(self) -> Attempt | None:
        """The accepted attempt, else the one closest to acceptance, else None.

        Order: accepted, of the chosen arm, complete before cut off, verdict abstain before fail, higher
        score, later.
        """
        answered = [(i, a) for i, a in enumerate(self.attempts) if a.answer is not None]
        if not answered:
            return None
        return max(answered, key=lambda pair: _closeness(pair[1], pair[0], self.chosen))[1]


def _closeness(
    attempt: Attempt, index: int, chosen: str | None
) -> tuple[bool, bool, bool, int, float, int]:
    verdict = attempt.verdict
    complete = attempt.answer is not None and attempt.answer.finish == "complete"
    rank = {"pass": 2, "abstain": 1, "fail": 0}[verdict.status] if verdict else 1
    score = (verdict.score or 0.0) if verdict else 0.0
    return (attempt.passed, attempt.arm == chosen, complete, rank, score, index)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T_co]):
    """What the caller gets back: the best value there is, and the whole story.

    Attributes:
        value: The accepted answer, else the best one seen, else None. Text for `Controller.run`,
            whatever the function returned for a decorated function.
        trace: Every attempt with its verdict and cost.
        record_feedback: Keeps feedback beside the traces; None: there is no store that could.
    """

    value: T_co | None
    trace: Trace
    record_feedback: RecordFeedback | None = field(default=None, repr=False, compare=False)

    @property
    def accepted(self) -> bool:
        """True when the value passed its check, or no check objected and none was able to."""
        return self.trace.outcome == "accepted"

    @property
    def verified(self) -> bool:
        """True when a verifier looked at the value and passed it."""
        best = self.trace.best
        return best is not None and best.passed

    @property
    def cost_usd(self) -> Decimal:
        """Dollars of every call and every check."""
        return self.trace.cost_usd

    def feedback(self, score: float, note: str | None = None) -> None:
        """Say how good the value turned out to be; kept beside the traces, to learn from.

        Hours later, or in another process, `effortctl feedback` and `stores.FeedbackStore` do the same
        with the id of the trace.

        Args:
            score: 0 (wrong) to 1 (right).
            note: Why, for people. It is written as it is.

        Raises:
            ConfigError: The score is not within 0..1, or the controller keeps no traces.
            StoreError: The file cannot be written.
        """
        if self.record_feedback is None:
            raise ConfigError(
                "there is nowhere to keep feedback; give the controller traces=TraceStore(path)"
            )
        self.record_feedback(self.trace.id, score, note)
