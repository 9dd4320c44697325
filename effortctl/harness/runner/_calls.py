"""One cell of the matrix: from the cache, or by wire requests with retries, each paid for in advance.

Money comes before the place in the gate, here as in live policies: were it the other way round, calls
that wait for money could hold every place of those whose end would give it back.
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from effortctl._errors import (
    BackendError,
    EffortctlError,
    EffortctlWarning,
    TransientBackendError,
    UnknownPriceError,
    UnsupportedEffortError,
    UsageError,
)
from effortctl._pricing import charge_unknown
from effortctl._types import Answer, Arm, Call, Cost
from effortctl.catalog import narrow
from effortctl.harness.runner._inputs import Inputs
from effortctl.harness.runner._journal import Journal
from effortctl.harness.runner._limits import Gate, Sleep
from effortctl.harness.runner._purse import Purse, Tranche
from effortctl.harness.runner._sample import Cell, Sample
from effortctl.protocols import AsyncBackend, Cache, PriceBook
from effortctl.stores import cache_key

WAIT_FIRST_S = 0.5
WAIT_MAX_S = 8.0
RATE_LIMIT_TRIES = 10
"""A rate limit says nothing about the call, and the gate narrows meanwhile, so it is tried longer."""

HOPELESS = frozenset({"auth", "quota", "not_found"})
"""Causes that every further call of the arm would meet as well."""

NAMESPACE = "eval"
_CACHE_BATCH = 100
_MESSAGE_CHARS = 300
_BYTES_PER_TOKEN = 4
_MEMORY = 0.1


class StoppedError(Exception):
    """The run is being stopped, so this call was not made."""


@dataclass(slots=True)
class _Bill:
    """What a cell has cost so far."""

    usd: Decimal = Decimal(0)
    priced: bool = True
    calls: int = 0
    paid: dict[int, tuple[str, Decimal]] = field(default_factory=dict)

    def add(self, wire: int, tranche: str, cost: Cost) -> None:
        self.usd += cost.usd
        self.priced = self.priced and cost.source != "unknown"
        self.paid[wire] = (tranche, cost.usd)


class Caller:
    """Gets answers.

    Args:
        inputs: The run.
        backends: By endpoint name.
        gates: By endpoint name.
        purse: Pays.
        journal: Told of every wire request before it is sent.
        prices: Knows what calls cost.
        cache: Keeps complete answers. None: none.
        first_wire: Number of the first wire request.
        nap: Waits between tries; raises StoppedError when the run is stopped meanwhile.
        stopped: True once no further call must be made.
        rng: Jitters those waits.

    Attributes:
        hopeless: Arms that are not called any more, and why.
        narrowed: Arms whose effort the endpoint refused, with the one that is sent instead.
    """

    def __init__(  # noqa: PLR0913 - one keyword per part of a call
        self,
        inputs: Inputs,
        *,
        backends: Mapping[str, AsyncBackend],
        gates: Mapping[str, Gate],
        purse: Purse,
        journal: Journal,
        prices: PriceBook,
        cache: Cache | None,
        first_wire: int,
        nap: Sleep,
        stopped: Callable[[], bool],
        rng: random.Random,
    ) -> None:
        self._stopped = stopped
        self._inputs = inputs
        self._backends = backends
        self._gates = gates
        self._purse = purse
        self._journal = journal
        self._prices = prices
        self._cache = cache
        self._wire = first_wire
        self._nap = nap
        self._rng = rng
        self._output_tokens: dict[str, float] = {}
        self._to_cache: list[tuple[str, Answer]] = []
        self._looked_up: dict[Cell, tuple[Call, str | None]] = {}
        self.hopeless: dict[str, str] = {}
        self.narrowed: dict[str, Arm] = {}

    async def sample(
        self, cell: Cell, *, before: Sample | None = None
    ) -> tuple[Sample, Mapping[int, tuple[str, Decimal]]]:
        """Get the answer of a cell, and what each of its wire requests cost.

        Args:
            cell: Which.
            before: An earlier failure of the same cell, whose dollars count as well.

        Raises:
            BudgetExceededError: There is no money for it.
            StoppedError: The run is being stopped.
            StoreError: The ledger or the journal fails.
            ConfigError: The endpoint cannot be used at all.
        """
        bill = _Bill()
        known = cell in self._looked_up
        call, key = self._looked_up.pop(cell) if known else self._asked(cell)
        try:
            answer = await self._with_retries(cell, call, bill)
        except (BackendError, UsageError) as fault:
            return self._failure(cell, bill, fault, before), bill.paid
        if key is not None and answer.finish == "complete":
            await self._keep(key, answer)
        earlier = before.cost_usd if before is not None else Decimal(0)
        return self._success(cell, answer, bill=bill, earlier=earlier), bill.paid

    def from_cache(self, cells: Iterable[Cell]) -> Iterator[Sample]:
        """The answers that are known from earlier runs. Blocks on the disk."""
        cache = self._cache
        if cache is None:
            return
        for cell in cells:
            call, key = self._asked(cell)
            answer = None if key is None else cache.get(key)
            if answer is not None:
                yield self._cached(cell, call, answer)
            else:
                self._looked_up[cell] = call, key

    def _asked(self, cell: Cell) -> tuple[Call, str | None]:
        """The wire request of a cell, and where the response cache keeps its answer, if it does."""
        call = self._inputs.call(cell)
        kept = self._cache is not None and _keeps(call)
        return call, cache_key(call, namespace=NAMESPACE) if kept else None

    async def flush(self) -> None:
        """Store the answers that wait for the cache."""
        batch, self._to_cache = self._to_cache, []
        if batch and self._cache is not None:
            await asyncio.to_thread(_store, self._cache, batch)

    # --- trying ------------------------------------------------------------------------------------

    async def _with_retries(self, cell: Cell, call: Call, bill: _Bill) -> Answer:
        narrowed = self.narrowed.get(call.arm.name)
        if narrowed is not None:
            call = replace(call, arm=narrowed)
        tries = 0
        while True:
            try:
                return await self._request(cell, call, bill)
            except UnsupportedEffortError as fault:
                call = self._renarrowed(call, fault)
            except TransientBackendError as fault:
                tries += 1
                most = self._inputs.config.max_calls
                if fault.kind == "rate_limit":
                    most = max(most, RATE_LIMIT_TRIES)
                if tries >= most:
                    raise
                await self._nap(self._wait_s(fault, tries))

    async def _request(self, cell: Cell, call: Call, bill: _Bill) -> Answer:
        """One wire request: set aside, wait for a place, call, pay."""
        gate = self._gates[call.arm.endpoint.name]
        needed = self._needed(call)
        tranche = await self._purse.take(call.arm, needed)
        expected = self._expected_tokens(call)
        try:
            await self._enter(gate, expected)
        except BaseException:
            self._purse.pay(tranche, Cost(usd=Decimal(0), source="free"))
            raise
        self._wire += 1
        wire = self._wire
        try:
            self._journal.start(cell, wire=wire, tranche=tranche.id, usd=needed)
            bill.calls += 1
            answer = await self._backends[call.arm.endpoint.name].complete(call)
        except BaseException as fault:
            gate.window.failed(fault)
            self._pay_fault(call, tranche, wire=wire, bill=bill, fault=fault)
            raise
        finally:
            gate.leave()
        gate.window.succeeded()
        self._correct(gate, call, answer, expected)
        self._pay_answer(call, tranche, wire=wire, bill=bill, answer=answer)
        return answer

    async def _enter(self, gate: Gate, tokens: float) -> None:
        await gate.enter(tokens)
        if self._stopped():
            gate.leave()
            raise StoppedError

    def _renarrowed(self, call: Call, fault: UnsupportedEffortError) -> Call:
        known = self.narrowed.get(call.arm.name)
        if known is not None and known != call.arm:
            return replace(call, arm=known)  # another call of this arm has found out meanwhile
        arm = narrow(call.arm, fault.supported)
        if arm == call.arm:
            raise fault
        self.narrowed[arm.name] = arm
        return replace(call, arm=arm)

    def _wait_s(self, fault: TransientBackendError, tries: int) -> float:
        if fault.retry_after_s is not None:
            return fault.retry_after_s
        ceiling: float = min(WAIT_MAX_S, WAIT_FIRST_S * 2.0 ** (tries - 1))
        return ceiling * self._rng.uniform(0.5, 1.0)

    # --- money -------------------------------------------------------------------------------------

    def _needed(self, call: Call) -> Decimal:
        if self._inputs.config.budget_usd is None:
            return Decimal(0)
        return self._prices.worst_case(call).usd

    def _pay_answer(
        self, call: Call, tranche: Tranche, *, wire: int, bill: _Bill, answer: Answer
    ) -> None:
        cost = self._price(call, answer)
        bill.add(wire, tranche.id, cost)
        self._purse.pay(
            tranche,
            cost,
            usage=answer.usage,
            latency_s=answer.latency_s,
            compute_s=answer.compute_s or 0.0,
        )

    def _pay_fault(
        self, call: Call, tranche: Tranche, *, wire: int, bill: _Bill, fault: BaseException
    ) -> None:
        """Nothing if the request was rejected, else the worst case."""
        rejected = isinstance(fault, BackendError) and not fault.billed
        cost = Cost(usd=Decimal(0), source="rejected") if rejected else self._worst(call)
        bill.add(wire, tranche.id, cost)
        self._purse.pay(tranche, cost)

    def _price(self, call: Call, answer: Answer) -> Cost:
        try:
            return self._prices.cost(call.arm, answer)
        except UsageError:
            return self._worst(call)
        except UnknownPriceError as error:
            warnings.warn(f"{error}; its dollars are left out", EffortctlWarning, stacklevel=2)
            return Cost(usd=Decimal(0), source="unknown")

    def _worst(self, call: Call) -> Cost:
        try:
            return charge_unknown(self._prices.worst_case(call))
        except UnknownPriceError:
            return Cost(usd=Decimal(0), source="unknown")

    # --- tokens ------------------------------------------------------------------------------------

    def _expected_tokens(self, call: Call) -> float:
        """What the call will probably take of a token rate; only asked for when there is one."""
        if self._inputs.config.tpm is None:
            return 0.0
        written = self._output_tokens.get(call.arm.name, float(call.max_output_tokens))
        return len(call.task.text.encode()) / _BYTES_PER_TOKEN + written

    def _correct(self, gate: Gate, call: Call, answer: Answer, expected: float) -> None:
        if self._inputs.config.tpm is None or answer.usage is None:
            return
        wrote = float(answer.usage.output_tokens)
        mean = self._output_tokens.get(call.arm.name, wrote)
        self._output_tokens[call.arm.name] = mean + _MEMORY * (wrote - mean)
        gate.correct(answer.usage.input_tokens + wrote - expected)

    # --- samples -----------------------------------------------------------------------------------

    def _cached(self, cell: Cell, call: Call, answer: Answer) -> Sample:
        cost = self._price(call, answer)
        bill = _Bill(usd=cost.usd, priced=cost.source != "unknown")
        found = self._success(cell, answer, bill=bill, earlier=Decimal(0))
        return replace(found, cached=True, spent_usd=Decimal(0))

    def _success(self, cell: Cell, answer: Answer, *, bill: _Bill, earlier: Decimal) -> Sample:
        arm = self.narrowed.get(cell.arm, self._inputs.arm_named[cell.arm])
        return Sample(
            cell=cell,
            arm_key=self._inputs.arm_keys[cell.arm],
            case_key=self._inputs.case_key(cell.case),
            cost_usd=bill.usd + earlier,
            spent_usd=bill.usd,
            priced=bill.priced,
            calls=bill.calls,
            text=answer.text,
            finish=answer.finish,
            usage=answer.usage,
            latency_s=answer.latency_s,
            compute_s=answer.compute_s,
            effort=arm.sent_effort,
            model=answer.model,
        )

    def _failure(
        self, cell: Cell, bill: _Bill, fault: EffortctlError, before: Sample | None
    ) -> Sample:
        kind = getattr(fault, "kind", "usage")
        if kind in HOPELESS:
            self.hopeless.setdefault(cell.arm, str(fault))
        return Sample(
            cell=cell,
            arm_key=self._inputs.arm_keys[cell.arm],
            case_key=self._inputs.case_key(cell.case),
            cost_usd=bill.usd + (before.cost_usd if before is not None else Decimal(0)),
            spent_usd=bill.usd,
            priced=bill.priced,
            calls=bill.calls,
            error=type(fault).__name__,
            kind=kind,
            message=str(fault)[:_MESSAGE_CHARS],
        )

    async def _keep(self, key: str, answer: Answer) -> None:
        self._to_cache.append((key, answer))
        if len(self._to_cache) >= _CACHE_BATCH:
            await self.flush()


def _keeps(call: Call) -> bool:
    """Which file a local model or a recording came from is not part of a key, so these are not kept."""
    return call.arm.endpoint.kind == "openai"


def _store(cache: Cache, batch: list[tuple[str, Answer]]) -> None:
    for key, answer in batch:
        cache.set(key, answer)


class Gated:
    """A backend whose calls pass a gate; for live policies, whose controller pays by itself."""

    def __init__(self, backend: Any, gate: Gate) -> None:
        self._backend = backend
        self._gate = gate

    async def complete(self, call: Call) -> Answer:
        """As the backend's own."""
        await self._gate.enter(0.0)
        try:
            answer: Answer = await self._backend.complete(call)
        except BaseException as fault:
            self._gate.window.failed(fault)
            raise
        finally:
            self._gate.leave()
        self._gate.window.succeeded()
        return answer
