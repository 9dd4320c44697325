"""The SDK's own stream types, which also keep the books; its helpers take them for what they are."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from openai import AsyncStream, Stream

from effortctl._client._info import remember
from effortctl._client._meter import Booking, in_thread
from effortctl._client._passage import late
from effortctl._client._reply import Tape, as_without_usage
from effortctl._errors import DeadlineExceededError, EffortctlError

T = TypeVar("T")

BOOKED = "_effortctl_booked"
"""Attribute of an HTTP response that leads a stream made from it to its booking."""


@dataclass(slots=True)
class BookedStream:
    """The booking of one stream that is passed through, and what was read of it so far.

    Attributes:
        booking: What is booked when the stream ends.
        tape: The reply, put together from the events.
        hide_usage: True when the caller did not ask for the chunk with the usage.
        response: The HTTP response it comes with.
        reading: True while the next event is awaited: the transport closes itself then, which says
            nothing about the caller.
        cut: Set when its time is over, to what the caller gets to see.
        until: In asyncio, the loop's time at which it is over. None: never.
    """

    booking: Booking
    tape: Tape
    hide_usage: bool
    response: weakref.ref[Any]
    reading: bool = False
    cut: DeadlineExceededError | None = None
    until: float | None = None
    streams: list[weakref.ref[Any]] = field(default_factory=list)

    def add(self, event: Any) -> bool:
        """Take in an event; True when the caller is to see it."""
        ended = self.tape.ended
        self.tape.add(event)
        return not self.hide_usage or as_without_usage(event, ended=ended)

    def ended(self, error: BaseException | None = None) -> None:
        """Book what is known: exactly, if the usage came, else at the worst case."""
        document = self.tape.document
        if document is not None and self.tape.priced:
            info = self.booking.answered(document)
        elif error is not None and not isinstance(error, GeneratorExit):
            info = self.booking.failed(error)
        else:
            info = self.booking.cut()
        if info is None:
            return
        if isinstance(error, EffortctlError):
            error.trace = info.trace
        for stream in filter(None, (found() for found in self.streams)):
            remember(stream, info)

    async def in_time(self, reading: Awaitable[T]) -> T:
        """Await something of the reply, but not beyond its deadline.

        Raises:
            DeadlineExceededError: The time is over.
        """
        if self.until is None:
            return await reading
        try:
            async with asyncio.timeout_at(self.until) as limit:
                return await reading
        except TimeoutError:
            if not limit.expired():
                raise
        raise late(self.booking.deadline_s)


_NONE: Any = object()


class MeteredStream(Stream[T], Generic[T]):
    """`openai.Stream`, booked when it ends or is closed."""

    _booked: BookedStream | None

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._booked = None
        booked = getattr(self.response, BOOKED, None)
        if booked is not None:
            self.attach(booked)

    def attach(self, booked: BookedStream) -> None:
        """Book this stream."""
        self._booked = booked
        booked.streams.append(weakref.ref(self))
        self._iterator = _metered(self._iterator, booked)


class MeteredAsyncStream(AsyncStream[T], Generic[T]):
    """`openai.AsyncStream`, booked when it ends or is closed."""

    _booked: BookedStream | None

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._booked = None
        booked = getattr(self.response, BOOKED, None)
        if booked is not None:
            self.attach(booked)

    def attach(self, booked: BookedStream) -> None:
        """Book this stream."""
        self._booked = booked
        booked.streams.append(weakref.ref(self))
        self._iterator = _ametered(self._iterator, booked)


def _metered(inner: Iterator[T], booked: BookedStream) -> Iterator[T]:
    try:
        while True:
            booked.reading = True
            try:
                event = next(inner)
            except StopIteration:
                break
            finally:
                booked.reading = False
            if booked.cut is not None:
                break
            if booked.add(event):
                yield event
    except BaseException as error:
        if booked.cut is None or isinstance(error, GeneratorExit):
            booked.ended(error)
            raise
    booked.ended(booked.cut)
    if booked.cut is not None:
        raise booked.cut


async def _ametered(inner: AsyncIterator[T], booked: BookedStream) -> AsyncIterator[T]:
    try:
        while True:
            booked.reading = True
            try:
                event = await booked.in_time(anext(inner, _NONE))
            finally:
                booked.reading = False
            if event is _NONE:
                break
            if booked.add(event):
                yield event
    except GeneratorExit:
        booked.ended()  # nothing can be awaited any more
        raise
    except BaseException as error:
        await in_thread(booked.ended, error)
        raise
    await in_thread(booked.ended)


def metered(event_type: Any) -> type[MeteredStream[Any]]:
    """The class the SDK is to make a stream of such events of."""
    kind: Any = MeteredStream
    made: type[MeteredStream[Any]] = kind[event_type]
    return made


def ametered(event_type: Any) -> type[MeteredAsyncStream[Any]]:
    """`metered` for asyncio."""
    kind: Any = MeteredAsyncStream
    made: type[MeteredAsyncStream[Any]] = kind[event_type]
    return made


def book_on_close(response: Any, booked: BookedStream, *, done: Callable[[], object]) -> None:
    """Have a response call `done` when it is read to its end or closed, by whatever way."""
    found = weakref.ref(response)  # a response that held itself would outlive its last reader

    def closing() -> None:
        if (still := found()) is not None:
            type(still).close(still)
        if not booked.booking.is_over:
            done()

    def reading() -> Any:
        still: Any = found()
        booked.reading = True
        try:
            content = type(still).read(still)
        finally:
            booked.reading = False
        closing()
        return content

    response.close, response.read = closing, reading


def book_on_aclose(response: Any, booked: BookedStream, *, done: Callable[[], object]) -> None:
    """`book_on_close` for asyncio."""
    found = weakref.ref(response)

    async def closing() -> None:
        if (still := found()) is not None:
            await type(still).aclose(still)
        # Nothing is awaited where nothing is to be done: a loop that shuts down closes the generators of
        # a stream all at once, and they do not bear it when one of them pauses.
        if not booked.booking.is_over:
            await in_thread(done)

    async def reading() -> Any:
        still: Any = found()
        booked.reading = True
        try:
            content = await booked.in_time(type(still).aread(still))
        finally:
            booked.reading = False
        await closing()
        return content

    response.aclose, response.aread = closing, reading
