"""A difficulty scorer fitted on other people's tasks, and how far it is trusted on these."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from effortctl.estimators._scorer import DifficultyScorer

_TASKS_TO_CENTRE = 5.0
"""Tasks after which half of what is average is read off these tasks, not off the prior's."""

_TASKS_FOR_A_SCALE = 20.0
"""The same for label bands and residual spread, which need more tasks to be seen."""


@dataclass(frozen=True, slots=True, eq=False)
class DifficultyPrior:
    """What is believed of difficulty before a task of one's own has been tried.

    Attributes:
        scorer: Predicts difficulty; 0 is the average task.
        weight_sd: How far the best weight of the scorer, expected at 1, lies from 1 on a new source.
    """

    scorer: DifficultyScorer
    weight_sd: float

    @property
    def pull(self) -> float:
        """Root of the prior precision of the weight, against residuals of one task."""
        return self.scorer.residual_sd / self.weight_sd

    def trust_in_mean(self, tasks: int) -> float:
        """Share of the mean prediction over these tasks that is taken out of every prediction."""
        return tasks / (tasks + _TASKS_TO_CENTRE)


def pool_scale(scorer: DifficultyScorer, prior: DifficultyPrior, *, tasks: int) -> DifficultyScorer:
    """The scorer with limits, bands and spread that a handful of tasks does not narrow.

    Args:
        scorer: Fitted on the tasks.
        prior: What its part named `prior` is.
        tasks: How many there were.
    """
    weight = scorer.parts["prior"][0] if "prior" in scorer.parts else 0.0
    own = tasks / (tasks + _TASKS_FOR_A_SCALE)
    low, high, *bands = (
        weight * np.array([prior.scorer.low, prior.scorer.high, *prior.scorer.bands])
        + scorer.intercept
    ).tolist()
    pooled = zip(scorer.bands, bands, strict=True)
    return replace(
        scorer,
        low=min(scorer.low, own * scorer.low + (1 - own) * low),
        high=max(scorer.high, own * scorer.high + (1 - own) * high),
        bands=tuple(own * mine + (1 - own) * theirs for mine, theirs in pooled),
        residual_sd=own * scorer.residual_sd + (1 - own) * prior.scorer.residual_sd,
    )
