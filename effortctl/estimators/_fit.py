"""Outcomes in, `FittedModel` out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypedDict, Unpack

import numpy as np

from effortctl._errors import ConfigError
from effortctl._features import FeatureFunction, approximate_tokens
from effortctl._types import Arm
from effortctl.estimators._belief import fit_rho
from effortctl.estimators._calibration import calibration
from effortctl.estimators._crossfit import CrossFit
from effortctl.estimators._curves import CurvePrior, constant_curves
from effortctl.estimators._escalated import unbiased
from effortctl.estimators._folds import GroupBy, group_names
from effortctl.estimators._links import sigmoid
from effortctl.estimators._model import FittedArm, FittedModel
from effortctl.estimators._prior_costs import CostPrior, shrink_costs
from effortctl.estimators._reliability import Reliability, fit_reliability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.estimators._difficulty import DifficultyModel
    from effortctl.estimators._folds import Fold
    from effortctl.estimators._prior import Prior
    from effortctl.stores._matrix import OutcomeMatrix

    Floats = NDArray[np.float64]

Progress: TypeAlias = Callable[[str, float], None]
"""Called with the name of the step that begins and the share of the work done before it."""


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted:
    """A model of all tasks, and what models without a task's fold expected of that task.

    Attributes:
        model: Fitted on all T tasks.
        p: [T, K] P(correct), out of fold: fit for tuning on the very tasks the model was fitted on.
        cost_usd: [T, K] expected dollars, out of fold; NaN where an arm's cost was never recorded.
        difficulty: [T] in logits, out of fold.
    """

    model: FittedModel
    p: Floats
    cost_usd: Floats
    difficulty: Floats


class FitOptions(TypedDict, total=False):
    """Options of `fit_model`; those of `fit_model_crossed` tell what they do."""

    groups: Sequence[str] | GroupBy | None
    difficulty_model: DifficultyModel | None
    features: FeatureFunction | None
    reliability: Reliability | None
    curve_priors: Mapping[str, CurvePrior] | None
    prior: Prior | None
    arms: Sequence[Arm]
    isotonic: bool | None
    seed: int
    progress: Progress | None


def fit_model(matrix: OutcomeMatrix, **options: Unpack[FitOptions]) -> FittedModel:
    """The model of `fit_model_crossed`, which takes the same options, without its forecasts."""
    return fit_model_crossed(matrix, **options).model


def fit_model_crossed(  # noqa: PLR0913 - one keyword per decision, each with a default that works
    matrix: OutcomeMatrix,
    *,
    groups: Sequence[str] | GroupBy | None = None,
    difficulty_model: DifficultyModel | None = None,
    features: FeatureFunction | None = None,
    reliability: Reliability | None = None,
    curve_priors: Mapping[str, CurvePrior] | None = None,
    prior: Prior | None = None,
    arms: Sequence[Arm] = (),
    isotonic: bool | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> CrossFitted:
    """Learn difficulty, arm curves, costs, shared failures and verifier reliability.

    Args:
        matrix: What every arm did on every task; missing cells are fine.
        groups: [T] tasks of one group are held out together, or the label that names it: `category` where
            tasks to come are of other categories, `cluster` where they are of these. None: clusters,
            else categories if there are more than two groups' worth of them, else task by task.
        difficulty_model: An unfitted model with other options than the default ones.
        features: Your own feature function, for the default difficulty model.
        reliability: What a verdict is worth. None: estimated where verdicts were recorded, else none.
        curve_priors: Arm name → what is known of its curve beforehand.
        prior: What is believed of tasks and arms beforehand, e.g. `load_prior()`. The fewer outcomes,
            the more it counts; with it, arms without an outcome and even no task at all will do.
        arms: The arms of the matrix, for the prior: their prices say something of them.
        isotonic: Correct the curves by isotonic regression. None: where held-out log-loss says so.
        seed: Makes folds, trees and subsamples repeatable.
        progress: Told of every step.

    Raises:
        ConfigError: An arm has no outcome and no prior was given, or options do not fit the matrix.
    """
    tell = progress or (lambda _step, _done: None)
    _check(matrix, curve_priors or {}, allow_empty=prior is not None)
    tell("difficulty", 0.0)
    grouped_by, names = group_names(matrix, groups)
    tasks = matrix.tasks()
    known = {matrix.arm_index(arm): belief for arm, belief in (curve_priors or {}).items()}
    believed = prior.about(matrix, arms).overruled_by(known) if prior else None
    if prior and believed and not len(matrix):
        checks = reliability or Reliability.none(len(matrix.arms))
        return _nothing(prior.untried(believed, efforts=matrix.efforts, reliability=checks))
    learner = difficulty_model or _default_model(features, seed, prior)
    learner.fit(tasks, matrix.score, groups=names)
    difficulty = learner.oof_difficulty_
    tell("arm curves", 0.7)
    crossed = CrossFit(
        difficulty=difficulty,
        score=matrix.score,
        models=matrix.models,
        efforts=matrix.efforts,
        groups=names,
        folds=learner.folds_,
        priors=dict(enumerate(believed.curve)) if believed else known,
        covariance=believed.covariance if believed else None,
    )
    # What an arm did on tasks that another one had failed is no reason to bend its curve.
    first = matrix.asked_first
    curves, held_out = crossed.curves(isotonic=isotonic if first.all() else False)
    tell("costs", 0.8)
    tokens = np.array([approximate_tokens(task) for task in tasks])
    cost_prior = believed.costs if believed else None
    costs = shrink_costs(difficulty, tokens, matrix.cost_usd, prior=cost_prior)
    tell("shared failures", 0.85)
    usual = prior.rho if prior else None
    if first.all():
        rho = fit_rho(held_out, matrix.score, seed=seed, expected=usual)
    else:
        fair = unbiased(
            curves, held_out, matrix.score, escalated=~first, expected_rho=usual, seed=seed
        )
        curves, held_out, rho = fair.curves, fair.p, fair.rho
    checks = reliability or _reliability(matrix)
    constants = sigmoid([curve.intercept for curve in constant_curves(matrix.score)])
    outcomes = (~np.isnan(matrix.score)).sum(axis=0)
    tell("report", 0.98)
    model = FittedModel(
        scorer=learner.scorer_,
        arms=tuple(
            FittedArm(
                name=name,
                model=matrix.models[j],
                effort=matrix.efforts[j],
                curve=curves[j],
                cost=costs[j],
                rho=float(rho[j]),
                tpr=1.0,
                fpr=1.0,
                outcomes=int(outcomes[j]),
                mean_score=float(constants[j] if outcomes[j] else sigmoid(curves[j].intercept)),
            )
            for j, name in enumerate(matrix.arms)
        ),
        report=calibration(
            held_out,
            np.where(first, matrix.score, np.nan),
            baseline=crossed.constants(),
            arms=matrix.arms,
        ),
        provenance={
            **_provenance(matrix, grouped_by, learner.selected_, seed),
            **(prior.provenance if prior else {}),
        },
    )
    return CrossFitted(
        model.with_verifier(checks),
        held_out,
        _held_out_costs(
            difficulty, tokens, matrix.cost_usd, folds=learner.folds_, prior=cost_prior
        ),
        difficulty,
    )


def _held_out_costs(
    difficulty: Floats,
    tokens: Floats,
    cost_usd: Floats,
    *,
    folds: Sequence[Fold],
    prior: CostPrior | None,
) -> Floats:
    """[T, K] expected dollars of every task by curves that never saw its bill."""
    expected = np.full(cost_usd.shape, np.nan)
    everything = np.arange(len(difficulty))
    for train, held_out in folds if len(folds) > 1 else [(everything, everything)]:
        curves = shrink_costs(difficulty[train], tokens[train], cost_usd[train], prior=prior)
        whole = curves
        if None in curves:
            whole = shrink_costs(difficulty, tokens, cost_usd, prior=prior)
        for j, (curve, fallback) in enumerate(zip(curves, whole, strict=True)):
            known = curve or fallback
            if known is not None:
                expected[held_out, j] = known.predict(difficulty[held_out], tokens[held_out])
    return expected


def _nothing(model: FittedModel) -> CrossFitted:
    empty = np.empty((0, len(model.arms)))
    return CrossFitted(model, empty, empty, np.empty(0))


def _default_model(
    features: FeatureFunction | None, seed: int, prior: Prior | None
) -> DifficultyModel:
    from effortctl.estimators._difficulty import (  # noqa: PLC0415 - loads scikit-learn
        DifficultyModel,
    )

    start = prior.difficulty if prior else None
    return DifficultyModel(features=features, seed=seed, prior=start)


def _check(matrix: OutcomeMatrix, priors: Mapping[str, CurvePrior], *, allow_empty: bool) -> None:
    empty = [
        arm
        for arm, scores in zip(matrix.arms, matrix.score.T, strict=True)
        if np.isnan(scores).all()
    ]
    if empty and not allow_empty:
        raise ConfigError(f"arm {empty[0]!r} has no outcome; leave it out with select_arms")
    for arm in priors:
        matrix.arm_index(arm)


def _reliability(matrix: OutcomeMatrix) -> Reliability:
    if (matrix.verdict >= 0).any():
        return fit_reliability(matrix.verdict, matrix.score, models=matrix.models)
    return Reliability.none(len(matrix.arms))


def _provenance(
    matrix: OutcomeMatrix, grouped_by: str, parts: Sequence[str], seed: int
) -> dict[str, str | int]:
    import sklearn  # noqa: PLC0415 - only fitting loads scikit-learn

    return {
        "tasks": len(matrix),
        "outcomes": matrix.rows,
        "fingerprint": fingerprint(matrix),
        "grouped_by": grouped_by,
        "parts": " ".join(parts) or "none",
        "seed": seed,
        "scikit_learn": str(sklearn.__version__),
        "numpy": np.__version__,
    }


def fingerprint(matrix: OutcomeMatrix) -> str:
    """Names the data a model was fitted on, without telling anything about them."""
    digest = hashlib.sha256()
    for name in (*matrix.task_ids, "", *matrix.arms):
        digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
    for array in (matrix.score, matrix.cost_usd):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]
