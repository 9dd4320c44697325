"""Rising step functions: pool-adjacent-violators (Ayer et al. 1955), and calibration with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_BINS = 64
_EDGE = 1e-3


def pool_adjacent(values: Floats, weights: Floats) -> Floats:
    """The non-decreasing sequence closest to `values` in weighted squares."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, count = value, weight, 1
        while blocks and blocks[-1][0] >= mean:
            before, mass, size = blocks.pop()
            mean = (before * mass + mean * total) / (mass + total)
            total, count = mass + total, count + size
        blocks.append((mean, total, count))
    return np.repeat([mean for mean, _, _ in blocks], [count for _, _, count in blocks])


def isotonic_knots(p: Floats, score: Floats) -> tuple[tuple[float, float], ...]:
    """Calibrate probabilities: rising (predicted, observed) pairs to interpolate between.

    Predictions are first averaged in at most 64 bins of equal size, which keeps the result small and
    its ends away from 0 and 1.
    """
    order = np.argsort(p, kind="stable")
    bins = [
        chunk for chunk in np.array_split(order, min(_BINS, max(1, len(p) // 20))) if chunk.size
    ]
    at = np.array([p[chunk].mean() for chunk in bins])
    size = np.array([float(chunk.size) for chunk in bins])
    level = pool_adjacent(np.array([score[chunk].mean() for chunk in bins]), size)
    knots: dict[float, float] = {}
    for where, value in zip(at.tolist(), np.clip(level, _EDGE, 1 - _EDGE).tolist(), strict=True):
        knots.setdefault(where, value)
    return tuple(knots.items())
