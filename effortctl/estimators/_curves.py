"""P(correct) of each arm as a function of difficulty.

Arm j solves a task of difficulty d with log-odds `intercept_j - slope * d`. The efforts of one model
share their slope, and slopes of different models are drawn towards a common one, so that an effort level
with few labels borrows from its neighbours. More effort is taken to be at least as good, unless the data
clearly say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from effortctl._types import EFFORTS
from effortctl.estimators._isotonic import pool_adjacent
from effortctl.estimators._links import logit, sigmoid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_ROUNDS = 60
_CLOSE_ENOUGH = 1e-9
_LARGEST_STEP = 2.0
_CLEARLY = 2.0
"""Standard errors by which more effort must be worse before it is believed."""


@dataclass(frozen=True, slots=True)
class ArmCurve:
    """P(correct | difficulty) of one arm.

    Attributes:
        intercept: Log-odds at difficulty 0.
        slope: Log-odds lost per unit of difficulty; never negative.
        knots: Rising (predicted, calibrated) probabilities of an isotonic correction; empty for none.
    """

    intercept: float
    slope: float
    knots: tuple[tuple[float, float], ...] = ()

    def predict(self, difficulty: ArrayLike) -> Floats:
        """Probabilities, in the shape of `difficulty`."""
        return self.corrected(sigmoid(self.intercept - self.slope * np.asarray(difficulty, float)))

    def corrected(self, p: Floats) -> Floats:
        """What isotonic regression makes of the logistic's probabilities, where it was found to help."""
        if not self.knots:
            return p
        at, calibrated = zip(*self.knots, strict=True)
        return np.asarray(np.interp(p, at, calibrated))


@dataclass(frozen=True, slots=True)
class CurvePrior:
    """What is believed of an arm's curve before its outcomes are seen.

    Attributes:
        intercept: Expected log-odds at difficulty 0.
        intercept_sd: How far the truth may be from it.
        slope: Expected slope. None: the common slope of all arms.
        slope_sd: How far a model's slope may be from it.
    """

    intercept: float = 0.5
    intercept_sd: float = 2.5
    slope: float | None = None
    slope_sd: float = 0.4


_VAGUE = CurvePrior()


def fit_curves(
    difficulty: Floats,
    score: Floats,
    *,
    models: Sequence[str],
    efforts: Sequence[str],
    priors: Mapping[int, CurvePrior] | None = None,
    covariance: Floats | None = None,
) -> tuple[ArmCurve, ...]:
    """Fit one curve per arm by penalised maximum likelihood (Newton's method).

    Args:
        difficulty: [T] predicted without the task's own outcome (out of fold), or the curves will be
            too sure of themselves.
        score: [T, K] in 0..1, NaN where an arm did not try a task.
        models: [K] model of each arm; arms of one model share their slope.
        efforts: [K] effort of each arm.
        priors: What is known beforehand of the arm in column j.
        covariance: [K, K] of the prior intercepts, in place of the `intercept_sd` of each. The curves
            then give the expected probability: the less is known of an arm, the nearer to one half.

    Returns:
        K curves. With difficulties that are all equal, slopes are 0 and the curves are constants,
        unless a covariance is given.
    """
    data = _Data(difficulty, score)
    wanted = [dict(priors or {}).get(j, _VAGUE) for j in range(score.shape[1])]
    group = np.unique(np.asarray(models, dtype=str), return_inverse=True)[1].ravel()
    precision = _precision(wanted, covariance)
    if covariance is None and np.ptp(difficulty) == 0:
        group_slope, slope_sd = np.zeros(group.max() + 1), np.full(group.max() + 1, 1e-6)
    else:
        one = np.zeros(len(group), dtype=np.intp)
        start = (np.ones(1), np.ones(1))
        common = _newton(data, wanted, one, slopes=start, precision=precision).slope[0]
        group_slope, slope_sd = _slope_priors(wanted, group, float(common))
    fit = _newton(data, wanted, group, slopes=(group_slope, slope_sd), precision=precision)
    unsure = np.zeros(len(wanted)) if covariance is None else fit.variance
    faded = (1 + np.pi / 8 * unsure) ** -0.5
    intercept = _monotone(replace(fit, intercept=fit.intercept * faded), models, efforts)
    return tuple(
        ArmCurve(intercept=float(a), slope=float(fit.slope[g] * f))
        for a, g, f in zip(intercept, group, faded, strict=True)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    difficulty: Floats
    score: Floats

    def moments(self, intercept: Floats, slope: Floats) -> tuple[Floats, ...]:
        """Per arm: sums of residual, residual·d, weight, weight·d and weight·d²."""
        d = self.difficulty[:, None]
        p = sigmoid(intercept - slope * d)
        seen = ~np.isnan(self.score)
        residual = np.where(seen, self.score - p, 0.0)
        weight = np.where(seen, p * (1 - p), 0.0)
        return tuple(
            np.asarray(part.sum(axis=0))
            for part in (residual, residual * d, weight, weight * d, weight * d**2)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Intercepts [K] with what is known of them, and slopes [G]."""

    intercept: Floats
    slope: Floats
    information: Floats
    variance: Floats


def _precision(wanted: Sequence[CurvePrior], covariance: Floats | None) -> Floats:
    """[K, K] of the prior intercepts."""
    if covariance is None:
        return np.diag([prior.intercept_sd**-2 for prior in wanted])
    return np.asarray(np.linalg.inv(covariance))


def _slope_priors(
    wanted: Sequence[CurvePrior], group: NDArray[np.intp], common: float
) -> tuple[Floats, Floats]:
    count = int(group.max()) + 1
    centre, spread = np.full(count, common), np.full(count, _VAGUE.slope_sd)
    for j, prior in enumerate(wanted):
        if prior.slope is not None:
            centre[group[j]] = prior.slope
        spread[group[j]] = prior.slope_sd
    return centre, spread


def _newton(
    data: _Data,
    wanted: Sequence[CurvePrior],
    group: NDArray[np.intp],
    *,
    slopes: tuple[Floats, Floats],
    precision: Floats,
) -> _Fit:
    """Maximise the penalised likelihood.

    Args:
        data: The outcomes.
        wanted: [K] prior means of the intercepts.
        group: [K] whose slope an arm has.
        slopes: [G] mean and spread of the slopes' prior.
        precision: [K, K] of the intercepts' prior.
    """
    slope_at, slope_sd = slopes
    arms, groups = len(wanted), len(slope_at)
    at = np.concatenate([[prior.intercept for prior in wanted], slope_at])
    penalty = np.diag(np.concatenate([np.zeros(arms), slope_sd**-2.0]))
    penalty[:arms, :arms] = precision
    member = np.zeros((arms, groups))
    member[np.arange(arms), group] = 1.0
    x = at.copy()
    weight = np.ones(arms)
    for _ in range(_ROUNDS):
        residual, residual_d, weight, weight_d, weight_dd = data.moments(x[:arms], x[arms:][group])
        gradient = np.concatenate([residual, -(residual_d @ member)]) - penalty @ (x - at)
        hessian = np.diag(np.concatenate([weight, weight_dd @ member])) + penalty
        hessian[:arms, arms:] = -weight_d[:, None] * member
        hessian[arms:, :arms] = hessian[:arms, arms:].T
        step = np.clip(np.linalg.solve(hessian, gradient), -_LARGEST_STEP, _LARGEST_STEP)
        after = x + step
        after[arms:] = np.maximum(after[arms:], 0.0)
        moved = np.max(np.abs(after - x))
        x = after
        if moved < _CLOSE_ENOUGH:
            break
    variance = np.diag(np.linalg.inv(hessian))[:arms]
    return _Fit(x[:arms], x[arms:], weight + np.diag(precision), variance)


def _monotone(fit: _Fit, models: Sequence[str], efforts: Sequence[str]) -> Floats:
    """Intercepts that do not fall with effort, except where they clearly do."""
    intercept = fit.intercept.copy()
    for model in set(models):
        columns = sorted(
            (j for j, name in enumerate(models) if name == model and efforts[j] in EFFORTS[1:]),
            key=lambda j: EFFORTS.index(efforts[j]),
        )
        for run in _runs(columns, fit):
            intercept[run] = pool_adjacent(intercept[run], fit.information[run])
    return intercept


def _runs(columns: Sequence[int], fit: _Fit) -> list[list[int]]:
    runs: list[list[int]] = []
    for j in columns:
        if runs:
            before = runs[-1][-1]
            error = np.sqrt(1 / fit.information[before] + 1 / fit.information[j])
            if fit.intercept[before] - fit.intercept[j] <= _CLEARLY * error:
                runs[-1].append(j)
                continue
        runs.append([j])
    return runs


def constant_curves(score: Floats) -> tuple[ArmCurve, ...]:
    """Curves that ignore difficulty: each arm's mean score, shrunk a little towards one half."""
    seen = ~np.isnan(score)
    mean = (np.where(seen, score, 0.0).sum(axis=0) + 0.5) / (seen.sum(axis=0) + 1.0)
    return tuple(ArmCurve(intercept=float(a), slope=0.0) for a in logit(mean))


def predict_all(curves: Sequence[ArmCurve], difficulty: Floats) -> Floats:
    """[T, K] probabilities."""
    intercept = np.array([curve.intercept for curve in curves])
    slope = np.array([curve.slope for curve in curves])
    p = sigmoid(intercept - slope * difficulty[:, None])
    for j, curve in enumerate(curves):
        if curve.knots:
            p[:, j] = curve.corrected(p[:, j])
    return p
