"""A managed stream: the loop runs beside the caller and shows events as soon as they may be seen."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from openai import AsyncStream, Stream

from effortctl._client._info import CallInfo, remember
from effortctl._types import Outcome

T = TypeVar("T")

CLOSE_WAIT_S = 1.0
"""Longest wait of `close` for the books of a stream that was closed early; they are kept all the same."""


@dataclass(frozen=True, slots=True)
class Over:
    """The loop has ended.

    Attributes:
        outcome: How, if it came to an outcome.
        error: Why not, else.
    """

    outcome: Outcome[Any] | None = None
    error: BaseException | None = None


Shown = tuple[Any, Any]
"""An event and the HTTP response it came with."""

Known = tuple[BaseException | None, CallInfo | None]
"""What is raised at the end of a stream, if anything, and what is known of its call."""

End = Callable[[Over], Known]
"""Told how the loop ended; returns what the caller gets to see of it."""


@dataclass(slots=True, eq=False)
class Channel:
    """Between the loop in its thread and the caller.

    Attributes:
        shown: Set once the caller has got an event.
        closed: Set once the caller wants no more.
    """

    shown: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)
    _items: queue.SimpleQueue[Shown | Over] = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None

    def show(self, event: Any, response: Any) -> None:
        """Hand an event to the caller."""
        self.shown.set()
        self._items.put((event, response))

    def start(self, run: Callable[[], Outcome[Any]]) -> None:
        """Run the loop in a thread of its own."""

        def work() -> None:
            try:
                over = Over(run())
            except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
                over = Over(error=error)
            self._items.put(over)

        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(work,), name="effortctl-stream", daemon=True
        )
        self._thread.start()

    def get(self) -> Shown | Over:
        """Wait for what comes next."""
        return self._items.get()

    def close(self) -> Over | None:
        """Want no more; how the loop ended, if it did in time."""
        self.closed.set()
        if self._thread is None or self._thread is threading.current_thread():
            return None
        self._thread.join(CLOSE_WAIT_S)
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._items.get_nowait()
                if isinstance(item, Over):
                    return item
        return None


class _Ending:
    """What both kinds of managed stream do when the loop behind them has ended."""

    _done: bool
    _end: End
    _told: Callable[[CallInfo], None] | None

    def when_over(self, told: Callable[[CallInfo], None]) -> None:
        """Tell somebody what became of the call, once that is known."""
        self._told = told

    def _finish(self, over: Over, *, raises: bool) -> None:
        self._done = True
        error, info = self._end(over)
        if info is not None:
            remember(self, info)
            if self._told is not None:
                self._told(info)
        if error is not None and raises:
            raise error


class ManagedStream(_Ending, Stream[T], Generic[T]):
    """`openai.Stream` of an answer whose model or effort effortctl chose."""

    def __init__(self, first: Shown, channel: Channel | Played, end: End) -> None:
        # Made of events that were read already, so nothing of the base class is set up.
        self.response = _twin(first[1], close=self._closing)
        self._channel = channel
        self._end = end
        self._told = None
        self._done = False
        self._iterator = self._shown(first[0])
        weakref.finalize(self, channel.closed.set).atexit = False

    def _shown(self, event: T) -> Iterator[T]:
        yield event
        while True:
            item = self._channel.get()
            if isinstance(item, Over):
                self._finish(item, raises=True)
                return
            yield item[0]

    def _closing(self) -> None:
        if self._done:
            return
        over = self._channel.close()
        if over is not None:
            self._finish(over, raises=False)


@dataclass(slots=True, eq=False)
class AsyncChannel:
    """`Channel` for asyncio: the loop runs in a task.

    Attributes:
        shown: As in `Channel`.
        closed: As in `Channel`.
        is_calling: Tells whether a call is under way, which closing is to break off.
    """

    shown: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)
    is_calling: Callable[[], bool] = lambda: True
    _items: asyncio.Queue[Shown | Over] = field(default_factory=asyncio.Queue)
    _task: asyncio.Task[None] | None = None

    def show(self, event: Any, response: Any) -> None:
        """Hand an event to the caller."""
        self.shown.set()
        self._items.put_nowait((event, response))

    def start(self, run: Callable[[], Awaitable[Outcome[Any]]]) -> None:
        """Run the loop in a task of its own."""

        async def work() -> None:
            try:
                over = Over(await run())
            except BaseException as error:  # noqa: BLE001 - carried over to the caller's task
                over = Over(error=error)
            self._items.put_nowait(over)

        self._task = asyncio.create_task(work(), name="effortctl-stream")
        _RUNNING.add(self._task)
        self._task.add_done_callback(_RUNNING.discard)

    async def get(self) -> Shown | Over:
        """Wait for what comes next."""
        return await self._items.get()

    def abandon(self) -> None:
        """Want no more, without waiting for the books; from any thread."""
        self.closed.set()
        if self._task is not None and not self._task.done():
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    async def close(self) -> Over | None:
        """Want no more; how the loop ended."""
        self.closed.set()
        if self._task is None:
            return None
        if not self.is_calling():  # the answer is there, and about to be booked and checked
            await asyncio.wait({self._task}, timeout=CLOSE_WAIT_S)
        self._task.cancel()
        await asyncio.wait({self._task})
        while not self._items.empty():
            item = self._items.get_nowait()
            if isinstance(item, Over):
                return item
        return None


_RUNNING: set[asyncio.Task[None]] = set()
"""An event loop itself holds its tasks weakly."""


class ManagedAsyncStream(_Ending, AsyncStream[T], Generic[T]):
    """`ManagedStream` for asyncio."""

    def __init__(self, first: Shown, channel: AsyncChannel | AsyncPlayed, end: End) -> None:
        self.response = _twin(first[1], aclose=self._closing)
        self._channel = channel
        self._end = end
        self._told = None
        self._done = False
        self._iterator = self._shown(first[0])
        weakref.finalize(self, channel.abandon).atexit = False

    async def _shown(self, event: T) -> AsyncIterator[T]:
        yield event
        while True:
            item = await self._channel.get()
            if isinstance(item, Over):
                self._finish(item, raises=True)
                return
            yield item[0]

    async def _closing(self) -> None:
        if self._done:
            return
        over = await self._channel.close()
        if over is not None:
            self._finish(over, raises=False)


class Played:
    """A channel whose events are all there: a stream that was held back until it was checked.

    Args:
        events: The events, in order.
        response: The HTTP response they came with.
        over: How the loop ended.
    """

    def __init__(self, events: list[Any], *, response: Any, over: Over) -> None:
        self.closed = threading.Event()
        self._items: list[Shown | Over] = [*((event, response) for event in events), over]
        self._items.reverse()

    def get(self) -> Shown | Over:
        """What comes next."""
        return self._items.pop()

    def close(self) -> Over:
        """How the loop ended."""
        self.closed.set()
        last = self._items[0]
        return last if isinstance(last, Over) else Over()


class AsyncPlayed(Played):
    """`Played` for asyncio."""

    async def get(self) -> Shown | Over:  # type: ignore[override]  # the same contract, awaited
        """What comes next."""
        return Played.get(self)

    async def close(self) -> Over:  # type: ignore[override]  # the same contract, awaited
        """How the loop ended."""
        return Played.close(self)

    def abandon(self) -> None:
        """Nothing is under way."""


def _twin(response: Any, **methods: Callable[[], Any]) -> Any:
    """The HTTP response for the caller, to close without closing it under the loop that reads it."""
    twin = object.__new__(type(response))
    twin.__dict__.update(response.__dict__, **methods)
    return twin
