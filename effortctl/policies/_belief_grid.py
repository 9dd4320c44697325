"""What is known of a task, on a grid over its hidden difficulty.

One-factor Gaussian copula: arm j is correct when `rho_j * theta + sqrt(1 - rho_j^2) * e_j` stays below
`probit(p_j)`, where theta is the part of the difficulty no feature could see. All arms share theta, so a
failed check of one makes the others less likely too. Given theta, arms are independent; a belief is
therefore a product of per-arm likelihoods on the nodes of a quadrature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NODES = 21
"""Gauss-Hermite nodes; enough for |rho| up to about .95, see `right_given_theta` for the rest."""

RHO_LIMIT = 0.995
"""Beyond it the arms are one arm, and the grid is too coarse to see a difference."""

_TINY = 1e-9


@lru_cache(maxsize=1)
def grid() -> tuple[Floats, Floats]:
    """Nodes and weights of the standard normal theta; the weights add up to 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()


def right_given_theta(p: Floats, rho: Floats) -> Floats:
    """P(correct | theta) of every arm at every node.

    The quadrature alone would miss the marginal by up to a percent for large rho; a final rescaling
    makes the weighted mean over the nodes equal to `p` exactly.

    Args:
        p: Marginal P(correct); shape (tasks, arms).
        rho: Loading of each arm on theta; shape (arms,).

    Returns:
        Probabilities; shape (tasks, arms, nodes).
    """
    nodes, weights = grid()
    bounded = np.clip(rho, -RHO_LIMIT, RHO_LIMIT)
    scale = np.sqrt(1.0 - bounded * bounded)
    bar = ndtri(np.clip(p, _TINY, 1.0 - _TINY)) / scale
    right = ndtr(bar[..., None] - (bounded / scale)[:, None] * nodes)
    mean = right @ weights
    shrink = np.minimum(1.0, p / mean)
    lift = np.minimum(1.0, (1.0 - p) / (1.0 - mean))
    exact: Floats = 1.0 - (1.0 - right * shrink[..., None]) * lift[..., None]
    return exact


@dataclass(frozen=True, slots=True)
class Evidence:
    """What each arm's verdict says, at every node; every array has shape (tasks, arms, nodes).

    Attributes:
        failed: P(check fails | theta).
        passed: P(check passes | theta).
        failed_right: P(check fails and the answer is correct | theta).
        passed_right: P(check passes and the answer is correct | theta).
    """

    failed: Floats
    passed: Floats
    failed_right: Floats
    passed_right: Floats

    def only(self, arms: list[int]) -> Evidence:
        """The evidence of some arms."""
        return Evidence(
            self.failed[:, arms],
            self.passed[:, arms],
            self.failed_right[:, arms],
            self.passed_right[:, arms],
        )


def verdict_evidence(right: Floats, tpr: Floats, fpr: Floats) -> Evidence:
    """Likelihoods of a verdict with known reliability.

    Args:
        right: P(correct | theta); shape (tasks, arms, nodes).
        tpr: P(pass | correct); broadcasts against (tasks, arms, nodes).
        fpr: P(pass | wrong); likewise.
    """
    passed_right = tpr * right
    passed = passed_right + fpr * (1.0 - right)
    return Evidence(1.0 - passed, passed, right - passed_right, passed_right)


@dataclass(frozen=True, slots=True)
class Half:
    """Products of likelihoods over all states of one half of the arms, at every node.

    Attributes:
        mass: Row 0 the evidence alone, further rows the evidence together with "the held answer is
            correct"; shape (tasks, rows, states, nodes).
        right: Evidence together with "this arm, tried, is correct"; (tasks, arms, states, nodes).
        now: Evidence together with "this arm, tried next, passes and is correct"; same shape.
            Only where a pass ends the task; empty otherwise.
    """

    mass: Floats
    right: list[Floats]
    now: list[Floats]


def half_table(start: Floats, evidence: Evidence, *, arms: range, digits: int) -> Half:
    """Multiply the likelihoods of one half of the arms out over all their states.

    Args:
        start: What is known before; shape (tasks, rows, nodes), row 0 is the belief itself.
        evidence: Of all arms.
        arms: Which of them are in this half; the first has the least significant digit.
        digits: 3, or 2 where a pass ends the task.
    """
    mass = start[:, :, None, :]
    right: list[Floats] = []
    now: list[Floats] = []
    for j in arms:
        failed = evidence.failed[:, j, None, :]
        passed = evidence.passed[:, j, None, :]
        likelihoods = [failed, passed] if digits == 3 else [failed]
        belief = mass[:, 0]
        nothing = np.zeros_like(belief)
        own = [nothing, belief * evidence.failed_right[:, j, None, :]]
        passes = belief * evidence.passed_right[:, j, None, :]
        if digits == 3:
            own.append(passes)
        else:
            now = [_grow(table, likelihoods) for table in now]
            now.append(np.concatenate([passes, nothing], axis=-2))
        right = [_grow(table, likelihoods) for table in right]
        right.append(np.concatenate(own, axis=-2))
        mass = _grow(mass, [each[:, None] for each in likelihoods])
    return Half(mass, right, now)


def _grow(table: Floats, likelihoods: list[Floats]) -> Floats:
    """Add one arm's digit: untried keeps the table, each verdict multiplies it."""
    return np.concatenate([table, *(table * each for each in likelihoods)], axis=-2)
