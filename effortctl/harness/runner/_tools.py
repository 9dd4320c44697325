"""What a session of a run works with, and what it tells while it works."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from effortctl._pricing import GenaiPriceBook
from effortctl.harness.runner._limits import COOLDOWN_S, START, Sleep
from effortctl.protocols import AsyncBackend, Cache, PriceBook
from effortctl.stores import SqliteLedger


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a session is.

    Attributes:
        done: Cells that are finished, in all sessions.
        total: Cells there are.
        spent_usd: Dollars paid in this session.
        eta_s: Seconds until the end at the present rate. None: not known yet.
        in_flight: Calls on their way.
        allowed: Calls that may be in flight now.
        errors: Cells that failed in this session, by cause.
    """

    done: int
    total: int
    spent_usd: Decimal
    eta_s: float | None
    in_flight: int
    allowed: int
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a session works with; tests replace parts of it.

    Attributes:
        backends: By endpoint name. None: made from the endpoints' own descriptions.
        ledger: Where dollars are booked. None: a file in the run folder.
        cache: Keeps answers between runs. None: none.
        prices: Knows what calls cost.
        on_progress: Told how far it is, about ten times a second.
        clock: Monotonic seconds.
        sleep: Waits, for asyncio.
        rng: Jitters waits.
        start: Calls in flight at the beginning.
        cooldown_s: Seconds without growth after a rate limit.
        handle_sigint: Finish what is in flight on the first Ctrl-C, give it up on the second.
    """

    backends: Mapping[str, AsyncBackend] | None = None
    ledger: SqliteLedger | None = None
    cache: Cache | None = None
    prices: PriceBook = field(default_factory=GenaiPriceBook)
    on_progress: Callable[[Progress], object] | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Sleep = asyncio.sleep
    rng: random.Random = field(default_factory=random.Random)
    start: int = START
    cooldown_s: float = COOLDOWN_S
    handle_sigint: bool = True


@contextlib.contextmanager
def on_sigint(handler: Callable[[], object] | None) -> Iterator[None]:
    """Have Ctrl-C call `handler` in the running event loop, in the main thread of a POSIX system."""
    loop = asyncio.get_running_loop()
    ours = handler is not None and threading.current_thread() is threading.main_thread()
    if ours and handler is not None:
        try:
            loop.add_signal_handler(signal.SIGINT, handler)
        except NotImplementedError:  # pragma: no cover - Windows
            ours = False
    try:
        yield
    finally:
        if ours:
            loop.remove_signal_handler(signal.SIGINT)
