"""An evaluation's result as plain tables: one of arms and policies, one of tasks."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from effortctl.harness._result import ArmResult, EvalResult, PolicyResult
from effortctl.harness.datasets._files import pyarrow

Record = Mapping[str, Any]

COLUMNS: Final = (
    *("kind", "name", "model", "effort", "arms"),
    *("quality", "quality_low", "quality_high", "cost_usd", "cost_low", "cost_high"),
    *("equal_quality_cost_usd", "equal_quality_ratio", "latency_p50_s", "latency_p95_s"),
    *("simulated", "in_hindsight"),
)
"""Of the table of arms and policies; `metric.NAME` columns follow. Dollars are means per task."""
TASK_COLUMNS: Final = (
    *("task_id", "cluster", "category", "difficulty", "kind", "name"),
    *("quality", "cost_usd", "calls", "returned"),
)
"""Of the table of tasks: one row per task and arm or policy. Arms tried are joined by ` > `."""
STEP: Final = " > "


def policy_records(result: EvalResult) -> Iterator[Record]:
    """Arms first, then policies, then the oracle."""
    for name, arm in result.arms.items():
        yield {"kind": "arm", "name": name, **_arm_fields(arm)}
    for name, policy in result.policies.items():
        equal = result.cost_at_equal_quality.get(name)
        yield {
            "kind": "policy",
            "name": name,
            **_intervals(policy),
            "arms": STEP.join(policy.arms) or None,
            "equal_quality_cost_usd": None if equal is None else equal.cost_usd,
            "equal_quality_ratio": None if equal is None else equal.ratio_to_best_fixed_arm,
            "simulated": policy.simulated,
            "in_hindsight": policy.in_hindsight,
            **{f"metric.{metric}": value for metric, value in policy.metrics.items()},
        }
    yield {
        "kind": "oracle",
        "name": "oracle",
        "quality": result.oracle.quality,
        "cost_usd": result.oracle.cost_usd,
        "in_hindsight": True,
    }


def task_records(result: EvalResult) -> Iterator[Record]:
    """Every task under every arm and every policy; nothing where the tasks were not kept."""
    tasks = result.tasks
    if tasks is None:
        return
    for index, task_id in enumerate(tasks.ids):
        shared = {
            "task_id": task_id,
            "cluster": _at(tasks.clusters, index),
            "category": _at(tasks.categories, index),
            "difficulty": _at(tasks.difficulty, index),
        }
        for arm, scores in tasks.scores.items():
            costs = tasks.costs_usd.get(arm, ())
            yield {
                **shared,
                "kind": "arm",
                "name": arm,
                "quality": _at(scores, index),
                "cost_usd": _at(costs, index),
            }
        for name, did in tasks.policies.items():
            calls = _at(did.calls, index)
            yield {
                **shared,
                "kind": "policy",
                "name": name,
                "quality": _at(did.quality, index),
                "cost_usd": _at(did.cost_usd, index),
                "calls": None if calls is None else STEP.join(calls),
                "returned": _at(did.returned, index),
            }


def write_tables(result: EvalResult, target: Path, *, kind: str) -> tuple[Path, ...]:
    """Write both tables, the tasks beside the policies as `NAME.tasks.ENDING` where they were kept.

    Args:
        result: What to write.
        target: File of the table of arms and policies.
        kind: `csv` or `parquet`.

    Returns:
        The files.

    Raises:
        ConfigError: Parquet is asked for without pyarrow.
        OSError: A file cannot be written.
    """
    policies = list(policy_records(result))
    metrics = dict.fromkeys(key for record in policies for key in record if key not in COLUMNS)
    tables = [(target, (*COLUMNS, *metrics), policies)]
    if result.tasks is not None:
        beside = target.with_name(f"{target.stem}.tasks{target.suffix}")
        tables.append((beside, TASK_COLUMNS, list(task_records(result))))
    write = _write_csv if kind == "csv" else _write_parquet
    for path, columns, records in tables:
        part = path.with_name(f"{path.name}.part")
        write(part, columns, records)
        part.replace(path)
    return tuple(path for path, _, _ in tables)


def _write_csv(path: Path, columns: Sequence[str], records: Sequence[Record]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        # With the default line ending, carriage returns within a cell are quoted too.
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(records)


def _write_parquet(path: Path, columns: Sequence[str], records: Sequence[Record]) -> None:
    pa, parquet = pyarrow()
    arrays = {name: [record.get(name) for record in records] for name in columns}
    parquet.write_table(pa.table(arrays), path)


def _arm_fields(arm: ArmResult) -> dict[str, Any]:
    return {
        "model": arm.model,
        "effort": arm.effort,
        **_intervals(arm),
        "latency_p50_s": arm.latency_p50_s,
        "latency_p95_s": arm.latency_p95_s,
    }


def _intervals(point: ArmResult | PolicyResult) -> dict[str, Any]:
    return {
        "quality": point.quality,
        "quality_low": point.quality_ci95[0],
        "quality_high": point.quality_ci95[1],
        "cost_usd": point.cost_usd,
        "cost_low": point.cost_ci95[0],
        "cost_high": point.cost_ci95[1],
    }


def _at(column: Sequence[Any], index: int) -> Any:
    """One entry; a column that was not kept is empty."""
    return column[index] if index < len(column) else None
