"""The test tasks, the fixed choices on them, and comparisons with those."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl.harness.evaluation._curves import cost_to_reach, hull
from effortctl.harness.evaluation._intervals import Mean, Sample
from effortctl.harness.evaluation._lives import Lives

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl._policy_parts import Target

    Floats = NDArray[np.float64]

DRAWS = 2000
"""Resamples of a bootstrap."""


@dataclass(frozen=True, slots=True)
class Equal:
    """What another policy's quality costs on a curve.

    Attributes:
        cost_usd: Mean dollars per task.
        ratio: By the other's dollars.
        interval: Of the ratio.
        p: Share of the resamples in which it costs as much or is never reached, with the caution that
            few tasks deserve.
        tasks: Tasks it was seen on.
    """

    cost_usd: float
    ratio: float
    interval: tuple[float, float]
    p: float
    tasks: int


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What every policy is held against.

    Attributes:
        arms: [K] names.
        lives: The test tasks.
        sample: Their clusters.
        best: Arm with the best quality on the learning tasks.
        baseline: The best fixed arm for the target, see `baseline_arm`.
        target: What policies were set for.
        level: Nominal coverage of intervals.
        seed: Of resampling.
    """

    arms: tuple[str, ...]
    lives: Lives
    sample: Sample
    best: int
    baseline: int
    target: Target
    level: float
    seed: int

    @property
    def arm_means(self) -> tuple[Floats, Floats]:
        """[K] mean dollars and [K] mean quality."""
        return self.lives.cost_usd.mean(axis=0), self.lives.score.mean(axis=0)

    def above_mixing(self, cost: Floats, quality: Floats) -> Floats:
        """[T] numbers whose mean is the quality gained over mixing fixed arms for the same dollars.

        The hull of the arms is that of the test tasks, so the arms are chosen in hindsight and the
        policy is not. The numbers are influences: they include what the error of the hull itself and of
        the policy's dollars does to the gain (delta method).

        Args:
            cost: [T] dollars of a policy.
            quality: [T] its scores.
        """
        arm_cost, arm_quality = self.arm_means
        corners = hull(arm_cost, arm_quality)
        spent = float(cost.mean())
        place = int(np.searchsorted(arm_cost[corners], spent, side="right"))
        score, usd = self.lives.score, self.lives.cost_usd
        if place == len(corners):
            return np.asarray(quality - score[:, corners[-1]])
        high = corners[place]
        if place == 0:  # cheaper than any arm: mix the cheapest with giving up at once
            share, slope = spent / arm_cost[high], arm_quality[high] / arm_cost[high]
            mixed_quality, mixed_cost = share * score[:, high], share * usd[:, high]
        else:
            low = corners[place - 1]
            run = arm_cost[high] - arm_cost[low]
            share = (spent - arm_cost[low]) / run
            slope = (arm_quality[high] - arm_quality[low]) / run
            mixed_quality = (1 - share) * score[:, low] + share * score[:, high]
            mixed_cost = (1 - share) * usd[:, low] + share * usd[:, high]
        return np.asarray(quality - mixed_quality - slope * (cost - mixed_cost))

    def gain(self, cost: Floats, quality: Floats) -> Mean:
        """Quality gained over mixing fixed arms for the same dollars."""
        return self.sample.mean(self.above_mixing(cost, quality), caution=1.0)

    def saving_of(self, cost: Floats) -> tuple[float, tuple[float, float]]:
        """Share of the baseline's dollars that a policy saves, and its interval.

        Args:
            cost: [T] dollars of the policy.
        """
        base = self.lives.cost_usd[:, self.baseline]
        if not base.sum() > 0:
            return 0.0, (0.0, 0.0)
        values = np.stack([cost, base], axis=1)
        saving = float(_saved(values.sum(axis=0)[None])[0])
        drawn = self.sample.drawn(values, _saved, draws=DRAWS, seed=self.seed)
        low, high = self.sample.accelerated(
            drawn, saving, influence=(1 - saving) * base - cost, level=self.level
        )
        least = 1 - float(cost.max() / base.mean())  # of one cluster alone nothing more is known
        return saving, (low if math.isfinite(low) else least, min(high, 1.0))

    def equal_quality(
        self, cost: Floats, quality: Floats, *, other: tuple[Floats, Floats]
    ) -> Equal | None:
        """What another policy's quality costs on a curve.

        Every resample finds the place on the curve anew. Where a resample never reaches the quality, the
        other policy itself is used, so the ratio is 1.

        Args:
            cost: [S, T] dollars at every setting of the dial.
            quality: [S, T] scores.
            other: [T] dollars and [T] scores of the other policy.

        Returns:
            None where the curve never reaches that quality, or the other costs nothing.
        """
        settings = len(cost)
        values = np.concatenate([cost, quality, np.stack(other)]).T

        rng = np.random.default_rng([self.seed, 3])
        doubt = 1.0 / (self.sample.tasks * self.sample.groups) ** 0.5

        def ratios(totals: Floats) -> Floats:
            """[b, 2] ratio; and the same with the caution of `Sample.mean`, for the p-value."""
            dollars, wanted = totals[:, -2], totals[:, -1] / self.sample.tasks
            pair = []
            for goal in (wanted, wanted + doubt * rng.normal(size=len(wanted))):
                found = cost_to_reach(
                    goal, totals[:, :settings], totals[:, settings:-2] / self.sample.tasks
                )
                share = found / np.where(dollars > 0, dollars, 1.0)
                pair.append(np.where(np.isfinite(found), share, 1.0))
            return np.stack(pair, axis=1)

        totals = values.sum(axis=0)
        dollars = cost_to_reach(
            totals[-1:] / self.sample.tasks,
            cost.mean(axis=1)[None],
            quality.mean(axis=1)[None],
        )[0]
        if not np.isfinite(dollars) or not totals[-2] > 0:
            return None
        drawn = self.sample.drawn(values, ratios, draws=DRAWS, seed=self.seed)
        ratio = float(dollars * self.sample.tasks / totals[-2])
        low, high = self.sample.percentiles(drawn[:, 0], ratio, level=self.level)
        dearest = float(max(cost.max(), other[0].max()) * self.sample.tasks / totals[-2])
        return Equal(
            float(dollars),
            ratio,
            (max(low, 0.0), high if math.isfinite(high) else dearest),
            self.sample.cautious(float(1 + (drawn[:, 1] >= 1 - 1e-9).sum()) / (1 + len(drawn))),
            self.sample.tasks,
        )


def _saved(totals: Floats) -> Floats:
    spent, base = totals[:, 0], totals[:, 1]
    return np.asarray(1.0 - spent / np.where(base > 0, base, 1.0))


def names_of(arms: Sequence[int], bench: Bench) -> tuple[str, ...]:
    """Arm names of columns."""
    return tuple(bench.arms[j] for j in arms)
