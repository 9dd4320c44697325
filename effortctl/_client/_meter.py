"""Calls that are passed through untouched: reserved, booked and recorded all the same."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias

from effortctl._client._endpoint import EndpointLimits
from effortctl._client._info import CallInfo, remember
from effortctl._client._reply import Json, document_of
from effortctl._errors import BackendError, BudgetExceededError, EffortctlError, UsageError
from effortctl._pricing import answered, together, unanswered
from effortctl._types import (
    Answer,
    Attempt,
    Budget,
    Call,
    Cost,
    Trace,
    TraceOutcome,
)
from effortctl.backends import answer_from, fault_from
from effortctl.protocols import Ledger, PriceBook, TraceSink
from effortctl.stores import ledger_row

Note: TypeAlias = Callable[[Mapping[str, Any], Answer], None]
"""Told of a reply and what was read in it."""

FREE = Cost(usd=Decimal(0), source="rejected")
"""What a request costs that the endpoint turned down."""

POLICY = "pass_through"
"""Name of the policy in traces of calls whose model and effort the caller chose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Opens a booking for every call.

    Attributes:
        ledger: Keeps money.
        prices: Knows what calls cost.
        budgets: Hard limits.
        traces: Receives finished traces. None: nobody does.
        limits: What holds over all calls of the client.
        clock: Monotonic seconds.
        now: Wall clock, UTC.
    """

    ledger: Ledger
    prices: PriceBook
    budgets: Sequence[Budget]
    traces: TraceSink | None
    limits: EndpointLimits
    clock: Callable[[], float]
    now: Callable[[], datetime]

    def open(self, call: Call, *, note: Note, deadline_s: float | None) -> Booking:
        """Set the worst case of a call aside; `note` is told of the answer.

        Raises:
            BudgetExceededError: It could break a limit; the call must not be made.
            UnknownPriceError: There is a limit, and nobody knows what the model costs.
        """
        booking = self._booking(call, note=note, deadline_s=deadline_s)
        try:
            booking.reserve()
        except BudgetExceededError as error:
            raise self._with_advice(error, call) from None
        return booking

    async def aopen(self, call: Call, *, note: Note, deadline_s: float | None) -> Booking:
        """`open` for asyncio."""
        booking = self._booking(call, note=note, deadline_s=deadline_s)
        try:
            booking.ticket = await self.ledger.areserve(
                self.needed(call),
                budgets=self.budgets,
                trace_id=booking.trace_id,
                wait_s=deadline_s,
            )
        except BudgetExceededError as error:
            raise self._with_advice(error, call) from None
        return booking

    def _with_advice(self, error: BudgetExceededError, call: Call) -> BudgetExceededError:
        """The refusal; of a call without an output cap it says which cap would have fitted."""
        if call.task.max_output_tokens is not None:
            return error
        least = self.needed(replace(call, max_output_tokens=1))
        per_token = (error.needed - least) / max(1, call.max_output_tokens - 1)
        fits = 1 + int((error.left - least) / per_token) if per_token and error.left >= least else 0
        name = "max_output_tokens" if call.arm.api == "responses" else "max_completion_tokens"
        advice = f"; {name}={fits} or less fits" if fits else ""
        return BudgetExceededError(
            f"{error}. The call has no output cap, so it could generate {call.max_output_tokens} tokens"
            f"{advice}",
            needed=error.needed,
            left=error.left,
            trace=error.trace,
        )

    def needed(self, call: Call) -> Decimal:
        """Dollars to set aside for one request."""
        return self.prices.worst_case(call).usd if self.budgets else Decimal(0)

    def _booking(self, call: Call, *, note: Note, deadline_s: float | None) -> Booking:
        trace_id = uuid.uuid4().hex
        task = call.task.model_copy(update={"id": call.task.id or trace_id})
        call = Call(task, call.arm, call.messages, 0, call.max_output_tokens)
        return Booking(self, call, note, trace_id, deadline_s, self.now(), self.clock())


@dataclass(slots=True)
class Booking:
    """One call on its way; ends once, whoever ends it first.

    The SDK may make several requests for it. Each has a ticket of its own; all but the last are `lost`.
    """

    meter: Meter
    call: Call
    note: Note
    trace_id: str
    deadline_s: float | None
    started_at: datetime
    start: float
    ticket: str | None = None
    info: CallInfo | None = None
    lost: list[Cost] = field(default_factory=list)
    when_over: Callable[[], object] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: bool = False

    def answered(self, raw: object, *, request_id: str | None = None) -> CallInfo | None:
        """Book what a reply cost: a response of the SDK, or its JSON."""
        if not self._first():
            return self.info
        document, fault = document_of(raw), None
        try:
            answer: Answer | None = self._answer(raw, document, request_id=request_id)
        except EffortctlError as error:
            answer, fault = None, error
        if answer is not None and document is not None:
            self.note(document, answer)
        return self._book(answer, error=fault, things=(raw,))

    def failed(self, error: BaseException) -> CallInfo | None:
        """Book a call that raised: nothing if it was rejected, else the worst case."""
        if not self._first():
            return self.info
        meaning = self._meaning(error)
        self.meter.limits.saw(error, meaning, self.call.arm)
        if isinstance(meaning, Answer):
            return self._book(self._stamped(meaning), error=None, things=(error,), free=True)
        return self._book(None, error=meaning, things=(error,))

    def again(self, fault: BaseException | None) -> None:
        """Book a request that the SDK is about to repeat, and set money aside for the repetition.

        Raises:
            BudgetExceededError: There is not enough left for it; it must not be made.
        """
        ticket, self.ticket = self.ticket, None
        if ticket is None:  # the last one was refused
            return
        meaning = self._meaning(fault)
        rejected = meaning is None or isinstance(meaning, Answer)
        cost = FREE if rejected else unanswered(self.meter.prices, self.call, meaning)
        self.lost.append(cost)
        self.meter.ledger.settle(ticket, cost, row=ledger_row(self.call))
        self.reserve()

    def reserve(self) -> None:
        """Set the worst case of the next request aside.

        Raises:
            BudgetExceededError: It could break a limit; the request must not be made.
        """
        meter = self.meter
        self.ticket = meter.ledger.reserve(
            meter.needed(self.call),
            budgets=meter.budgets,
            trace_id=self.trace_id,
            wait_s=self.seconds_left(),
        )

    def seconds_left(self) -> float | None:
        """Seconds until its deadline. None: it has none."""
        if self.deadline_s is None:
            return None
        return max(0.0, self.start + self.deadline_s - self.meter.clock())

    def _meaning(self, error: Any) -> Any:
        """Our error, or the answer that a rejection is, for what the SDK raised."""
        if not isinstance(error, Exception) or isinstance(error, EffortctlError):
            return error
        return fault_from(error, self.call, now=self.meter.now()) or error

    def cut(self) -> CallInfo | None:
        """Book a stream that ended before its usage came, at the worst case."""
        if not self._first():
            return self.info
        return self._book(None, error=BackendError("the stream was cut off", billed=True))

    @property
    def is_over(self) -> bool:
        """True once the call is booked, or is about to be."""
        return self._ended

    def _first(self) -> bool:
        with self._lock:
            first, self._ended = not self._ended, True
        if first:
            self.when_over()
        return first

    def _answer(self, raw: object, document: Json | None, *, request_id: str | None) -> Answer:
        if document is None:
            raise UsageError("the endpoint's reply is no JSON object, so it cannot be priced")
        answer = self._stamped(answer_from(document, self.call, now=self.meter.now()))
        request_id = request_id or getattr(raw, "_request_id", None)
        return answer.model_copy(update={"request_id": request_id}) if request_id else answer

    def _stamped(self, answer: Answer) -> Answer:
        latency_s = max(0.0, self.meter.clock() - self.start)
        return answer.model_copy(update={"started_at": self.started_at, "latency_s": latency_s})

    def _book(
        self,
        answer: Answer | None,
        *,
        error: Any,
        things: Sequence[object] = (),
        free: bool = False,
    ) -> CallInfo:
        costs = list(self.lost)
        if self.ticket is not None:
            costs.append(FREE if free else self._cost(answer, error))
            self.meter.ledger.settle(self.ticket, costs[-1], row=ledger_row(self.call, answer))
        if not free and (answer is not None or isinstance(error, BackendError)):
            self.meter.limits.ended(self.call.arm, error, retried=bool(self.lost))
        trace = self._trace(answer, costs=costs, error=error)
        keep = getattr(self.meter.traces, "record_feedback", None)
        self.info = CallInfo(trace, managed=False, record_feedback=keep)
        for thing in things:
            remember(thing, self.info)
        if self.meter.traces is not None:
            self.meter.traces.write(self.info.trace)
        return self.info

    def _cost(self, answer: Answer | None, error: Any) -> Cost:
        if answer is None:
            return unanswered(self.meter.prices, self.call, error)
        return answered(self.meter.prices, self.call, [answer])

    def _trace(self, answer: Answer | None, *, costs: Sequence[Cost], error: object) -> Trace:
        arm = self.call.arm
        attempt = Attempt(
            arm=arm.name,
            model=arm.model,
            requested_effort=arm.effort,
            effective_effort=arm.sent_effort,
            sample_index=0,
            max_output_tokens=self.call.max_output_tokens,
            answer=answer,
            cost=together(costs),
            calls=len(costs),
            error=_said(error),
        )
        return Trace(
            id=self.trace_id,
            task_id=self.call.task.id,
            outcome=_outcome(answer),
            attempts=(attempt,),
            policy=POLICY,
            started_at=self.started_at,
            latency_s=max(0.0, self.meter.clock() - self.start),
        )


def _said(error: object) -> str | None:
    """Name of a foreign error; what it says may quote the prompt or the key."""
    if error is None:
        return None
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, EffortctlError) else name


_OUTCOMES: Mapping[str, TraceOutcome] = {
    "complete": "accepted",
    "refused": "refused",
    "filtered": "refused",
}


def _outcome(answer: Answer | None) -> TraceOutcome:
    return "failed" if answer is None else _OUTCOMES.get(answer.finish, "exhausted")


async def in_thread(book: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Book in a thread, to the end even when the task is cancelled: the money was spent."""
    work = partial(contextvars.copy_context().run, book, *args, **kwargs)
    booking = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(booking)
    except asyncio.CancelledError:
        await asyncio.wait({booking})
        raise
