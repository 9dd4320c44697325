"""Intervals and tests over tasks that may come in clusters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_BATCH = 4_000_000
"""Numbers drawn at a time: some dozen megabytes."""

_CAREFUL = 0.5
"""Degrees of freedom per effective cluster of dollars."""

_FEWEST = 4.0
"""Degrees of freedom that a large cluster or two do not take away. Simulated with lognormal dollars (standard
deviation of the log 1 to 1.5, 50 to 1,000 tasks) and with 20 to 200 clusters, one of them ten times the
others: bounds promised to miss one time in 20 or 40 miss at most 1.15 times as often as that."""

_FEW = 8
"""Below so many clusters even the farthest resample is nearer than an interval has to reach."""

_FARTHEST = 50.0
"""Largest exponent of an upper end: dollars of which nothing is known, and still a number."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over tasks and what is known of its error.

    Attributes:
        value: The mean.
        error: Standard error, clusters counted as one draw each.
        freedom: Degrees of freedom: clusters minus one, or fewer.
        tasks: Tasks it is of.
        caution2: The part of the squared error that stands for what was not seen; it falls with the
            square of the tasks.
    """

    value: float
    error: float
    freedom: float
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

    def dollars(self, values: Floats) -> Mean:
        """Mean of dollars, or of differences of dollars, for a decision.

        Dollars are skewed: a few tasks cost many times the others, and Student's test with a degree of
        freedom per task then errs two to four times as often as it promises. So only clusters that carry
        the spread are counted, see `careful_freedom`.
        """
        found = self.mean(values)
        if self.groups < 2 or not found.error:
            return found
        freedom = careful_freedom(self.sums(values - found.value))
        return replace(found, freedom=freedom)

    def worth(self, gained: Floats, spent: Floats, *, caution: float) -> Mean:
        """Mean of what was gained less the dollars spent, for a decision.

        Args:
            gained: [T] dollars that quality is worth.
            spent: [T] dollars.
            caution: As for `mean`.

        Source: Welch (1947), The generalization of Student's problem, for the degrees of freedom of a sum of
        which one part has few.
        """
        found = self.mean(gained - spent, caution=caution)
        costs = self.dollars(spent)
        if self.groups < 2 or not costs.error:
            return found
        quality2, dollars2 = self.mean(gained).error ** 2, costs.error**2
        doubt = quality2**2 / found.freedom + dollars2**2 / costs.freedom
        return replace(found, freedom=min(found.freedom, (quality2 + dollars2) ** 2 / doubt))

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
        """Interval of mean dollars; of one cluster alone nothing is known but that it is not negative.

        It is Student's on the logarithm of the mean, because what was not seen of skewed dollars lies
        above, with the degrees of freedom of `dollars`.
        """
        found = self.dollars(values)
        if not math.isfinite(found.error):
            return 0.0, float(values.max())
        if not found.error or found.value <= 0:
            return found.value, found.value
        half = _t_quantile(0.5 + level / 2, found.freedom) * found.error / found.value
        return found.value * math.exp(-half), found.value * math.exp(min(half, _FARTHEST))

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

    def accelerated(
        self, drawn: Floats, value: float, *, influence: Floats, level: float
    ) -> tuple[float, float]:
        """Bias-corrected and accelerated percentile interval of a statistic that was drawn.

        The quantiles are moved outwards by Student's distribution, with the degrees of freedom that
        the variance of such influences has.

        Args:
            drawn: [D] the statistic over resamples.
            value: The statistic seen.
            influence: [T] what each task adds to its error.
            level: Nominal coverage.

        Sources: Efron (1987), Better bootstrap confidence intervals; Satterthwaite (1946), An approximate
        distribution of estimates of variance components.
        """
        from scipy.special import ndtr, ndtri  # noqa: PLC0415 - slow to load

        rest = self.sums(influence)
        spread = float((rest**2).sum())
        if self.groups < _FEW or spread == 0:
            return self.percentiles(drawn, value, level=level)
        tilt = float((rest**3).sum()) / (6 * spread**1.5)
        heavy = self.groups * float((rest**4).sum()) / spread**2
        freedom = min(self.groups - 1.0, max(_FEWEST, 2 * self.groups / max(heavy - 1, 1e-9)))
        reach = math.sqrt(self.groups / (self.groups - 1)) * _t_quantile(0.5 + level / 2, freedom)
        below = float((drawn < value).mean() + (drawn == value).mean() / 2)
        bias = float(ndtri(min(max(below, 0.5 / len(drawn)), 1 - 0.5 / len(drawn))))
        tails = [
            float(ndtr(bias + (bias + z) / max(1 - tilt * (bias + z), 0.1)))
            for z in (-reach, reach)
        ]
        low, high = np.quantile(drawn, tails)
        return float(low), float(high)

    def percentiles(self, drawn: Floats, value: float, *, level: float) -> tuple[float, float]:
        """Expanded percentile interval of a statistic that was drawn.

        The quantiles are moved outwards until the interval of a mean is as wide as Student's, without
        which few clusters give too narrow an interval. Where even the farthest resample is too near, the
        draws themselves are spread as far. Of one cluster alone, resamples say nothing.

        Args:
            drawn: [D] the statistic over resamples.
            value: The statistic seen.
            level: Nominal coverage.

        Source: Hesterberg (2015), What teachers should know about the bootstrap, section 5.3.
        """
        if self.groups < 2:
            return -math.inf, math.inf
        wide = self._student(level)
        if self.groups < _FEW:
            tail = (1 - level) / 2
            drawn = value + wide / NormalDist().inv_cdf(1 - tail) * (drawn - value)
        else:
            tail = NormalDist().cdf(-wide)
        low, high = np.quantile(drawn, [tail, 1 - tail])
        return float(low), float(high)

    def cautious(self, p: float) -> float:
        """A p-value that was counted over resamples, made as doubtful as Student's for few clusters."""
        from scipy.special import stdtr  # noqa: PLC0415 - slow to load

        if self.groups < 2:
            return 1.0
        away = NormalDist().inv_cdf(min(max(p, 1e-12), 1 - 1e-12))
        return float(stdtr(self.groups - 1, away * math.sqrt((self.groups - 1) / self.groups)))

    def _student(self, level: float) -> float:
        """How many bootstrap deviations Student's interval of a mean reaches."""
        groups = self.groups
        return math.sqrt(groups / (groups - 1)) * _t_quantile(0.5 + level / 2, groups - 1)


def careful_freedom(rest: Floats) -> float:
    """Degrees of freedom of dollars: half of the clusters that carry the spread, (sum e^2)^2 / sum e^4.

    Args:
        rest: [G] sums of residuals per cluster, not all zero.

    Source: in the spirit of Carter, Schnepel and Steigerwald (2017), Asymptotic behavior of a t-test
    robust to cluster heterogeneity.
    """
    squares = (rest / np.abs(rest).max()) ** 2
    effective = float(squares.sum()) ** 2 / float((squares**2).sum())
    return min(len(rest) - 1.0, max(_FEWEST, _CAREFUL * effective))


@lru_cache(maxsize=256)
def _t_quantile(share: float, freedom: float) -> float:
    from scipy.special import stdtrit  # noqa: PLC0415 - slow to load

    return float(stdtrit(freedom, share))
