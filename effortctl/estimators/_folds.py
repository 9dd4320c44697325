"""Which tasks are held out together, and whether a gain on held-out tasks is more than luck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from effortctl._errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.stores._matrix import OutcomeMatrix

    Floats = NDArray[np.float64]

Fold: TypeAlias = "tuple[NDArray[np.intp], NDArray[np.intp]]"
"""Positions to train on, and positions held out."""

GroupBy: TypeAlias = Literal["cluster", "category"]
"""Tasks that stand or fall together: those of a cluster, or of a category. One without a label stands alone."""

_ENOUGH: dict[GroupBy, float] = {"cluster": 2.0, "category": 2.5}
"""Groups (inverse Simpson index) from which on they are held out whole where nobody says so. With two
categories, whatever is expected of one would come from the other alone."""


def group_names(
    matrix: OutcomeMatrix, groups: Sequence[str] | GroupBy | None = None
) -> tuple[str, tuple[str, ...]]:
    """Choose the groups that are held out whole.

    Tasks of one source look alike, and a model that has seen some of them looks better on the others
    than it will be on new sources. Where nobody says what tasks to come are like, the careful choice is
    made: clusters, else categories if there are more than two groups' worth of them, else tasks.

    Args:
        matrix: T tasks.
        groups: A group for every task, or which label names it. None: choose.

    Returns:
        What was chosen (`given`, `cluster`, `category` or `task`), and a group for every task.

    Raises:
        ConfigError: There is not one group for each task, or no such label.
    """
    if groups is None:
        for name, enough in _ENOUGH.items():
            named = labelled(matrix, name)
            if named != matrix.task_ids and _effective_number(named) >= enough:
                return name, named
        return "task", matrix.task_ids
    if isinstance(groups, str):
        named = labelled(matrix, groups)
        return "task" if named == matrix.task_ids else groups, named
    if len(groups) != len(matrix):
        raise ConfigError(f"{len(groups)} groups for {len(matrix)} tasks; pass one per task")
    return "given", tuple(map(str, groups))


def labelled(matrix: OutcomeMatrix, by: str) -> tuple[str, ...]:
    """[T] the cluster or the category of every task; the task itself where it has none.

    Raises:
        ConfigError: It is neither of the two.
    """
    known = {"cluster": matrix.clusters, "category": matrix.categories}
    if by not in known:
        raise ConfigError(f"groups are {by!r}; expected 'cluster', 'category' or a group per task")
    labels = known[by]
    if not any(labels):
        return matrix.task_ids
    return tuple(
        f"{by}:{label}" if label else f"task:{task}"
        for label, task in zip(labels, matrix.task_ids, strict=True)
    )


def _effective_number(groups: Sequence[str]) -> float:
    return float(len(groups) ** 2 / sum(count**2 for count in Counter(groups).values()))


def folds_of(groups: Sequence[str], *, n_splits: int, seed: int) -> list[Fold]:
    """Split tasks into (train, held out) pairs that never part a group, evenly in size.

    Groups are dealt in shuffled order of their size, each to the fold that is smallest so far.
    """
    names, member, size = np.unique(
        np.asarray(groups, dtype=str), return_inverse=True, return_counts=True
    )
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-size[order], kind="stable")]
    load = np.zeros(min(n_splits, len(names)))
    home = np.empty(len(names), dtype=np.intp)
    for group in order:
        home[group] = np.argmin(load)
        load[home[group]] += size[group]
    fold = home[member.ravel()]
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(len(load))]


def gain_and_error(before: Floats, after: Floats, groups: Sequence[str]) -> tuple[float, float]:
    """Mean fall of the loss and its standard error, tasks of one group counted as one draw.

    Args:
        before: [T, K] losses, NaN where there is no outcome.
        after: [T, K] losses of the alternative.
        groups: [T].
    """
    fall = before - after
    cells = int((~np.isnan(fall)).sum())
    per_task = np.nansum(fall, axis=1)
    counts = (~np.isnan(fall)).sum(axis=1)
    member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1].ravel()
    gain = per_task.sum() / cells
    rest = np.bincount(member, per_task - gain * counts)
    count = len(rest)
    correction = count / (count - 1) if count > 1 else np.inf
    return float(gain), float(np.sqrt(correction * (rest**2).sum()) / cells)
