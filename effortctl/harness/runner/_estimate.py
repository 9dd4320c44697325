"""What a run will probably cost, before it is started."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from effortctl._types import Answer, Arm, Effort, Usage
from effortctl.harness.runner._inputs import Inputs
from effortctl.harness.runner._journal import History, read_history
from effortctl.harness.runner._sample import Cell
from effortctl.protocols import PriceBook

FEWEST = 5
"""Recorded answers of an arm from which its costs are taken instead of a guess."""

TYPICAL_OUTPUT_TOKENS: Final[Mapping[Effort, int]] = {
    "default": 900,
    "none": 200,
    "minimal": 250,
    "low": 500,
    "medium": 1200,
    "high": 3000,
    "xhigh": 7000,
    "max": 15_000,
}
"""Our own rule of thumb for one answer, reasoning included; the estimate says so and spans a wide range."""

_SPREAD = 3
_BYTES_PER_TOKEN = 4
_DRAWS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEstimate:
    """What the missing answers of one arm, or live policy, will probably cost.

    Attributes:
        name: The arm or policy.
        calls: Answers that are missing.
        low_usd: 5 % quantile of their sum; for a guess, a third of the middle.
        usd: Median of their sum.
        high_usd: 95 % quantile; for a guess, three times the middle.
        worst_usd: If every answer used its whole output cap.
        basis: Where this comes from, for people.
        recorded: Whether it comes from recorded answers.
    """

    name: str
    calls: int
    low_usd: float
    usd: float
    high_usd: float
    worst_usd: float
    basis: str
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEstimate:
    """The same for a whole run.

    Attributes:
        arms: One entry per arm and live policy.
    """

    arms: tuple[ArmEstimate, ...]

    @property
    def calls(self) -> int:
        """Answers that are missing."""
        return sum(arm.calls for arm in self.arms)

    @property
    def low_usd(self) -> float:
        """Sum of the low ends."""
        return sum(arm.low_usd for arm in self.arms)

    @property
    def usd(self) -> float:
        """Sum of the middles."""
        return sum(arm.usd for arm in self.arms)

    @property
    def high_usd(self) -> float:
        """Sum of the high ends."""
        return sum(arm.high_usd for arm in self.arms)

    @property
    def worst_usd(self) -> float:
        """Sum of the worst cases."""
        return sum(arm.worst_usd for arm in self.arms)


def estimate_run(
    inputs: Inputs, folder: Path, *, prices: PriceBook, earlier: Sequence[Path] = ()
) -> RunEstimate:
    """Estimate what is missing of a run; nothing is called.

    Costs come from answers recorded in the run folder or in `earlier` ones, where an arm has enough of
    them; else from its price and typical numbers of tokens.

    Args:
        inputs: The run.
        folder: Its folder; may not exist yet.
        prices: Knows what calls cost.
        earlier: Other run folders to take costs from.

    Raises:
        StoreError: A journal is damaged.
        UnknownPriceError: Nobody knows the price of an arm.
    """
    history = read_history(folder)
    histories = [history, *(read_history(path) for path in earlier)]
    missing: dict[str, list[Cell]] = {}
    for cell in inputs.cells():
        missing.setdefault(cell.arm, [])
        if cell not in history.answered:
            missing[cell.arm].append(cell)
    rng = random.Random(inputs.config.seed)
    arms = [
        _estimate(
            inputs,
            arm,
            missing.get(arm.name, []),
            costs=_costs(arm.name, histories),
            rng=rng,
            prices=prices,
        )
        for arm in inputs.arms
    ]
    live = [
        _policy_estimate(
            spec.label,
            missing.get(spec.label, []),
            costs=_costs(spec.label, histories),
            arms=arms,
            rng=rng,
        )
        for spec in inputs.config.policy
    ]
    return RunEstimate(arms=(*arms, *live))


def _costs(name: str, histories: Sequence[History]) -> list[float]:
    return [
        float(sample.total_usd)
        for history in histories
        for cell, sample in history.answered.items()
        if cell.arm == name and sample.priced
    ]


def _estimate(
    inputs: Inputs,
    arm: Arm,
    cells: Sequence[Cell],
    *,
    costs: Sequence[float],
    rng: random.Random,
    prices: PriceBook,
) -> ArmEstimate:
    worst = sum(float(prices.worst_case(inputs.call(cell)).usd) for cell in cells)
    if len(costs) >= FEWEST:
        return _from_records(arm.name, len(cells), costs=costs, worst=worst, rng=rng)
    middle = sum(_guess(inputs, arm, cell, prices) for cell in cells)
    return ArmEstimate(
        name=arm.name,
        calls=len(cells),
        low_usd=middle / _SPREAD,
        usd=middle,
        high_usd=min(worst, middle * _SPREAD),
        worst_usd=worst,
        basis="a guess: catalog prices x typical output tokens",
    )


def _from_records(
    name: str, calls: int, *, costs: Sequence[float], worst: float, rng: random.Random
) -> ArmEstimate:
    """Quantiles of the sum of that many costs, drawn from the recorded ones."""
    sums = sorted(sum(rng.choices(costs, k=calls)) for _ in range(_DRAWS))
    return ArmEstimate(
        name=name,
        calls=calls,
        low_usd=sums[round(0.05 * (_DRAWS - 1))],
        usd=sums[round(0.5 * (_DRAWS - 1))],
        high_usd=sums[round(0.95 * (_DRAWS - 1))],
        worst_usd=worst,
        basis=f"{len(costs)} recorded answers",
        recorded=True,
    )


def _guess(inputs: Inputs, arm: Arm, cell: Cell, prices: PriceBook) -> float:
    call = inputs.call(cell)
    tokens = min(TYPICAL_OUTPUT_TOKENS[arm.sent_effort], call.max_output_tokens)
    usage = Usage(
        input_tokens=len(call.task.text.encode()) // _BYTES_PER_TOKEN, output_tokens=tokens
    )
    # An hour-priced model at about 20 tokens a second, the speed of a small one on a plain CPU.
    answer = Answer(text="", usage=usage, compute_s=tokens / 20)
    return float(prices.cost(arm, answer).usd)


def _policy_estimate(
    name: str,
    cells: Sequence[Cell],
    *,
    costs: Sequence[float],
    arms: Sequence[ArmEstimate],
    rng: random.Random,
) -> ArmEstimate:
    """A policy costs at least its cheapest arm and at most all of them."""
    each = [
        (a.low_usd / a.calls, a.usd / a.calls, a.high_usd / a.calls, a.worst_usd / a.calls)
        for a in arms
        if a.calls
    ]
    calls = len(cells)
    worst = calls * sum(part[3] for part in each)
    if len(costs) >= FEWEST:
        return _from_records(name, calls, costs=costs, worst=worst, rng=rng)
    low = calls * min((part[0] for part in each), default=0.0)
    middle = calls * (sum(part[1] for part in each) / len(each) if each else 0.0)
    return ArmEstimate(
        name=name,
        calls=calls,
        low_usd=low,
        usd=middle,
        high_usd=calls * sum(part[2] for part in each),
        worst_usd=worst,
        basis="a guess: between its cheapest arm and all of them",
    )
