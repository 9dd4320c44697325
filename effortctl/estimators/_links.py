"""Probabilities and logits, without overflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_EDGE = 1e-12


def sigmoid(x: ArrayLike) -> Floats:
    """1 / (1 + exp(-x)), for any x."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(x, dtype=np.float64)))


def logit(p: ArrayLike) -> Floats:
    """log(p / (1 - p)), with p kept a little away from 0 and 1."""
    kept = np.clip(np.asarray(p, dtype=np.float64), _EDGE, 1 - _EDGE)
    return np.log(kept) - np.log1p(-kept)


def log_loss(score: Floats, p: Floats) -> Floats:
    """Loss in nats of each prediction; a score between 0 and 1 is a share of correct answers."""
    kept = np.clip(p, _EDGE, 1 - _EDGE)
    return -(score * np.log(kept) + (1 - score) * np.log1p(-kept))
