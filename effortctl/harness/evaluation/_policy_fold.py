"""What the file of a learned policy knows of arms and ladders, where no learning tasks are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from effortctl._errors import ConfigError
from effortctl.harness.evaluation._check import Check
from effortctl.harness.evaluation._folds import Fold, Offered, expect_all
from effortctl.harness.evaluation._ladders import front
from effortctl.harness.evaluation._lives import Lives
from effortctl.policies import BeliefModel

if TYPE_CHECKING:
    from effortctl._fitted_policy import FittedPolicy
    from effortctl.stores import OutcomeMatrix


def fold_of_policy(policy: FittedPolicy, test: OutcomeMatrix, lives: Lives, check: Check) -> Fold:
    """Read a fold off a learned policy.

    Raises:
        ConfigError: The check is agreement, whose worth only learning tasks can tell.
    """
    if check.kind == "agreement":
        raise ConfigError(
            "what agreement is worth is measured on learning tasks; give the learning outcomes, too"
        )
    model, arms = policy.model, test.arms
    cost = np.array([policy.provenance.prices.get(arm, np.nan) for arm in arms])
    cost = np.where(np.isnan(cost), lives.cost_usd.mean(axis=0), cost)
    known = {arm.name: arm for arm in model.arms}
    quality = np.array([known[arm].mean_score if arm in known else 0.0 for arm in arms])
    expected, difficulty = expect_all(model, test, cost)
    columns = np.array([arms.index(arm) for arm in model.arm_names], dtype=np.intp)
    tpr, fpr = model.tpr, model.fpr
    if check.kind != "recorded":
        rates = check.reliability(test.select_arms(model.arm_names))
        tpr, fpr = rates.tpr, rates.fpr
    belief = BeliefModel(rho=model.rho, tpr=tpr, fpr=fpr, stop_on_pass=True).table(len(columns))
    ladders: list[tuple[tuple[int, ...], float, float]] = [
        ((j,), float(cost[j]), float(quality[j])) for j in range(len(arms))
    ]
    for result in policy.results:
        if len(result.arms) > 1 and all(arm in arms for arm in result.arms):
            rungs = tuple(arms.index(arm) for arm in result.arms)
            ladders.append((rungs, result.cost_usd, result.quality))
    return Fold(
        rows=np.arange(len(test)),
        lives=lives,
        expected=expected,
        offered=Offered(columns, belief),
        arm_cost=cost,
        arm_quality=quality,
        ladders=front(
            tuple(row[0] for row in ladders),
            np.array([row[1] for row in ladders]),
            np.array([row[2] for row in ladders]),
        ),
        difficulty=difficulty,
        taught=None,
    )
