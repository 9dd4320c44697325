"""Choose which arms to offer to a plan, where there are more than it can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from effortctl._errors import ConfigError
from effortctl.policies._plan import MAX_ARMS, plan_batch

if TYPE_CHECKING:
    from effortctl.policies._inputs import BeliefModel, Forecast, Terms


def pick_arms(
    forecast: Forecast,
    model: BeliefModel,
    terms: Terms,
    *,
    most: int = MAX_ARMS,
    sample: int = 64,
) -> tuple[int, ...]:
    """Choose arms that are good together, greedily.

    A cheap weak arm before a dear strong one is worth more than a second strong one, which the value of
    each arm alone cannot show. So arms are added one at a time, always the one that raises the expected
    worth of the plan most, until none does. Meant for learning, once per policy: it takes seconds.

    Args:
        forecast: What is expected of each arm on each task.
        model: How failures hang together and what verdicts are worth.
        terms: What a correct answer and a second are worth.
        most: How many arms to choose at most, 1 to 8.
        sample: How many of the tasks to look at, evenly spread.

    Returns:
        Indices of the chosen arms, best first; empty when no arm is worth its price.

    Raises:
        ConfigError: `most` or `sample` is out of range, or numbers do not fit.
    """
    if not 1 <= most <= MAX_ARMS or sample < 1:
        raise ConfigError(f"most is {most} and sample {sample}; expected 1 to {MAX_ARMS}, and 1 up")
    rows = np.linspace(0, forecast.tasks - 1, min(sample, forecast.tasks)).astype(int)
    some, table = forecast.rows(rows), model.table(len(forecast.arms))

    def worth(arms: list[int]) -> float:
        return float(plan_batch(some.only(arms), table.only(arms), terms).net_usd.mean())

    chosen: list[int] = []
    reached = 0.0
    while len(chosen) < most:
        others = [arm for arm in range(len(forecast.arms)) if arm not in chosen]
        gains = {arm: worth([*chosen, arm]) for arm in others}
        best = max(gains, key=lambda arm: gains[arm], default=None)
        if best is None or gains[best] <= reached + 1e-9 * terms.value_usd:
            break
        chosen.append(best)
        reached = gains[best]
    return tuple(chosen)
