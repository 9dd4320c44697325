"""Choose which arms to offer to a plan, where there are more than it can hold."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from effortctl._errors import ConfigError
from effortctl.policies._inputs import BeliefModel, Forecast, Terms
from effortctl.policies._plan import MAX_ARMS, plan_batch

_PER_DECADE = 2
"""Values of a correct answer, in each factor of ten, at which arms are picked. More were measured to gain
nothing; a single one for all values lost 0.1 to 0.8 points of quality (evals/planner)."""

_SAMPLE = 32


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


@dataclass(frozen=True, slots=True, eq=False)
class ArmMenu:
    """The arms to offer a plan, where there may be more than it can hold.

    Which arms are good together depends on what a correct answer is worth, and while that is still being
    tuned it is not known. So arms are picked anew wherever it is tried; values that are close share a pick.

    Attributes:
        forecast: What is expected of each arm on each task, by models that have not seen the task.
        model: How failures hang together; `table` must have been called.
        usd_per_second: Dollars a second of waiting costs.
    """

    forecast: Forecast
    model: BeliefModel
    usd_per_second: float = 0.0
    _picked: dict[int, tuple[int, ...]] = field(default_factory=dict, init=False, repr=False)

    def at(self, value_usd: float) -> tuple[int, ...]:
        """Columns of the arms for a value of a correct answer, in their order; one or more."""
        arms = len(self.forecast.arms)
        if arms <= MAX_ARMS:
            return tuple(range(arms))
        near = round(_PER_DECADE * float(np.log10(value_usd)))
        if near not in self._picked:
            self._picked[near] = self._pick(10.0 ** (near / _PER_DECADE))
        return self._picked[near]

    def _pick(self, value_usd: float) -> tuple[int, ...]:
        terms = Terms(value_usd, self.usd_per_second)
        picked = pick_arms(self.forecast, self.model, terms, sample=_SAMPLE)
        alone = value_usd * self.forecast.p_correct - self.forecast.dollars
        return tuple(sorted(picked or (int(alone.mean(axis=0).argmax()),)))
