"""Fit the difficulty scorer of the prior on several sources, and judge it on sources it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

from effortctl._features import FEATURE_NAMES, FEATURES_HASH
from effortctl.estimators._calibration import auc
from effortctl.estimators._curves import constant_curves, predict_all
from effortctl.estimators._links import log_loss, logit, sigmoid
from effortctl.estimators._scorer import (
    LABEL_QUANTILES,
    DifficultyScorer,
    LinearPart,
    standardise,
)

if TYPE_CHECKING:
    from _sources import Source
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_ALPHA = 10_000.0
"""Far above what fits any one source best: only what holds across sources may stay."""

_TASKS_PER_SOURCE = 300.0
"""Most weight of one source, in tasks, so that the largest does not decide alone."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How well a source was predicted by the others.

    Attributes:
        source: Its name.
        auc: Mean over arms; one half is chance.
        log_loss: Nats per outcome, each arm's level known and difficulty as predicted.
        constant_log_loss: The same with every task average.
        best_scale: Factor on the prediction that explains its difficulties best.
    """

    source: str
    auc: float
    log_loss: float
    constant_log_loss: float
    best_scale: float


def judge_each(sources: Sequence[Source]) -> tuple[list[Judged], dict[str, Floats]]:
    """Leave-one-source-out, and the predictions it gave.

    The scale of the scorer for a source is the median of the best scales of the other sources, each
    found without itself and without that source.
    """
    judged, predicted = [], {}
    for source in sources:
        others = [each for each in sources if each is not source]
        part = fit_part(others)
        scale = _scale_of(others)
        z = scale * apart(part, source)
        predicted[source.name] = z
        judged.append(_judge(source, z, _best_scale(source, z / scale) / scale))
    return judged, predicted


def fit_scorer(sources: Sequence[Source]) -> DifficultyScorer:
    """The scorer from all sources."""
    part = fit_part(sources)
    scale = _scale_of(sources)
    z = np.concatenate([scale * apart(part, source) for source in sources])
    mass = np.concatenate([_mass(source) for source in sources])
    rest = np.concatenate([source.difficulty for source in sources]) - z
    order = np.argsort(z)
    share = np.cumsum(mass[order]) / mass.sum()
    quantile = np.interp((0.01, 0.99, *LABEL_QUANTILES), share, z[order])
    return DifficultyScorer(
        parts={"linear": (scale, part)},
        intercept=0.0,
        low=float(quantile[0]),
        high=float(quantile[1]),
        bands=tuple(quantile[2:].tolist()),
        residual_sd=float(np.sqrt(np.average(rest**2, weights=mass))),
        feature_names=FEATURE_NAMES,
        feature_hash=FEATURES_HASH,
    )


def fit_part(sources: Sequence[Source]) -> LinearPart:
    """Ridge regression of difficulty on features, both taken from the mean of their source."""
    mass = np.concatenate([_mass(source) for source in sources])
    mean = np.average(np.concatenate([s.x for s in sources]), axis=0, weights=mass)
    centred = np.concatenate([s.x - s.x.mean(axis=0) for s in sources])
    scale = np.sqrt(np.average(centred**2, axis=0, weights=mass))
    scale = np.where(scale > 1e-6, scale, 1.0)
    z = np.concatenate([_centred(standardise(s.x, mean, scale), _mass(s)) for s in sources])
    y = np.concatenate([source.difficulty for source in sources])
    gram = (z * mass[:, None]).T @ z + _ALPHA * np.eye(z.shape[1])
    coef = np.linalg.solve(gram, (z * mass[:, None]).T @ y)
    short = [np.asarray(np.round(array, 7), dtype=np.float64) for array in (mean, scale, coef)]
    return LinearPart(short[0], short[1], short[2], intercept=0.0)


def apart(part: LinearPart, source: Source) -> Floats:
    """[T] predictions less their mean over the source."""
    return _centred(part.predict(source.x)[:, None], source.weight)[:, 0]


def _mass(source: Source) -> Floats:
    return source.weight * min(1.0, _TASKS_PER_SOURCE / len(source.weight))


def _centred(x: Floats, weight: Floats) -> Floats:
    return np.asarray(x - np.average(x, axis=0, weights=weight))


def _scale_of(sources: Sequence[Source]) -> float:
    found = [
        _best_scale(source, apart(fit_part([s for s in sources if s is not source]), source))
        for source in sources
    ]
    return max(0.0, float(np.median(found)))


def _best_scale(source: Source, z: Floats) -> float:
    return float(
        np.average(z * source.difficulty, weights=source.weight)
        / np.average(z**2, weights=source.weight)
    )


def _judge(source: Source, z: Floats, best_scale: float) -> Judged:
    score = source.matrix.score
    seen = ~np.isnan(score)
    constant = predict_all(constant_curves(score), np.zeros(len(z)))
    p = np.column_stack([_levelled(z[s], y[s], z) for s, y in zip(seen.T, score.T, strict=True)])
    aucs = [auc(-z[s], y[s]) for s, y in zip(seen.T, score.T, strict=True)]
    return Judged(
        source=source.name,
        auc=float(np.mean([each for each in aucs if each is not None])),
        log_loss=float(np.nanmean(log_loss(score, p))),
        constant_log_loss=float(np.nanmean(log_loss(score, constant))),
        best_scale=best_scale,
    )


def _levelled(z_seen: Floats, score: Floats, z: Floats) -> Floats:
    """Probabilities with the arm's level fitted and the slope as shipped."""
    start = float(logit(score.mean()))
    level = minimize_scalar(
        lambda a: float(log_loss(score, sigmoid(a - z_seen)).mean()),
        bounds=(start - 2, start + 2),
        method="bounded",
    ).x
    return sigmoid(level - z)
