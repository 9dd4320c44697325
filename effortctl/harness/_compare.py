"""Two evaluations of the same tasks, paired: what changed from the first to the second, and where.

Differences are the second minus the first, ratios the second by the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from effortctl._errors import ConfigError
from effortctl._stats import mcnemar_exact
from effortctl.harness._pairing import (
    ClusterBy,
    Overlap,
    Series,
    is_binary,
    names_in,
    overlap,
    series,
)
from effortctl.harness._ratio import Ratio, cost_ratio
from effortctl.harness.evaluation._intervals import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.harness._result import EvalResult

    Floats = NDArray[np.float64]

Test: TypeAlias = Literal["mcnemar", "student"]

MULTIPLE = (
    "p_holm allows for all policies and arms together (Holm). Intervals and categories stand alone: of "
    "twenty, expect one to miss."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A difference of means and a ratio of dollars.

    Attributes:
        n_tasks: Tasks it is over.
        quality: Mean quality of the first and of the second.
        cost_usd: Mean dollars per task of the first and of the second.
        quality_difference: Second minus first.
        quality_ci: Its interval, clustered where clusters are known.
        cost_ratio: Dollars of the second by those of the first; None where the first costs nothing.
        cost_ratio_ci: Its interval; an upper end of None is unbounded.
    """

    n_tasks: int
    quality: tuple[float, float]
    cost_usd: tuple[float, float]
    quality_difference: float
    quality_ci: tuple[float, float]
    cost_ratio: float | None
    cost_ratio_ci: tuple[float, float | None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesChange:
    """What changed for one policy or arm.

    Attributes:
        name: The policy or arm.
        overall: Over all shared tasks.
        test: `mcnemar`, exact, for independent right/wrong tasks; else `student`, on clusters.
        p: Two-sided p-value of "the quality is the same".
        p_holm: Allowing for all series of the comparison.
        won: Ids of tasks the second did better.
        lost: Ids of tasks the second did worse.
        categories: Category → the same for its tasks alone.
    """

    name: str
    overall: Change
    test: Test
    p: float
    p_holm: float
    won: tuple[str, ...]
    lost: tuple[str, ...]
    categories: dict[str, Change]

    def to_json(self, *, tasks: int) -> dict[str, Any]:
        """Plain JSON, with at most so many ids of each kind."""
        return {
            **asdict(self.overall),
            "test": self.test,
            "p": self.p,
            "p_holm": self.p_holm,
            "n_won": len(self.won),
            "n_lost": len(self.lost),
            "won": list(self.won[:tasks]),
            "lost": list(self.lost[:tasks]),
            "categories": {name: asdict(each) for name, each in self.categories.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonReport:
    """Two evaluations, paired.

    Attributes:
        first: Name of the first.
        second: Name of the second.
        level: Coverage of intervals.
        n_tasks: Tasks both have.
        n_clusters: Independent clusters among them.
        only_first: Tasks only the first has; not used.
        only_second: Tasks only the second has; not used.
        series: One per policy and arm both have.
        unmatched: Policies and arms only one of them has.
        notes: What a reader must know.
    """

    first: str
    second: str
    level: float
    n_tasks: int
    n_clusters: int
    only_first: int
    only_second: int
    series: tuple[SeriesChange, ...]
    unmatched: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self, *, tasks: int = 20) -> dict[str, Any]:
        """Plain JSON.

        Args:
            tasks: Most ids to list of tasks won, and of tasks lost.
        """
        return {
            "first": self.first,
            "second": self.second,
            "level": self.level,
            "n_tasks": self.n_tasks,
            "n_clusters": self.n_clusters,
            "not_shared": {"first": self.only_first, "second": self.only_second},
            "series": {each.name: each.to_json(tasks=tasks) for each in self.series},
            "unmatched": list(self.unmatched),
            "notes": list(self.notes),
        }


def compare(
    first: EvalResult,
    second: EvalResult,
    *,
    policies: Sequence[str] | None = None,
    level: float = 0.95,
    cluster_by: ClusterBy = "cluster",
) -> ComparisonReport:
    """Compare two evaluations over the tasks both have.

    Args:
        first: What it was.
        second: What it is now.
        policies: Policies (`plan`) or arms (`small`) to compare. None: all that both have.
        level: Coverage of intervals.
        cluster_by: Which tasks are not independent of each other.

    Raises:
        ConfigError: They share no task or no policy, or one was saved without its tasks.
        StoreError: A result is damaged.
    """
    if not 0.5 <= level < 1:
        raise ConfigError(f"level is {level!r}; expected a number from 0.5 to below 1, e.g. 0.95")
    shared = overlap(first, second, cluster_by=cluster_by)
    here, there = names_in(first), names_in(second)
    names = tuple(policies or (name for name in here if name in there))
    if not names:
        raise ConfigError(
            f"{first.name!r} and {second.name!r} have no policy and no arm in common; the first has "
            f"{', '.join(here)}, the second {', '.join(there)}"
        )
    found = [
        _series(
            shared,
            (series(first, name, shared.first_rows), series(second, name, shared.second_rows)),
            level=level,
        )
        for name in dict.fromkeys(names)
    ]
    adjusted = holm([each.p for each in found])
    return ComparisonReport(
        first=first.name,
        second=second.name,
        level=level,
        n_tasks=len(shared.tasks.ids),
        n_clusters=shared.tasks.sample.groups,
        only_first=shared.only_first,
        only_second=shared.only_second,
        series=tuple(replace(each, p_holm=p) for each, p in zip(found, adjusted, strict=True)),
        unmatched=() if policies else tuple(sorted(set(here) ^ set(there))),
        notes=_notes(first, second, count=len(found)),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values that allow for all of them together, however they hang together.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def _series(shared: Overlap, pair: tuple[Series, Series], *, level: float) -> SeriesChange:
    was, now = pair
    tasks = shared.tasks
    gain = now.quality - was.quality
    won = tuple(tasks.ids[i] for i in np.flatnonzero(gain > 0))
    lost = tuple(tasks.ids[i] for i in np.flatnonzero(gain < 0))
    test: Test = "student"
    if tasks.sample.groups == len(tasks.ids) and is_binary(was.quality, now.quality):
        test, p = "mcnemar", mcnemar_exact(len(lost), len(won))
    else:
        found = tasks.sample.mean(gain, caution=1.0)
        p = min(1.0, 2 * min(found.p_above(0.0), 1 - found.p_above(0.0)))
    return SeriesChange(
        name=was.name,
        overall=_change(tasks.sample, was, now, level=level),
        test=test,
        p=p,
        p_holm=p,
        won=won,
        lost=lost,
        categories=_by_category(shared, was, now, level=level),
    )


def _by_category(shared: Overlap, was: Series, now: Series, *, level: float) -> dict[str, Change]:
    labels = shared.tasks.categories
    found = {}
    for label in sorted({label for label in labels if label is not None}):
        rows = [i for i, other in enumerate(labels) if other == label]
        found[label] = _change(
            shared.tasks.at(rows).sample, _rows(was, rows), _rows(now, rows), level=level
        )
    return found


def _rows(one: Series, rows: Sequence[int]) -> Series:
    return Series(one.name, one.quality[list(rows)], one.cost_usd[list(rows)])


def _change(sample: Sample, was: Series, now: Series, *, level: float) -> Change:
    gain = sample.mean(now.quality - was.quality, caution=1.0)
    low, high = gain.interval(level) if math.isfinite(gain.error) else (-1.0, 1.0)
    tail = (1 - level) / 2
    ratio = cost_ratio(sample, now.cost_usd, was.cost_usd, tails=(tail, tail))
    return Change(
        n_tasks=sample.tasks,
        quality=(float(was.quality.mean()), float(now.quality.mean())),
        cost_usd=(float(was.cost_usd.mean()), float(now.cost_usd.mean())),
        quality_difference=gain.value,
        quality_ci=(max(-1.0, low), min(1.0, high)),
        cost_ratio=None if ratio is None else ratio.value,
        cost_ratio_ci=None if ratio is None else _ends(ratio),
    )


def _ends(ratio: Ratio) -> tuple[float, float | None]:
    return ratio.low, ratio.high if math.isfinite(ratio.high) else None


def _notes(first: EvalResult, second: EvalResult, *, count: int) -> tuple[str, ...]:
    notes = []
    if first.verifier != second.verifier:
        notes.append(
            f"The verifier differs: {first.verifier} in the first, {second.verifier} in the second."
        )
    if count > 1:
        notes.append(MULTIPLE)
    return tuple(notes)
