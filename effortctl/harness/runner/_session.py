"""A session of a run: does what is missing, keeps what is done, and can be stopped at any moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from effortctl._errors import BudgetExceededError
from effortctl._types import Answer, Arm, Budget, Cost
from effortctl.harness.runner._calls import Caller, Gated, StoppedError
from effortctl.harness.runner._checks import Checks
from effortctl.harness.runner._inputs import Inputs
from effortctl.harness.runner._journal import History, Journal
from effortctl.harness.runner._limits import Gate
from effortctl.harness.runner._live import LivePolicies
from effortctl.harness.runner._purse import Purse
from effortctl.harness.runner._sample import Cell, Sample, Score
from effortctl.harness.runner._table import (
    Drafts,
    RunSummary,
    Stop,
    failures,
    notes_on,
    standing,
)
from effortctl.harness.runner._tools import Progress, Tools, on_sigint
from effortctl.protocols import AsyncBackend
from effortctl.stores import SqliteLedger

SYNC_S = 1.0
PROGRESS_S = 0.1
CACHE_LOOKS = 200
"""Looks into the response cache per turn of a thread."""

SCORERS = 4

_JUDGE = Arm(name="judge", model="judge")

Queue: TypeAlias = asyncio.Queue[tuple[Cell, Sample | None] | None]
Paid: TypeAlias = Mapping[int, tuple[str, Decimal]]


class Session:
    """One process's work on a run.

    Attributes:
        drafts: Rows of the outcome table that are made already.
    """

    def __init__(
        self,
        inputs: Inputs,
        history: History,
        *,
        journal: Journal,
        ledger: SqliteLedger,
        budget: Budget,
        backends: Mapping[str, AsyncBackend],
        tools: Tools,
    ) -> None:
        """Prepare; nothing is called yet.

        Args:
            inputs: The run.
            history: What is known already; grows as cells are finished.
            journal: Where that is written.
            ledger: Where dollars are booked.
            budget: The limit of the run.
            backends: By endpoint name.
            tools: Everything else.
        """
        self._inputs = inputs
        self._history = history
        self._journal = journal
        self._tools = tools
        self._ledger = ledger
        self._budget = budget
        self._checks = Checks(inputs.dataset)
        self.drafts = Drafts(inputs)
        self._raw_backends = backends
        cells = list(inputs.cells())
        self._earlier = [cell for cell in cells if cell in history.answered]
        self._todo = [cell for cell in cells if cell not in history.answered]
        self._done = len(self._earlier)
        self._errors: Counter[str] = Counter()
        self._called = self._cached = self._scored = 0
        self._stop: Stop | None = None
        self._started_s = tools.clock()
        self._shown_s = float("-inf")

    # --- the session -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do what is missing, or as much as the budget and the user allow."""
        self._assemble()
        self._refuse_unknown_prices()
        with on_sigint(self.interrupt if self._tools.handle_sigint else None):
            beat = asyncio.create_task(self._beat())
            try:
                await self._all_cells()
                await self._all_scores()
            finally:
                beat.cancel()
                await self._caller.flush()
                await self._purse.close()
                await self._close_backends()
        self._show(last=True)

    def _assemble(self) -> None:
        """What lives in the event loop is made in it."""
        tools, config = self._tools, self._inputs.config
        self._stopping = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        names = {arm.endpoint.name for arm in self._inputs.arms}
        self._gates = {
            name: Gate(
                config.max_concurrency,
                rpm=config.rpm,
                tpm=config.tpm,
                clock=tools.clock,
                sleep=self._nap,
                cooldown_s=tools.cooldown_s,
                start=tools.start,
            )
            for name in names
        }
        self._live = LivePolicies(
            self._inputs,
            self._checks,
            backends={n: Gated(self._raw_backends[n], self._gates[n]) for n in names},
            ledger=self._ledger,
            budget=self._budget,
            prices=tools.prices,
            sleep=self._nap,
            rng=tools.rng,
        )
        self._purse = Purse(
            self._ledger,
            budget=self._budget,
            limited=config.budget_usd is not None,
            journal=self._journal,
            busy=lambda: self._live.busy > 0,
            clock=tools.clock,
        )
        self._caller = Caller(
            self._inputs,
            backends=self._raw_backends,
            gates=self._gates,
            purse=self._purse,
            journal=self._journal,
            prices=tools.prices,
            cache=tools.cache,
            first_wire=self._history.last_wire,
            nap=self._nap,
            stopped=self._stopping.is_set,
            rng=tools.rng,
        )

    def _refuse_unknown_prices(self) -> None:
        """With a budget, every arm must have a price before the first dollar is spent."""
        if self._inputs.config.budget_usd is None or not self._inputs.cases:
            return
        case = next(iter(self._inputs.cases))
        for arm in self._inputs.arms:
            self._tools.prices.worst_case(self._inputs.call(Cell(arm.name, case, 0)))

    async def _all_cells(self) -> None:
        count = min(self._inputs.config.max_concurrency, len(self._todo))
        queue: Queue = asyncio.Queue(maxsize=CACHE_LOOKS)
        works = [self._feed(queue, count), *(self._work(queue) for _ in range(count))]
        await self._together(works)

    async def _feed(self, queue: Queue, workers: int) -> None:
        """Hand out what is missing, with the answer where the response cache has it."""
        for first in range(0, len(self._todo), CACHE_LOOKS):
            cells = self._todo[first : first + CACHE_LOOKS]
            known = await self._known(cells)
            for cell in cells:
                if self._stopping.is_set():
                    break
                await queue.put((cell, known.get(cell)))
        for _ in range(workers):
            await queue.put(None)

    async def _known(self, cells: Sequence[Cell]) -> dict[Cell, Sample]:
        """What the cache has; looked up many at a time, because each look may wait for the disk."""
        if self._tools.cache is None or self._stopping.is_set():
            return {}
        arms = [cell for cell in cells if cell.arm not in self._live]
        found = await asyncio.to_thread(lambda: list(self._caller.from_cache(arms)))
        return {sample.cell: sample for sample in found}

    async def _all_scores(self) -> None:
        """Score what an earlier session left without a score, or had scored by something else."""
        stale = iter([cell for cell in self._earlier if self._needs_score(cell)])
        if self._stop is None:
            await self._together([self._score_them(stale) for _ in range(SCORERS)])

    async def _together(self, works: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Do things at the same time; the first fault ends them all."""
        self._workers = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(self._workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in self._workers:
                worker.cancel()
            ended = await asyncio.gather(*self._workers, return_exceptions=True)
        faults = [fault for fault in ended if isinstance(fault, Exception)]
        if faults:
            raise faults[0]

    async def _work(self, queue: Queue) -> None:
        """Do cell after cell; once the session is being stopped, let the rest go by."""
        while (item := await queue.get()) is not None:
            cell, known = item
            if self._stopping.is_set():
                continue
            if known is not None:
                await self._finish(known, {})
            elif cell.arm not in self._caller.hopeless:
                await self._do(cell)

    async def _do(self, cell: Cell) -> None:
        try:
            sample, paid = await self._get(cell)
        except StoppedError:
            return
        except BudgetExceededError:
            self._end("budget")
            return
        await self._finish(sample, paid)

    async def _get(self, cell: Cell) -> tuple[Sample, Paid]:
        if cell.arm in self._live:
            return await self._live.sample(cell), {}
        return await self._caller.sample(cell, before=self._history.failed.get(cell))

    async def _finish(self, sample: Sample, paid: Paid) -> None:
        """Keep an answer, and score it; a check that takes long must not delay the keeping."""
        cell = sample.cell
        if not sample.answered:
            self._journal.sample(sample, paid)
            self._history.failed[cell] = sample
            self._errors[sample.kind or "error"] += 1
            self._show()
            return
        case, answer = self._inputs.cases[cell.case], sample.answer()
        if self._checks.is_quick(case):
            sample = sample.scored(await self._judged(case, answer, cell))
            self._journal.sample(sample, paid)
        else:
            self._journal.sample(sample, paid)
            self._journal.flush()
            self._history.answered[cell] = sample
            score = await self._judged(case, answer, cell)
            self._journal.score(cell, score)
            sample = sample.scored(score)
        self._history.failed.pop(cell, None)
        self._history.answered[cell] = sample
        self.drafts.add(sample)
        self._done += 1
        self._cached += sample.cached
        self._called += not sample.cached
        self._show()

    # --- scoring -----------------------------------------------------------------------------------

    def _needs_score(self, cell: Cell) -> bool:
        sample = self._history.answered[cell]
        key = self._checks.key(self._inputs.cases[cell.case])
        return sample.score is None or sample.score.check != key

    async def _score_them(self, cells: Iterator[Cell]) -> None:
        for cell in cells:
            if self._stopping.is_set():
                return
            sample = self._history.answered[cell]
            score = await self._judged(self._inputs.cases[cell.case], sample.answer(), cell)
            self._journal.score(cell, score)
            self._history.answered[cell] = sample.scored(score)
            self._scored += 1

    async def _judged(self, case: Any, answer: Answer, cell: Cell) -> Score:
        score = await self._checks.score(case, answer)
        if score.usd and cell.arm not in self._live:
            await self._purse.book(Cost(usd=score.usd, source="verifier"), arm=_JUDGE)
        return score

    # --- stopping ----------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Start no further call; a second time: give up those in flight."""
        if self._stop == "interrupted":
            for worker in self._workers:
                worker.cancel()
        self._end("interrupted")

    def _end(self, why: Stop) -> None:
        self._stop = why
        self._stopping.set()

    async def _nap(self, seconds: float) -> None:
        """Wait, unless the session is being stopped.

        Raises:
            StoppedError: It is.
        """
        sleeping = asyncio.ensure_future(self._tools.sleep(seconds))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()
        if self._stopping.is_set():
            raise StoppedError

    async def _close_backends(self) -> None:
        if self._tools.backends is None:
            for backend in self._raw_backends.values():
                if hasattr(backend, "aclose"):
                    await backend.aclose()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(SYNC_S)
            await asyncio.to_thread(self._journal.sync)
            self._show()

    # --- telling -----------------------------------------------------------------------------------

    def _show(self, *, last: bool = False) -> None:
        tell, now = self._tools.on_progress, self._tools.clock()
        if tell is None or (not last and now - self._shown_s < PROGRESS_S):
            return
        self._shown_s = now
        finished = self._done - len(self._earlier)
        left = len(self._todo) - finished - sum(self._errors.values())
        rate = finished / (now - self._started_s) if now > self._started_s else 0.0
        tell(
            Progress(
                done=self._done,
                total=self._inputs.total,
                spent_usd=self.spent_usd,
                eta_s=left / rate if rate else None,
                in_flight=sum(gate.in_flight for gate in self._gates.values()),
                allowed=sum(gate.window.size for gate in self._gates.values()),
                errors=dict(self._errors),
            )
        )

    @property
    def spent_usd(self) -> Decimal:
        """Dollars paid in this session."""
        return self._purse.spent + self._live.spent

    def _total_spent(self) -> Decimal:
        """What the ledger holds of this run; without a limit, live policies book outside its scope."""
        booked = self._ledger.spent(self._budget)
        if self._inputs.config.budget_usd is not None:
            return booked
        samples = (*self._history.answered.values(), *self._history.failed.values())
        return booked + sum((s.spent_usd for s in samples if s.cell.arm in self._live), Decimal(0))

    def summary(self, folder: Path, rows: Any) -> RunSummary:
        """How the run stands."""
        quality, cost_usd = standing(rows)
        failed = failures(self._inputs, self._history)
        notes = notes_on(self._inputs, self._history, unscored=failed.total())
        notes += [f"{name} was given up: {why}" for name, why in self._caller.hopeless.items()]
        notes += [
            f"{name}: the endpoint refused its effort, {arm.sent_effort!r} was sent instead"
            for name, arm in self._caller.narrowed.items()
        ]
        return RunSummary(
            folder=folder,
            total=self._inputs.total,
            done=self._done,
            failed=dict(failed),
            called=self._called,
            cached=self._cached,
            scored=self._scored,
            spent_usd=self.spent_usd,
            total_spent_usd=self._total_spent(),
            stopped=self._stop,
            rows=len(rows),
            quality=quality,
            cost_usd=cost_usd,
            notes=tuple(notes),
        )
