"""Ways to predict P(correct) and dollars of every arm from the text of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler, normalize

from effortctl._features import features
from effortctl.estimators import FittedModel
from effortctl.stores import OutcomeMatrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Prediction: TypeAlias = "tuple[Floats, Floats]"
Predictor: TypeAlias = Callable[[OutcomeMatrix], Prediction]
"""Predicts [T, K] P(correct) and [T, K] dollars of unseen tasks."""

_NEIGHBOURS = (5, 10, 20, 40, 80, 160)
_MOST_CLUSTERS = 60
_TASKS_PER_CLUSTER = 25
_SHRINK = 5.0
_ROWS = 500


def of_model(model: FittedModel) -> Predictor:
    """Ours: difficulty, arm curves, cost curves."""

    def predict(tasks: OutcomeMatrix) -> Prediction:
        estimates = model.estimates(tasks.tasks())
        return estimates.p, estimates.cost_usd

    return predict


@dataclass(frozen=True, slots=True, eq=False)
class _Words:
    """TF-IDF over hashed words and pairs of words, fitted on the training texts."""

    hasher: Any
    weights: Any

    @classmethod
    def fit(cls, texts: tuple[str | None, ...]) -> _Words:
        hasher = HashingVectorizer(n_features=2**14, ngram_range=(1, 2), alternate_sign=False)
        weights = TfidfTransformer(sublinear_tf=True)
        weights.fit(hasher.transform([text or "" for text in texts]))
        return cls(hasher, weights)

    def __call__(self, texts: tuple[str | None, ...]) -> Any:
        return self.weights.transform(self.hasher.transform([text or "" for text in texts]))


def nearest(train: OutcomeMatrix, _seed: int) -> Predictor:
    """Means over the most similar training tasks; how many is chosen by leaving one out."""
    words = _Words.fit(train.texts)
    table = words(train.texts)
    sizes = [k for k in _NEIGHBOURS if k <= max(_NEIGHBOURS[0], len(train) // 3)]
    both = np.concatenate([train.score, train.cost_usd], axis=1)
    arms = train.score.shape[1]
    best = sizes[0]
    if len(sizes) > 1:
        loss = np.zeros(len(sizes))
        for rows, likeness in _likeness(table, table):
            likeness[np.arange(len(rows)), rows] = -1.0
            order = np.argsort(-likeness, axis=1)[:, : sizes[-1]]
            for i, k in enumerate(sizes):
                wrong = train.score[order[:, :k]].mean(axis=1) - train.score[rows]
                loss[i] += float((wrong**2).sum())
        best = sizes[int(loss.argmin())]

    def predict(tasks: OutcomeMatrix) -> Prediction:
        found = np.zeros((len(tasks), both.shape[1]))
        for rows, likeness in _likeness(words(tasks.texts), table):
            order = np.argsort(-likeness, axis=1)[:, :best]
            found[rows] = both[order].mean(axis=1)
        return found[:, :arms], found[:, arms:]

    return predict


def _likeness(first: Any, second: Any) -> Iterator[tuple[NDArray[np.intp], Floats]]:
    """Cosines, some rows at a time."""
    for begin in range(0, first.shape[0], _ROWS):
        rows = np.arange(begin, min(begin + _ROWS, first.shape[0]))
        yield rows, (first[rows] @ second.T).toarray()


def clusters(train: OutcomeMatrix, seed: int) -> Predictor:
    """Means over clusters of training tasks, drawn a little towards the mean of all."""
    words = _Words.fit(train.texts)
    table = words(train.texts)
    number = int(np.clip(len(train) // _TASKS_PER_CLUSTER, 2, _MOST_CLUSTERS))
    squeeze = TruncatedSVD(min(64, len(train) - 1), random_state=seed)
    points = normalize(squeeze.fit_transform(table))
    groups = KMeans(number, n_init=3, random_state=seed).fit(points)
    both = np.concatenate([train.score, train.cost_usd], axis=1)
    member = np.eye(number)[groups.labels_]
    sums = member.T @ both + _SHRINK * both.mean(axis=0)
    means = sums / (member.sum(axis=0)[:, None] + _SHRINK)
    arms = train.score.shape[1]

    def predict(tasks: OutcomeMatrix) -> Prediction:
        where = groups.predict(normalize(squeeze.transform(words(tasks.texts))))
        return means[where, :arms], means[where, arms:]

    return predict


def logistic(train: OutcomeMatrix, _seed: int) -> Predictor:
    """One logistic regression per arm over structural features and words; mean dollars per arm."""
    words = _Words.fit(train.texts)
    scale = StandardScaler().fit(_structure(train))

    def inputs(tasks: OutcomeMatrix) -> Any:
        shape = sparse.csr_matrix(0.3 * scale.transform(_structure(tasks)))
        return sparse.hstack([shape, 2.0 * words(tasks.texts)]).tocsr()

    table = inputs(train)
    fitted = [_one_arm(table, score > 0.5) for score in train.score.T]

    def predict(tasks: OutcomeMatrix) -> Prediction:
        rows = inputs(tasks)
        p = np.stack([arm(rows) for arm in fitted], axis=1)
        return p, np.broadcast_to(train.cost_usd.mean(axis=0), p.shape)

    return predict


def _one_arm(table: Any, right: NDArray[np.bool_]) -> Callable[[Any], Floats]:
    if right.all() or not right.any():
        constant = (right.sum() + 1.0) / (right.size + 2.0)
        return lambda rows: np.full(rows.shape[0], constant)
    model = LogisticRegression(C=0.3, max_iter=500).fit(table, right)
    return lambda rows: np.asarray(model.predict_proba(rows)[:, 1])


def _structure(tasks: OutcomeMatrix) -> Floats:
    return np.array([list(features(task).values()) for task in tasks.tasks()], dtype=float)
