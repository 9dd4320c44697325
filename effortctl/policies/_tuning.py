"""Find what quality must be worth for a policy to reach a target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from effortctl._errors import ConfigError

Evaluate = Callable[[float], tuple[float, float]]
"""Takes value_usd, returns the mean dollars and mean quality of the policy on the calibration tasks."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The price of quality that reaches a target on the calibration tasks.

    Attributes:
        value_usd: What an accepted correct answer is worth.
        cost_usd: Mean dollars per task there.
        quality: Mean quality there.
    """

    value_usd: float
    cost_usd: float
    quality: float

    @property
    def lambda_(self) -> float:
        """Quality a dollar must buy: 1 / value_usd."""
        return 1.0 / self.value_usd


def tune_lambda(
    evaluate: Evaluate,
    *,
    value_usd: float | None = None,
    max_cost_usd: float | None = None,
    min_quality: float | None = None,
    bounds: tuple[float, float] = (1e-6, 1e4),
    steps: int = 24,
) -> Tuned:
    """Choose value_usd, and with it lambda = 1 / value_usd, for exactly one target.

    Spending and quality rise with value_usd, so bisection on its logarithm finds the crossing. On real
    outcomes they rise only nearly, so the best point that meets the target is kept, whenever it was met.

    Args:
        evaluate: Replays the policy on the calibration tasks for a value_usd. Never on the tasks the
            policy is to be judged on.
        value_usd: Given directly; only evaluated.
        max_cost_usd: Highest quality with mean dollars per task of at most this.
        min_quality: Lowest cost with a mean quality of at least this.
        bounds: Values of value_usd to search between.
        steps: Bisection steps.

    Raises:
        ConfigError: Not exactly one target was given, or it cannot be reached; the message names the
            nearest one that can.
    """
    targets = [value_usd, max_cost_usd, min_quality]
    if targets.count(None) != 2:
        raise ConfigError("give exactly one of value_usd, max_cost_usd and min_quality")
    if value_usd is not None:
        return Tuned(value_usd, *evaluate(value_usd))
    low, high = (Tuned(bound, *evaluate(bound)) for bound in bounds)
    if max_cost_usd is not None:
        limit = max_cost_usd
        if low.cost_usd > limit:
            raise ConfigError(
                f"max_cost_usd={limit:g} cannot be met; the nearest feasible target is "
                f"max_cost_usd={low.cost_usd:g} (quality {low.quality:.3f})"
            )
        seen = _bisect(evaluate, low, high, enough=lambda t: t.cost_usd > limit, steps=steps)
        fits = [t for t in seen if t.cost_usd <= limit]
        return max(fits, key=lambda t: (t.quality, -t.cost_usd))
    assert min_quality is not None  # noqa: S101 - exactly one is given
    wanted = min_quality
    seen = _bisect(evaluate, low, high, enough=lambda t: t.quality >= wanted, steps=steps)
    good = [t for t in seen if t.quality >= wanted]
    if not good:
        best = max(seen, key=lambda t: (t.quality, -t.cost_usd))
        raise ConfigError(
            f"min_quality={wanted:g} cannot be reached; the nearest feasible target is "
            f"min_quality={best.quality:.4g} (${best.cost_usd:.3g} per task)"
        )
    return min(good, key=lambda t: (t.cost_usd, -t.quality))


def _bisect(
    evaluate: Evaluate,
    low: Tuned,
    high: Tuned,
    *,
    enough: Callable[[Tuned], bool],
    steps: int,
) -> list[Tuned]:
    """Narrow in on where `enough` becomes true; return everything that was evaluated."""
    seen = [low, high]
    if enough(low) or not enough(high):
        return seen
    for _ in range(steps):
        middle = math.sqrt(low.value_usd * high.value_usd)
        tuned = Tuned(middle, *evaluate(middle))
        seen.append(tuned)
        if enough(tuned):
            high = tuned
        else:
            low = tuned
    return seen
