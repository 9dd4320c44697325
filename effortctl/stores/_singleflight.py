"""Equal requests at the same time become one: the first leads, the others wait and read the cache.

A flight is an open file with a lock on it. Its leader removes the file before letting go, so a
follower sees from its own handle whether the flight has ended; a leader that is killed removes
nothing, its lock goes with it, and a follower takes over. No stale lock can stay behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from effortctl._errors import EffortctlWarning
from effortctl.stores._private import why_not_private

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")

_Standing = Literal["leading", "waiting", "over"]

_FIRST_POLL_S = 0.002
_LONGEST_POLL_S = 0.05
_ROUNDS = 2
_PATIENCE_S = 300.0

_flying: ContextVar[frozenset[tuple[int, str]]] = ContextVar(
    "effortctl_flying", default=frozenset()
)
"""Flights that the present code is part of."""


class _Flight(Protocol):
    """One request on its way, as one of those who want it sees it."""

    def look(self) -> _Standing:
        """Take the lead if nobody has it; else say how things are."""

    def leave(self) -> None:
        """Let go, and end the flight when we lead it."""


class SingleFlight:
    """Lets one of several equal requests through at a time.

    With a directory this works between processes as well, where the system has `flock`.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare to lead and follow.

        Args:
            directory: Where the lock files go; must be private as the cache's own. None, or a
                directory that cannot be used: threads and tasks of this process only.
            monotonic: Seconds that never run backwards.
            sleep: How followers wait.
        """
        self._monotonic = monotonic
        self._sleep = sleep
        self._here: dict[str, threading.Event] = {}
        self._directory = None if directory is None or fcntl is None else _usable(Path(directory))

    @contextlib.contextmanager
    def lead(self, key: str, *, timeout_s: float | None = _PATIENCE_S) -> Iterator[bool]:
        """Hold the lead for a request, or wait until whoever has it is done.

        Yields True to the leader, who makes the call and caches the answer before leaving the block.
        Yields False when somebody else's flight ended or `timeout_s` passed (None: no limit). Look
        into the cache first in either case: the answer may have arrived in between. A request that is
        made again from inside its own flight, e.g. by its check, does not wait for itself.
        """
        if self._led_here(key):
            yield False
            return
        flight = self._flight(key)
        try:
            for pause_s in self._polls(timeout_s):
                if (standing := flight.look()) != "waiting" or pause_s is None:
                    break
                self._sleep(pause_s)
            with self._noted(key):
                yield standing == "leading"
        finally:
            flight.leave()

    @contextlib.asynccontextmanager
    async def alead(
        self, key: str, *, timeout_s: float | None = _PATIENCE_S
    ) -> AsyncIterator[bool]:
        """`lead` for asyncio; waiting followers hold no thread."""
        if self._led_here(key):
            yield False
            return
        flight = self._flight(key)
        try:
            for pause_s in self._polls(timeout_s):
                if (standing := flight.look()) != "waiting" or pause_s is None:
                    break
                await asyncio.sleep(pause_s)
            with self._noted(key):
                yield standing == "leading"
        finally:
            flight.leave()

    def do(
        self,
        key: str,
        call: Callable[[], T],
        *,
        cached: Callable[[], T | None],
        timeout_s: float | None = _PATIENCE_S,
    ) -> T:
        """The cached value, or the value of one call for all who ask at the same time.

        Args:
            key: Names the request.
            call: Makes the request and caches the result if it deserves it.
            cached: Looks into the cache.
            timeout_s: How long to wait for somebody else's call before making one's own.

        Followers whose leader brought nothing into the cache wait for one more; then each makes its
        own call, because requests that cannot be cached must not queue behind each other for ever.
        """
        for _ in range(_ROUNDS):
            with self.lead(key, timeout_s=timeout_s) as leading:
                if (value := cached()) is not None:
                    return value
                if leading:
                    return call()
        return call()

    def _led_here(self, key: str) -> bool:
        return (id(self), key) in _flying.get()

    @contextlib.contextmanager
    def _noted(self, key: str) -> Iterator[None]:
        mine = {(id(self), key)}
        _flying.set(_flying.get() | mine)
        try:
            yield
        finally:
            # Not by token: a task that is thrown away ends in another context.
            _flying.set(_flying.get() - mine)

    def _polls(self, timeout_s: float | None) -> Iterator[float | None]:
        """Growing pauses between looks; None before the last look."""
        deadline = None if timeout_s is None else self._monotonic() + timeout_s
        pause_s = _FIRST_POLL_S
        while deadline is None or self._monotonic() < deadline:
            yield pause_s
            pause_s = min(_LONGEST_POLL_S, pause_s * 1.5)
        yield None

    def _flight(self, key: str) -> _Flight:
        if self._directory is not None:
            name = hashlib.sha256(key.encode()).hexdigest()[:32]
            try:
                return _FileFlight(self._directory / f"{name}.lock")
            except OSError as error:
                warnings.warn(
                    f"equal requests of other processes will not be joined: {error}",
                    EffortctlWarning,
                    stacklevel=4,
                )
        return _LocalFlight(self._here, f"{os.getpid()}/{key}")


class _FileFlight:
    """A flight other processes can see."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._leading = False
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._handle = os.open(path, flags, 0o600)

    def look(self) -> _Standing:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "waiting" if self._listed() else "over"
        # The lock of a removed file is free, but its flight has ended and another may have begun.
        self._leading = self._listed()
        return "leading" if self._leading else "over"

    def leave(self) -> None:
        if self._leading:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        os.close(self._handle)

    def _listed(self) -> bool:
        return os.fstat(self._handle).st_nlink > 0


class _LocalFlight:
    """A flight of this process alone."""

    def __init__(self, flights: dict[str, threading.Event], key: str) -> None:
        self._flights = flights
        self._key = key
        mine = threading.Event()
        self._landed = flights.setdefault(key, mine)
        self._leading = self._landed is mine

    def look(self) -> _Standing:
        if self._leading:
            return "leading"
        return "over" if self._landed.is_set() else "waiting"

    def leave(self) -> None:
        if self._leading:
            del self._flights[self._key]
            self._landed.set()


def _usable(directory: Path) -> Path | None:
    try:
        problem = why_not_private(directory)
    except OSError as error:
        problem = str(error)
    if problem is None:
        return directory
    warnings.warn(
        f"equal requests of other processes will not be joined: {problem}",
        EffortctlWarning,
        stacklevel=3,
    )
    return None
