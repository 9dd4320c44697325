"""An evaluation's result as an inspect log, so that Inspect View and its data frames can show it.

One sample per task; every arm and every policy is a scorer, so they stand side by side in one table.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from effortctl.harness._result import EvalResult, TaskTable

LOG_VERSION: Final = 2
"""Layout of inspect logs that this writes."""
_ID_LENGTH: Final = 22


def inspect_log(result: EvalResult, *, now: datetime) -> dict[str, Any]:
    """The log as a JSON object.

    Args:
        result: What to export. Prompts are in the log where they are in the result.
        now: Time of the log.
    """
    name = result.name or "evaluation"
    digest = hashlib.sha256(result.model_dump_json(exclude={"tasks"}).encode()).hexdigest()
    created = now.astimezone(UTC).isoformat(timespec="seconds")
    ids = [] if result.tasks is None else list(result.tasks.ids)
    return {
        "version": LOG_VERSION,
        "status": "success",
        "eval": {
            "eval_id": digest[:_ID_LENGTH],
            "run_id": digest[_ID_LENGTH : 2 * _ID_LENGTH],
            "created": created,
            "task": name,
            "task_id": digest[-_ID_LENGTH:],
            "dataset": {"name": name, "samples": result.n_tasks, "sample_ids": ids},
            "model": f"effortctl/{result.verdict.policy}",
            "config": {"epochs": 1},
            "packages": {"effortctl": version("effortctl")},
            "metadata": {
                "verdict": result.verdict.model_dump(mode="json"),
                "best_fixed_arm": result.best_fixed_arm,
                "verifier": result.verifier,
                "notes": list(result.notes),
                "provenance": result.provenance,
            },
        },
        # Its streaming reader insists on a plan, though its schema does not.
        "plan": {"name": "effortctl", "steps": [], "config": {}},
        "results": {
            "total_samples": result.n_tasks,
            "completed_samples": result.n_tasks,
            "scores": _totals(result),
        },
        "stats": {"started_at": created, "completed_at": created},
        "samples": None if result.tasks is None else _samples(result.tasks),
    }


def _totals(result: EvalResult) -> list[dict[str, Any]]:
    points = {f"arm:{name}": arm for name, arm in result.arms.items()} | result.policies
    return [
        {
            "name": name,
            "scorer": name,
            "scored_samples": result.n_tasks,
            "metrics": {
                "mean": {"name": "mean", "value": point.quality},
                "ci95_low": {"name": "ci95_low", "value": point.quality_ci95[0]},
                "ci95_high": {"name": "ci95_high", "value": point.quality_ci95[1]},
                "cost_usd": {"name": "cost_usd", "value": point.cost_usd},
            },
        }
        for name, point in points.items()
    ]


def _samples(tasks: TaskTable) -> list[dict[str, Any]]:
    return [
        {
            "id": task_id,
            "epoch": 1,
            "input": tasks.prompts[index] if tasks.prompts else task_id,
            "target": "",
            "scores": _scores(tasks, index),
            "metadata": _facts(tasks, index),
        }
        for index, task_id in enumerate(tasks.ids)
    ]


def _scores(tasks: TaskTable, index: int) -> dict[str, Any]:
    arms = {
        f"arm:{arm}": {
            "value": scores[index],
            "metadata": {"cost_usd": tasks.costs_usd[arm][index]} if arm in tasks.costs_usd else {},
        }
        for arm, scores in tasks.scores.items()
    }
    policies = {
        name: {
            "value": did.quality[index],
            "metadata": {
                "cost_usd": did.cost_usd[index],
                "calls": list(did.calls[index]) if did.calls else [],
                "returned": did.returned[index] if did.returned else None,
            },
        }
        for name, did in tasks.policies.items()
    }
    return arms | policies


def _facts(tasks: TaskTable, index: int) -> Mapping[str, Any]:
    columns = {
        "cluster": tasks.clusters,
        "category": tasks.categories,
        "difficulty": tasks.difficulty,
    }
    return {name: column[index] for name, column in columns.items() if column}


def log_name(log: Mapping[str, Any]) -> str:
    """The name inspect_ai itself would give the file: time, task and id."""
    created = re.sub(r"[:+]", "-", log["eval"]["created"])
    task = re.sub(r"[^A-Za-z0-9.]+", "-", log["eval"]["task"])
    return f"{created}_{task}_{log['eval']['task_id']}.json"


def dumps(log: Mapping[str, Any]) -> str:
    """The log as text."""
    return json.dumps(log, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
