"""Arm curves for use, and predictions of the training tasks by curves that never saw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from effortctl.estimators._curves import (
    ArmCurve,
    CurvePrior,
    constant_curves,
    fit_curves,
    predict_all,
)
from effortctl.estimators._folds import Fold, gain_and_error
from effortctl.estimators._isotonic import isotonic_knots
from effortctl.estimators._links import log_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_ENOUGH = 1000


@dataclass(frozen=True, slots=True, eq=False)
class CrossFit:
    """Fits curves on every training part of the folds, and on all.

    Attributes:
        difficulty: [T] out of fold.
        score: [T, K] in 0..1, NaN where an arm did not try a task.
        models: [K].
        efforts: [K].
        groups: [T].
        folds: (train, held out) positions.
        priors: Column → what is known of the arm beforehand.
        covariance: [K, K] of the prior intercepts. None: the arms are independent.
    """

    difficulty: Floats
    score: Floats
    models: Sequence[str]
    efforts: Sequence[str]
    groups: Sequence[str]
    folds: Sequence[Fold]
    priors: Mapping[int, CurvePrior]
    covariance: Floats | None = None

    def curves(self, *, isotonic: bool | None) -> tuple[tuple[ArmCurve, ...], Floats]:
        """K curves fitted on all tasks, and [T, K] held-out predictions of the training tasks.

        Args:
            isotonic: Correct the curves by isotonic regression. None: only an arm with 1,000 outcomes
                whose held-out loss falls by more than a standard error.
        """
        final = self._fit(np.arange(len(self.difficulty)))
        held_out = self._held_out(corrected=False)
        if isotonic is False:
            return final, held_out
        corrected = self._held_out(corrected=True)
        chosen = [
            self._has_both(j) and (isotonic or self._helps(j, held_out, corrected))
            for j in range(len(final))
        ]
        p = predict_all(final, self.difficulty)
        return (
            tuple(
                self._corrected(curve, p[:, j], j) if chosen[j] else curve
                for j, curve in enumerate(final)
            ),
            np.where(chosen, corrected, held_out),
        )

    def constants(self) -> Floats:
        """[T, K] mean scores of the other folds: what a model that looks at nothing predicts."""
        p = np.empty(self.score.shape)
        for train, held_out in self.folds:
            p[held_out] = predict_all(constant_curves(self.score[train]), np.zeros(len(held_out)))
        return p

    def _fit(self, rows: NDArray[np.intp]) -> tuple[ArmCurve, ...]:
        if np.ptp(self.difficulty) == 0 and not self.priors:
            return constant_curves(self.score[rows])
        return fit_curves(
            self.difficulty[rows],
            self.score[rows],
            models=self.models,
            efforts=self.efforts,
            priors=self.priors,
            covariance=self.covariance,
        )

    def _held_out(self, *, corrected: bool) -> Floats:
        p = np.empty(self.score.shape)
        for train, held_out in self.folds if len(self.folds) > 1 else self._no_folds():
            curves = self._fit(train)
            if corrected:
                before = predict_all(curves, self.difficulty[train])
                curves = tuple(
                    self._corrected(curve, before[:, j], j, train) for j, curve in enumerate(curves)
                )
            p[held_out] = predict_all(curves, self.difficulty[held_out])
        return p

    def _no_folds(self) -> list[Fold]:
        everything = np.arange(len(self.difficulty))
        return [(everything, everything)]

    def _corrected(
        self, curve: ArmCurve, p: Floats, arm: int, rows: NDArray[np.intp] | None = None
    ) -> ArmCurve:
        score = self.score[:, arm] if rows is None else self.score[rows, arm]
        seen = ~np.isnan(score)
        if not seen.any() or np.ptp(p[seen]) == 0:
            return curve
        return replace(curve, knots=isotonic_knots(p[seen], score[seen]))

    def _has_both(self, arm: int) -> bool:
        scores = self.score[:, arm]
        known = scores[~np.isnan(scores)]
        return bool(known.size and known.min() < known.max())

    def _helps(self, arm: int, before: Floats, after: Floats) -> bool:
        score = self.score[:, arm]
        if (~np.isnan(score)).sum() < _ENOUGH or np.ptp(self.difficulty) == 0:
            return False
        loss_before, loss_after = (log_loss(score, p[:, arm])[:, None] for p in (before, after))
        gain, error = gain_and_error(loss_before, loss_after, self.groups)
        return gain > error
