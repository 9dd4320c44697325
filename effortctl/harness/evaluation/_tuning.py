"""Set a contender's dial on the learning tasks of a fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effortctl._errors import ConfigError
from effortctl._policy_parts import Target
from effortctl.harness.evaluation._contenders import Contender
from effortctl.harness.evaluation._folds import Fold, Taught

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EPSILON = 0.01
"""Quality that may be given up for lower cost: one point. A fixed arm is granted it, too."""

Choice: TypeAlias = "tuple[float, bool]"
"""A setting of the dial, and whether the target was reached with it on the learning tasks."""


def target_of(
    value_usd: float | None, max_cost_usd: float | None, min_quality: float | None
) -> Target:
    """The user's target; without one, to be as good as the best fixed arm.

    Raises:
        ConfigError: Several were given, or one is out of range.
    """
    given = {"value_usd": value_usd, "max_cost_usd": max_cost_usd, "min_quality": min_quality}
    named = [(kind, amount) for kind, amount in given.items() if amount is not None]
    if len(named) > 1:
        raise ConfigError("give one of value_usd, max_cost_usd and min_quality, or none of them")
    if not named:
        return Target("best_arm", 1.0)
    kind, amount = named[0]
    if not amount > 0 or (kind == "min_quality" and amount > 1):
        raise ConfigError(f"{kind} is {amount!r}; it must be above 0, and a quality at most 1")
    return Target(kind, amount)  # type: ignore[arg-type]  # one of the three keys above


def baseline_arm(target: Target, cost: Floats, quality: Floats) -> int:
    """The best fixed arm for a target: what a policy has to beat.

    Without a target of the user's own, it is the cheapest arm that is within a point of the best one:
    what a policy may give up for lower cost, a fixed arm may, too.
    """
    if target.kind == "value_usd":
        return int(np.argmax(target.amount * quality - cost))
    if target.kind == "max_cost_usd":
        fits = cost <= target.amount * (1 + 1e-12)
        return int(np.lexsort((cost, -quality, ~fits))[0]) if fits.any() else int(cost.argmin())
    wanted = quality.max() - EPSILON if target.kind == "best_arm" else target.amount
    good = quality >= wanted - 1e-9
    return int(np.lexsort((cost, ~good))[0]) if good.any() else best_arm(cost, quality)


def best_arm(cost: Floats, quality: Floats) -> int:
    """The arm with the highest quality, the cheapest of equals."""
    good = quality >= quality.max() - 1e-9
    return int(np.flatnonzero(good)[cost[good].argmin()])


def tune(contender: Contender, fold: Fold, target: Target, *, level: float) -> Choice:
    """Choose a setting on the learning tasks.

    To be as good as the best arm, a setting must be so beyond the noise of the learning tasks, if one
    is: the cheapest that only seems as good would be worse on new tasks half of the time.
    """
    if target.kind == "value_usd" and contender.priced:
        return target.amount, True
    taught = fold.taught
    if taught is None:  # only the setting that a finished policy knows of
        return _by_ladder(contender, fold, target)
    runs = [
        contender.play(fold, taught.lives, taught.expected, setting=float(value))
        for value in contender.dial
    ]
    cost = np.array([run.cost_usd.mean() for run in runs])
    quality = np.array([run.quality.mean() for run in runs])
    if target.kind == "value_usd":
        return float(contender.dial[np.argmax(target.amount * quality - cost)]), True
    if target.kind == "max_cost_usd":
        fits = cost <= target.amount * (1 + 1e-12)
        chosen = np.lexsort((cost, -quality, ~fits))[0] if fits.any() else cost.argmin()
        return float(contender.dial[chosen]), bool(fits.any())
    wanted = target.amount
    if target.kind == "best_arm":
        reference = taught.lives.score[:, baseline_arm(target, fold.arm_cost, fold.arm_quality)]
        wanted = float(reference.mean())
        scores = np.stack([run.quality for run in runs])
        sure = _surely_as_good(scores, reference, taught, level=level)
        if sure.any():
            return float(contender.dial[np.where(sure, cost, np.inf).argmin()]), True
    good = quality >= wanted - 1e-9
    chosen = np.where(good, cost, np.inf).argmin() if good.any() else quality.argmax()
    return float(contender.dial[chosen]), bool(good.any())


def _surely_as_good(
    scores: Floats, reference: Floats, taught: Taught, *, level: float
) -> NDArray[np.bool_]:
    sample = taught.sample
    p = [sample.mean(score - reference, caution=1.0).p_above(0.0) for score in scores]
    return np.array(p) <= 1 - level


def _by_ladder(contender: Contender, fold: Fold, target: Target) -> Choice:
    """Without learning tasks only the mean dollars and qualities of ladders are known."""
    if contender.priced:
        return float(contender.dial[-1]), True
    cost, quality = fold.ladders.cost_usd, fold.ladders.quality
    if target.kind == "value_usd":
        return float(cost[np.argmax(target.amount * quality - cost)]), True
    wanted = fold.arm_quality.max() if target.kind == "best_arm" else target.amount
    if target.kind == "max_cost_usd":
        return target.amount, bool(cost[0] <= target.amount)
    good = quality >= wanted - 1e-9
    return float(cost[good.argmax() if good.any() else -1]), bool(good.any())
