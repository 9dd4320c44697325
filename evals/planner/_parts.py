"""What every method sees of the training tasks and of the held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from _predict import Prediction, Predictor, clusters, logistic, nearest, of_model

from effortctl.estimators import FittedModel, fit_model, fit_reliability
from effortctl.policies import Agreement, BeliefModel, draw_verdicts
from effortctl.stores import OutcomeMatrix

if TYPE_CHECKING:
    from _sets import Check, Split
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

FOLDS = 3
OURS = "ours"


@dataclass(frozen=True, slots=True, eq=False)
class Forecasts:
    """Predictions for both sides of a split.

    Attributes:
        train: Predictor → what it says of each training task, learned without its fold.
        test: Predictor → what it says of each held-out task, learned from all training tasks.
        model: Our model of all training tasks.
    """

    train: Mapping[str, Prediction]
    test: Mapping[str, Prediction]
    model: FittedModel


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One side of a split, as it could be lived through.

    Attributes:
        forecasts: Predictor → P(correct) and dollars, both [T, K].
        score: [T, K] whether each answer was correct, 0 or 1.
        cost_usd: [T, K] what each try really cost.
        passed: [T, K] what the check said; under agreement [T, K, K], whether arms i and j agree.
    """

    forecasts: Mapping[str, Prediction]
    score: Floats
    cost_usd: Floats
    passed: Bools

    def alone(self, arm: int) -> tuple[Floats, Floats]:
        """Dollars and quality of one fixed arm."""
        return self.cost_usd[:, arm], self.score[:, arm]

    def best_arm(self) -> int:
        """The arm with the highest quality, the cheapest of equals."""
        quality, cost = self.score.mean(axis=0), self.cost_usd.mean(axis=0)
        return int(np.lexsort((cost, -quality))[0])


def forecast(split: Split, *, text: bool) -> Forecasts:
    """Fit every predictor: on all training tasks, and once per fold of them."""
    model = _fit(split.train, split.groups, seed=split.seed)
    test = {name: predict(split.test) for name, predict in _all(split.train, model, split, text)}
    train: dict[str, tuple[Floats, Floats]] = {
        name: (np.zeros_like(split.train.score), np.zeros_like(split.train.score)) for name in test
    }
    for held_out in _folds(split):
        rest = split.train.select_tasks(~held_out)
        groups = tuple(g for g, out in zip(split.groups, held_out, strict=True) if not out)
        fold_model = _fit(rest, groups, seed=split.seed)
        unseen = split.train.select_tasks(held_out)
        for name, predict in _all(rest, fold_model, split, text):
            for into, values in zip(train[name], predict(unseen), strict=True):
                into[held_out] = values
    return Forecasts(train, test, model)


def _fit(train: OutcomeMatrix, groups: tuple[str, ...], *, seed: int) -> FittedModel:
    return fit_model(train, groups=groups, seed=seed)


def _all(
    train: OutcomeMatrix,
    model: FittedModel,
    split: Split,
    text: bool,  # noqa: FBT001 - private, and named at the only source of its value
) -> list[tuple[str, Predictor]]:
    fits: dict[str, Callable[[OutcomeMatrix, int], Predictor]] = {
        "kNN": nearest,
        "clusters": clusters,
        "logistic": logistic,
    }
    learned = [(name, fit(train, split.seed)) for name, fit in fits.items()] if text else []
    return [(OURS, of_model(model)), *learned]


def _folds(split: Split) -> list[Bools]:
    """Folds of the training tasks that never part a group."""
    names, member = np.unique(np.asarray(split.groups), return_inverse=True)
    order = np.random.default_rng(split.seed).permutation(len(names))
    fold = (order % min(FOLDS, len(names)))[member.ravel()]
    return [fold == k for k in range(fold.max() + 1)]


def live(
    matrix: OutcomeMatrix,
    forecasts: Mapping[str, Prediction],
    check: Check,
    *,
    rng: np.random.Generator,
) -> Part:
    """Draw one life of a side: an outcome where several samples were averaged, and the verdicts."""
    score = (rng.random(matrix.score.shape) < matrix.score).astype(float)
    return Part(forecasts, score, matrix.cost_usd, _passed(matrix, score, check, rng=rng))


def _passed(
    matrix: OutcomeMatrix, score: Floats, check: Check, *, rng: np.random.Generator
) -> Bools:
    if check.evidence == "recorded":
        return np.asarray(matrix.verdict == 1)
    if check.evidence == "agreement":
        answers = np.array([[str(a).strip().upper() for a in row] for row in _answers(matrix)])
        agree = answers[:, :, None] == answers[:, None, :]
        return np.asarray(agree & (answers != "NONE")[:, :, None])
    if check.evidence == "none":
        return np.ones(score.shape, dtype=np.bool_)
    return draw_verdicts(score > 0.5, check.tpr, check.fpr, rng=rng)


def _answers(matrix: OutcomeMatrix) -> NDArray[np.object_]:
    if matrix.answers is None:
        return np.full(matrix.score.shape, None, dtype=object)
    return matrix.answers


def belief(split: Split, model: FittedModel, check: Check, *, train: Part) -> BeliefModel:
    """What our plan believes: loadings and, where they were recorded, rates learned on train."""
    if check.evidence == "agreement":
        return BeliefModel(rho=model.rho, agreement=_agreement(train))
    if check.evidence == "recorded":
        rates = fit_reliability(split.train.verdict, split.train.score, models=split.train.models)
        return BeliefModel(rho=model.rho, tpr=rates.tpr, fpr=rates.fpr, stop_on_pass=True)
    if check.evidence == "none":
        return BeliefModel(rho=model.rho, tpr=1.0, fpr=1.0, stop_on_pass=True)
    return BeliefModel(rho=model.rho, tpr=check.tpr, fpr=check.fpr, stop_on_pass=True)


def _agreement(train: Part) -> Agreement:
    """How often arms agree when both, one or none is right, from the training tasks."""
    right = train.score > 0.5
    both = right[:, :, None] & right[:, None, :]
    one = right[:, :, None] ^ right[:, None, :]

    def share(where: Bools, prior: float) -> Floats:
        agreeing = (train.passed & where).sum(axis=0) + 4.0 * prior
        rate: Floats = agreeing / (where.sum(axis=0) + 4.0)
        return rate

    return Agreement(
        both_right=share(both, 1.0), one_right=share(one, 0.0), both_wrong=share(~both & ~one, 0.3)
    )
