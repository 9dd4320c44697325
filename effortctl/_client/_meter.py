"""Calls that are passed through untouched: reserved, booked and recorded all the same."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias

from effortctl._client._info import CallInfo, remember
from effortctl._client._reply import Json, document_of
from effortctl._errors import (
    BackendError,
    EffortctlError,
    EffortctlWarning,
    UnknownPriceError,
    UsageError,
)
from effortctl._pricing import charge_unknown
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
        clock: Monotonic seconds.
        now: Wall clock, UTC.
    """

    ledger: Ledger
    prices: PriceBook
    budgets: Sequence[Budget]
    traces: TraceSink | None
    clock: Callable[[], float]
    now: Callable[[], datetime]

    def open(self, call: Call, *, note: Note) -> Booking:
        """Set the worst case of a call aside; `note` is told of the answer.

        Raises:
            BudgetExceededError: It could break a limit; the call must not be made.
            UnknownPriceError: There is a limit, and nobody knows what the model costs.
        """
        trace_id = uuid.uuid4().hex
        ticket = self.ledger.reserve(self._needed(call), budgets=self.budgets, trace_id=trace_id)
        return self._booking(call, trace_id, ticket, note=note)

    async def aopen(self, call: Call, *, note: Note) -> Booking:
        """`open` for asyncio."""
        trace_id = uuid.uuid4().hex
        needed = self._needed(call)
        ticket = await self.ledger.areserve(needed, budgets=self.budgets, trace_id=trace_id)
        return self._booking(call, trace_id, ticket, note=note)

    def _needed(self, call: Call) -> Decimal:
        return self.prices.worst_case(call).usd if self.budgets else Decimal(0)

    def _booking(self, call: Call, trace_id: str, ticket: str, *, note: Note) -> Booking:
        task = call.task.model_copy(update={"id": call.task.id or trace_id})
        call = Call(task, call.arm, call.messages, 0, call.max_output_tokens)
        return Booking(self, call, note, trace_id, ticket, self.now(), self.clock())


@dataclass(slots=True)
class Booking:
    """One call on its way; ends once, whoever ends it first."""

    meter: Meter
    call: Call
    note: Note
    trace_id: str
    ticket: str
    started_at: datetime
    start: float
    info: CallInfo | None = None
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
        meaning: object = error
        if isinstance(error, Exception):
            meaning = fault_from(error, self.call, now=self.meter.now()) or error
        if isinstance(meaning, Answer):
            return self._book(self._stamped(meaning), error=None, things=(error,), free=True)
        return self._book(None, error=meaning, things=(error,))

    def cut(self) -> CallInfo | None:
        """Book a stream that ended before its usage came, at the worst case."""
        if not self._first():
            return self.info
        return self._book(None, error=BackendError("the stream was cut off", billed=True))

    @property
    def is_over(self) -> bool:
        """True once the call is booked, or is being booked."""
        return self._ended

    def _first(self) -> bool:
        with self._lock:
            first, self._ended = not self._ended, True
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
        error: object,
        things: Sequence[object] = (),
        free: bool = False,
    ) -> CallInfo:
        rejected = free or (isinstance(error, BackendError) and not error.billed)
        cost = Cost(usd=Decimal(0), source="rejected") if rejected else self._cost(answer)
        self.meter.ledger.settle(self.ticket, cost, row=ledger_row(self.call, answer))
        self.info = CallInfo(self._trace(answer, cost=cost, error=error), managed=False)
        for thing in things:
            remember(thing, self.info)
        if self.meter.traces is not None:
            self.meter.traces.write(self.info.trace)
        return self.info

    def _cost(self, answer: Answer | None) -> Cost:
        try:
            if answer is None:
                return charge_unknown(self.meter.prices.worst_case(self.call))
            return self.meter.prices.cost(self.call.arm, answer)
        except UsageError:
            return self._cost(None)
        except UnknownPriceError as error:
            warnings.warn(f"{error}; its calls are booked at $0", EffortctlWarning, stacklevel=2)
            return Cost(usd=Decimal(0), source="unknown")

    def _trace(self, answer: Answer | None, *, cost: Cost, error: object) -> Trace:
        arm = self.call.arm
        attempt = Attempt(
            arm=arm.name,
            model=arm.model,
            requested_effort=arm.effort,
            effective_effort=arm.sent_effort,
            sample_index=0,
            max_output_tokens=self.call.max_output_tokens,
            answer=answer,
            cost=cost,
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
