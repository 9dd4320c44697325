"""A fitted model behind the `Estimator` protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

from effortctl._types import Arm, Estimate, Task
from effortctl.estimators._model import FittedModel


class ModelEstimator:
    """Estimates arms by their names in a fitted model.

    Attributes:
        model: The model.
    """

    def __init__(self, model: FittedModel) -> None:
        """Remember the model.

        Args:
            model: Its arm names must be those of the arms that will be asked for.
        """
        self.model = model
        self._column = {name: j for j, name in enumerate(model.arm_names)}

    def estimate(self, task: Task, arms: Sequence[Arm]) -> Mapping[str, Estimate]:
        """One estimate per arm the model knows, with its cost; other arms are left out."""
        predicted = self.model.estimates([task])
        p, cost = predicted.p[0].tolist(), predicted.cost_usd[0].tolist()
        known = [(arm.name, self._column[arm.name]) for arm in arms if arm.name in self._column]
        return {
            name: Estimate(arm=name, p_correct=p[j], cost_usd=cost[j])
            for name, j in known
            if not isnan(cost[j])
        }
