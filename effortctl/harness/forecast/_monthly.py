"""Dollars per task times queries per month, over resampled tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from effortctl._features import approximate_tokens
from effortctl.harness.evaluation._intervals import Sample
from effortctl.harness.forecast._spend import Choice, Recorded
from effortctl.harness.forecast._volume import Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.estimators import FittedModel
    from effortctl.stores import OutcomeMatrix

    Floats = NDArray[np.float64]

DRAWS = 2000

_FARTHEST = 50.0
"""Largest exponent of a resample that was spread."""

_LEAST_SHARE = 0.2
"""Below this share of the mean a resample says too little of the arms; they keep their shares of it."""

_APART = 7919
"""Seeds of categories are this far apart, so that their resamples have nothing to do with each other."""


@dataclass(frozen=True, slots=True, eq=False)
class Month:
    """What one choice costs in a month.

    Attributes:
        choice: The choice.
        usd: [K] dollars by arm.
        drawn: [D, K] the same, resampled; the draws of all choices belong together.
        quality: Mean score, weighted by volume.
        by_category: Category → dollars.
    """

    choice: Choice
    usd: Floats
    drawn: Floats
    quality: float
    by_category: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Source:
    """Which recorded tasks speak for a category.

    Attributes:
        rows: Their positions.
        pooled: All tasks do, because the category has too few of its own.
        seed: Of its resamples.
    """

    rows: tuple[int, ...]
    pooled: bool
    seed: int


def sources_of(matrix: OutcomeMatrix, volumes: Sequence[Volume], *, seed: int) -> dict[str, Source]:
    """Find the recorded tasks of every category; one without two independent ones gets all tasks."""
    everything = tuple(range(len(matrix)))
    found = {}
    for number, category in enumerate(dict.fromkeys(each.category for each in volumes), start=1):
        rows = tuple(i for i in everything if matrix.categories[i] == category)
        if rows and sample_of(matrix, rows).groups >= 2:
            found[category] = Source(rows, pooled=False, seed=seed + _APART * number)
        else:
            found[category] = Source(everything, pooled=True, seed=seed)
    return found


def sample_of(matrix: OutcomeMatrix, rows: Sequence[int]) -> Sample:
    """These tasks in their clusters; one without a label is a cluster of its own."""
    if not any(matrix.clusters):
        return Sample(None, len(rows))
    names = [
        f"of:{matrix.clusters[i]}" if matrix.clusters[i] else f"task:{matrix.task_ids[i]}"
        for i in rows
    ]
    return Sample(names, len(rows))


def monthly(
    recorded: Recorded,
    volumes: Sequence[Volume],
    sources: Mapping[str, Source],
    *,
    model: FittedModel,
    volume_uncertainty: float,
    seed: int,
) -> list[Month]:
    """Add up all rows of volumes, for every choice.

    Args:
        recorded: What the choices spent on recorded tasks.
        volumes: Expected queries.
        sources: Which tasks speak for which category.
        model: Says how dollars grow with the length of prompts.
        volume_uncertainty: Relative standard deviation of all volumes together.
        seed: Of the luck of volumes.
    """
    shape = (len(recorded.spends), len(recorded.matrix.arms))
    usd, drawn = np.zeros(shape), np.zeros((DRAWS, *shape))
    quality = np.zeros(shape[0])
    by_category: dict[str, Floats] = {}
    for volume in volumes:
        source = sources[volume.category]
        factors = prompt_factors(model, recorded.matrix, source.rows, volume.prompt_tokens)
        here, resampled = _per_task(recorded, source)
        month = volume.queries_per_month * factors * here
        usd += month
        drawn += volume.queries_per_month * factors * resampled
        rows = list(source.rows)
        quality += volume.queries_per_month * np.array(
            [spend.quality[rows].mean() for spend in recorded.spends]
        )
        by_category[volume.category] = by_category.get(volume.category, 0.0) + month.sum(axis=1)
    drawn *= _shocks(volume_uncertainty, seed)[:, None, None]
    queries = sum(each.queries_per_month for each in volumes)
    return [
        Month(
            spend.choice,
            usd[p],
            drawn[:, p],
            float(quality[p] / queries),
            {name: float(amounts[p]) for name, amounts in by_category.items()},
        )
        for p, spend in enumerate(recorded.spends)
    ]


def prompt_factors(
    model: FittedModel,
    matrix: OutcomeMatrix,
    rows: Sequence[int],
    prompt_tokens: float | None,
) -> Floats:
    """[K] how many times the recorded dollars prompts of this length cost, by the cost curves.

    All 1 where a prompt is not known.
    """
    factors = np.ones(len(matrix.arms))
    if prompt_tokens is None or not all(matrix.texts[i] for i in rows):
        return factors
    tasks = matrix.select_tasks(list(rows)).tasks()
    difficulty = model.scorer.predict(tasks)
    tokens = np.array([approximate_tokens(task) for task in tasks], dtype=float)
    for arm in model.arms:
        if arm.cost is None or arm.name not in matrix.arms:
            continue
        usual = float(arm.cost.predict(difficulty, tokens).mean())
        asked = float(arm.cost.predict(difficulty, np.full(len(tasks), prompt_tokens)).mean())
        if usual > 0:
            factors[matrix.arms.index(arm.name)] = asked / usual
    return factors


def _per_task(recorded: Recorded, source: Source) -> tuple[Floats, Floats]:
    """[P, K] mean dollars per task, and [D, P, K] resampled ones.

    Resamples are spread until the interval of a choice's dollars is as wide as Student's on the logarithm,
    with the few degrees of freedom that skewed dollars have. Without that the upper end is too low: what
    was not seen is above.
    """
    rows = list(source.rows)
    values = np.stack([spend.usd[rows] for spend in recorded.spends], axis=1)
    tasks, *shape = values.shape
    flat = values.reshape(tasks, -1)
    used = np.flatnonzero(flat.any(axis=0))
    columns = np.concatenate([flat[:, used], np.ones((tasks, 1))], axis=1)
    sample = sample_of(recorded.matrix, rows)
    totals = np.concatenate(list(sample.resampled(columns, draws=DRAWS, seed=source.seed)))
    mean, drawn = values.mean(axis=0), np.zeros((DRAWS, flat.shape[1]))
    drawn[:, used] = totals[:, :-1] / totals[:, -1:]
    spread = [_spread(sample, total) for total in values.sum(axis=2).T]
    return mean, _leaning(drawn.reshape(DRAWS, *shape), mean, np.array(spread))


def _spread(sample: Sample, dollars: Floats) -> float:
    """How many times wider than its resamples the interval of a mean has to be."""
    if sample.groups < 2:
        return 1.0
    student = replace(sample.dollars(dollars), value=0.0, error=1.0).interval()[1]
    return student / NormalDist().inv_cdf(0.975) * math.sqrt(sample.groups / (sample.groups - 1))


def _leaning(drawn: Floats, mean: Floats, spread: Floats) -> Floats:
    """Resampled dollars, spread; a choice's total in proportion to what it is, so never below zero.

    Args:
        drawn: [D, P, K] dollars by arm.
        mean: [P, K] their means.
        spread: [P] how far they are spread.
    """
    wide = np.maximum(0.0, mean + spread[:, None] * (drawn - mean))
    total, usual = wide.sum(axis=2), mean.sum(axis=1)
    share = total / np.where(usual > 0, usual, 1.0)
    grown = np.exp(np.minimum(share - 1, _FARTHEST))
    near = share > _LEAST_SHARE
    factor = grown / np.where(near, share, 1.0)
    found: Floats = np.where(near[:, :, None], wide * factor[:, :, None], mean * grown[:, :, None])
    return found


def _shocks(uncertainty: float, seed: int) -> Floats:
    """[D] factors of mean 1: demand is better described by a lognormal than by a normal."""
    sigma = math.sqrt(math.log1p(uncertainty * uncertainty))
    luck = np.random.default_rng([seed, 1]).normal(size=DRAWS)
    return np.exp(sigma * luck - sigma * sigma / 2)
