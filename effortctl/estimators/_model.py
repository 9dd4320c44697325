"""Everything learned about tasks and arms, in one value that prints, compares and travels as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from effortctl._errors import ConfigError
from effortctl._features import FeatureFunction, approximate_tokens
from effortctl._types import Task
from effortctl.estimators import _stored
from effortctl.estimators._calibration import CalibrationReport, calibration
from effortctl.estimators._costs import CostCurve, predict_costs
from effortctl.estimators._curves import ArmCurve, predict_all
from effortctl.estimators._reliability import Reliability, VerifierKind
from effortctl.estimators._scorer import DifficultyLabel, DifficultyScorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.stores._matrix import OutcomeMatrix

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FittedArm:
    """What is known of one arm.

    Attributes:
        name: Name of the arm.
        model: Model id.
        effort: Effort.
        curve: P(correct | difficulty).
        cost: Dollars; None when they were never recorded.
        rho: Loading on the hidden factor that makes arms fail together.
        tpr: P(check passes | correct).
        fpr: P(check passes | wrong).
        outcomes: Outcomes it was fitted on.
        mean_score: Their mean, shrunk a little towards one half: the constant to beat.
    """

    name: str
    model: str
    effort: str
    curve: ArmCurve
    cost: CostCurve | None
    rho: float
    tpr: float
    fpr: float
    outcomes: int
    mean_score: float


@dataclass(frozen=True, slots=True, eq=False)
class ModelEstimates:
    """Predictions for T tasks and K arms.

    Attributes:
        p: [T, K] P(correct).
        cost_usd: [T, K] expected dollars; NaN where an arm's cost was never recorded.
        difficulty: [T] in logits.
        labels: T words for it.
    """

    p: Floats
    cost_usd: Floats
    difficulty: Floats
    labels: tuple[DifficultyLabel, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """Difficulty model, arm curves, costs, shared failures and verifier reliability.

    Attributes:
        scorer: Predicts difficulty.
        arms: K arms.
        verifier: Where the arms' TPR and FPR come from.
        report: Calibration on the training tasks, each predicted without itself. None: not known.
        provenance: What it was fitted on and with: counts, fingerprint, versions, choices.
    """

    scorer: DifficultyScorer
    arms: tuple[FittedArm, ...]
    verifier: VerifierKind = "none"
    report: CalibrationReport | None = None
    provenance: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def arm_names(self) -> tuple[str, ...]:
        """K names, in the order of the columns."""
        return tuple(arm.name for arm in self.arms)

    @property
    def rho(self) -> Floats:
        """[K] loadings on the hidden factor."""
        return np.array([arm.rho for arm in self.arms])

    @property
    def tpr(self) -> Floats:
        """[K] P(check passes | correct)."""
        return np.array([arm.tpr for arm in self.arms])

    @property
    def fpr(self) -> Floats:
        """[K] P(check passes | wrong)."""
        return np.array([arm.fpr for arm in self.arms])

    def estimates(self, tasks: Sequence[Task]) -> ModelEstimates:
        """Predict every arm on every task."""
        difficulty = self.scorer.predict(tasks)
        tokens = np.array([approximate_tokens(task) for task in tasks], dtype=float)
        return ModelEstimates(
            p=predict_all([arm.curve for arm in self.arms], difficulty),
            cost_usd=predict_costs([arm.cost for arm in self.arms], difficulty, tokens),
            difficulty=difficulty,
            labels=self.scorer.labels(difficulty),
        )

    def calibration(self, matrix: OutcomeMatrix) -> CalibrationReport:
        """Compare predictions with outcomes; held out if the model was not fitted on them.

        Raises:
            ConfigError: The matrix lacks an arm of this model.
        """
        known = matrix.select_arms(self.arm_names)
        return calibration(
            self.estimates(known.tasks()).p,
            known.score,
            baseline=np.array([arm.mean_score for arm in self.arms]),
            arms=self.arm_names,
        )

    def with_verifier(self, reliability: Reliability) -> FittedModel:
        """The same model, checked by another verifier.

        Raises:
            ConfigError: The reliability is not of this many arms.
        """
        if len(reliability.tpr) != len(self.arms):
            raise ConfigError(
                f"reliability of {len(reliability.tpr)} arms for {len(self.arms)}; pass one per arm"
            )
        arms = tuple(
            replace(arm, tpr=float(tpr), fpr=float(fpr))
            for arm, tpr, fpr in zip(self.arms, reliability.tpr, reliability.fpr, strict=True)
        )
        return replace(self, arms=arms, verifier=reliability.kind)

    def select_arms(self, names: Sequence[str]) -> FittedModel:
        """The same model of fewer arms, in this order.

        Raises:
            ConfigError: An arm is unknown.
        """
        known = {arm.name: arm for arm in self.arms}
        missing = [name for name in names if name not in known]
        if missing:
            raise ConfigError(
                f"the model knows no arm {missing[0]!r}; its arms: {', '.join(known)}"
            )
        return replace(self, arms=tuple(known[name] for name in names))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: no prompt, no code, finite numbers only.

        Raises:
            StoreError: A number is not finite.
        """
        return _stored.dump_model(self)

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], *, features: FeatureFunction | None = None
    ) -> FittedModel:
        """Read what `to_json` wrote.

        Args:
            record: The parsed JSON.
            features: The feature function the model was fitted with, if it was not the built-in one.

        Raises:
            StoreError: The record is damaged, of another version, or was fitted on other features.
        """
        return _stored.load_model(record, features)
