"""Intervals and tests over tasks that may come in clusters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_BATCH = 4_000_000
"""Numbers drawn at a time: some dozen megabytes."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over tasks and what is known of its error.

    Attributes:
        value: The mean.
        error: Standard error, clusters counted as one draw each.
        freedom: Degrees of freedom: clusters minus one.
        tasks: Tasks it is of.
        caution2: The part of the squared error that stands for what was not seen; it falls with the
            square of the tasks.
    """

    value: float
    error: float
    freedom: int
    tasks: int
    caution2: float = 0.0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's interval."""
        half = _t_quantile(0.5 + level / 2, self.freedom) * self.error if self.error else 0.0
        return self.value - half, self.value + half

    def p_above(self, null: float) -> float:
        """One-sided p-value of "the mean is `null` or less"."""
        from scipy.special import stdtr  # noqa: PLC0415 - slow to load

        if self.error == 0:
            return 0.0 if self.value > null else 1.0
        return float(stdtr(self.freedom, (null - self.value) / self.error))

    def needed(self, null: float, *, alpha: float, power: float = 0.8) -> int | None:
        """Tasks that would show a mean above `null`, if this mean is the true one; None: no number."""
        effect = self.value - null
        if effect <= 0 or not math.isfinite(self.error):
            return None
        z = NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power)
        plain = z * z * (self.error**2 - self.caution2) * self.tasks
        unseen = z * z * self.caution2 * self.tasks**2
        root = math.sqrt(plain * plain + 4 * effect * effect * unseen)
        return max(2, math.ceil((plain + root) / (2 * effect * effect)))


class Sample:
    """T tasks in G clusters: means, intervals and resamples."""

    def __init__(self, clusters: Sequence[object] | None, tasks: int) -> None:
        names = np.arange(tasks) if clusters is None else np.array([str(c) for c in clusters])
        self.member: NDArray[np.intp] = np.unique(names, return_inverse=True)[1].ravel()
        self.tasks = tasks
        self.groups = int(self.member.max()) + 1
        self.size = np.bincount(self.member).astype(float)

    def sums(self, values: Floats) -> Floats:
        """[G, ...] sums per cluster of values that are [T, ...]."""
        if self.groups == self.tasks:
            order = np.empty(self.tasks, dtype=np.intp)
            order[self.member] = np.arange(self.tasks)
            return np.asarray(values)[order]
        out = np.zeros((self.groups, *np.shape(values)[1:]))
        np.add.at(out, self.member, values)
        return out

    def mean(self, values: Floats, *, caution: float = 0.0) -> Mean:
        """Mean with its standard error.

        The error of clustered tasks is that of a ratio of sums over clusters, with the factor
        G / (G - 1).

        Args:
            values: [T].
            caution: Widen as if half a task more had spoken for and half a task against, by so much
                each: paired differences of right and wrong are often all zero in a small sample, which
                does not show that they always are.

        Source: Miller (2024), Adding error bars to evals; Agresti and Min (2005) for `caution`.
        """
        value = float(values.mean())
        if self.groups < 2:
            return Mean(value, math.inf, 1, self.tasks)
        rest = self.sums(values - value)
        error2 = self.groups / (self.groups - 1) * float((rest**2).sum()) / self.tasks**2
        if error2 < 1e-30 * max(1.0, value * value):
            error2 = 0.0  # rounding of values that are all alike
        unseen = caution * caution / (self.tasks * self.groups)
        return Mean(value, math.sqrt(error2 + unseen), self.groups - 1, self.tasks, unseen)

    def share_interval(self, values: Floats, *, level: float) -> tuple[float, float]:
        """Interval of a mean quality: Wilson's for right/wrong tasks one by one, else Student's."""
        found = self.mean(values)
        simple = self.groups == self.tasks and bool(np.isin(values, (0.0, 1.0)).all())
        if simple:
            from effortctl._stats import wilson_interval  # noqa: PLC0415 - beside its only use

            seen = wilson_interval(round(float(values.sum())), self.tasks, level=level)
            return seen.low, seen.high
        if not math.isfinite(found.error):
            return 0.0, 1.0
        low, high = found.interval(level)
        return max(0.0, low), min(1.0, high)

    def cost_interval(self, values: Floats, *, level: float) -> tuple[float, float]:
        """Interval of mean dollars; of one cluster alone nothing is known but that it is not negative."""
        found = self.mean(values)
        if not math.isfinite(found.error):
            return 0.0, float(values.max())
        low, high = found.interval(level)
        return max(0.0, low), high

    def resampled(self, values: Floats, *, draws: int, seed: int) -> Iterator[Floats]:
        """Totals over resamples of whole clusters, some resamples at a time.

        Args:
            values: [T, M].
            draws: Resamples in all.
            seed: Of the resampling; the same seed gives the same resamples.

        Yields:
            [b, M] totals.
        """
        sums = self.sums(values)
        rng = np.random.default_rng(seed)
        step = max(1, _BATCH // self.groups)
        for done in range(0, draws, step):
            count = min(step, draws - done)
            drawn = rng.integers(self.groups, size=(count, self.groups))
            drawn += np.arange(count)[:, None] * self.groups
            weight = np.bincount(drawn.ravel(), minlength=count * self.groups)
            yield weight.reshape(count, self.groups).astype(float) @ sums

    def drawn(
        self,
        values: Floats,
        statistic: Callable[[Floats], Floats],
        *,
        draws: int,
        seed: int,
    ) -> Floats:
        """A statistic of the totals, over resamples.

        Args:
            values: [T, M].
            statistic: From [b, M] totals to [b] numbers or [b, N] of them.
            draws: Resamples.
            seed: Of the resampling.
        """
        parts = [statistic(t) for t in self.resampled(values, draws=draws, seed=seed)]
        return np.concatenate(parts)

    def percentiles(self, drawn: Floats, *, level: float) -> tuple[float, float]:
        """Expanded percentile interval of what was drawn.

        The quantiles are moved outwards until the interval of a mean is as wide as Student's, without
        which few clusters give too narrow an interval.

        Source: Hesterberg (2015), What teachers should know about the bootstrap, section 5.3.
        """
        tail = _expanded_tail(level, self.groups)
        low, high = np.quantile(drawn, [tail, 1 - tail])
        return float(low), float(high)


@lru_cache(maxsize=256)
def _t_quantile(share: float, freedom: int) -> float:
    from scipy.special import stdtrit  # noqa: PLC0415 - slow to load

    return float(stdtrit(freedom, share))


@lru_cache(maxsize=64)
def _expanded_tail(level: float, groups: int) -> float:
    from scipy.special import ndtr  # noqa: PLC0415 - slow to load

    if groups < 2:
        return 0.0
    wide = math.sqrt(groups / (groups - 1)) * _t_quantile(0.5 + level / 2, groups - 1)
    return float(ndtr(-wide))
