"""Every fixed ladder, evaluated on recorded outcomes: what a plan has to beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl._errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_LADDERS = 100_000
"""More would take minutes; offer fewer arms or shorter ladders."""


@dataclass(frozen=True, slots=True)
class LadderTable:
    """Mean cost and quality of many ladders.

    Attributes:
        ladders: Arms of each, in order; a single arm is a ladder of one.
        cost_usd: Mean dollars per task.
        quality: Mean score of the answer returned.
    """

    ladders: tuple[tuple[int, ...], ...]
    cost_usd: Floats
    quality: Floats

    def best(
        self,
        *,
        value_usd: float | None = None,
        min_quality: float | None = None,
        max_cost_usd: float | None = None,
        longest: int | None = None,
    ) -> tuple[int, ...]:
        """The best ladder under exactly one target.

        Args:
            value_usd: Maximise `value_usd * quality - cost`.
            min_quality: The cheapest that reaches this quality, else the one with the highest quality.
            max_cost_usd: The best that costs no more, else the cheapest.
            longest: Consider ladders of at most so many arms; 1 for single arms.

        Raises:
            ConfigError: Not exactly one target was given.
        """
        if [value_usd, min_quality, max_cost_usd].count(None) != 2:
            raise ConfigError("give exactly one of value_usd, min_quality and max_cost_usd")
        fits = np.array([longest is None or len(ladder) <= longest for ladder in self.ladders])
        if value_usd is not None:
            first, second = value_usd * self.quality - self.cost_usd, -self.cost_usd
        elif min_quality is not None:
            good = self.quality >= min_quality - 1e-12
            first = np.where(good, min_quality, self.quality)
            second = -self.cost_usd
        else:
            assert max_cost_usd is not None  # noqa: S101 - exactly one is given
            within = self.cost_usd <= max_cost_usd * (1 + 1e-12)
            first, second = np.where(within, 0.0, max_cost_usd - self.cost_usd), self.quality
        order = np.lexsort((-self.cost_usd, second, np.where(fits, first, -np.inf)))
        return self.ladders[int(order[-1])]


def all_ladders(
    score: Floats, verdicts: NDArray[np.bool_], cost_usd: Floats, *, longest: int = 4
) -> LadderTable:
    """Evaluate every ordered selection of arms up to a length.

    A ladder stops at the first pass and returns that answer; when no check passes, it returns the last
    answer, because somebody has to be answered.

    Args:
        score: Correctness of each answer, 0..1; shape (tasks, arms).
        verdicts: What the check said of each answer; shape (tasks, arms).
        cost_usd: Dollars of each try; shape (tasks, arms).
        longest: Length of the longest ladders.

    Raises:
        ConfigError: There would be more than `MOST_LADDERS` of them.
    """
    arms = score.shape[1]
    longest = min(longest, arms)
    number = sum(math.perm(arms, length) for length in range(1, longest + 1))
    if number > MOST_LADDERS:
        raise ConfigError(
            f"{arms} arms make {number:,} ladders of up to {longest}; offer fewer arms or set "
            f"longest lower (at most {MOST_LADDERS:,} are searched)"
        )
    found: list[tuple[tuple[int, ...], float, float]] = []
    failed = ~np.asarray(verdicts, dtype=np.bool_)
    # What a ladder gains by a rung depends on the tasks that got there, so prefixes share their work.
    start = np.ones(len(score), dtype=np.bool_)
    stack: list[tuple[tuple[int, ...], NDArray[np.bool_], float, float]] = [((), start, 0.0, 0.0)]
    while stack:
        prefix, left, spent, passed = stack.pop()
        for arm in range(arms):
            if arm in prefix:
                continue
            ladder = (*prefix, arm)
            here, still = score[left, arm], failed[left, arm]
            dollars = spent + float(cost_usd[left, arm].sum())
            found.append((ladder, dollars, passed + float(here.sum())))
            if len(ladder) < longest:
                rest = left.copy()
                rest[left] = still
                stack.append((ladder, rest, dollars, passed + float(here[~still].sum())))
    found.sort(key=lambda row: (len(row[0]), row[0]))
    tasks = max(1, len(score))
    return LadderTable(
        tuple(row[0] for row in found),
        np.array([row[1] for row in found]) / tasks,
        np.array([row[2] for row in found]) / tasks,
    )


def run_ladder(
    ladder: Sequence[int],
    score: Floats,
    verdicts: NDArray[np.bool_],
    *,
    cost_usd: Floats,
) -> tuple[Floats, Floats]:
    """Run one ladder on recorded outcomes.

    Returns:
        Dollars and score of the answer returned, per task.
    """
    left = np.ones(len(score), dtype=np.bool_)
    cost, quality = np.zeros(len(score)), np.zeros(len(score))
    for arm in ladder:
        cost += left * cost_usd[:, arm]
        quality = np.where(left, score[:, arm], quality)
        left = left & ~verdicts[:, arm]
    return cost, quality
