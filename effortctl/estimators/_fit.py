"""Outcomes in, `FittedModel` out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effortctl._errors import ConfigError
from effortctl._features import FeatureFunction, approximate_tokens
from effortctl.estimators._belief import fit_rho
from effortctl.estimators._calibration import calibration
from effortctl.estimators._costs import fit_costs
from effortctl.estimators._crossfit import CrossFit
from effortctl.estimators._curves import CurvePrior, constant_curves
from effortctl.estimators._folds import group_names
from effortctl.estimators._links import sigmoid
from effortctl.estimators._model import FittedArm, FittedModel
from effortctl.estimators._reliability import Reliability, fit_reliability

if TYPE_CHECKING:
    from effortctl.estimators._difficulty import DifficultyModel
    from effortctl.stores._matrix import OutcomeMatrix

Progress: TypeAlias = Callable[[str, float], None]
"""Called with the name of the step that begins and the share of the work done before it."""


def fit_model(
    matrix: OutcomeMatrix,
    *,
    groups: Sequence[str] | None = None,
    difficulty_model: DifficultyModel | None = None,
    features: FeatureFunction | None = None,
    reliability: Reliability | None = None,
    curve_priors: Mapping[str, CurvePrior] | None = None,
    isotonic: bool | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FittedModel:
    """Learn difficulty, arm curves, costs, shared failures and verifier reliability.

    Args:
        matrix: What every arm did on every task; missing cells are fine.
        groups: [T] tasks of one group are held out together. None: by cluster, else by category where
            there are enough of them, else task by task. Pass `matrix.task_ids` when future tasks come
            from the same sources as these.
        difficulty_model: An unfitted model with other options than the default ones.
        features: Your own feature function, for the default difficulty model.
        reliability: What a verdict is worth. None: estimated where verdicts were recorded, else none.
        curve_priors: Arm name → what is known of its curve beforehand.
        isotonic: Correct the curves by isotonic regression. None: where held-out log-loss says so.
        seed: Makes folds, trees and subsamples repeatable.
        progress: Told of every step.

    Raises:
        ConfigError: An arm has no outcome, or options do not fit the matrix.
    """
    tell = progress or (lambda _step, _done: None)
    _check(matrix, curve_priors or {})
    tell("difficulty", 0.0)
    grouped_by, names = group_names(matrix, groups)
    tasks = matrix.tasks()
    learner = difficulty_model or _default_model(features, seed)
    learner.fit(tasks, matrix.score, groups=names)
    difficulty = learner.oof_difficulty_
    tell("arm curves", 0.7)
    priors = {matrix.arm_index(arm): prior for arm, prior in (curve_priors or {}).items()}
    crossed = CrossFit(
        difficulty=difficulty,
        score=matrix.score,
        models=matrix.models,
        efforts=matrix.efforts,
        groups=names,
        folds=learner.folds_,
        priors=priors,
    )
    curves, held_out = crossed.curves(isotonic=isotonic)
    tell("costs", 0.8)
    tokens = np.array([approximate_tokens(task) for task in tasks])
    costs = fit_costs(difficulty, tokens, matrix.cost_usd)
    tell("shared failures", 0.85)
    rho = fit_rho(held_out, matrix.score, seed=seed)
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
                mean_score=float(constants[j]),
            )
            for j, name in enumerate(matrix.arms)
        ),
        report=calibration(held_out, matrix.score, baseline=crossed.constants(), arms=matrix.arms),
        provenance=_provenance(matrix, grouped_by, learner.selected_, seed),
    )
    return model.with_verifier(checks)


def _default_model(features: FeatureFunction | None, seed: int) -> DifficultyModel:
    from effortctl.estimators._difficulty import (  # noqa: PLC0415 - loads scikit-learn
        DifficultyModel,
    )

    return DifficultyModel(features=features, seed=seed)


def _check(matrix: OutcomeMatrix, priors: Mapping[str, CurvePrior]) -> None:
    empty = [
        arm
        for arm, scores in zip(matrix.arms, matrix.score.T, strict=True)
        if np.isnan(scores).all()
    ]
    if empty:
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
