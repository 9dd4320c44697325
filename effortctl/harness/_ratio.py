"""Dollars of one side by those of another: a ratio of sums, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl.harness.evaluation._intervals import Sample, careful_freedom

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DOUBLINGS = 40
_HALVINGS = 40
_NEAREST = 1e-7
"""First step away from the ratio when its bounds are searched, as a share of it."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of sums.

    Attributes:
        value: The ratio seen.
        low: Lower bound.
        high: Upper bound; infinite where the other side is too near zero to tell.
    """

    value: float
    low: float
    high: float


def cost_ratio(
    sample: Sample,
    first: Floats,
    second: Floats,
    *,
    tails: tuple[float, float] = (0.025, 0.025),
    unseen: float = 0.0,
) -> Ratio | None:
    """Dollars of the first by those of the second, paired over tasks.

    The bounds enclose every ratio r for which "first - r * second is zero on average" is not rejected
    (Fieller). Dollars are skewed: a few tasks cost many times the others. Where they dominate, Student's
    test with a degree of freedom per task misses one time in nine where it promises one in twenty, so
    only tasks (clusters) that carry the spread are counted, see `careful_freedom`.

    Args:
        sample: The tasks.
        first: [T] dollars.
        second: [T] dollars of the same tasks.
        tails: Accepted chance that the truth is below the lower bound, and above the upper.
        unseen: Widen the upper bound as if so many tasks (clusters) besides had cost twice as much: that
            none did among a few does not show that none ever does.

    Returns:
        The ratio; None when the second costs nothing at all.

    Source: Fieller (1954), Some problems in interval estimation.
    """
    below, total = float(second.sum()), float(first.sum())
    if below == 0:
        return None
    value = total / below
    if sample.groups < 2:
        return Ratio(value, 0.0, math.inf)
    test = _Test(sample, first / below, second / below, unseen=unseen)
    low = test.bound(value, tail=tails[0], upwards=False)
    high = test.bound(value, tail=tails[1], upwards=True)
    return Ratio(value, max(0.0, low), high)


class _Test:
    """Is a ratio too low or too high?"""

    def __init__(self, sample: Sample, first: Floats, second: Floats, *, unseen: float) -> None:
        sums = sample.sums(np.stack([first, second], axis=1))
        self.first, self.second = sums[:, 0], sums[:, 1]
        self.size = sample.size / sample.tasks
        self.doubt2 = (unseen / sample.groups) ** 2

    def bound(self, value: float, *, tail: float, upwards: bool) -> float:
        """The last ratio on one side of the one seen that is not rejected."""
        sign = 1.0 if upwards else -1.0
        step = _NEAREST * max(value, _NEAREST)
        inside = value
        for _ in range(_DOUBLINGS):
            outside = value + sign * step
            if self._rejected(outside, tail=tail, upwards=upwards):
                break
            if outside < 0:
                return 0.0
            inside, step = outside, 2 * step
        else:
            return math.inf if upwards else 0.0
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if self._rejected(middle, tail=tail, upwards=upwards):
                outside = middle
            else:
                inside = middle
        return outside

    def _rejected(self, ratio: float, *, tail: float, upwards: bool) -> bool:
        from scipy.special import stdtrit  # noqa: PLC0415 - slow to load

        rest = self.first - ratio * self.second
        total, groups = float(rest.sum()), rest.size
        rest = rest - total * self.size  # a large cluster is not an outlier by its size
        spread = float((rest**2).sum())
        scale = float((self.first**2).sum() + ratio * ratio * (self.second**2).sum())
        alike = spread < 1e-13 * scale  # but for rounding
        doubt2 = self.doubt2 if upwards else 0.0
        if alike and not doubt2:
            return total < 0 if upwards else total > 0
        freedom = groups - 1.0 if alike else careful_freedom(rest)
        student = float(stdtrit(freedom, 1 - tail))
        reach = student * math.sqrt(spread * groups / (groups - 1) + doubt2)
        return total < -reach if upwards else total > reach
