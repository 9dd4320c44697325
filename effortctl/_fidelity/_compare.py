"""Do two arms think for different lengths? Numbers in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from effortctl._errors import ConfigError

ALIKE = 1.5
"""Arms that cannot be told apart count as alike up to this ratio of their medians. Few calls cannot show
twice the tokens where answers scatter much, and such a difference is worth more calls, not a merger."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two efforts of one model, the lower one first.

    Attributes:
        lower: Name of the arm with the lower effort.
        higher: Name of the arm with the higher effort.
        lower_median: Tokens of the lower one in the middle.
        higher_median: Tokens of the higher one in the middle.
        p: P-value of "the higher effort does not think longer", corrected for all comparisons (Holm).
        separate: Can the two be told apart?
    """

    lower: str
    higher: str
    lower_median: float
    higher_median: float
    p: float
    separate: bool

    @property
    def alike(self) -> bool:
        """Are they so close that one of them is enough? What is neither is not clear."""
        return not self.separate and self.higher_median <= ALIKE * self.lower_median


def compare_arms(
    tokens: Mapping[str, Sequence[float]],
    neighbours: Sequence[tuple[str, str]],
    *,
    alpha: float = 0.05,
) -> tuple[Comparison, ...]:
    """Test for each pair whether the second thinks longer than the first.

    Args:
        tokens: Tokens of each call by arm.
        neighbours: Pairs of arms, the lower effort first.
        alpha: Chance of telling any pair apart whose efforts do the same.

    Raises:
        ConfigError: An arm of a pair has no calls.
    """
    for arm in {name for pair in neighbours for name in pair}:
        if not tokens.get(arm):
            raise ConfigError(f"arm {arm!r} has no calls to compare; leave its pairs out")
    p_values = holm([higher_p(tokens[low], tokens[high]) for low, high in neighbours])
    return tuple(
        Comparison(low, high, median(tokens[low]), median(tokens[high]), p, p <= alpha)
        for (low, high), p in zip(neighbours, p_values, strict=True)
    )


def higher_p(lower: Sequence[float], higher: Sequence[float]) -> float:
    """Exact one-sided p-value of "the second sample is not larger", by ranks.

    The Mann-Whitney test over all ways of dealing the numbers to the two samples, ties counted as they
    are, at any sample size. With the same questions in both samples it errs on the safe side.

    Source: Mann and Whitney (1947), On a test of whether one of two random variables is stochastically
    larger than the other.
    """
    pooled = np.concatenate([np.asarray(lower, dtype=float), np.asarray(higher, dtype=float)])
    _, place, count = np.unique(pooled, return_inverse=True, return_counts=True)
    # Twice the mid-ranks: whole numbers, so sums of them can be counted exactly.
    doubled = (2 * np.cumsum(count) - count + 1)[place.ravel()]
    seen = int(doubled[len(lower) :].sum())
    ways = _ways([int(rank) for rank in doubled], len(higher))
    return sum(n for total, n in ways.items() if total >= seen) / math.comb(
        len(pooled), len(higher)
    )


def _ways(ranks: Sequence[int], size: int) -> dict[int, int]:
    """In how many ways so many of the ranks add up to each sum."""
    counts: list[dict[int, int]] = [{0: 1}, *({} for _ in range(size))]
    for rank in ranks:
        for chosen in range(size, 0, -1):
            here = counts[chosen]
            for total, n in counts[chosen - 1].items():
                here[total + rank] = here.get(total + rank, 0) + n
    return counts[size]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: at most `alpha` chance of any false rejection among those up to `alpha`.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for position, i in enumerate(order):
        largest = max(largest, (len(p_values) - position) * p_values[i])
        adjusted[i] = min(1.0, largest)
    return adjusted


def fewest_calls(pairs: int, *, alpha: float = 0.05) -> int:
    """Calls per arm below which not even complete separation could be told from luck."""
    calls = 2
    while pairs / math.comb(2 * calls, calls) > alpha:
        calls += 1
    return calls
