"""Money: set aside before a call, booked after it, never forgotten.

`spent + reserved <= limit` is checked and made true in one transaction, so callers, threads and
processes that share a ledger cannot overrun a budget together. Only a settlement above its own
reservation can, and then the next reservation is refused.

Money counts in the window in which it was *reserved*. Were it counted when it is settled, a call that
straddles midnight would land in a day whose limit had not held it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import random
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Self

import platformdirs

from effortctl._errors import BudgetExceededError, EffortctlWarning
from effortctl._types import Budget, Cost
from effortctl.stores._accounts import (
    Booking,
    Request,
    abandoned,
    blocked,
    book,
    find_estimate,
    find_open,
    find_reaped,
    insert_reservation,
    problems,
    read_entries,
    standing,
)
from effortctl.stores._database import Database
from effortctl.stores._entries import (
    ROW_COLUMNS,
    Cell,
    EntryKind,
    ExportFormat,
    GroupBy,
    LedgerEntry,
    LedgerTotal,
    clean_row,
    export_lines,
    from_pico,
    to_pico,
    total_by,
)
from effortctl.stores._process import Owner, certainly_dead, current_owner
from effortctl.stores._reconcile import Adjustment
from effortctl.stores._windows import microseconds

_BATCH = 500
_FIRST_POLL_S = 0.005
_LONGEST_POLL_S = 0.1


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def default_ledger_path() -> Path:
    """Where the ledger lives when nobody says otherwise."""
    return Path(platformdirs.user_data_dir("effortctl", appauthor=False)) / "ledger.sqlite3"


class SqliteLedger:
    """A ledger in a SQLite file, shared by threads, forks and processes of one machine.

    Attributes:
        path: The file. None for a ledger in memory.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        clock: Callable[[], dt.datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
        wait_s: float = 10.0,
        reaper_ttl_s: float = 3600.0,
        lock_timeout_s: float = 30.0,
    ) -> None:
        """Open the ledger, create it if there is none, and book what dead processes left open.

        Args:
            path: The file (mode 0600; a missing directory is made with 0700). None: the user's data
                directory.
            clock: Current time with a zone; budget windows are calendar windows of it in UTC.
            monotonic: Seconds that never run backwards, for `wait_s`.
            sleep: How to wait between two looks at a full budget.
            rng: Source of the jitter of those waits.
            wait_s: How long `reserve` waits when only other callers' open reservations are in the way.
            reaper_ttl_s: Age at which an open reservation counts as abandoned whoever made it.
            lock_timeout_s: How long to wait for another process's transaction.

        Raises:
            StoreError: The file is unreadable, corrupt, another program's or another version's.
        """
        self.path: Path | None = self._locate(path)
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._wait_s = wait_s
        self._reaper_ttl_us = int(reaper_ttl_s * 1_000_000)
        self._database = Database(self.path, lock_timeout_s=lock_timeout_s)
        self.reap()

    def _locate(self, path: str | Path | None) -> Path | None:
        return default_ledger_path() if path is None else Path(path).expanduser().absolute()

    # --- spending ------------------------------------------------------------------------------------

    def reserve(
        self,
        needed: Decimal,
        *,
        budgets: Sequence[Budget],
        trace_id: str,
        wait_s: float | None = None,
    ) -> str:
        """Set dollars aside under every budget, or under none; return the reservation's id.

        Waits up to `wait_s` when other traces' open reservations are all that is in the way: most
        settle below their worst case.

        Args:
            needed: Worst case of the call. 0 is always granted.
            budgets: Limits to respect. One without a scope holds for `trace_id` alone.
            trace_id: The decision the call belongs to.
            wait_s: Wait no longer than this, e.g. because the task has a deadline.

        Raises:
            BudgetExceededError: Some budget cannot hold it.
            StoreError: The ledger cannot be read or written; do not make the call.
        """
        request = Request.of(needed, budgets, trace_id)
        for pause_s in self._polls(wait_s):
            granted = self._try_reserve(request)
            if isinstance(granted, str):
                return granted
            if pause_s is None:
                raise granted
            self._sleep(pause_s)
        raise AssertionError  # pragma: no cover - the last poll returns or raises

    async def areserve(
        self,
        needed: Decimal,
        *,
        budgets: Sequence[Budget],
        trace_id: str,
        wait_s: float | None = None,
    ) -> str:
        """`reserve` for asyncio: no thread is held while it waits, so settlements can get through."""
        request = Request.of(needed, budgets, trace_id)
        loop = asyncio.get_running_loop()
        for pause_s in self._polls(wait_s):
            work = loop.run_in_executor(None, self._try_reserve, request)
            try:
                granted = await asyncio.shield(work)
            except asyncio.CancelledError:
                # The thread cannot be stopped: what it may still be granted, nobody will settle.
                work.add_done_callback(self._give_back)
                raise
            if isinstance(granted, str):
                return granted
            if pause_s is None:
                raise granted
            await asyncio.sleep(pause_s)
        raise AssertionError  # pragma: no cover - the last poll returns or raises

    def _give_back(self, work: asyncio.Future[str | BudgetExceededError]) -> None:
        if work.cancelled() or work.exception() is not None:
            return
        granted = work.result()
        if not isinstance(granted, str):
            return
        settle = functools.partial(
            self.settle, granted, Cost(usd=Decimal(0), source="free"), row={}
        )
        try:
            work.get_loop().run_in_executor(None, settle)
        except RuntimeError:  # the loop takes no more work, so waiting does it no harm
            settle()

    def _polls(self, wait_s: float | None) -> Iterator[float | None]:
        """Pauses between tries, growing with jitter; None before the last word."""
        longest_s = self._wait_s if wait_s is None else min(self._wait_s, wait_s)
        deadline = self._monotonic() + longest_s
        pause_s = _FIRST_POLL_S
        while (left_s := deadline - self._monotonic()) > 0:
            yield min(left_s, pause_s * self._rng.uniform(0.5, 1.5))
            pause_s = min(_LONGEST_POLL_S, pause_s * 1.6)
        yield None

    def _try_reserve(self, request: Request) -> str | BudgetExceededError:
        """One try: the id, or the error to raise if nothing settles. Raises when waiting is in vain."""
        with self._database.write() as connection:
            now_us = microseconds(self._clock())
            error = blocked(connection, request, now_us)
            if error is None:
                return insert_reservation(connection, request, now_us)
        self.reap()  # whoever is in the way may be dead
        return error

    def settle(self, reservation: str, cost: Cost, *, row: Mapping[str, object]) -> None:
        """Replace a reservation by what was really spent, even if that is more. Failed calls cost 0.

        A reservation that was reaped meanwhile gets a correction to the real cost.

        Args:
            reservation: Id from `reserve`.
            cost: The dollars and where the price came from.
            row: What to remember of the call, see `ledger_row`. Unknown or malformed values are left
                out with a warning, because the money is spent either way.

        Raises:
            StoreError: The reservation is unknown or was settled before, or the file fails.
        """
        cells, dropped = clean_row(row)
        estimated = cost.source == "worst_case" or row.get("estimated") is True
        with self._database.write() as connection:
            found = find_open(connection, reservation)
            kind: EntryKind = "settled"
            pico = to_pico(cost.usd)
            if found is None:
                found = find_reaped(connection, reservation)
                kind, pico = "correction", pico - found.pico
            booking = Booking(kind, pico, cost, estimated, cells)
            book(connection, found, booking, now_us=microseconds(self._clock()))
        if dropped:
            warnings.warn(
                f"ledger row values {sorted(dropped)} were left out: not a known name, or not of the"
                " right type",
                EffortctlWarning,
                stacklevel=2,
            )

    def reap(self) -> int:
        """Book reservations nobody will settle, at the reserved amount; return how many.

        Abandoned are those of dead processes (by process id and start time, on this boot and in this
        process-id namespace) and those older than `reaper_ttl_s`.

        Raises:
            StoreError: The file fails.
        """
        now_us = microseconds(self._clock())
        oldest_us = now_us - self._reaper_ttl_us
        with self._database.read() as connection:
            owners = [
                Owner(*row)
                for row in connection.execute(
                    "SELECT DISTINCT pid, started, host FROM reservations"
                )
            ]
            ((stale,),) = connection.execute(
                "SELECT count(*) FROM reservations WHERE reserved_us < ?", (oldest_us,)
            )
        me = current_owner()
        dead = [owner for owner in owners if owner != me and certainly_dead(owner)]
        if not dead and not stale:
            return 0
        with self._database.write() as connection:
            orphans = abandoned(connection, dead, oldest_us)
            nothing: list[Cell] = [None] * len(ROW_COLUMNS)
            for found in orphans:
                cost = Cost(usd=from_pico(found.pico), source="worst_case")
                booking = Booking("reaped", found.pico, cost, estimated=True, cells=nothing)
                book(connection, found, booking, now_us=now_us)
        return len(orphans)

    def adjust(self, adjustments: Iterable[Adjustment]) -> int:
        """Book what the provider's bill says of estimates; return how many. All of them or none.

        Booked amounts stay as they are: an adjustment is an entry of its own, in its call's windows and
        scopes. `stores.adjustments` makes them.

        Raises:
            StoreError: One of them has no estimate left to adjust, or the file fails.
        """
        count = 0
        with self._database.write() as connection:
            for adjustment in adjustments:
                found, cells = find_estimate(connection, adjustment.reservation)
                usd = adjustment.difference_usd
                pico, cost = to_pico(usd), Cost(usd=max(usd, Decimal(0)), source="reconciled")
                booking = Booking("adjustment", pico, cost, estimated=False, cells=cells)
                book(connection, found, booking, now_us=microseconds(self._clock()))
                count += 1
        return count

    # --- looking -------------------------------------------------------------------------------------

    def spent(self, budget: Budget, *, trace_id: str = "") -> Decimal:
        """Dollars booked under a budget in its present window.

        Args:
            budget: Which scope and window. Its limit does not matter.
            trace_id: Whose money, when the budget has no scope.
        """
        with self._database.read() as connection:
            now_us = microseconds(self._clock())
            return from_pico(standing(connection, budget, trace_id, now_us)[0])

    def reserved(self, budget: Budget, *, trace_id: str = "") -> Decimal:
        """Dollars set aside under a budget in its present window and not settled yet."""
        with self._database.read() as connection:
            now_us = microseconds(self._clock())
            return from_pico(standing(connection, budget, trace_id, now_us)[1])

    def entries(
        self, since: dt.datetime | None = None, *, until: dt.datetime | None = None
    ) -> Iterator[LedgerEntry]:
        """Entries in the order they were booked, whose money was set aside in `[since, until)`."""
        bounds = (
            -(2**63) if since is None else microseconds(since),
            2**63 - 1 if until is None else microseconds(until),
        )
        last = 0
        while rows := self._batch(last, bounds):
            yield from (entry for _, entry in rows)
            last = rows[-1][0]

    def _batch(self, last: int, bounds: tuple[int, int]) -> list[tuple[int, LedgerEntry]]:
        # Read in batches so that a slow consumer keeps neither the lock nor old pages in use.
        with self._database.read() as connection:
            return read_entries(connection, after=last, bounds=bounds, limit=_BATCH)

    def totals(
        self, by: GroupBy = "arm", *, since: dt.datetime | None = None
    ) -> dict[str, LedgerTotal]:
        """Sums per arm, per day (UTC) or per model."""
        return total_by(self.entries(since), by)

    def export(
        self, fmt: ExportFormat = "csv", *, since: dt.datetime | None = None
    ) -> Iterator[str]:
        """Entries as lines of text without line breaks; CSV starts with the column names."""
        return export_lines(self.entries(since), fmt)

    def check(self) -> list[str]:
        """What is wrong with the file, one sentence each; empty when nothing is."""
        with self._database.read() as connection:
            return problems(connection)

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class MemoryLedger(SqliteLedger):
    """A ledger without a file: same rules, for the threads of one process, gone when it ends.

    A forked child goes on with a copy of its own.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], dt.datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
        wait_s: float = 10.0,
        reaper_ttl_s: float = 3600.0,
    ) -> None:
        """See `SqliteLedger`."""
        super().__init__(
            clock=clock,
            monotonic=monotonic,
            sleep=sleep,
            rng=rng,
            wait_s=wait_s,
            reaper_ttl_s=reaper_ttl_s,
        )

    def _locate(self, path: str | Path | None) -> Path | None:
        del path
        return None
