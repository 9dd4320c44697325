"""Limits a controller keeps: calls at a time, retries in all, endpoints without credit, seconds of a check.

One object of each kind serves all tasks of a controller, from any thread and any event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import os
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future

from effortctl._errors import BackendError, ConfigError, EffortctlError, TransientBackendError
from effortctl._types import Arm, Verdict

EARNED_BY_SUCCESS = 0.2
"""Retries that a call which succeeds at once pays into the retry budget."""

QUOTA_PAUSE_S = 60.0
"""Seconds without a call after an endpoint said that the account is out of credit."""

TOO_SLOW = Verdict(
    status="abstain", verifier="deadline", error="TimeoutError: the check took too long"
)


NO_DEADLINE_S = 2_000_000.0
"""Seconds from which a deadline counts as none: a socket waits for 24 days at most."""


def checked_deadline(deadline_s: float | None) -> float | None:
    """The deadline in seconds; None where it is too far off to be one.

    Raises:
        ConfigError: It is not a number.
    """
    if deadline_s is None or deadline_s >= NO_DEADLINE_S:
        return None
    if math.isnan(deadline_s):
        raise ConfigError("deadline_s is not a number; expected seconds, or None for no deadline")
    return deadline_s


class Slots:
    """At most so many calls at a time, first come, first served, for threads and coroutines alike.

    A forked child starts with all slots free: the calls of its parent are not its own.
    """

    def __init__(self, count: int | None) -> None:
        """Prepare the slots.

        Args:
            count: How many there are. None: no limit.

        Raises:
            ConfigError: The count is below 1.
        """
        if count is not None and count < 1:
            raise ConfigError(f"max_concurrency must be at least 1, or None, got {count!r}")
        self.count = count
        self.start_afresh()
        _shared.add(self)

    def start_afresh(self) -> None:
        """Free all slots, as a forked child must."""
        self._lock = threading.Lock()
        self._free = self.count or 0
        self._waiting: deque[Future[None]] = deque()

    @contextlib.contextmanager
    def hold(self, timeout_s: float | None) -> Iterator[None]:
        """Wait for a slot, and hold it for the length of the block.

        Raises:
            TransientBackendError: None came free in time.
        """
        if self.count is None:
            yield
            return
        place = self._ask()
        try:
            place.result(timeout_s)
        except TimeoutError:
            self._give_up(place)
            raise self._too_busy() from None
        except BaseException:
            self._give_up(place)
            raise
        try:
            yield
        finally:
            self._release()

    @contextlib.asynccontextmanager
    async def ahold(self, timeout_s: float | None) -> AsyncIterator[None]:
        """`hold` for asyncio; waiting holds no thread."""
        if self.count is None:
            yield
            return
        place = self._ask()
        try:
            async with asyncio.timeout(timeout_s) as limit:
                await asyncio.wrap_future(place)
        except BaseException as error:
            self._give_up(place)
            if isinstance(error, TimeoutError) and limit.expired():
                raise self._too_busy() from None
            raise
        try:
            yield
        finally:
            self._release()

    def _ask(self) -> Future[None]:
        place: Future[None] = Future()
        with self._lock:
            self._waiting.append(place)
            self._hand_out()
        return place

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            place = self._waiting.popleft()
            if place.set_running_or_notify_cancel():  # False: its caller has given up
                self._free -= 1
                place.set_result(None)

    def _release(self) -> None:
        with self._lock:
            self._free += 1
            self._hand_out()

    def _give_up(self, place: Future[None]) -> None:
        if not place.cancel():  # it was granted in the same moment
            self._release()
            return
        with self._lock, contextlib.suppress(ValueError):
            self._waiting.remove(place)

    def _too_busy(self) -> TransientBackendError:
        return TransientBackendError(
            f"no time was left for the call: all {self.count} slots stayed busy; raise "
            "max_concurrency or deadline_s",
            kind="timeout",
        )


class RetryBudget:
    """How many retries an endpoint may get beyond those that successes have paid for.

    When an endpoint fails for everybody, retries of every caller would only multiply its load. So each
    retry takes one from the endpoint's account; a retry that succeeds puts it back, and a call that
    succeeds at once pays in a fifth. The idea is the retry quota of the AWS SDKs ("standard" mode).
    """

    def __init__(self, capacity: int | None) -> None:
        """Open the accounts, full.

        Args:
            capacity: Retries an account holds. None: no limit.

        Raises:
            ConfigError: The capacity is negative.
        """
        if capacity is not None and capacity < 0:
            raise ConfigError(f"retry_budget must be at least 0, or None, got {capacity!r}")
        self.capacity = capacity
        self.start_afresh()
        _shared.add(self)

    def start_afresh(self) -> None:
        """Fill all accounts, as a forked child must."""
        self._lock = threading.Lock()
        self._taken: dict[str, float] = {}

    def take(self, endpoint: str) -> bool:
        """Pay for one retry; False when the account is empty."""
        if self.capacity is None:
            return True
        with self._lock:
            taken = self._taken.get(endpoint, 0.0)
            if taken + 1 > self.capacity:
                return False
            self._taken[endpoint] = taken + 1
            return True

    def succeeded(self, endpoint: str, *, retried: bool) -> None:
        """Pay in what a success is worth."""
        with self._lock:
            taken = self._taken.get(endpoint, 0.0)
            if taken:
                self._taken[endpoint] = max(0.0, taken - (1.0 if retried else EARNED_BY_SUCCESS))


class QuotaBreaker:
    """Which endpoints have said that the account is out of credit.

    Until it is paid for, every further call would only be refused again. So for a while none is made;
    then one is let through to find out, because nobody tells us when credit was added.
    """

    def __init__(self, clock: Callable[[], float], *, pause_s: float = QUOTA_PAUSE_S) -> None:
        """Close no endpoint yet.

        Args:
            clock: Monotonic seconds.
            pause_s: How long no call is made after a refusal.
        """
        self._clock = clock
        self._pause_s = pause_s
        self.start_afresh()
        _shared.add(self)

    def start_afresh(self) -> None:
        """Close no endpoint, as in a forked child."""
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def refusal(self, arm: Arm) -> BackendError | None:
        """What an endpoint without credit would say, without a call; None: go and ask it."""
        endpoint, now = arm.endpoint.name, self._clock()
        with self._lock:
            if endpoint not in self._until:
                return None
            until = self._until[endpoint]
            if now >= until:
                self._until[endpoint] = now + self._pause_s  # this call finds out, and no other one
                return None
        return BackendError(
            f"endpoint {endpoint!r} said that the account has no credit left; it is asked again in "
            f"{until - now:.0f} s. Add credit there, or use another endpoint",
            arm=arm.name,
            kind="quota",
        )

    def note(self, arm: Arm, error: EffortctlError | None) -> None:
        """Take note of how a call ended; None: well."""
        endpoint = arm.endpoint.name
        with self._lock:
            if isinstance(error, BackendError) and error.kind == "quota":
                self._until[endpoint] = self._clock() + self._pause_s
            elif error is None:
                self._until.pop(endpoint, None)


_shared: weakref.WeakSet[Slots | RetryBudget | QuotaBreaker] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # A lock that another thread held during the fork would stay locked for ever.
    for limit in list(_shared):
        limit.start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


async def in_thread(check: Callable[[], Verdict], timeout_s: float | None) -> Verdict:
    """Run a blocking check. One that may overrun gets a thread that nobody has to wait for."""
    if timeout_s is None:
        return await asyncio.to_thread(check)
    loop, checked = asyncio.get_running_loop(), asyncio.Event()
    verdicts: list[Verdict] = []

    def target() -> None:
        verdicts.append(check())
        with contextlib.suppress(RuntimeError):  # the loop has ended without waiting for us
            loop.call_soon_threadsafe(checked.set)

    threading.Thread(target=contextvars.copy_context().run, args=(target,), daemon=True).start()
    await checked.wait()
    return verdicts[0]


def within(check: Callable[[], Verdict], timeout_s: float | None) -> Verdict:
    """Run a check, but no longer than allowed; one that overruns is left behind in its thread."""
    if timeout_s is None:
        return check()
    verdicts: list[Verdict] = []
    work = contextvars.copy_context().run
    thread = threading.Thread(target=lambda: verdicts.append(work(check)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return verdicts[0] if verdicts else TOO_SLOW
