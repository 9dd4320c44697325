"""Two evaluations side by side: the tasks both have, and what is known of their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from effortctl._errors import ConfigError, StoreError
from effortctl.harness.evaluation._intervals import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.harness._result import EvalResult, TaskTable

    Floats = NDArray[np.float64]

ClusterBy: TypeAlias = Literal["cluster", "category"]
"""Which tasks stand or fall together: those of a cluster, or those of a category."""

_FIXED = "fixed:"


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What one policy or arm did, task by task.

    Attributes:
        name: The policy or arm.
        quality: [T] scores.
        cost_usd: [T] dollars.
    """

    name: str
    quality: Floats
    cost_usd: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Tasks:
    """Tasks, and what is known of how they hang together.

    Attributes:
        ids: T ids.
        categories: T categories; None where one is not known.
        clusters: T clusters, or None where none are known.
    """

    ids: tuple[str, ...]
    categories: tuple[str | None, ...]
    clusters: tuple[str, ...] | None

    @property
    def sample(self) -> Sample:
        """For means and intervals over all of them."""
        return Sample(self.clusters, len(self.ids))

    def at(self, rows: Sequence[int]) -> Tasks:
        """The tasks at these positions."""
        return Tasks(
            tuple(self.ids[i] for i in rows),
            tuple(self.categories[i] for i in rows),
            None if self.clusters is None else tuple(self.clusters[i] for i in rows),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """The tasks two evaluations share.

    Attributes:
        tasks: What they share.
        first_rows: Where those are in the first.
        second_rows: Where they are in the second.
        only_first: Tasks only the first has.
        only_second: Tasks only the second has.
    """

    tasks: Tasks
    first_rows: tuple[int, ...]
    second_rows: tuple[int, ...]
    only_first: int
    only_second: int


def table_of(result: EvalResult) -> TaskTable:
    """The tasks of a result, one by one.

    Raises:
        ConfigError: It was saved without them.
        StoreError: An id comes twice, or a column has another length.
    """
    table = result.tasks
    if table is None:
        raise ConfigError(
            f"the result {result.name!r} was saved without its tasks, so nothing can be paired; evaluate "
            "again and save it with them"
        )
    if len(set(table.ids)) != len(table.ids):
        raise StoreError(f"the result {result.name!r} names a task twice; ids must differ")
    columns: list[Sequence[object]] = [*table.scores.values(), *table.costs_usd.values()]
    columns += [side for done in table.policies.values() for side in (done.cost_usd, done.quality)]
    columns += [labels for labels in (table.clusters, table.categories) if labels]
    if any(len(column) != len(table.ids) for column in columns):
        raise StoreError(
            f"the result {result.name!r} is damaged: a column does not have one entry for each of its "
            f"{len(table.ids)} tasks"
        )
    return table


def tasks_of(result: EvalResult, *, cluster_by: ClusterBy = "cluster") -> Tasks:
    """The tasks of a result with their categories and clusters.

    A task without a label is a cluster of its own, as everywhere in an evaluation.
    """
    table = table_of(result)
    labels = table.categories if cluster_by == "category" else table.clusters
    clusters = None
    if any(labels):
        clusters = tuple(
            f"of:{label}" if label else f"task:{task}"
            for label, task in zip(labels, table.ids, strict=True)
        )
    return Tasks(table.ids, table.categories or (None,) * len(table.ids), clusters)


def overlap(first: EvalResult, second: EvalResult, *, cluster_by: ClusterBy = "cluster") -> Overlap:
    """Match the tasks of two results by id, in the order of the first.

    Labels are those of the first; where it knows no clusters, those of the second.

    Raises:
        ConfigError: They share no task, or one was saved without its tasks.
        StoreError: One is damaged.
    """
    here = tasks_of(first, cluster_by=cluster_by)
    there = tasks_of(second, cluster_by=cluster_by)
    at = {task: row for row, task in enumerate(there.ids)}
    first_rows = tuple(row for row, task in enumerate(here.ids) if task in at)
    second_rows = tuple(at[here.ids[row]] for row in first_rows)
    if not first_rows:
        raise ConfigError(
            f"{first.name!r} and {second.name!r} share no task: ids look like {here.ids[0]!r} and "
            f"{there.ids[0]!r}; compare evaluations of the same tasks"
        )
    mine, yours = here.at(first_rows), there.at(second_rows)
    shared = Tasks(
        mine.ids,
        tuple(a or b for a, b in zip(mine.categories, yours.categories, strict=True)),
        mine.clusters or yours.clusters,
    )
    return Overlap(
        shared,
        first_rows,
        second_rows,
        len(here.ids) - len(first_rows),
        len(there.ids) - len(second_rows),
    )


def names_in(result: EvalResult) -> tuple[str, ...]:
    """Policies somebody can run, then arms; all that have an entry per task."""
    table = table_of(result)
    dreamt = {name for name, each in result.policies.items() if each.in_hindsight}
    policies = [name for name in table.policies if name not in dreamt]
    arms = [arm for arm in table.scores if arm in table.costs_usd]
    have = {name.removeprefix(_FIXED) for name in policies if name.startswith(_FIXED)}
    return (*policies, *(arm for arm in arms if arm not in have))


def series(result: EvalResult, name: str, rows: Sequence[int] | None = None) -> Series:
    """What a policy (`plan`) or an arm (`fixed:small` or `small`) did.

    Args:
        result: Where to look.
        name: Of the policy or arm.
        rows: Positions of the tasks. None: all.

    Raises:
        ConfigError: The result knows no such policy or arm.
    """
    table = table_of(result)
    arm = name.removeprefix(_FIXED)
    done = table.policies.get(name) or table.policies.get(f"{_FIXED}{name}")
    if done is not None:
        quality, cost = done.quality, done.cost_usd
    elif arm in table.scores and arm in table.costs_usd:
        quality, cost = table.scores[arm], table.costs_usd[arm]
    else:
        raise ConfigError(
            f"the result {result.name!r} has no policy or arm {name!r} task by task; it has "
            f"{', '.join(names_in(result))}"
        )
    at = slice(None) if rows is None else np.asarray(rows, dtype=np.intp)
    return Series(name, np.asarray(quality, float)[at], np.asarray(cost, float)[at])


def is_binary(*qualities: Floats) -> bool:
    """All of them are right or wrong, nothing between."""
    return all(bool(np.isin(quality, (0.0, 1.0)).all()) for quality in qualities)
