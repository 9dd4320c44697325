"""Pass a call through untouched: same arguments, retries, results and errors; only the books know."""

from __future__ import annotations

import asyncio
import json
import threading
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from effortctl._client._info import remember
from effortctl._client._meter import Booking, in_thread
from effortctl._client._passage import (
    CURRENT,
    SLACK_S,
    Passage,
    after,
    close_quietly,
    hang_up,
    late,
)
from effortctl._client._reply import Json, Tape
from effortctl._client._request import SdkRequest, shorter
from effortctl._client._streams import (
    BOOKED,
    BookedStream,
    MeteredAsyncStream,
    MeteredStream,
    ametered,
    book_on_aclose,
    book_on_close,
    metered,
)
from effortctl._client._taps import atap, tap
from effortctl._errors import EffortctlError
from effortctl.backends._deadline import run_within

Send = Callable[..., Any]
"""The SDK's own `post`, with path and result type filled in."""

ASend = Callable[..., Awaitable[Any]]


@dataclass(slots=True)
class _Parsed:
    """Catches the response before the caller's parser, which may well raise, gets to see it."""

    request: SdkRequest
    raw: Any = None
    seen: list[Any] = field(default_factory=list)

    def options(self, seconds_left: float | None) -> dict[str, Any]:
        """The request options, with this in front of the caller's parser."""
        options = dict(self.request.options)
        if seconds_left is not None:
            options["timeout"] = shorter(self.request.timeout, seconds_left + SLACK_S)
        if self.request.parser is not None and self.request.raw is None:
            options["post_parser"] = self._parse
        return options

    def _parse(self, raw: Any) -> Any:
        self.seen.append(raw)
        return self.request.parser(raw)

    def of(self, returned: Any) -> Any:
        """The response as the endpoint sent it."""
        return self.seen[-1] if self.seen else returned


def pass_through(request: SdkRequest, booking: Booking, *, send: Send) -> Any:
    """Make the call the caller asked for, and book it.

    Raises:
        openai.OpenAIError: As the bare client.
        DeadlineExceededError: It took too long.
    """
    parsed, seconds_left = _Parsed(request), booking.seconds_left()

    def work(left: threading.Event) -> Any:
        token = CURRENT.set(Passage(booking))
        try:
            returned = send(options=parsed.options(seconds_left), **_changed(request, metered))
        finally:
            CURRENT.reset(token)
        if left.is_set():
            close_quietly(returned)
        return returned

    try:
        returned = _in_time(work, booking)
    except BaseException as error:
        _book_error(booking, parsed, error)
        raise
    booked = _to_book(returned, request, booking=booking, watch=book_on_close)
    if not isinstance(booked, BookedStream):
        _book(booking, parsed.of(booked), returned)
    elif (seconds_left := booking.seconds_left()) is not None:
        timer = after(seconds_left, partial(_strike, booked))
        booking.when_over = timer.cancel
    return returned


def _in_time(work: Callable[[threading.Event], Any], booking: Booking) -> Any:
    not_ours: list[TimeoutError] = []

    def guarded(left: threading.Event) -> Any:
        try:
            return work(left)
        except TimeoutError as error:  # of a transport that is the caller's own
            not_ours.append(error)
            raise

    try:
        return run_within(guarded, timeout_s=booking.seconds_left())
    except TimeoutError:
        if not_ours:
            raise
    raise late(booking.deadline_s)


def _strike(booked: BookedStream) -> None:
    """The time of a reply that is being read is over."""
    if booked.booking.is_over:
        return  # in the same moment; its connection may serve another call by now
    booked.cut = late(booked.booking.deadline_s)
    if (response := booked.response()) is not None:
        hang_up(response)


async def apass_through(request: SdkRequest, booking: Booking, *, send: ASend) -> Any:
    """`pass_through` for asyncio."""
    parsed, seconds_left = _Parsed(request), booking.seconds_left()
    limit, token = asyncio.timeout(seconds_left), CURRENT.set(Passage(booking))
    try:
        async with limit:
            returned = await send(
                options=parsed.options(seconds_left), **_changed(request, ametered)
            )
    except BaseException as error:
        struck = isinstance(error, TimeoutError) and limit.expired()
        cut = late(booking.deadline_s) if struck else None
        await in_thread(_book_error, booking, parsed, cut or error)
        if cut is not None:
            raise cut from None
        raise
    finally:
        CURRENT.reset(token)
    booked = _to_book(returned, request, booking=booking, watch=book_on_aclose)
    if not isinstance(booked, BookedStream):
        await in_thread(_book, booking, parsed.of(booked), returned)
    else:
        booked.until = limit.when()
    return returned


def _changed(request: SdkRequest, stream_of: Callable[[Any], Any]) -> dict[str, Any]:
    """The body, and for a stream the class that books it."""
    if not request.stream:
        return {"body": request.given}
    return {
        "body": request.with_usage(request.given),
        "stream_cls": stream_of(request.event_type),
    }


def _book(booking: Booking, raw: Any, returned: Any) -> None:
    info = booking.answered(raw)
    if info is not None and returned is not raw:
        remember(returned, info)


def _book_error(booking: Booking, parsed: _Parsed, error: BaseException) -> None:
    """An error of the caller's parser comes after an answer that was paid for."""
    info = booking.answered(parsed.seen[-1]) if parsed.seen else booking.failed(error)
    if info is None:
        return
    remember(error, info)
    if isinstance(error, EffortctlError):
        error.trace = info.trace


def _to_book(
    returned: Any, request: SdkRequest, *, booking: Booking, watch: Callable[..., None]
) -> Any:
    """What to book now; a `BookedStream` when that has to wait until the caller has read the reply."""
    is_stream = isinstance(returned, MeteredStream | MeteredAsyncStream)
    if request.raw is None and not is_stream:
        return returned
    response = returned.response if is_stream else returned.http_response
    if not request.stream and (document := _read(response)) is not None:
        return document
    booked = BookedStream(
        booking,
        Tape(request.api),
        hide_usage=not request.wants_usage,
        response=weakref.ref(response),
    )
    watch(
        response,
        booked,
        done=partial(_closed, weakref.ref(response), booked, events=request.stream),
    )
    if is_stream:
        returned.attach(booked)
    else:
        setattr(response, BOOKED, booked)
        if request.stream:
            (tap if watch is book_on_close else atap)(response, booked)
    return booked


def _closed(response: weakref.ref[Any], booked: BookedStream, *, events: bool) -> None:
    """Book a reply that was read or closed; the transport also closes itself while it is being read."""
    if booked.reading:
        return
    document = None if events else _read(response())
    if document is None:
        booked.ended()
    else:
        booked.booking.answered(document)


def _read(response: Any) -> Json | None:
    """The body of a response that was read already, if it is a JSON object."""
    if getattr(response, "_content", None) is None:
        return None
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
