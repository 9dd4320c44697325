"""Which tasks and arms an evaluation is about, what was left out, and which tasks learn from which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from effortctl._errors import ConfigError
from effortctl.harness.evaluation._check import Check
from effortctl.stores._matrix import OutcomeMatrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Rows = NDArray[np.intp]

FEWEST_TASKS = 10
"""Learning tasks that every arm was tried on; fewer teach nothing."""

FOLDS = 5
"""Parts of the tasks where no learning tasks are given: each is judged by what the others teach."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """The evaluation's tasks.

    Attributes:
        test: Tasks to judge on; every arm was tried on each, with known dollars.
        learn: Tasks to learn from, with holes. None: the test tasks, crosswise.
        clusters: Cluster of every test task, or None where none are known.
        dropped: What was left out and how often.
        notes: Sentences a reader must know.
    """

    test: OutcomeMatrix
    learn: OutcomeMatrix | None
    clusters: tuple[str, ...] | None
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def clusters_of(matrix: OutcomeMatrix, *, by_category: bool = False) -> tuple[str, ...] | None:
    """Cluster of every task: the cluster column, or the category if that was asked for.

    A task without a label is a cluster of its own. None: no task has a label.
    """
    labels = matrix.categories if by_category else matrix.clusters
    if not any(labels):
        return None
    return tuple(
        f"of:{label}" if label else f"task:{task}"
        for label, task in zip(labels, matrix.task_ids, strict=True)
    )


def lay_out(
    test: OutcomeMatrix,
    learn: OutcomeMatrix | None,
    *,
    arms: Sequence[str] | None,
    needed: Sequence[str],
    check: Check,
    by_category: bool,
) -> Field:
    """Align arms, leave out what cannot be judged, and count it.

    Args:
        test: Outcomes to judge on.
        learn: Outcomes to learn from, or None.
        arms: Arms the user named; then each must be there. None: all that can be used.
        needed: Arms a given policy may call; each must be there.
        check: What checks answers.
        by_category: Tasks of one category are a cluster.

    Raises:
        ConfigError: A named arm is missing, or too little is left.
    """
    dropped: dict[str, int] = {}
    names = _arms(test, learn, list(dict.fromkeys([*(arms or ()), *needed])), dropped)
    judged = test.select_arms(names)
    whole = _whole(judged, check, dropped)
    judged = judged.select_tasks(whole)
    taught = None if learn is None else _fresh(learn.select_arms(names), judged, dropped)
    _enough(judged, taught, check)
    return Field(judged, taught, clusters_of(judged, by_category=by_category), dropped)


def _arms(
    test: OutcomeMatrix,
    learn: OutcomeMatrix | None,
    named: Sequence[str],
    dropped: dict[str, int],
) -> list[str]:
    sides = [("test", test)] if learn is None else [("test", test), ("learning", learn)]
    for arm in named:
        for side, matrix in sides:
            why = _useless(matrix, arm)
            if why:
                raise ConfigError(
                    f"arm {arm!r} {why} in the {side} outcomes; their arms are "
                    f"{', '.join(matrix.arms)}. Record it, or name other arms"
                )
    if named:
        return list(named)
    usable = []
    for arm in dict.fromkeys(name for _, matrix in sides for name in matrix.arms):
        faults = [f"{why} in the {side} outcomes" for side, m in sides if (why := _useless(m, arm))]
        if not faults:
            usable.append(arm)
            continue
        known = [m for _, m in sides if arm in m.arms]
        outcomes = sum(int((~np.isnan(m.score[:, m.arm_index(arm)])).sum()) for m in known)
        dropped[f"outcomes of arm {arm}, which {faults[0]}"] = outcomes
    if not usable:
        raise ConfigError(
            "no arm has scores and cost_usd "
            + ("in both files" if learn is not None else "in the outcomes")
            + "; without dollars there is no quality per dollar"
        )
    return usable


def _useless(matrix: OutcomeMatrix, arm: str) -> str | None:
    if arm not in matrix.arms:
        return "is not there"
    column = matrix.arm_index(arm)
    if np.isnan(matrix.score[:, column]).all():
        return "has no score"
    if np.isnan(matrix.cost_usd[:, column]).all():
        return "has no cost_usd"
    return None


def _whole(matrix: OutcomeMatrix, check: Check, dropped: dict[str, int]) -> Bools:
    """Test tasks that can be replayed, whatever a policy does."""
    tried = ~np.isnan(matrix.score).any(axis=1)
    scored = matrix.whole
    priced = ~np.isnan(matrix.cost_usd).any(axis=1)
    checked = check.checked(matrix)
    evidence = "answer" if check.kind == "agreement" else "verdict"
    for reason, missing in (
        ("test tasks without a score of every arm", ~tried),
        ("test tasks an arm only tried because another had failed", tried & ~scored),
        ("test tasks without cost_usd of every arm", scored & ~priced),
        (f"test tasks without a recorded {evidence} of every arm", scored & priced & ~checked),
    ):
        if missing.any():
            dropped[reason] = int(missing.sum())
    whole: Bools = scored & priced & checked
    return whole


def _fresh(learn: OutcomeMatrix, test: OutcomeMatrix, dropped: dict[str, int]) -> OutcomeMatrix:
    """The learning tasks without those that are also judged on."""
    judged = set(test.task_ids)
    new = np.array([task not in judged for task in learn.task_ids], dtype=np.bool_)
    if new.all():
        return learn
    if not new.any():
        raise ConfigError(
            "all learning tasks are also test tasks; leave the learning outcomes out, and every task "
            "is judged by what the others teach"
        )
    dropped["learning tasks that are also test tasks"] = int((~new).sum())
    return learn.select_tasks(new)


def complete(matrix: OutcomeMatrix, check: Check) -> Bools:
    """[T] tasks that every arm was tried on whatever others did, with dollars and evidence."""
    priced = ~np.isnan(matrix.cost_usd).any(axis=1)
    return np.asarray(matrix.whole & priced & check.checked(matrix))


def _enough(test: OutcomeMatrix, learn: OutcomeMatrix | None, check: Check) -> None:
    source, least = (test, 2 * FEWEST_TASKS) if learn is None else (learn, FEWEST_TASKS)
    count = int(complete(source, check).sum())
    if count < least:
        raise ConfigError(
            f"{count} tasks to learn from were tried, priced and checked with every arm, {least} are "
            "the least; name fewer arms, or record more outcomes"
        )
    if len(test) < 2:
        raise ConfigError(
            f"{len(test)} test tasks were tried, priced and checked with every arm; 2 are the least. "
            "Name fewer arms, or record more outcomes"
        )


def deal(clusters: Sequence[str] | None, tasks: int, *, seed: int) -> list[Rows]:
    """Deal whole clusters to folds, the largest first, each to the fold that is smallest so far.

    Raises:
        ConfigError: All tasks are of one cluster.
    """
    names = np.arange(tasks) if clusters is None else np.asarray(clusters)
    _, member, size = np.unique(names, return_inverse=True, return_counts=True)
    if len(size) < 2:
        raise ConfigError(
            "all tasks are of one cluster, so nothing can be judged by what other clusters teach; "
            "give learning outcomes of their own"
        )
    order = np.random.default_rng(seed).permutation(len(size))
    order = order[np.argsort(-size[order], kind="stable")]
    load, home = np.zeros(min(FOLDS, len(size))), np.empty(len(size), dtype=np.intp)
    for group in order:
        home[group] = np.argmin(load)
        load[home[group]] += size[group]
    fold = home[member.ravel()]
    return [np.flatnonzero(fold == k) for k in range(len(load))]
