"""The values that flow through effortctl. All are frozen; nothing here does I/O.

What may be written to disk is a pydantic model and refuses unknown fields. What only travels between
the engine and its driver (`Call`, `Reply`, `Verify`) is a plain dataclass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from effortctl._errors import ConfigError, EffortctlError

T_co = TypeVar("T_co", covariant=True)

Effort = Literal["default", "none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""How much reasoning to ask for: the seven values of the OpenAI API, in rising order, and `default`,
which sends nothing and lets the model decide."""

EFFORTS: tuple[Effort, ...] = get_args(Effort)

Finish = Literal["complete", "truncated", "refused", "filtered", "context_exceeded"]
"""How an answer ended. Only `complete` can be accepted; the others are never cured by more effort."""

VerdictStatus = Literal["pass", "fail", "abstain"]

TraceOutcome = Literal["accepted", "exhausted", "refused", "over_budget", "past_deadline", "failed"]

Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Value(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


# --- what is asked ---------------------------------------------------------------------------------


class Message(_Value):
    """One turn of a conversation, in the Chat Completions shape.

    Attributes:
        role: Who speaks.
        content: Plain text, or a list of content parts passed to the endpoint unchanged.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[dict[str, Any], ...]

    @property
    def text(self) -> str:
        """The readable text, without images and other parts."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(str(part["text"]) for part in self.content if "text" in part)


class Task(_Value):
    """What is asked, before anything is known about the answer.

    Attributes:
        input: The prompt, or the turns of a conversation.
        id: Names the task in traces and recorded outcomes. Generated when empty.
        instructions: System or developer instructions.
        category: The caller's own label, e.g. `"sql"`; a feature for the difficulty model.
        max_output_tokens: Cap on what one call may generate, reasoning included. None: the arm's own.
        response_schema: JSON Schema the answer must follow, sent to endpoints that can enforce it.
        metadata: Anything the caller wants to find again in the trace. Never sent to an endpoint.
    """

    input: str | tuple[Message, ...]
    id: str = ""
    instructions: str | None = None
    category: str | None = None
    max_output_tokens: Annotated[int, Field(gt=0)] | None = None
    response_schema: dict[str, Any] | None = None
    metadata: dict[str, str] = Field(default_factory=dict)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as turns, instructions first."""
        turns = (
            (Message(role="user", content=self.input),)
            if isinstance(self.input, str)
            else self.input
        )
        if self.instructions is None:
            return turns
        return (Message(role="system", content=self.instructions), *turns)

    @property
    def text(self) -> str:
        """All readable text of the task, for features and token estimates."""
        return "\n".join(message.text for message in self.messages)


class Case(_Value):
    """A task whose right answer is known; only the harness uses it.

    Attributes:
        task: What is asked.
        reference: The right answer, in whatever form the metric wants.
        cluster: Cases of one cluster are not independent (same document, same template).
    """

    task: Task
    reference: Any = None
    cluster: str | None = None


# --- who may answer --------------------------------------------------------------------------------


class Price(_Value):
    """Dollars per million tokens, set by the user; it overrides every price book.

    Attributes:
        input_usd_per_mtok: Uncached input tokens.
        output_usd_per_mtok: Output tokens, reasoning included.
        cached_input_usd_per_mtok: Input tokens read from the provider's cache. None: as input.
        cache_write_usd_per_mtok: Input tokens written to the provider's cache. None: as input.
        usd_per_hour: Rent of the machine, charged per compute-second of the call; for local models.
    """

    input_usd_per_mtok: Usd = Decimal(0)
    output_usd_per_mtok: Usd = Decimal(0)
    cached_input_usd_per_mtok: Usd | None = None
    cache_write_usd_per_mtok: Usd | None = None
    usd_per_hour: Usd = Decimal(0)


class UsageRules(_Value):
    """How an endpoint counts tokens, so that nothing is charged twice or not at all.

    Attributes:
        reasoning_in_output: Its output count already contains the reasoning tokens.
        cached_in_input: Its input count already contains tokens read from the cache.
        cache_write_in_input: Its input count already contains tokens written to the cache.
    """

    reasoning_in_output: bool = True
    cached_in_input: bool = True
    cache_write_in_input: bool = True


class Endpoint(_Value):
    """Where an arm's calls go.

    Attributes:
        name: Preset or user-chosen name; arms of one endpoint share its client and its key.
        kind: `openai` for any OpenAI-compatible HTTP server, `local` for the embedded llama.cpp
            server, `recorded` for answers from an outcome file.
        base_url: Root of the API, e.g. `https://api.openai.com/v1`. None: the client's own default.
        api_key_env: Environment variable that holds the key. None: no key is needed.
        price_provider: Provider id in the price book. None: never looked up there.
        self_hosted: True when it runs on our own machine: tokens are free, hours are not.
        usage: How its replies count tokens.
        max_tokens_field: What its Chat Completions call the output cap; older servers know only
            `max_tokens`.
    """

    name: str
    kind: Literal["openai", "local", "recorded"] = "openai"
    base_url: str | None = None
    api_key_env: str | None = None
    price_provider: str | None = None
    self_hosted: bool = False
    usage: UsageRules = UsageRules()
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"


EffortStyle = Literal["param", "budget", "toggle", "template", "prompt", "fixed"]
"""How an effort reaches the model: `param` the endpoint's effort parameter; `budget` a token budget;
`toggle` thinking on or off; `template` chat-template arguments; `prompt` instructions, token cap and
samples (models without a reasoning mode); `fixed` not at all."""


class Arm(_Value):
    """One way to answer: model, effort, endpoint and price.

    Arms are data. The catalog fills the fields below `effort` from model cards; a user may write them
    directly.

    Attributes:
        name: Unique in a ladder, e.g. `gpt-6-luna@low`.
        model: Model id sent to the endpoint.
        effort: The effort that was asked for.
        effective_effort: The effort that is really sent, after the model's card was consulted.
            None: not resolved yet, sent as asked.
        endpoint: Where the calls go.
        api: Which OpenAI API its calls use.
        effort_style: How the effort reaches the model.
        extra_body: Request fields sent as they are; the effort of `budget`, `toggle` and `template`
            styles lives here.
        max_output_tokens: Cap per call, reasoning included. Worst-case cost is computed from it.
        max_output_tokens_limit: What the model can generate at the very most; a raised cap stops here.
        samples: Up to how many times this arm is sampled until an answer passes.
        temperature: Sampling temperature of the first sample. None: not sent.
        resample_temperature: Sampling temperature of further samples. None: as the first.
        price: The user's own price. None: the price book is asked.
    """

    name: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    effort: Effort = "default"
    effective_effort: Effort | None = None
    endpoint: Endpoint = Endpoint(
        name="openai", api_key_env="OPENAI_API_KEY", price_provider="openai"
    )
    api: Literal["responses", "chat"] = "responses"
    effort_style: EffortStyle = "param"
    extra_body: dict[str, Any] = Field(default_factory=dict)
    max_output_tokens: Annotated[int, Field(gt=0)] = 4096
    max_output_tokens_limit: Annotated[int, Field(gt=0)] = 131_072
    samples: Annotated[int, Field(ge=1, le=64)] = 1
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    resample_temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    price: Price | None = None

    @property
    def sent_effort(self) -> Effort:
        """The effort this arm really sends."""
        return self.effective_effort or self.effort

    def chat_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for `client.chat.completions.create` that put this arm into effect."""
        kwargs = self._common_kwargs()
        kwargs[self.endpoint.max_tokens_field] = self.max_output_tokens
        if self.effort_style == "param" and self.sent_effort != "default":
            kwargs["reasoning_effort"] = self.sent_effort
        return kwargs

    def responses_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for `client.responses.create` that put this arm into effect."""
        kwargs = self._common_kwargs()
        kwargs["max_output_tokens"] = self.max_output_tokens
        if self.effort_style == "param" and self.sent_effort != "default":
            kwargs["reasoning"] = {"effort": self.sent_effort}
        return kwargs

    def _common_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = {"model": self.model}
        if self.temperature is not None:
            kwargs["temperature"] = self.temperature
        if self.extra_body:
            kwargs["extra_body"] = dict(self.extra_body)
        return kwargs


# --- what came back --------------------------------------------------------------------------------


class Usage(_Value):
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


class Answer(_Value):
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


class Verdict(_Value):
    """What a verifier says of an answer.

    Attributes:
        status: `pass`, `fail`, or `abstain` when the verifier cannot tell.
        feedback: What is wrong, in words the next attempt can use. Never the reference answer.
        verifier: Name of the verifier.
        score: Degree of correctness in 0..1 where the verifier has one; ranks failed answers.
        cost_usd: What the check itself cost.
        latency_s: Wall-clock seconds of the check.
        error: Type and message of the exception, when the verifier crashed.
    """

    status: VerdictStatus
    feedback: str = ""
    verifier: str = ""
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    cost_usd: Usd = Decimal(0)
    latency_s: Seconds = 0.0
    error: str | None = None

    @property
    def passed(self) -> bool:
        """True for `pass` only."""
        return self.status == "pass"


class Estimate(_Value):
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


class Cost(_Value):
    """Dollars of one call and where the price came from.

    Attributes:
        usd: The dollars.
        source: `user`, `genai-prices`, `compute`, `free` or `worst_case`.
        version: Version or snapshot of the price source.
    """

    usd: Usd
    source: str
    version: str = ""


class Attempt(_Value):
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
        return self.cost.usd + (self.verdict.cost_usd if self.verdict else Decimal(0))


class Trace(_Value):
    """All that happened to one task.

    Attributes:
        id: Identifies the decision; joins traces, ledger rows and later feedback.
        task_id: The task's own id.
        category: The task's category.
        outcome: How it ended.
        attempts: In the order they were made.
        policy: Name of the policy that chose the arms.
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
    started_at: datetime
    latency_s: Seconds = 0.0
    metadata: dict[str, str] = Field(default_factory=dict)
    version: Literal[1] = 1

    @property
    def cost_usd(self) -> Decimal:
        """Dollars of every call and every check."""
        return sum((attempt.cost_usd for attempt in self.attempts), Decimal(0))

    @property
    def compute_s(self) -> float:
        """Compute-seconds of local arms; 0 for hosted ones."""
        return sum(a.answer.compute_s or 0.0 for a in self.attempts if a.answer)

    @property
    def calls(self) -> int:
        """Wire requests, retries included."""
        return sum(attempt.calls for attempt in self.attempts)

    @property
    def best(self) -> Attempt | None:
        """The accepted attempt, else the one closest to acceptance, else None.

        Order: accepted, complete before cut off, verdict abstain before fail, higher score, later.
        """
        answered = [(i, a) for i, a in enumerate(self.attempts) if a.answer is not None]
        if not answered:
            return None
        return max(answered, key=lambda pair: _closeness(pair[1], pair[0]))[1]


def _closeness(attempt: Attempt, index: int) -> tuple[bool, bool, int, float, int]:
    verdict = attempt.verdict
    complete = attempt.answer is not None and attempt.answer.finish == "complete"
    rank = {"pass": 2, "abstain": 1, "fail": 0}[verdict.status] if verdict else 1
    score = (verdict.score or 0.0) if verdict else 0.0
    return (attempt.passed, complete, rank, score, index)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T_co]):
    """What the caller gets back: the best value there is, and the whole story.

    Attributes:
        value: The accepted answer, else the best one seen, else None. Text for `Controller.run`,
            whatever the function returned for a decorated function.
        trace: Every attempt with its verdict and cost.
    """

    value: T_co | None
    trace: Trace

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


# --- limits ----------------------------------------------------------------------------------------

Window = Literal["hour", "day", "month"]

_BUDGET = re.compile(r"^\s*\$?\s*([0-9]*\.?[0-9]+)\s*\$?\s*(?:/\s*(hour|day|month))?\s*$")


class Budget(_Value):
    """A hard dollar limit: a call that could break it is not made.

    Attributes:
        limit_usd: The limit.
        window: Calendar window in UTC after which it starts afresh. None: it never does.
        scope: Tasks and processes that name the same scope share the limit (needs a ledger).
            None: the limit holds for each task on its own.
    """

    limit_usd: Usd
    window: Window | None = None
    scope: str | None = None

    @model_validator(mode="after")
    def _window_needs_scope(self) -> Self:
        if self.window is not None and self.scope is None:
            msg = "a budget with a window is shared over time, so it needs a scope"
            raise ValueError(msg)
        return self

    @classmethod
    def parse(cls, value: Budget | Decimal | float | str, *, scope: str | None = None) -> Budget:
        """Read `"$0.05"`, `"0.05"`, `"$5/day"`, a number, or a Budget.

        Raises:
            ConfigError: When the text is none of these, or the amount is negative.
        """
        if isinstance(value, Budget):
            return value if scope is None else value.model_copy(update={"scope": scope})
        match = _BUDGET.match(str(value))
        try:
            amount = Decimal(match.group(1)) if match else None
        except InvalidOperation:
            amount = None
        if match is None or amount is None:
            msg = f'budget {value!r} is not an amount of dollars; write "$0.05" or "$5/day"'
            raise ConfigError(msg)
        window: Any = match.group(2)
        if window is not None and scope is None:
            scope = "default"
        return cls(limit_usd=amount, window=window, scope=scope)


# --- between engine and driver ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One request to make, chosen by the engine. Backends receive it unchanged.

    Attributes:
        task: What is asked.
        arm: Who is asked.
        messages: The turns to send: the task's own, plus the failed answer and its feedback.
        sample_index: Which sample of this arm on this task; part of the cache key.
        max_output_tokens: Cap on generated tokens, reasoning included.
        timeout_s: Seconds the whole call may take, retries included. None: no limit.
    """

    task: Task
    arm: Arm
    messages: tuple[Message, ...]
    sample_index: int
    max_output_tokens: int
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a `Call`: an answer or a fault, and what it cost either way.

    Attributes:
        answer: The answer. None: every try failed.
        cost: Dollars of all tries.
        calls: Wire requests made.
        cached: True when no request was needed.
        error: Why there is no answer: the last fault, or the budget or deadline that forbade the call.
        arm: The arm that was really called; differs from the one asked for when the endpoint rejected
            its effort and another was resolved. None: as asked.
    """

    answer: Answer | None
    cost: Cost
    calls: int = 1
    cached: bool = False
    error: EffortctlError | None = None
    arm: Arm | None = None


@dataclass(frozen=True, slots=True)
class Verify:
    """A request to check an answer, chosen by the engine.

    Attributes:
        task: What was asked.
        answer: What came back.
        timeout_s: Seconds the check may take. None: no limit.
    """

    task: Task
    answer: Answer
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """All a policy may look at when it chooses the next arm.

    Attributes:
        task: What is asked.
        arms: Arms that may still be tried, in ladder order.
        attempts: What was tried so far, in order.
        estimates: By arm name; empty when nothing was estimated.
        usd_left: Dollars left for this task. None: no limit.
        seconds_left: Seconds left for this task. None: no limit.
    """

    task: Task
    arms: Sequence[Arm]
    attempts: Sequence[Attempt]
    estimates: Mapping[str, Estimate]
    usd_left: Decimal | None = None
    seconds_left: float | None = None
