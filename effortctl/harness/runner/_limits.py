"""How many calls may be in flight, and how many may start in a minute.

The number in flight is found by additive increase and multiplicative decrease (Chiu and Jain, 1989), as
TCP does: it doubles every round until the endpoint objects, falls to 80 % once per episode of rate
limiting, and creeps up again after a pause. A server fault stops the growth but cuts nothing: fewer
requests do not mend a broken server.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from effortctl._errors import TransientBackendError

START = 20
"""Calls in flight at the beginning, if so many are allowed."""

DECREASE = 0.8
COOLDOWN_S = 15.0
"""Seconds after a rate limit in which no second cut is made and nothing grows."""

LONGEST_HOLD_S = 60.0
"""An endpoint that asks us to wait is obeyed for at most so long at a time."""

MINUTE_S = 60.0
_BURST_S = 1.0

Sleep = Callable[[float], Awaitable[object]]


class Window:
    """The number of calls that may be in flight to one endpoint.

    Args:
        most: Never more than this.
        start: At the beginning.
        cooldown_s: Seconds after a rate limit or a server fault without growth.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        most: int,
        *,
        start: int = START,
        cooldown_s: float = COOLDOWN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._size = float(min(start, most))
        self._doubling = True
        self._cooldown_s = cooldown_s
        self._clock = clock
        self._calm_at = clock()
        self._held_until = clock()

    @property
    def size(self) -> int:
        """Calls that may be in flight now."""
        return max(1, int(self._size))

    @property
    def hold_s(self) -> float:
        """Seconds for which the endpoint asked us to send nothing."""
        return max(0.0, self._held_until - self._clock())

    def succeeded(self) -> None:
        """A call was answered."""
        if self._clock() >= self._calm_at:
            step = 1.0 if self._doubling else 1.0 / self._size
            self._size = min(float(self._most), self._size + step)

    def failed(self, fault: BaseException) -> None:
        """A call failed; only faults of the endpoint count."""
        if not isinstance(fault, TransientBackendError):
            return
        now = self._clock()
        if fault.kind == "rate_limit" or fault.status == 429:
            if now >= self._calm_at:
                self._size = max(1.0, self._size * DECREASE)
                self._doubling = False
            self._calm_at = max(self._calm_at, now + self._cooldown_s)
            wait_s = min(fault.retry_after_s or 0.0, LONGEST_HOLD_S)
            self._held_until = max(self._held_until, now + wait_s)
        elif fault.status is not None and fault.status >= 500:
            self._doubling = False
            self._calm_at = max(self._calm_at, now + self._cooldown_s)


@dataclass(slots=True)
class Pace:
    """At most `per_minute` units per minute, evenly spread but for a second's worth at once.

    The generic cell rate algorithm (ITU-T I.371): one number, the moment the next unit is due.

    Attributes:
        per_minute: Units per minute.
        due_at: When the next unit would be due if all were evenly spread.
    """

    per_minute: float
    due_at: float = 0.0

    def delay_s(self, now: float) -> float:
        """Seconds until something may be sent."""
        return max(0.0, self.due_at - _BURST_S - now)

    def spend(self, units: float, now: float) -> None:
        """Count units; negative ones give back what was not needed."""
        self.due_at = max(self.due_at, now) + units * MINUTE_S / self.per_minute


class Gate:
    """The way to one endpoint: waits until a call may go out, and learns from how it went.

    Args:
        most: Most calls in flight.
        rpm: Most requests per minute. None: no limit.
        tpm: Most tokens per minute. None: no limit.
        clock: Monotonic seconds.
        sleep: Waits.
        cooldown_s: As in `Window`.
        start: As in `Window`.

    Attributes:
        in_flight: Calls on their way.
        high_water: Most of them ever.
        window: How many there may be.
    """

    def __init__(
        self,
        most: int,
        *,
        rpm: int | None = None,
        tpm: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        cooldown_s: float = COOLDOWN_S,
        start: int = START,
    ) -> None:
        self.window = Window(most, start=start, cooldown_s=cooldown_s, clock=clock)
        self.in_flight = 0
        self.high_water = 0
        self._requests = None if rpm is None else Pace(rpm)
        self._tokens = None if tpm is None else Pace(tpm)
        self._clock = clock
        self._sleep = sleep
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, tokens: float) -> None:
        """Wait for a place, and until the pace allows `tokens` more."""
        while self.in_flight >= self.window.size:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._wake()  # the place was given to us; somebody else may have it
                raise
        self.in_flight += 1
        self.high_water = max(self.high_water, self.in_flight)
        try:
            while (wait_s := self._wait_s()) > 0:
                await self._sleep(wait_s)
        except BaseException:
            self.leave()
            raise
        self._spend(tokens)

    def leave(self) -> None:
        """A call has come back."""
        self.in_flight -= 1
        self._wake()

    def correct(self, tokens: float) -> None:
        """Count tokens a call used beyond those it entered with; negative if fewer."""
        if self._tokens is not None:
            self._tokens.spend(tokens, self._clock())

    def _wait_s(self) -> float:
        now = self._clock()
        paces = [pace.delay_s(now) for pace in (self._requests, self._tokens) if pace is not None]
        return max(self.window.hold_s, *paces, 0.0)

    def _spend(self, tokens: float) -> None:
        now = self._clock()
        if self._requests is not None:
            self._requests.spend(1, now)
        if self._tokens is not None:
            self._tokens.spend(tokens, now)

    def _wake(self) -> None:
        free = self.window.size - self.in_flight
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1
