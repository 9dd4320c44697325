"""The tasks one by one, as the JSON that the page's script reads; cut to a size a browser enjoys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from effortctl.harness._result import EvalResult, PolicyTasks, TaskTable
from effortctl.harness.report import _facts, _text
from effortctl.harness.report._svg import Safe

MAX_BYTES: Final = 1_500_000
_PROMPT_CHARACTERS: Final = 2_000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TaskData:
    """What the drill-down shows.

    Attributes:
        script: JSON that is safe inside a script element.
        shown: Tasks in it.
        total: Tasks that were kept.
    """

    script: Safe
    shown: int
    total: int


def task_data(result: EvalResult, *, max_bytes: int = MAX_BYTES) -> TaskData | None:
    """Pack the tasks; None where none were kept.

    Where not all fit, tasks on which the policy and the best fixed arm disagree come first, then
    the dearest.
    """
    table = result.tasks
    if table is None or not table.ids:
        return None
    chosen: Sequence[int] = range(len(table.ids))
    script = _script(result, table, chosen)
    ranked = None
    while len(script) > max_bytes and len(chosen) > 1:
        ranked = ranked or _by_interest(result, table)
        fewer = int(len(chosen) * min(0.9, max_bytes / len(script)))
        chosen = sorted(ranked[: max(1, fewer)])
        script = _script(result, table, chosen)
    return TaskData(script, shown=len(chosen), total=len(table.ids))


def _by_interest(result: EvalResult, table: TaskTable) -> list[int]:
    main = table.policies.get(_facts.main_policy(result) or "")
    base = table.scores.get(result.best_fixed_arm)
    size = len(table.ids)
    cost = main.cost_usd if main else table.costs_usd.get(result.best_fixed_arm, (0.0,) * size)
    differs = [
        abs(main.quality[task] - base[task]) if main and base else 0.0 for task in range(size)
    ]
    return sorted(range(size), key=lambda task: (-differs[task], -cost[task]))


def _script(result: EvalResult, table: TaskTable, chosen: Sequence[int]) -> Safe:
    arms = list(dict.fromkeys([*result.arms, *table.scores]))
    index = {name: number for number, name in enumerate(arms)}
    names = [name for name in _order(result) if name in table.policies]
    document: dict[str, Any] = {
        "arms": [_text.clean(name) for name in arms],
        "best": index.get(result.best_fixed_arm, -1),
        "ids": [_text.clean(one) for one in _pick(table.ids, chosen)],
        "categories": [_text.clean(one or "") for one in _pick(table.categories, chosen)],
        "prompts": [_prompt(one) for one in _pick(table.prompts, chosen)],
        "scores": [_numbers(table.scores.get(name, ()), chosen) for name in arms],
        "costs": [_numbers(table.costs_usd.get(name, ()), chosen) for name in arms],
        "policies": [
            {"name": _text.clean(_facts.policy_label(name))}
            | _policy(table.policies[name], chosen, index)
            for name in names
        ],
    }
    return _embedded(document)


def _order(result: EvalResult) -> list[str]:
    """The main policy first; of the fixed arms only the best, the others are among the scores."""
    main = _facts.main_policy(result)
    names = sorted(_facts.policy_names(result), key=lambda name: name != main)
    return [*names, *_facts.baseline_policy(result)]


def _policy(done: PolicyTasks, chosen: Sequence[int], index: dict[str, int]) -> dict[str, Any]:
    return {
        "cost": _numbers(done.cost_usd, chosen),
        "quality": _numbers(done.quality, chosen),
        "calls": [[index.get(arm, -1) for arm in path] for path in _pick(done.calls, chosen)],
        "returned": [index.get(arm or "", -1) for arm in _pick(done.returned, chosen)],
    }


def _pick(values: Sequence[_T], chosen: Sequence[int]) -> list[_T]:
    return [values[task] for task in chosen] if values else []


def _numbers(values: Sequence[float], chosen: Sequence[int]) -> list[float]:
    """Four significant digits are more than a page shows; whole numbers lose their `.0`."""
    rounded = (float(f"{values[task]:.4g}") for task in chosen) if values else ()
    return [int(value) if value.is_integer() else value for value in rounded]


def _prompt(text: str) -> str:
    shown = _text.clean(text[:_PROMPT_CHARACTERS], keep_lines=True)
    return f"{shown} … ({len(text):,} characters)" if len(text) > _PROMPT_CHARACTERS else shown


def _embedded(document: dict[str, Any]) -> Safe:
    """JSON that no HTML parser can mistake for markup: `<`, `>` and `&` are written by number."""
    written = json.dumps(document, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return Safe(written)
