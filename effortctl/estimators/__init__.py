"""Difficulty in, P(correct) and dollars per arm out.

`fit_model` learns from an outcome matrix; the `FittedModel` it returns needs only NumPy, travels as JSON
and is put to use by `ModelEstimator`. scikit-learn is loaded when something is fitted, never before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = [
    "DIFFICULTY_LABELS",
    "ArmCalibration",
    "ArmCurve",
    "ArmPriors",
    "CalibrationReport",
    "CostCurve",
    "CrossFitted",
    "CurvePrior",
    "DifficultyModel",
    "DifficultyScorer",
    "FittedArm",
    "FittedModel",
    "ModelEstimates",
    "ModelEstimator",
    "Prior",
    "Reliability",
    "ReliabilityBin",
    "calibration",
    "fit_agreement",
    "fit_model",
    "fit_model_crossed",
    "fit_reliability",
    "fit_rho",
    "load_prior",
]

_HOME = {
    "DIFFICULTY_LABELS": "_scorer",
    "ArmCalibration": "_calibration",
    "ArmCurve": "_curves",
    "ArmPriors": "_prior",
    "CalibrationReport": "_calibration",
    "CostCurve": "_costs",
    "CrossFitted": "_fit",
    "CurvePrior": "_curves",
    "DifficultyModel": "_difficulty",
    "DifficultyScorer": "_scorer",
    "FittedArm": "_model",
    "FittedModel": "_model",
    "ModelEstimates": "_model",
    "ModelEstimator": "_estimator",
    "Prior": "_prior",
    "Reliability": "_reliability",
    "ReliabilityBin": "_calibration",
    "calibration": "_calibration",
    "fit_agreement": "_reliability",
    "fit_model": "_fit",
    "fit_model_crossed": "_fit",
    "fit_reliability": "_reliability",
    "fit_rho": "_belief",
    "load_prior": "_prior",
}

if TYPE_CHECKING:
    from effortctl.estimators._belief import fit_rho
    from effortctl.estimators._calibration import (
        ArmCalibration,
        CalibrationReport,
        ReliabilityBin,
        calibration,
    )
    from effortctl.estimators._costs import CostCurve
    from effortctl.estimators._curves import ArmCurve, CurvePrior
    from effortctl.estimators._difficulty import DifficultyModel
    from effortctl.estimators._estimator import ModelEstimator
    from effortctl.estimators._fit import CrossFitted, fit_model, fit_model_crossed
    from effortctl.estimators._model import FittedArm, FittedModel, ModelEstimates
    from effortctl.estimators._prior import ArmPriors, Prior, load_prior
    from effortctl.estimators._reliability import Reliability, fit_agreement, fit_reliability
    from effortctl.estimators._scorer import DIFFICULTY_LABELS, DifficultyScorer


def __getattr__(name: str) -> Any:
    """Import a module when one of its names is first asked for: NumPy and scikit-learn are slow."""
    from importlib import import_module  # noqa: PLC0415 - beside its only use

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
