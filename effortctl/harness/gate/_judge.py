"""The test behind every criterion of a gate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np

from effortctl._stats import clopper_pearson, paired_margin_p, tasks_needed
from effortctl.harness._pairing import is_binary
from effortctl.harness._ratio import cost_ratio
from effortctl.harness.gate._values import Criterion, Kind, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.harness.evaluation._intervals import Mean, Sample

    Floats = NDArray[np.float64]

_SMALLEST_MARGIN = 1e-6
"""Where the search for an exact bound starts; the exact test knows no margin of 0."""

_HALVINGS = 16
"""Steps of that search: the bound is then known to a few thousandths of a point."""

_LUMPS = 1.25
"""Where no exact test is at hand, the doubt of the rule of three is widened by so much: a few rare losses are
skewed, and Student's bound of them would be too near. Simulated."""

_ROUNDING = 1e-6
"""How far a bound may pass its limit by rounding alone, as a share of it."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Comes to a status.

    Attributes:
        sample: The tasks.
        alpha: Accepted chance of a wrong pass of one criterion.
        count: Criteria in all, which share `alpha` on the failing side.
    """

    sample: Sample
    alpha: float
    count: int

    # --- against a baseline ------------------------------------------------------------------------

    def quality_drop(self, run: Floats, base: Floats, *, limit: float) -> Criterion:
        """Mean quality lost against the baseline.

        Right/wrong tasks that are independent are tested exactly. Else it is Student's test on clusters,
        widened so that without a single difference its bound is that of the rule of three: no losses
        among n tasks do not show that there are none.
        """
        lost = base - run
        found = self.sample.mean(lost, caution=self._caution(lost))
        low, high = self._bounds(found)
        exact = self._independent and is_binary(run, base) and limit >= 0
        if exact:
            high = exact_drop_bound(
                int((lost < 0).sum()),
                int((lost > 0).sum()),
                lost.size,
                near=limit,
                alpha=self.alpha,
            )
            high = min(high, self._bounds(found)[1]) if high <= _SMALLEST_MARGIN else high
        low = min(low, high)
        return self._at_most(
            "quality_drop",
            limit,
            seen=float(lost.mean()),
            bounds=(max(-1.0, low), min(1.0, high)),
            deviation=_deviation(self.sample.mean(lost)),
            rare=1.0 if exact else _LUMPS,
        )

    def cost_increase(self, run: Floats, base: Floats, *, limit: float) -> Criterion:
        """Share by which dollars rise against the baseline: ratio of sums, minus one.

        Without any difference the upper bound is that of the rule of three: that no task among n cost
        twice as much does not show that none does.
        """
        tails = self.alpha / self.count, self.alpha
        found = cost_ratio(self.sample, run, base, tails=tails, unseen=self._rule_of_three)
        if found is None:
            return _from_nothing(run, limit)
        excess = self.sample.mean(run - (1 + limit) * base)
        return self._at_most(
            "cost_increase",
            limit,
            seen=found.value - 1,
            bounds=(found.low - 1, found.high - 1),
            deviation=_deviation(excess) / float(base.mean()),
            rare=1.0,
        )

    # --- against numbers ---------------------------------------------------------------------------

    def min_quality(self, run: Floats, *, limit: float) -> Criterion:
        """Mean quality that must be reached; exact for independent right/wrong tasks."""
        mean = self.sample.mean(run)
        if self._independent and is_binary(run):
            right, tasks = round(float(run.sum())), run.size
            low = clopper_pearson(right, tasks, level=1 - 2 * self.alpha).low
            high = clopper_pearson(right, tasks, level=1 - 2 * self.alpha / self.count).high
        else:
            cautious = self.sample.mean(run, caution=self._caution(run))
            low = cautious.value - _half(cautious, self.alpha)
            high = cautious.value + _half(cautious, self.alpha / self.count)
        low, high = max(0.0, low), min(1.0, high)
        status = _status(-high, -low, -limit)
        return Criterion(
            kind="min_quality",
            limit=limit,
            seen=mean.value,
            low=low,
            high=high,
            status=status,
            n_needed=self._needed(status, abs(mean.value - limit), _deviation(mean)),
        )

    def max_cost_usd(self, run: Floats, *, limit: float) -> Criterion:
        """Mean dollars per task that must be kept."""
        found = self.sample.mean(run)
        ends = cost_ratio(
            self.sample, run, np.ones(run.size), tails=(self.alpha / self.count, self.alpha)
        )
        bounds = (0.0, math.inf) if ends is None else (ends.low, ends.high)
        return self._at_most(
            "max_cost_usd", limit, seen=found.value, bounds=bounds, deviation=_deviation(found)
        )

    # --- parts -------------------------------------------------------------------------------------

    @property
    def _independent(self) -> bool:
        return self.sample.groups == self.sample.tasks

    def _caution(self, values: Floats) -> float:
        """Makes the bound of a mean without any spread a little over -ln(alpha) / n, for n independent units.

        Those are whole clusters as long as no task differs; else as many as the design effect says.
        """
        tasks, groups = self.sample.tasks, self.sample.groups
        alone = float(values.std()) / math.sqrt(tasks)
        together = self.sample.mean(values).error
        effect = tasks / groups
        if alone > 0 and math.isfinite(together):
            effect = min(effect, max(1.0, (together / alone) ** 2))
        return _LUMPS * self._rule_of_three * effect * math.sqrt(groups / tasks)

    @property
    def _rule_of_three(self) -> float:
        """Tasks that a bound of nothing but doubt stands for, in standard errors: -ln(alpha) / z."""
        return -math.log(self.alpha) / NormalDist().inv_cdf(1 - self.alpha)

    def _bounds(self, found: Mean) -> tuple[float, float]:
        """Lower bound for the failing side, upper bound for the passing side."""
        return (
            found.value - _half(found, self.alpha / self.count),
            found.value + _half(found, self.alpha),
        )

    def _at_most(
        self,
        kind: Kind,
        limit: float,
        *,
        seen: float,
        bounds: tuple[float, float],
        deviation: float,
        rare: float = 0.0,
    ) -> Criterion:
        status = _status(*bounds, limit)
        needed = self._needed(status, abs(seen - limit), deviation)
        if needed is not None and rare > 0 and limit > 0:
            per_cluster = self.sample.tasks / self.sample.groups
            # The rule of three; the exact test keeps a fiftieth of alpha for itself.
            fewest = math.ceil(-rare * math.log(0.98 * self.alpha) / limit * per_cluster)
            needed = max(needed, _rounded(fewest))
        return Criterion(
            kind=kind,
            limit=limit,
            seen=seen,
            low=bounds[0],
            high=bounds[1],
            status=status,
            n_needed=needed,
        )

    def _needed(self, status: Status, distance: float, deviation: float) -> int | None:
        """About how many tasks would decide if what was seen is true."""
        if status != "inconclusive" or not math.isfinite(deviation) or distance < 1e-9:
            return None
        needed = tasks_needed(deviation, distance, alpha=self.alpha)
        return None if needed is None else _rounded(max(needed, self.sample.tasks + 1))


def exact_drop_bound(won: int, lost: int, trials: int, *, near: float, alpha: float) -> float:
    """Upper bound of "P(loss) - P(win)" for independent right/wrong pairs, by inverting an exact test.

    Args:
        won: Tasks only the run got right.
        lost: Tasks only the baseline got right.
        trials: All tasks.
        near: Margin that is decided about; the bound lies on the side of it that the test says.
        alpha: Accepted chance that the truth is above the bound.
    """
    start = max(near, _SMALLEST_MARGIN)

    def shown(margin: float) -> bool:
        return paired_margin_p(won, lost, trials, margin=margin) <= alpha

    if start >= 1 or shown(start):
        outside, inside = _SMALLEST_MARGIN, min(start, 1.0)
        if inside <= outside or shown(outside):
            return 0.0
    else:
        outside, inside = start, 1.0
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        if shown(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _status(low: float, high: float, limit: float) -> Status:
    """Of something that must be at most the limit."""
    slack = _ROUNDING * abs(limit) + 1e-9
    if high <= limit + slack:
        return "pass"
    return "fail" if low > limit + slack else "inconclusive"


def _from_nothing(run: Floats, limit: float) -> Criterion:
    """The baseline cost nothing, so any dollar is infinitely more."""
    more = float(run.sum()) > 0
    seen = math.inf if more else 0.0
    status: Literal["pass", "fail"] = "pass" if not more and limit >= 0 else "fail"
    return Criterion(
        kind="cost_increase", limit=limit, seen=seen, low=seen, high=seen, status=status
    )


def _half(found: Mean, alpha: float) -> float:
    """From a mean to its one-sided bound."""
    if not math.isfinite(found.error):
        return math.inf
    return found.interval(1 - 2 * alpha)[1] - found.value


def _deviation(found: Mean) -> float:
    """Of one task, clusters reckoned in."""
    return found.error * math.sqrt(found.tasks)


def _rounded(count: int) -> int:
    """Two digits: more would pretend to know."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
