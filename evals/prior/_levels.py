"""Fit the arm formula of the prior: a linear mixed model, by maximum likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from effortctl.estimators._isotonic import pool_adjacent
from effortctl.estimators._prior_levels import LEVELS, ArmLevels

if TYPE_CHECKING:
    from _sources import Row
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_ROUNDS = 4
_STEP_PRECISION = 1.0
"""Of a normal prior on every step, so that a level seen once says little."""

_LEAST_SD, _MOST_SD = 0.05, 4.0


def fit_levels(rows: list[Row], *, with_price: bool) -> ArmLevels:
    """Find base, price effect, effort steps and the four spreads.

    Args:
        rows: One number per (benchmark, arm).
        with_price: Whether the list price may say something.
    """
    table = _Table(rows, with_price=with_price)
    steps = np.zeros(len(LEVELS))
    logs = np.log([1.0, 0.3, 0.6, 0.2])
    for _ in range(_ROUNDS):
        logs = minimize(table.loss, logs, args=(steps,), method="Nelder-Mead").x
        beta = table.coefficients(np.exp(logs), steps)
        steps = table.steps(beta)
    sd = np.clip(np.exp(logs), _LEAST_SD, _MOST_SD)
    return ArmLevels(
        base=float(beta[0]),
        per_log_price=float(beta[1]) if with_price else 0.0,
        log_price_centre=table.centre,
        log_price_range=table.price_range,
        log_price_sd=table.price_sd,
        steps={level: round(float(step), 6) for level, step in zip(LEVELS, steps, strict=True)},
        source_sd=float(sd[0]),
        gain_sd=float(sd[1]),
        model_sd=float(sd[2]),
        arm_sd=float(sd[3]),
    )


class _Table:
    """The rows as a design matrix: a constant, the log price, and one column per level but medium."""

    def __init__(self, rows: list[Row], *, with_price: bool) -> None:
        prices = np.array([np.nan if r.log_price is None else r.log_price for r in rows])
        self.centre = float(np.nanmean(prices))
        self.price_range = (float(np.nanmin(prices)), float(np.nanmax(prices)))
        self.price_sd = float(np.nanstd(prices))
        apart = np.nan_to_num(prices - self.centre) * with_price
        self.level = np.array([LEVELS.index(row.level) for row in rows])
        self.free = [k for k, level in enumerate(LEVELS) if level != "medium"]
        dummies = (self.level[:, None] == np.array(self.free)).astype(float)
        self.x = np.column_stack([np.ones(len(rows)), apart, dummies])
        self.y = np.array([row.value for row in rows])
        self.noise = np.diag([row.variance for row in rows])
        self.same_source = _same([row.source for row in rows])
        self.same_model = _same([row.model for row in rows])
        self.ridge = np.diag([1e-6, 1e-2, *[_STEP_PRECISION] * len(self.free)])
        self.count = np.bincount(self.level, minlength=len(LEVELS)).astype(float)

    def _covariance(self, sd: Floats, steps: Floats) -> Floats:
        step = steps[self.level]
        per_source = sd[0] ** 2 + sd[1] ** 2 * np.outer(step, step)
        model = sd[2] ** 2 * self.same_model * (0.5 + 0.5 * self.same_source)
        return np.asarray(
            self.same_source * per_source + model + sd[3] ** 2 * np.eye(len(self.y)) + self.noise
        )

    def coefficients(self, sd: Floats, steps: Floats) -> Floats:
        """Generalised least squares."""
        solved = np.linalg.solve(self._covariance(sd, steps), np.column_stack([self.x, self.y]))
        gram = self.x.T @ solved
        return np.asarray(np.linalg.solve(gram[:, :-1] + self.ridge, gram[:, -1]))

    def loss(self, logs: Floats, steps: Floats) -> float:
        """Negative log-likelihood, coefficients at their best, with a weak prior on the spreads."""
        sd = np.exp(np.clip(logs, np.log(_LEAST_SD), np.log(_MOST_SD)))
        covariance = self._covariance(sd, steps)
        rest = self.y - self.x @ self.coefficients(sd, steps)
        half = 0.5 * float(rest @ np.linalg.solve(covariance, rest))
        return half + 0.5 * float(np.linalg.slogdet(covariance)[1]) + 0.05 * float((logs**2).sum())

    def steps(self, beta: Floats) -> Floats:
        """Rising steps for all levels; one never seen goes on half as steeply as the one before."""
        steps = np.zeros(len(LEVELS))
        steps[self.free] = beta[2:]
        steps = pool_adjacent(steps, np.maximum(self.count, 1e-3))
        for k in range(2, len(LEVELS)):
            if not self.count[k]:
                steps[k] = steps[k - 1] + (steps[k - 1] - steps[k - 2]) / 2
        return np.asarray(steps - steps[LEVELS.index("medium")])


def _same(names: list[str]) -> Floats:
    array = np.array(names)
    return np.asarray((array[:, None] == array).astype(float))
