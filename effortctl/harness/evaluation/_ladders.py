"""Fixed ladders that no other ladder beats on the learning tasks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from effortctl.harness.evaluation._lives import Lives
from effortctl.policies import all_ladders
from effortctl.policies._ladders import MOST_LADDERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_LONGEST = 5
_DRAWS = 4
_MOST_CELLS = 4_000_000
"""Ladders times tasks that are looked at: some ten seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Ladders:
    """Ladders that none beats in both dollars and quality, cheapest first.

    Attributes:
        arms: Arms of each, in order.
        cost_usd: Mean dollars on the learning tasks.
        quality: Mean score there.
    """

    arms: tuple[tuple[int, ...], ...]
    cost_usd: Floats
    quality: Floats

    def at(self, spend_usd: float) -> tuple[int, ...]:
        """The best ladder for so many mean dollars per task, or the cheapest one."""
        place = np.searchsorted(self.cost_usd, spend_usd * (1 + 1e-9), side="right") - 1
        return self.arms[max(0, int(place))]


def search(seen: Lives) -> Ladders:
    """Try every ladder of up to five arms, or as many as can be searched."""
    if seen.agreeing:
        return _agreeing(seen)
    draws = min(_DRAWS, len(seen.passed))
    score, cost = np.concatenate(list(seen.outcome[:draws])), np.tile(seen.cost_usd, (draws, 1))
    passed = np.concatenate(list(seen.passed[:draws]))
    table = all_ladders(score, passed, cost, longest=_longest(*score.shape))
    return front(table.ladders, table.cost_usd, table.quality, passed)


def _longest(tasks: int, arms: int) -> int:
    longest, number, level = 0, 0, 1
    while longest < min(_LONGEST, arms):
        level *= arms - longest
        number += level
        if longest and (number > MOST_LADDERS or number * tasks > _MOST_CELLS * 10):
            break
        longest += 1
    return longest


def front(
    ladders: tuple[tuple[int, ...], ...],
    cost: Floats,
    quality: Floats,
    passed: NDArray[np.bool_] | None = None,
) -> Ladders:
    """Keep what none beats in both, without the rungs no learning task got to."""
    order = np.lexsort((-quality, cost))
    best = np.maximum.accumulate(quality[order])
    keep = order[np.concatenate([[True], best[1:] > best[:-1] + 1e-12])]
    return Ladders(tuple(_reached(ladders[i], passed) for i in keep), cost[keep], quality[keep])


def _reached(ladder: tuple[int, ...], passed: NDArray[np.bool_] | None) -> tuple[int, ...]:
    if passed is None:
        return ladder
    left = np.ones(len(passed), dtype=np.bool_)
    rungs: list[int] = []
    for arm in ladder:
        if not left.any():
            break
        rungs.append(arm)
        left &= ~passed[:, arm]
    return tuple(rungs)


def _agreeing(seen: Lives) -> Ladders:
    """Single arms, and two that are asked first with a third for where they disagree."""
    arms = range(seen.score.shape[1])
    found: list[tuple[tuple[int, ...], float, float]] = [
        ((j,), float(seen.cost_usd[:, j].mean()), float(seen.score[:, j].mean())) for j in arms
    ]
    for first, second, third in permutations(arms, 3):
        agree = seen.passed[0, :, first, second]
        cost = seen.cost_usd[:, [first, second]].sum(axis=1) + ~agree * seen.cost_usd[:, third]
        quality = np.where(agree, seen.score[:, first], seen.score[:, third])
        found.append(((first, second, third), float(cost.mean()), float(quality.mean())))
    return front(
        tuple(row[0] for row in found),
        np.array([row[1] for row in found]),
        np.array([row[2] for row in found]),
    )
