"""The money of a run: set aside in tranches, so that the ledger's disk is touched once for many calls.

A tranche is one reservation of the ledger. Calls take their worst case from it in memory and bring back
what they really cost; when the last of them is back, the ledger gets the sum. Whatever happens, what is
in flight is covered by a reservation, so no limit of the ledger is ever broken. After a crash the
journal says what a tranche really cost (`History.unsettled`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from effortctl._errors import BudgetExceededError, StoreError
from effortctl._types import Arm, Budget, Cost, Usage
from effortctl.harness.runner._journal import Journal
from effortctl.stores import SqliteLedger

CALLS = 256
"""Calls a tranche is meant for. The next one is fetched when half of them are made."""

LONGEST_S = 30.0
"""Seconds after which a tranche takes no further calls, so that the ledger is never far behind."""

NO_LIMIT = Decimal(1_000_000)
_SHARE = 4
_POLL_S = 0.5
_COUNTS = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")


@dataclass(slots=True)
class Tranche:
    """Dollars set aside for the next calls of one arm.

    Attributes:
        id: The ledger's reservation.
        arm: Who the calls go to.
        left: Dollars not yet taken.
        opened_at: Monotonic seconds.
        taken: Calls that took from it.
        open: Calls that are not back.
        paid: What those that are back cost.
        retired: It takes no further calls.
        estimated: Some of `paid` is an upper bound.
    """

    id: str
    arm: Arm
    left: Decimal
    opened_at: float
    taken: int = 0
    open: int = 0
    paid: Decimal = Decimal(0)
    retired: bool = False
    estimated: bool = False
    source: str = "none"
    tokens: dict[str, int] = field(default_factory=dict)
    compute_s: float = 0.0
    latency_s: float = 0.0


class Purse:
    """Hands out money for single calls.

    Args:
        ledger: Where the dollars are booked.
        budget: The limit of the run; its scope is what the run has spent so far, in all sessions.
        limited: False when there is no limit: then nothing is set aside, only booked.
        journal: Told when a tranche is settled.
        busy: True while something else spends under the same budget and may give back.
        clock: Monotonic seconds.

    Attributes:
        spent: Dollars paid through this purse.
    """

    def __init__(
        self,
        ledger: SqliteLedger,
        *,
        budget: Budget,
        limited: bool,
        journal: Journal,
        busy: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._budget = budget
        self._limited = limited
        self._journal = journal
        self._busy = busy
        self._clock = clock
        self._current: dict[str, Tranche] = {}
        self._next: dict[str, Tranche] = {}
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._reserving = asyncio.Lock()
        self._changed = asyncio.Event()
        self._settling: set[asyncio.Task[None]] = set()
        self._open = 0
        self.spent = Decimal(0)

    async def take(self, arm: Arm, needed: Decimal) -> Tranche:
        """Set `needed` dollars aside for one wire request.

        Waits as long as calls that are in flight may still give something back.

        Raises:
            BudgetExceededError: The budget cannot hold it.
            StoreError: The ledger fails; no call must be made.
        """
        needed = needed if self._limited else Decimal(0)
        tranche = self._usable(arm, needed)
        if tranche is None:
            async with self._reserving:
                tranche = self._usable(arm, needed) or await self._reserve(arm, needed)
        tranche.left -= needed
        tranche.taken += 1
        tranche.open += 1
        self._open += 1
        if tranche.taken == CALLS // 2:
            self._fetch(arm, needed)
        return tranche

    def pay(
        self, tranche: Tranche, cost: Cost, *, usage: Usage | None = None, **seconds: float
    ) -> None:
        """A wire request is back; say what it cost."""
        self.charge(tranche, cost)
        for name in _COUNTS if usage is not None else ():
            tranche.tokens[name] = tranche.tokens.get(name, 0) + getattr(usage, name)
        tranche.latency_s += seconds.get("latency_s", 0.0)
        tranche.compute_s += seconds.get("compute_s", 0.0)
        tranche.open -= 1
        self._open -= 1
        self._settle_when_done(tranche)

    def charge(self, tranche: Tranche, cost: Cost) -> None:
        """Add dollars that are spent already, such as those of a judge."""
        tranche.paid += cost.usd
        tranche.source = cost.source
        tranche.estimated = tranche.estimated or cost.source == "worst_case"
        self.spent += cost.usd

    async def book(self, cost: Cost, *, arm: Arm) -> None:
        """Book dollars spent outside any call, such as those of a judge."""
        if cost.usd:
            self.spent += cost.usd
            await asyncio.to_thread(self._book, cost, arm)

    async def close(self) -> None:
        """Settle everything; calls that are still open are booked with what they set aside."""
        await asyncio.gather(*self._fetching.values())
        self._retire_all()
        while self._settling:
            await asyncio.gather(*self._settling)

    # --- reserving ---------------------------------------------------------------------------------

    def _usable(self, arm: Arm, needed: Decimal) -> Tranche | None:
        found = self._current.get(arm.name)
        if found is None:
            return None
        fresh = found.taken < CALLS and self._clock() - found.opened_at < LONGEST_S
        return found if fresh and found.left >= needed else None

    async def _reserve(self, arm: Arm, needed: Decimal) -> Tranche:
        self._retire(arm.name)
        if (fetching := self._fetching.get(arm.name)) is not None:
            await asyncio.wait({fetching})
        if (fetched := self._next.pop(arm.name, None)) is not None:
            self._current[arm.name] = fetched
            if fetched.left >= needed:
                return fetched
            self._retire(arm.name)
        while True:
            self._changed.clear()
            amount = await asyncio.to_thread(self._amount, needed)
            try:
                name = await self._ledger.areserve(
                    amount, budgets=[self._budget], trace_id=str(self._budget.scope), wait_s=0.0
                )
            except BudgetExceededError:
                if not self._may_come_back():
                    raise
                await self._wait()
                continue
            tranche = Tranche(name, arm, amount, self._clock())
            self._current[arm.name] = tranche
            return tranche

    def _fetch(self, arm: Arm, needed: Decimal) -> None:
        """Reserve the next tranche while calls still take from the present one."""
        if arm.name not in self._fetching and arm.name not in self._next:
            task = asyncio.get_running_loop().create_task(self._fetched(arm, needed))
            self._fetching[arm.name] = task
            task.add_done_callback(lambda _: self._fetching.pop(arm.name, None))

    async def _fetched(self, arm: Arm, needed: Decimal) -> None:
        amount = await asyncio.to_thread(self._amount, needed)
        if amount < needed * CALLS:
            return  # the limit is near: what is set aside here, another arm may need
        try:
            name = await self._ledger.areserve(
                amount, budgets=[self._budget], trace_id=str(self._budget.scope), wait_s=0.0
            )
        except BudgetExceededError:
            return
        self._next[arm.name] = Tranche(name, arm, amount, self._clock())

    def _amount(self, needed: Decimal) -> Decimal:
        """Enough for many calls while there is plenty, less and less as the limit comes near."""
        if not needed:
            return needed
        gone = self._ledger.spent(self._budget) + self._ledger.reserved(self._budget)
        share = (self._budget.limit_usd - gone) / _SHARE
        return max(needed, min(needed * CALLS, share))

    def _may_come_back(self) -> bool:
        """Whether waiting can help; what other tranches keep in hand is given back at once."""
        ours = self._settling or self._current or self._next or self._fetching
        waiting = self._open > 0 or bool(ours) or self._busy()
        self._retire_all()
        return waiting

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_POLL_S):
                await self._changed.wait()
        except TimeoutError:
            pass  # something outside this purse may have given back

    # --- settling ----------------------------------------------------------------------------------

    def _retire_all(self) -> None:
        for name in [*self._current]:
            self._retire(name)
        for name in [*self._next]:
            self._current[name] = self._next.pop(name)
            self._retire(name)

    def _retire(self, name: str) -> None:
        tranche = self._current.pop(name, None)
        if tranche is not None:
            tranche.retired = True
            self._settle_when_done(tranche)

    def _settle_when_done(self, tranche: Tranche) -> None:
        if tranche.open or not tranche.retired:
            return
        task = asyncio.get_running_loop().create_task(self._settle(tranche))
        self._settling.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._settling.discard(task)
        self._changed.set()

    async def _settle(self, tranche: Tranche) -> None:
        source = "worst_case" if tranche.estimated else tranche.source
        cost = Cost(usd=tranche.paid, source=source)
        row = _row(tranche)
        await asyncio.to_thread(self._ledger.settle, tranche.id, cost, row=row)
        self._journal.settled(tranche.id)

    def _book(self, cost: Cost, arm: Arm) -> None:
        scope = str(self._budget.scope)
        ticket = self._ledger.reserve(Decimal(0), budgets=[self._budget], trace_id=scope)
        self._ledger.settle(ticket, cost, row={"arm": arm.name, "model": arm.model})


def _row(tranche: Tranche) -> dict[str, Any]:
    """What the ledger keeps: the sums over the calls of the tranche."""
    arm = tranche.arm
    row: dict[str, Any] = {
        "arm": arm.name,
        "model": arm.model,
        "requested_effort": arm.effort,
        "effective_effort": arm.sent_effort,
        "latency_s": tranche.latency_s,
        **tranche.tokens,
    }
    return row | ({"compute_s": tranche.compute_s} if tranche.compute_s else {})


def settle_after_crash(ledger: SqliteLedger, unsettled: Mapping[str, Decimal]) -> list[str]:
    """Book what a process that died had not booked; return the tranches that are done with.

    A reservation the ledger does not know, or has seen settled, needs nothing more.
    """
    for name, usd in unsettled.items():
        try:
            ledger.settle(name, Cost(usd=usd, source="worst_case"), row={})
        except StoreError as error:
            if "settled before" not in str(error) and "not in this ledger" not in str(error):
                raise
    return list(unsettled)
