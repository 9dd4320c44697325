"""The fitted difficulty model: task in, difficulty out, with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from effortctl._errors import ConfigError
from effortctl._features import FEATURE_NAMES, FeatureFunction, features
from effortctl._types import Task
from effortctl.estimators._trees import TreesPart
from effortctl.estimators._words import WordsPart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DifficultyLabel = Literal["trivial", "easy", "medium", "hard", "extreme"]
DIFFICULTY_LABELS: tuple[DifficultyLabel, ...] = ("trivial", "easy", "medium", "hard", "extreme")
LABEL_QUANTILES = (0.1, 0.35, 0.65, 0.9)
"""Where the bands of the training difficulties end."""

_UNUSUAL = 5.0
"""Standard deviations beyond which a feature counts as this far out and no further."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearPart:
    """A linear model over standardised features.

    Attributes:
        mean: [F] of the training tasks.
        scale: [F] standard deviation of the training tasks; 1 where a feature never varied.
        coef: [F].
        intercept: Prediction for the average task.
    """

    mean: Floats
    scale: Floats
    coef: Floats
    intercept: float

    def predict(self, x: Floats) -> Floats:
        """[T] predictions for x[T, F]."""
        return np.asarray(standardise(x, self.mean, self.scale) @ self.coef + self.intercept)


@dataclass(frozen=True, slots=True, eq=False)
class CategoryPart:
    """How much harder the tasks of a category are; 0 for a category never seen.

    Attributes:
        offset: Category → difficulty, already shrunk by how few tasks it is known from.
    """

    offset: Mapping[str, float]

    def predict(self, categories: Sequence[str | None]) -> Floats:
        """[T] predictions."""
        return np.array([self.offset.get(name or "", 0.0) for name in categories], dtype=float)


@dataclass(frozen=True, slots=True, eq=False)
class PriorPart:
    """A whole scorer that was fitted elsewhere: what is believed before a task of one's own is seen.

    Attributes:
        scorer: Predicts from the built-in features.
    """

    scorer: DifficultyScorer

    def predict(self, tasks: Sequence[Task]) -> Floats:
        """[T] predictions."""
        return self.scorer.predict(tasks)


Part: TypeAlias = LinearPart | TreesPart | WordsPart | CategoryPart | PriorPart


def standardise(x: Floats, mean: Floats, scale: Floats) -> Floats:
    """Features in standard deviations from their mean, cut off where no training task ever was."""
    return np.clip((x - mean) / scale, -_UNUSUAL, _UNUSUAL)


def feature_matrix(
    tasks: Sequence[Task], function: FeatureFunction, names: tuple[str, ...]
) -> Floats:
    """[T, F] numbers of the tasks.

    Raises:
        ConfigError: The function gives other names than expected, or a number that is not finite.
    """
    table = np.empty((len(tasks), len(names)))
    for i, task in enumerate(tasks):
        numbers = function(task)
        if tuple(numbers) != names:
            raise ConfigError(
                f"the features of a task are {sorted(numbers)}, expected {list(names)};"
                " a feature function gives the same names in the same order for every task"
            )
        table[i] = tuple(numbers.values())
    if not np.isfinite(table).all():
        bad = names[int(np.argwhere(~np.isfinite(table))[0][1])]
        raise ConfigError(f"feature {bad!r} is not a finite number; use 0 for unknown values")
    return table


@dataclass(frozen=True, slots=True, eq=False)
class DifficultyScorer:
    """Predicts how hard a task is. A weighted sum of parts, kept within what training tasks showed.

    Attributes:
        parts: Name → (weight, part); none when no feature was found to help.
        intercept: Difficulty before any part.
        low: Smallest difficulty predicted for a training task held out of its fit.
        high: Largest.
        bands: Ends of the label bands, four rising difficulties.
        residual_sd: Standard deviation of the true difficulty around the predicted one, in logits.
        feature_names: Features the parts were fitted on, in order.
        feature_hash: Fingerprint of the feature list.
        function: What computes the features.
    """

    parts: Mapping[str, tuple[float, Part]]
    intercept: float
    low: float
    high: float
    bands: tuple[float, ...]
    residual_sd: float
    feature_names: tuple[str, ...] = FEATURE_NAMES
    feature_hash: str = ""
    function: FeatureFunction = field(default=features, repr=False)

    def predict(self, tasks: Sequence[Task]) -> Floats:
        """[T] difficulties in logits: 0 is average, larger is harder."""
        total = np.full(len(tasks), self.intercept)
        if {"linear", "boosted"} & self.parts.keys():
            x = feature_matrix(tasks, self.function, self.feature_names)
        for weight, part in self.parts.values():
            if isinstance(part, WordsPart):
                total += weight * part.predict([task.text for task in tasks])
            elif isinstance(part, CategoryPart):
                total += weight * part.predict([task.category for task in tasks])
            elif isinstance(part, PriorPart):
                total += weight * part.predict(tasks)
            else:
                total += weight * part.predict(x)
        return np.asarray(np.clip(total, self.low, self.high))

    def labels(self, difficulty: Floats) -> tuple[DifficultyLabel, ...]:
        """Words for difficulties: quantile bands of the training tasks."""
        if self.bands[0] == self.bands[-1]:
            return tuple("medium" for _ in difficulty)
        bands = np.searchsorted(self.bands, difficulty).tolist()
        return tuple(DIFFICULTY_LABELS[band] for band in bands)
