"""Are the predicted probabilities true? Brier score, log-loss, ECE, AUC and a reliability table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl.estimators._links import log_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BINS = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions of about the same size, and what became of them.

    Attributes:
        predicted: Mean prediction.
        observed: Mean score.
        count: How many.
    """

    predicted: float
    observed: float
    count: int


@dataclass(frozen=True, slots=True)
class ArmCalibration:
    """How good one arm's probabilities are.

    Attributes:
        arm: Name of the arm.
        count: Outcomes compared.
        log_loss: Nats per outcome.
        baseline_log_loss: The same for a constant: the arm's mean score in training.
        brier: Mean squared error.
        ece: Expected calibration error over ten bins of equal size.
        auc: P(a correct answer was predicted above a wrong one). None: only one kind of outcome.
    """

    arm: str
    count: int
    log_loss: float
    baseline_log_loss: float
    brier: float
    ece: float
    auc: float | None


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """Quality of predictions on outcomes they were not fitted on.

    Attributes:
        arms: One entry per arm with outcomes.
        table: Reliability over all arms together, ten bins of equal size.
    """

    arms: tuple[ArmCalibration, ...]
    table: tuple[ReliabilityBin, ...]

    @property
    def log_loss(self) -> float:
        """Mean over arms."""
        return self._mean("log_loss")

    @property
    def baseline_log_loss(self) -> float:
        """Mean over arms, for the constants."""
        return self._mean("baseline_log_loss")

    @property
    def brier(self) -> float:
        """Mean over arms."""
        return self._mean("brier")

    @property
    def ece(self) -> float:
        """Mean over arms."""
        return self._mean("ece")

    @property
    def auc(self) -> float | None:
        """Mean over the arms that have one."""
        known = [arm.auc for arm in self.arms if arm.auc is not None]
        return float(np.mean(known)) if known else None

    def _mean(self, name: str) -> float:
        return float(np.mean([getattr(arm, name) for arm in self.arms]))


def calibration(
    p: Floats, score: Floats, *, baseline: Floats, arms: tuple[str, ...]
) -> CalibrationReport:
    """Compare predictions with outcomes.

    Args:
        p: [T, K] predicted P(correct).
        score: [T, K] in 0..1; NaN where unknown.
        baseline: [K] or [T, K] constants to beat.
        arms: [K] names.
    """
    constants = np.broadcast_to(baseline, p.shape)
    seen = ~np.isnan(score)
    return CalibrationReport(
        arms=tuple(
            _one_arm(name, p[s, j], score[s, j], constants[s, j])
            for j, (name, s) in enumerate(zip(arms, seen.T, strict=True))
            if s.any()
        ),
        table=reliability_table(p[seen], score[seen]),
    )


def _one_arm(arm: str, p: Floats, score: Floats, constant: Floats) -> ArmCalibration:
    table = reliability_table(p, score)
    gaps = sum(bin_.count * abs(bin_.predicted - bin_.observed) for bin_ in table)
    return ArmCalibration(
        arm=arm,
        count=len(p),
        log_loss=float(log_loss(score, p).mean()),
        baseline_log_loss=float(log_loss(score, constant).mean()),
        brier=float(np.mean((p - score) ** 2)),
        ece=float(gaps / len(p)),
        auc=auc(p, score),
    )


def reliability_table(p: Floats, score: Floats) -> tuple[ReliabilityBin, ...]:
    """Ten bins of about equal size, by rising prediction. Equal predictions share a bin."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, BINS + 1)[1:-1])) if p.size else p
    index = np.searchsorted(edges, p, side="left")
    return tuple(
        ReliabilityBin(float(p[here].mean()), float(score[here].mean()), int(here.sum()))
        for here in (index == i for i in range(len(edges) + 1))
        if here.any()
    )


def auc(p: Floats, score: Floats) -> float | None:
    """Area under the ROC curve; scores count as correct from one half on. Ties count half."""
    right = score >= 0.5
    wins, losses = int(right.sum()), int((~right).sum())
    if not wins or not losses:
        return None
    _, index, count = np.unique(p, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2
    return float((middle[index][right].sum() - wins * (wins + 1) / 2) / (wins * losses))
