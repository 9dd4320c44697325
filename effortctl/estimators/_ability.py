"""How hard each task turned out to be, given which arms happened to try it.

The plain share of arms that solved a task says as much about the arms as about the task: one that only
the weakest arm tried looks hard. So difficulty and arm ease are found together (Rasch 1960): arm j
solves task i with log-odds `ease_j - difficulty_i`. A normal prior on the difficulties keeps tasks that
every arm solved, or none, at a finite value, and its spread is learned from the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl.estimators._links import sigmoid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_ROUNDS = 60
_CLOSE_ENOUGH = 1e-5
_SPREAD_BOUNDS = (0.4, 3.0)
_EASE_PRECISION = 0.1
_STEP = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class ObservedDifficulty:
    """Difficulties of tasks whose outcomes are known.

    Attributes:
        difficulty: [T] in logits; 0 is average, larger is harder.
        weight: [T] how much is known of it, 0..1; rises with the number of arms that tried the task.
        ease: [K] log-odds of each arm on a task of difficulty 0.
        spread: Standard deviation of difficulty among tasks.
    """

    difficulty: Floats
    weight: Floats
    ease: Floats
    spread: float


def observed_difficulty(score: Floats) -> ObservedDifficulty:
    """Find difficulties and arm eases that explain the scores best.

    Args:
        score: [T, K] in 0..1, NaN where an arm did not try a task.
    """
    seen = ~np.isnan(score)
    known = np.where(seen, score, 0.0)
    difficulty, ease = np.zeros(score.shape[0]), np.zeros(score.shape[1])
    spread = 1.5
    for _ in range(_ROUNDS):
        before = ease.copy()
        ease = _arm_step(known, seen, difficulty, ease)
        difficulty, variance = _task_step(known, seen, difficulty, ease, precision=spread**-2)
        difficulty -= difficulty.mean()
        moments = np.sqrt(np.mean(difficulty**2 + variance))
        spread = float(np.clip(moments, *_SPREAD_BOUNDS))
        if np.max(np.abs(ease - before), initial=0.0) < _CLOSE_ENOUGH:
            break
    tried = seen.sum(axis=1)
    return ObservedDifficulty(difficulty, tried / (tried + 1.0), ease, spread)


def _arm_step(known: Floats, seen: NDArray[np.bool_], difficulty: Floats, ease: Floats) -> Floats:
    p = sigmoid(ease - difficulty[:, None])
    slope = np.where(seen, known - p, 0.0).sum(axis=0) - _EASE_PRECISION * ease
    curvature = np.where(seen, p * (1 - p), 0.0).sum(axis=0) + _EASE_PRECISION
    return np.asarray(ease + np.clip(slope / curvature, -_STEP, _STEP))


def _task_step(
    known: Floats, seen: NDArray[np.bool_], difficulty: Floats, ease: Floats, *, precision: float
) -> tuple[Floats, Floats]:
    p = sigmoid(ease - difficulty[:, None])
    slope = np.where(seen, p - known, 0.0).sum(axis=1) - precision * difficulty
    curvature = np.where(seen, p * (1 - p), 0.0).sum(axis=1) + precision
    return difficulty + np.clip(slope / curvature, -_STEP, _STEP), 1 / curvature
