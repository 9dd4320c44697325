"""How much arms fail together.

Gaussian one-factor copula (Vasicek 1987): arm j is correct when
`rho_j * theta + sqrt(1 - rho_j**2) * e_j < probit(p_j)` with theta and every e_j standard normal. theta
is the part of a task's difficulty that no feature saw; rho_j says how much arm j depends on it. The
marginal probabilities stay exactly p_j. The loadings maximise the likelihood of the outcomes, theta
integrated out by Gauss-Hermite quadrature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NODES = 21
RHO_LIMIT = 0.95
"""Largest loading; above it the quadrature is too coarse for the step it has to follow."""

_START, _START_SD = 0.6, 0.8
_ARM_SD = 0.6
_MOST_TASKS = 20_000


def fit_rho(p: Floats, score: Floats, *, seed: int = 0, expected: float | None = None) -> Floats:
    """Estimate the loading of every arm on the hidden factor.

    A weak prior draws the loadings towards each other: two arms alone determine only the product of
    theirs. An arm that never shared a task with another one gets the common value.

    Args:
        p: [T, K] probabilities predicted without the task's own outcome.
        score: [T, K] in 0..1; NaN where an arm did not try a task.
        seed: Chooses the tasks that are used when there are more than 20,000.
        expected: Loading to expect before the outcomes are seen, in 0..0.9. None: about one half.

    Returns:
        [K] loadings in 0..0.95.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - only fitting needs scipy

    together = (~np.isnan(score)).sum(axis=1) >= 2
    rows = np.flatnonzero(together)
    if rows.size > _MOST_TASKS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_TASKS, replace=False))
    centre = _START if expected is None else float(np.arctanh(expected / RHO_LIMIT))
    likelihood = _Likelihood(p[rows], score[rows], centre=centre)
    start = np.full(score.shape[1], centre)
    found = minimize(likelihood.penalised, start, jac=True, method="L-BFGS-B", tol=1e-9)
    return np.asarray(RHO_LIMIT * np.tanh(np.maximum(found.x, 0.0)))


class _Likelihood:
    """Penalised negative log-likelihood of the loadings `rho = 0.95 * tanh(u)`."""

    def __init__(self, p: Floats, score: Floats, *, centre: float = _START) -> None:
        from scipy.special import ndtri  # noqa: PLC0415 - only fitting needs scipy

        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        self.nodes = nodes
        self.log_weights = np.log(weights / weights.sum())
        self.seen = ~np.isnan(score)
        self.score = np.where(self.seen, score, 0.0)
        self.centre = centre
        self.probit = ndtri(np.clip(p, 1e-6, 1 - 1e-6))

    def penalised(self, u: Floats) -> tuple[float, Floats]:
        rho = RHO_LIMIT * np.tanh(u)
        value, by_rho = self._value(rho)
        mean = u.mean()
        apart = (u - mean) / _ARM_SD**2
        value += 0.5 * float((u - mean) @ apart) + 0.5 * ((mean - self.centre) / _START_SD) ** 2
        gradient = by_rho * RHO_LIMIT * (1 - np.tanh(u) ** 2)
        gradient += apart + (mean - self.centre) / _START_SD**2 / u.size
        return value, gradient

    def _value(self, rho: Floats) -> tuple[float, Floats]:
        """Negative log-likelihood and its derivative by rho."""
        per_node, slope = self._cells(rho)
        joint = per_node.sum(axis=2) + self.log_weights[:, None]
        top = joint.max(axis=0)
        mass = np.exp(joint - top)
        total = mass.sum(axis=0)
        posterior = mass / total
        gradient = np.einsum("qt,qtk->k", posterior, slope)
        return float(-(np.log(total) + top).sum()), -gradient

    def _cells(self, rho: Floats) -> tuple[Floats, Floats]:
        """[Q, T, K] log-likelihood of each cell at each node, and its derivative by rho."""
        from scipy.special import log_ndtr  # noqa: PLC0415 - only fitting needs scipy

        rest = np.sqrt(1 - rho**2)
        theta = self.nodes[:, None, None]
        z = (self.probit - rho * theta) / rest
        right, wrong = log_ndtr(z), log_ndtr(-z)
        cells = np.where(self.seen, self.score * right + (1 - self.score) * wrong, 0.0)
        density = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
        by_z = self.score * np.exp(density - right) - (1 - self.score) * np.exp(density - wrong)
        by_rho = (rho * self.probit - theta) / rest**3
        return cells, np.where(self.seen, by_z * by_rho, 0.0)
