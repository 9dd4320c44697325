"""A test that may be looked at after every task, for as long as one likes.

A gambler bets that the numbers are larger than the hypothesis allows, from every starting point at once. If
the hypothesis holds, the chance that the capital ever reaches 1/a is at most a (Ville's inequality), so
an alarm at that capital is false with a chance of at most a, however often and whenever one looks.

Sources: Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, for the
bets; Shin, Ramdas and Rinaldo (2024), E-detectors, for starting anew all the time. The weights of the starts
here add up to 1, so that the chance of ever a false alarm is bounded, not only how often one comes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl._errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LARGEST_RATIO = 10.0
"""A number counts as at most so many times what is allowed: one wild bill is no trend."""

_STAKES = np.geomspace(0.01, 0.9, 10)
"""Shares of the capital that are bet; the fortune is shared equally between them."""

_CERTAIN = math.log(1e12)
"""Logarithm of the most capital of one stake that is counted."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How strongly numbers exceed what is allowed.

    Attributes:
        count: Numbers seen.
        mean: Their mean.
        allowed: Mean of what was allowed.
        capital: The gambler's largest capital; 1 at the start.
        alarm_at: Position of the number at which it reached the threshold; None: it never did.
    """

    count: int
    mean: float
    allowed: float
    capital: float
    alarm_at: int | None

    @property
    def p(self) -> float:
        """P-value, valid however often one has looked."""
        return min(1.0, 1.0 / self.capital)


def excess(values: Sequence[float], allowed: Sequence[float], *, alpha: float) -> Evidence:
    """Test whether numbers of 0 or more are larger than expected, at any time along the way.

    Hypothesis: given all before, the expectation of number i is at most `allowed[i]`.

    Args:
        values: In the order they came.
        allowed: Largest expectation of each, above 0; may depend on what was known before the number.
        alpha: Chance that there is ever an alarm although the hypothesis holds.

    Raises:
        ConfigError: The lengths differ, or a number is out of range.
    """
    ratios = _ratios(values, allowed)
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha is {alpha!r}; expected a chance between 0 and 1")
    count = len(ratios)
    if not count:
        return Evidence(0, math.nan, math.nan, 1.0, None)
    capital = _capital(np.asarray(ratios))
    reached = np.flatnonzero(capital >= 1.0 / alpha)
    return Evidence(
        count,
        math.fsum(values) / count,
        math.fsum(allowed) / count,
        max(1.0, float(capital.max())),
        int(reached[0]) if reached.size else None,
    )


def _capital(ratios: Floats) -> Floats:
    """The gambler's capital after each number.

    With G the growth of a stake up to a number, a start with weight w before number s is worth
    w G(now) / G(s - 1) now. Logarithms, because both run out of range.
    """
    grown = np.cumsum(np.log1p(np.outer(ratios - 1.0, _STAKES)), axis=0)
    before = np.vstack([np.zeros_like(_STAKES), grown[:-1]])
    number = np.arange(1, len(ratios) + 1)[:, None]
    log_weight = -np.log(number * (number + 1.0))
    started = np.logaddexp.accumulate(log_weight - before, axis=0) + grown
    unstaked = 1.0 / (number[:, 0] + 1.0)
    return np.asarray(np.exp(np.minimum(started, _CERTAIN)).mean(axis=1) + unstaked)


def _ratios(values: Sequence[float], allowed: Sequence[float]) -> list[float]:
    if len(values) != len(allowed):
        raise ConfigError(
            f"{len(values)} numbers and {len(allowed)} expectations; pass one of each per task"
        )
    for value, most in zip(values, allowed, strict=True):
        if not (0 <= value < math.inf and 0 < most < math.inf):
            raise ConfigError(
                f"a number of {value!r} with an expectation of {most!r}; expected numbers of 0 or more "
                "and expectations above 0"
            )
    return [min(value / most, LARGEST_RATIO) for value, most in zip(values, allowed, strict=True)]
