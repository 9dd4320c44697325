"""What is expected of an arm nobody has tried here, from its effort and its price alone.

One number per arm (log-odds of being correct, or log output tokens):

    base + per_log_price * log(price) + (1 + gain) * effort + model + arm + source

`effort` is a step per effort level. The rest are normal with mean 0: the source of the tasks shifts all
arms together and stretches or flattens what effort gives, the arms of one model share a shift, and
each arm has one of its own. So outcomes of one arm also tell something of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Efforts that have a step; `default` is one of them, or unknown."""


@dataclass(frozen=True, slots=True)
class ArmFacts:
    """What is known of an arm before its first call.

    Attributes:
        name: Of the arm.
        model: Arms of one model share what is not known of it.
        level: One of `LEVELS`. None: not known.
        log_price: Logarithm of the list price, dollars per million output tokens. None: not known.
    """

    name: str
    model: str
    level: str | None
    log_price: float | None


@dataclass(frozen=True, slots=True)
class ArmLevels:
    """The formula above for one number.

    Attributes:
        base: At medium effort and the middle price.
        per_log_price: Rise per unit of the log price.
        log_price_centre: The middle price.
        log_price_range: Prices it was fitted on; outside, the nearest end counts.
        log_price_sd: Spread of the log price among models, for those whose price is not known.
        steps: Level → rise against medium; rising, all `LEVELS`.
        source_sd: Spread between sources of tasks.
        gain_sd: Spread of the gain from effort between sources.
        model_sd: Spread between models of one price.
        arm_sd: Spread between arms beyond that.
    """

    base: float
    per_log_price: float
    log_price_centre: float
    log_price_range: tuple[float, float]
    log_price_sd: float
    steps: Mapping[str, float]
    source_sd: float
    gain_sd: float
    model_sd: float
    arm_sd: float

    def mean(self, arms: Sequence[ArmFacts]) -> Floats:
        """[K] expected numbers."""
        centre = self.log_price_centre
        price = np.array([centre if a.log_price is None else a.log_price for a in arms])
        rise = self.per_log_price * (np.clip(price, *self.log_price_range) - centre)
        return np.asarray(self.base + rise + self._steps(arms))

    def covariance(self, arms: Sequence[ArmFacts]) -> Floats:
        """[K, K] of the numbers around their expected values."""
        steps = self._steps(arms)
        names = np.array([arm.model for arm in arms])
        blind = np.array([arm.log_price is None for arm in arms]) * self.per_log_price
        guessed = blind * self.log_price_sd
        same = (names[:, None] == names).astype(float)
        lost = np.array([arm.level is None for arm in arms]) * self._step_spread()
        own = self.arm_sd**2 + lost**2
        return np.asarray(
            self.source_sd**2
            + self.gain_sd**2 * np.outer(steps, steps)
            + same * (self.model_sd**2 + np.outer(guessed, guessed))
            + np.diag(own)
        )

    def _steps(self, arms: Sequence[ArmFacts]) -> Floats:
        unknown = (self.steps["none"] + self.steps["medium"]) / 2
        return np.array([self.steps.get(arm.level or "", unknown) for arm in arms])

    def _step_spread(self) -> float:
        return (self.steps["medium"] - self.steps["none"]) / 2
