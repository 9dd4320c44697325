"""Arms that were mostly asked when another one had failed.

A controller asks the dear arm only what the cheap one got wrong. Those tasks are harder than they look,
so the curve fitted to them is that of the arm after a failure, not that of the arm on any task. Which
outcomes are missing depends only on outcomes that were seen, so their joint likelihood has no such bias
(Rubin 1976): arm j solves a task when `rho_j * theta + sqrt(1 - rho_j**2) * e_j < probit(p_j)`, as in
`_belief`, and what is found here is the line that takes the logits of each p_j to what they are on any
task, together with the rho_j.

Where an arm was *never* asked first, loadings and shifts are told apart only by how the bias differs
between easy and hard tasks, which is not much. So loadings begin at a value that is usual for language
models. What an arm does after a failure, which is what the outcomes do show, comes out right either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from effortctl.estimators._belief import NODES, RHO_LIMIT
from effortctl.estimators._curves import ArmCurve
from effortctl.estimators._links import logit, sigmoid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

USUAL_RHO = 0.75
"""Median loading of arms in public outcomes; where outcomes do not tell, they are like those."""

_RHO_SD = 0.4
_ARM_SD = 0.6
_SHIFT_SD = 2.0
_STRETCH_SD = 0.5
_MOST_TASKS = 20_000
_EDGE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Unbiased:
    """What was learned, as if every arm had tried every task.

    Attributes:
        curves: K, of any task, not of those that another arm failed.
        p: [T, K] held-out predictions, likewise.
        rho: [K] loadings on the hidden difficulty.
    """

    curves: tuple[ArmCurve, ...]
    p: Floats
    rho: Floats


def unbiased(
    curves: Sequence[ArmCurve],
    p: Floats,
    score: Floats,
    *,
    escalated: Bools,
    expected_rho: float | None = None,
    seed: int = 0,
) -> Unbiased:
    """Correct the curves of arms that were asked because another one had failed.

    Args:
        curves: K curves without isotonic correction.
        p: [T, K] their predictions, made without the task's own outcome.
        score: [T, K] in 0..1; NaN where an arm did not try a task.
        escalated: [T, K] was the arm asked because of what another one had answered?
        expected_rho: Loading to expect before the outcomes are seen. None: `USUAL_RHO`.
        seed: Chooses the tasks that are used when there are more than 20,000.
    """
    shifted = np.flatnonzero(escalated.any(axis=0))
    telling = ((~np.isnan(score)).sum(axis=1) > 1) | (~np.isnan(score[:, shifted])).any(axis=1)
    rows = np.flatnonzero(telling)
    if rows.size > _MOST_TASKS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_TASKS, replace=False))
    log_odds = logit(p)
    centre = log_odds.mean(axis=0)
    loading = USUAL_RHO if expected_rho is None else expected_rho
    usual = float(np.arctanh(loading / RHO_LIMIT))
    joint = _Joint(
        log_odds[rows] - centre, score[rows], shifted=shifted, centre=centre, usual=usual
    )
    at, stretch, rho = joint.solve()
    return Unbiased(
        tuple(
            replace(
                curve,
                intercept=float(at[j] + stretch[j] * (curve.intercept - centre[j])),
                slope=float(stretch[j] * curve.slope),
            )
            for j, curve in enumerate(curves)
        ),
        sigmoid(at + stretch * (log_odds - centre)),
        rho,
    )


class _Joint:
    """Penalised negative log-likelihood of loadings `rho = 0.95 * tanh(u)`, shifts and stretches."""

    def __init__(
        self,
        away: Floats,
        score: Floats,
        *,
        shifted: NDArray[np.intp],
        centre: Floats,
        usual: float,
    ) -> None:
        """Remember the outcomes.

        Args:
            away: [T, K] log-odds of every prediction, less their mean.
            score: [T, K] in 0..1; NaN where an arm did not try a task.
            shifted: Columns of the arms whose predictions are to be corrected.
            centre: [K] the means.
            usual: Where the u begin.
        """
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        self.theta = nodes[:, None, None]
        self.log_weights = np.log(weights / weights.sum())[:, None]
        self.seen = ~np.isnan(score)
        self.score = np.where(self.seen, score, 0.0)
        self.away = away
        self.shifted = shifted
        self.centre = centre
        self.usual = usual

    def solve(self) -> tuple[Floats, Floats, Floats]:
        """[K] log-odds at the middle, [K] factors of the distance from it, and [K] loadings."""
        from scipy.optimize import minimize  # noqa: PLC0415 - only fitting needs scipy

        arms = len(self.centre)
        start = np.concatenate([np.full(arms, self.usual), np.zeros(2 * len(self.shifted))])
        found = minimize(self.penalised, start, jac=True, method="L-BFGS-B", tol=1e-9).x
        at, stretch = self._line(found)
        return at, stretch, np.asarray(RHO_LIMIT * np.tanh(np.maximum(found[:arms], 0.0)))

    def _line(self, x: Floats) -> tuple[Floats, Floats]:
        arms, free = len(self.centre), len(self.shifted)
        at, stretch = self.centre.copy(), np.ones(arms)
        at[self.shifted] += x[arms : arms + free]
        stretch[self.shifted] = np.exp(x[arms + free :])
        return at, stretch

    def penalised(self, x: Floats) -> tuple[float, Floats]:
        """The value, and its derivative."""
        arms, free = len(self.centre), len(self.shifted)
        u, by, wide = x[:arms], x[arms : arms + free], x[arms + free :]
        at, stretch = self._line(x)
        value, by_rho, by_at, by_stretch = self._value(RHO_LIMIT * np.tanh(u), at, stretch)
        mean = u.mean()
        apart, unusual = (u - mean) / _ARM_SD**2, (mean - self.usual) / _RHO_SD**2
        value += 0.5 * float((u - mean) @ apart + (mean - self.usual) * unusual)
        value += 0.5 * float(by @ by / _SHIFT_SD**2 + wide @ wide / _STRETCH_SD**2)
        gradient = [
            by_rho * RHO_LIMIT * (1 - np.tanh(u) ** 2) + apart + unusual / arms,
            by_at[self.shifted] + by / _SHIFT_SD**2,
            (by_stretch * stretch)[self.shifted] + wide / _STRETCH_SD**2,
        ]
        return value, np.concatenate(gradient)

    def _value(
        self, rho: Floats, at: Floats, stretch: Floats
    ) -> tuple[float, Floats, Floats, Floats]:
        """Negative log-likelihood, and its derivatives by rho, at and stretch."""
        from scipy.special import log_ndtr, ndtri  # noqa: PLC0415 - only fitting needs scipy

        p = np.clip(sigmoid(at + stretch * self.away), _EDGE, 1 - _EDGE)
        probit, rest = ndtri(p), np.sqrt(1 - rho**2)
        z = (probit - rho * self.theta) / rest
        right, wrong = log_ndtr(z), log_ndtr(-z)
        cells = np.where(self.seen, self.score * right + (1 - self.score) * wrong, 0.0)
        joint = cells.sum(axis=2) + self.log_weights
        top = joint.max(axis=0)
        mass = np.exp(joint - top)
        total = mass.sum(axis=0)
        density = _log_density(z)
        slope = self.score * np.exp(density - right) - (1 - self.score) * np.exp(density - wrong)
        by_z = np.where(self.seen, slope, 0.0) * (mass / total)[:, :, None]
        by_rho = (by_z * (rho * probit - self.theta)).sum(axis=(0, 1)) / rest**3
        by_line = (by_z / rest).sum(axis=0) * p * (1 - p) / np.exp(_log_density(probit))
        by_at, by_stretch = by_line.sum(axis=0), (by_line * self.away).sum(axis=0)
        return float(-(np.log(total) + top).sum()), -by_rho, -by_at, -by_stretch


def _log_density(z: Floats) -> Floats:
    return np.asarray(-0.5 * z**2 - 0.5 * np.log(2 * np.pi))
