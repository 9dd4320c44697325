"""How hard live tasks look beside those a policy was learned from.

A trace holds no prompt and no difficulty, but what was expected of an arm: where that is on the arm's curve
tells the difficulty, and where the difficulty is in the policy's histogram tells the rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from effortctl._drift._tries import Try

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl._fitted_policy import FittedPolicy
    from effortctl.estimators import ArmCurve

    Floats = NDArray[np.float64]


def hardness_ranks(tried: Sequence[Try], policy: FittedPolicy) -> list[tuple[Try, float]]:
    """Each try with the share of learned-from tasks that look easier; tries that do not tell are left out."""
    counts = np.asarray(policy.difficulty.counts, dtype=float)
    if not counts.sum():
        return []
    edges = np.linspace(policy.difficulty.low, policy.difficulty.high, counts.size + 1)
    easier = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    scales = {
        arm.name: scale
        for arm in policy.model.arms
        if (scale := _scale(arm.curve, edges, easier)) is not None
    }
    return [
        (one, float(np.interp(one.p_correct, *scales[one.expected.arm])))
        for one in tried
        if one.expected.arm in scales
    ]


def _scale(curve: ArmCurve, edges: Floats, easier: Floats) -> tuple[Floats, Floats] | None:
    """Rising P(correct), and the rank of the tasks that have it; None for a curve that is flat."""
    p, place = np.unique(curve.predict(edges), return_inverse=True)
    if p.size < 2:
        return None
    place = place.ravel()
    # Where a curve is flat, its tasks share the rank in the middle.
    return p, np.bincount(place, weights=easier) / np.bincount(place)
