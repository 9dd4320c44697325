"""Backends that make a managed call with the caller's own client, at once or as a stream."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from effortctl._client._bridge import EVENTS, Bridge, Chunks, completion_of
from effortctl._client._clients import Clients
from effortctl._client._raw import with_body
from effortctl._client._reply import Tape, as_without_usage, document_of, is_shown, tool_calls
from effortctl._client._request import SdkRequest, SdkTask
from effortctl._client._streams import ametered, metered
from effortctl._client._verify import Kept
from effortctl._errors import BackendError, EffortctlError, TransientBackendError
from effortctl._types import Answer, Arm, Call
from effortctl.backends import answer_from, fault_from
from effortctl.backends._deadline import run_within
from effortctl.backends._exchange import Exchange
from effortctl.backends._faults import timed_out

Show = Callable[[Any, Any], None]
"""Shows an event of a stream, given with the HTTP response it came with."""


def abandoned(call: Call) -> BackendError:
    """The caller closed a stream before its end; the endpoint may well have charged for it."""
    return BackendError(
        f"{call.arm.name}: the stream was closed before its end",
        arm=call.arm.name,
        kind="abandoned",
        billed=True,
    )


@dataclass(slots=True, kw_only=True)
class Wire:
    """What both backends need to make a call of one request.

    Attributes:
        request: The request.
        send: The SDK's own `post`, with path and result type filled in.
        bridge: The way through the Responses API, for arms that need it. None: there is none.
        clients: Ask the endpoints other than the wrapped client's own.
        clock: Monotonic seconds.
        now: Wall clock, UTC.
        leave_out: Arguments an arm does not take.
        saw: Told of every exception of the SDK, and of what it means.
        show: Shows an event as soon as it may be seen. None: the reply is not shown before its end.
        is_closed: Tells whether the caller has closed the stream.
        was_shown: Tells whether the caller has seen a piece of the answer.
        is_calling: Set while a call of an `AsyncWireBackend` is under way.
        kept: The replies so far, each with its events and HTTP response where one of them is wanted.
    """

    request: SdkRequest
    send: partial[Any]
    bridge: Bridge | None
    clients: Clients
    clock: Callable[[], float]
    now: Callable[[], datetime]
    leave_out: Callable[[Call], tuple[str, ...]]
    saw: Callable[[object, object, Arm], None]
    show: Show | None = None
    is_closed: Callable[[], bool] = lambda: False
    was_shown: Callable[[], bool] = lambda: False
    is_calling: threading.Event = field(default_factory=threading.Event)
    kept: list[tuple[Kept, Any]] = field(default_factory=list)

    def find(self, answer: Answer) -> Kept | None:
        """The reply an answer was made of."""
        return next((kept for kept, _ in self.kept if kept.answer is answer), None)

    def events(self, answer: Answer) -> Any:
        """Events not shown yet, and the HTTP response, of the reply an answer was made of."""
        return next((stream for kept, stream in self.kept if kept.answer is answer), None)

    def create(self, call: Call) -> Any:
        """Send the request; the response, or a promise of it."""
        return self._post(call)

    def open(self, call: Call, stream_of: Callable[[Any], Any]) -> Any:
        """Send the request for a stream; the stream, or a promise of it."""
        event_type = self.request.event_type if self._bridge(call) is None else EVENTS
        return self._post(call, stream=True, stream_cls=stream_of(event_type))

    def _post(self, call: Call, **how: Any) -> Any:
        """Send the request with the client of the arm's endpoint, in the API the arm takes."""
        bridge, other = self._bridge(call), self.clients.other(call.arm.endpoint)
        send = self.send if bridge is None else bridge.send
        options = self.request.wire_options(call)
        if other is not None:
            send = partial(other.post, *send.args, **send.keywords)
            options = self.request.elsewhere(options)
            if call.arm.endpoint.name in self.clients.made:
                options.setdefault("timeout", self.request.timeout)
        return send(body=self._body(call, bridge), options=options, **how)

    def read(self, sent: Any, call: Call) -> Answer:
        """Read what `create` returned and keep it, with its HTTP response where that is wanted.

        Raises:
            BackendError: It is no reply, or says that there is none.
        """
        is_raw, bridged = self.request.raw is not None, self._bridge(call) is not None
        raw = sent.parse() if is_raw else sent
        raw = completion_of(raw) if bridged else raw
        document = document_of(raw)
        if not is_raw:
            return self.answer(document, call, raw=raw)
        response = sent.http_response
        if bridged:
            response = with_body(response, json.dumps(document).encode())
        return self.answer(document, call, raw=raw, stream=([], response))

    def reader(self, call: Call) -> Callable[[Any], list[Any]]:
        """Turns an event into those of the API the caller called."""
        return (lambda event: [event]) if self._bridge(call) is None else Chunks().of

    def _bridge(self, call: Call) -> Bridge | None:
        return self.bridge if self.bridge is not None and self.bridge.applies(call.arm) else None

    def _body(self, call: Call, bridge: Bridge | None) -> dict[str, Any]:
        body = self.request.wire_body(call, without=self.leave_out(call))
        if bridge is not None:
            return bridge.body(body, call, stream=self.request.stream)
        return self.request.with_usage(body)

    def answer(self, document: Any, call: Call, *, raw: object, stream: Any = None) -> Answer:
        """Read a reply and keep it.

        Raises:
            BackendError: It is no reply, or says that there is none.
        """
        if document is None:
            raise Exchange(call, status=200).malformed("it is not a JSON object")
        answer = answer_from(document, call, now=self.now())
        request_id = getattr(raw, "_request_id", None)
        called = " ".join(each.text for each in tool_calls(document))
        update = {"request_id": request_id} if request_id else {}
        if called and answer.finish == "complete":
            update["text"] = f"{answer.text}\n{called}".strip()
        answer = answer.model_copy(update=update)
        self.kept.append((Kept(answer, document, raw), stream))
        return answer

    def fault(self, error: Exception, call: Call) -> Answer | EffortctlError:
        """What an exception of the SDK means; one that it did not raise is not ours to judge."""
        if isinstance(error, EffortctlError):
            return error
        if isinstance(error, TimeoutError):
            return timed_out(call)
        meaning = fault_from(error, call, now=self.now())
        if meaning is None:
            raise error
        self.saw(error, meaning, call.arm)
        return meaning

    def final(self, outcome: Answer | EffortctlError, arm: Arm) -> Answer:
        """The answer; raises the error there is instead.

        Once a piece was shown, no fault is transient: the call cannot be made again.
        """
        if isinstance(outcome, TransientBackendError) and self.was_shown():
            outcome = _final(outcome, "a part of the answer was shown already")
        elif isinstance(outcome, BackendError) and self._may_lack_path(outcome, arm):
            outcome = _final(
                outcome,
                f"if {arm.endpoint.name!r} serves Chat Completions only, call those, or leave out its arms",
            )
        # Raised outside any except block: the SDK's own error, which holds key and prompt, must not
        # travel along as the context of ours.
        if isinstance(outcome, EffortctlError):
            raise outcome
        return outcome

    def _may_lack_path(self, fault: BackendError, arm: Arm) -> bool:
        """True when an endpoint may not know Responses, which the catalog does not call its own."""
        return fault.kind == "not_found" and self.request.api == "responses" and arm.api == "chat"

    def stamped(self, answer: Answer, *, started_at: datetime, start: float) -> Answer:
        """The answer with its times; kept again, because answers are found by identity."""
        latency_s = max(0.0, self.clock() - start)
        stamped = answer.model_copy(update={"started_at": started_at, "latency_s": latency_s})
        for index, (kept, stream) in enumerate(self.kept):
            if kept.answer is answer:
                self.kept[index] = (Kept(stamped, kept.document, kept.raw), stream)
        return stamped


class WireBackend:
    """Makes one call with an `openai.OpenAI`, once.

    Args:
        wire: The request and how to send it.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def complete(self, call: Call) -> Answer:
        """Return what the endpoint replied.

        Raises:
            BackendError: As `OpenAIBackend.complete`.
        """
        wire = self._wire
        if not isinstance(call.task, SdkTask):
            answer: Answer = wire.clients.backend(call.arm.endpoint).complete(call)
            return answer
        started_at, start = wire.now(), wire.clock()
        make = self._stream if wire.request.stream else self._create
        try:
            outcome = run_within(lambda left: make(call, left), timeout_s=call.timeout_s)
        except Exception as error:  # noqa: BLE001 - the border to the SDK and the transport below it
            outcome = wire.fault(error, call)
        return wire.stamped(wire.final(outcome, call.arm), started_at=started_at, start=start)

    def _create(self, call: Call, _: threading.Event) -> Answer | EffortctlError:
        return self._wire.read(self._wire.create(call), call)

    def _stream(self, call: Call, left: threading.Event) -> Answer | EffortctlError:
        stream, read = self._wire.open(call, metered), self._wire.reader(call)
        reel = Reel(self._wire, call, response=stream.response)
        with stream:
            try:
                for event in stream:
                    if left.is_set():
                        return timed_out(call)  # nobody waits for it any more
                    for shown in read(event):
                        reel.add(shown)
            except Exception as error:  # noqa: BLE001 - as in `complete`; what was shown decides
                return reel.broken(error)
        return reel.ended()


class AsyncWireBackend:
    """`WireBackend` for asyncio.

    Args:
        wire: The request and how to send it.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def complete(self, call: Call) -> Answer:
        """As `WireBackend.complete`."""
        wire = self._wire
        if not isinstance(call.task, SdkTask):
            answer: Answer = await wire.clients.backend(call.arm.endpoint).complete(call)
            return answer
        started_at, start = wire.now(), wire.clock()
        make = self._stream if wire.request.stream else self._create
        wire.is_calling.set()
        try:
            async with asyncio.timeout(call.timeout_s):
                outcome = await make(call)
        except asyncio.CancelledError:
            if not wire.is_closed():
                raise
            # The caller closed the stream, which ends the call but not its bookkeeping.
            _uncancel()
            outcome = abandoned(call)
        except Exception as error:  # noqa: BLE001 - the border to the SDK and the transport below it
            outcome = wire.fault(error, call)
        finally:
            wire.is_calling.clear()
        return wire.stamped(wire.final(outcome, call.arm), started_at=started_at, start=start)

    async def _create(self, call: Call) -> Answer | EffortctlError:
        return self._wire.read(await self._wire.create(call), call)

    async def _stream(self, call: Call) -> Answer | EffortctlError:
        stream, read = await self._wire.open(call, ametered), self._wire.reader(call)
        reel = Reel(self._wire, call, response=stream.response)
        async with stream:
            try:
                async for event in stream:
                    for shown in read(event):
                        reel.add(shown)
            except Exception as error:  # noqa: BLE001 - as in `complete`; what was shown decides
                return reel.broken(error)
        return reel.ended()


class Reel:
    """The stream of one attempt: held back until a piece of the answer comes, then shown as it runs.

    Args:
        wire: The request.
        call: The call.
        response: The HTTP response the events come with.
    """

    def __init__(self, wire: Wire, call: Call, *, response: Any) -> None:
        self._wire = wire
        self._call = call
        self._response = response
        self._tape = Tape(wire.request.api, keep=True)
        self._held: list[Any] = []
        self._shown = False

    def add(self, event: Any) -> None:
        """Take in the next event.

        Raises:
            BackendError: The caller has closed the stream.
        """
        if self._wire.is_closed():
            raise abandoned(self._call)
        ended = self._tape.ended
        self._tape.add(event)
        if self._wire.request.wants_usage or as_without_usage(event, ended=ended):
            self._held.append(event)
        if self._wire.show is not None and (self._shown or is_shown(self._wire.request.api, event)):
            self._show(self._wire.show)

    def _show(self, show: Show) -> None:
        self._shown = True
        for event in self._held:
            show(event, self._response)
        self._held.clear()

    def ended(self) -> Answer | EffortctlError:
        """The answer, if the stream ended as it should."""
        document = self._tape.document
        if document is None:
            return self.broken(None)
        events = (list(self._held), self._response)
        return self._wire.answer(document, self._call, raw=None, stream=events)

    def broken(self, error: Exception | None) -> Answer | EffortctlError:
        """What a stream that broke off means."""
        if error is not None:
            return self._wire.fault(error, self._call)
        return Exchange(self._call).transient(
            "the stream broke off before its end", kind="connection", billed=True
        )


def _final(error: BackendError, why: str) -> BackendError:
    """The same fault, but not to be repeated, and with a word more."""
    return BackendError(
        f"{error}; {why}",
        arm=error.arm,
        kind=error.kind,
        billed=error.billed,
        request_id=error.request_id,
    )


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
