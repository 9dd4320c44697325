"""Boosted trees as flat arrays: fitted by scikit-learn, evaluated by NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.intp]

_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class TreesPart:
    """A sum of regression trees. N nodes in all; children are node numbers, a leaf is its own child.

    Attributes:
        baseline: Prediction before the first tree.
        roots: [number of trees] first node of each tree.
        feature: [N] column the node looks at.
        threshold: [N] go left at or below it.
        left: [N] node to go to.
        right: [N] node to go to.
        value: [N] what a leaf adds; 0 in inner nodes.
        depth: Steps after which every path has reached its leaf.
    """

    baseline: float
    roots: Integers
    feature: Integers
    threshold: Floats
    left: Integers
    right: Integers
    value: Floats
    depth: int

    def predict(self, x: Floats) -> Floats:
        """[T] predictions for the finite numbers x[T, F]."""
        return np.concatenate(
            [np.empty(0)]
            + [self._chunk(x[start : start + _CHUNK]) for start in range(0, len(x), _CHUNK)]
        )

    def _chunk(self, x: Floats) -> Floats:
        node = np.broadcast_to(self.roots, (len(x), self.roots.size))
        rows = np.arange(len(x))[:, None]
        for _ in range(self.depth):
            goes_left = x[rows, self.feature[node]] <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node])
        return np.asarray(self.baseline + self.value[node].sum(axis=1))


def export_trees(model: Any) -> TreesPart:
    """Copy the trees of a fitted `HistGradientBoostingRegressor` without categorical features."""
    tables = [stage[0].nodes for stage in model._predictors]  # noqa: SLF001 - no public way
    sizes = [len(table) for table in tables]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
    nodes = np.concatenate(tables)
    offset = np.repeat(roots, sizes)
    itself = np.arange(len(nodes))
    leaf = nodes["is_leaf"].astype(bool)

    def child(side: str) -> Integers:
        return np.where(leaf, itself, nodes[side] + offset).astype(np.intp)

    return TreesPart(
        baseline=float(np.ravel(model._baseline_prediction)[0]),  # noqa: SLF001 - no public way
        roots=roots,
        feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.intp),
        threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
        left=child("left"),
        right=child("right"),
        value=np.where(leaf, nodes["value"], 0.0),
        depth=int(nodes["depth"].max()),
    )
