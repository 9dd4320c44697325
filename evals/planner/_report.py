"""Results as JSON and as tables."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effortctl.stores import OutcomeMatrix

if TYPE_CHECKING:
    from _sets import Study

Row = dict[str, Any]
_POINT = 0.01
"""Quality that counts as worse even where the interval is too wide to tell; what certificates allow."""
_MARGIN = 0.02
"""Share of the cost below which a difference is none, however sure; what certificates allow."""
_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"
_PACKAGES = ("effortctl", "numpy", "scipy", "scikit-learn")


def result(
    study: Study, matrix: OutcomeMatrix, found: list[Row], *, seeds: int, took: Mapping[str, float]
) -> Row:
    """Everything worth keeping of one study: aggregates only, no task and no text."""
    cost, quality = matrix.cost_usd.mean(axis=0), matrix.score.mean(axis=0)
    record: Row = {
        "set": study.name,
        "question": study.question,
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python evals/planner/benchmark.py", *_options(sys.argv[1:])]),
        "seeds": seeds,
        "took": {name: round(seconds, 1) for name, seconds in took.items()},
        "versions": versions(),
        "tasks": len(matrix),
        "arms": [
            {"arm": arm, "cost_usd": float(f"{c:.5g}"), "quality": float(f"{q:.4g}")}
            for arm, c, q in zip(matrix.arms, cost, quality, strict=True)
        ],
        "checks": found,
    }
    record["gates"] = gates(record)
    return record


def versions() -> dict[str, str]:
    """Of what could change a figure."""
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }


def _options(arguments: list[str]) -> list[str]:
    """The command line without the folder of this machine."""
    kept = list(arguments)
    if "--data" in kept:
        kept[kept.index("--data") + 1] = "DIR"
    return kept


def gates(record: Row) -> list[Row]:
    """The limits that were set beforehand, and what came out, with either arm as the best one."""
    wanted = {
        "livecodebench": [
            ("exact", "cost_vs_arm", 0.25),
            ("exact", "cost_vs_ladder", 0.95),
            ("TPR .95 FPR .05", "cost_vs_arm", 0.50),
        ],
        "lineage_four_vendors": [("exact", "cost_vs_arm", 0.10)],
    }
    found = []
    for check, measure, limit in wanted.get(record["set"], []):
        plan = _method(record, check, "our plan")
        levels = ("at_best_arm", "at_chosen_arm", "at_chosen_ladder")
        for level in (each for each in levels if measure in plan[each]):
            value = plan[level][measure][0]
            what = f"{check}: {measure} {level} <= {limit:.2f}".replace("_", " ")
            found.append({"what": what, "value": value, "limit": limit, "met": value <= limit})
    return found


def _method(record: Row, check: str, name: str) -> Row:
    rows = next(part["methods"] for part in record["checks"] if part["check"] == check)
    found: Row = next(row for row in rows if row["method"] == name)
    return found


_HEAD = (
    "method",
    "cost / best arm",
    "cost / chosen arm",
    "cost / chosen ladder",
    "tuned: cost / arm",
    "tuned: quality - arm",
    "tuned: cost / ladder",
    "tuned: quality - ladder",
    "tuned: quality - mixing",
)


def table(record: Row) -> str:
    """Markdown of one study."""
    arms = [arm["cost_usd"] for arm in record["arms"]]
    question = record["question"]
    about = f"{question[0].upper()}{question[1:]}. {record['tasks']:,} tasks, {len(arms)} arms at"
    lines = [f"# {record['set']}", "", f"{about} ${min(arms):.2g} to ${max(arms):.2g}.", ""]
    for part in record["checks"]:
        lines += [
            f"Check: **{part['check']}**",
            "",
            f"| {' | '.join(_HEAD)} |",
            "|" + "---|" * len(_HEAD),
            *[_line(row) for row in part["methods"]],
            "",
        ]
    if record["gates"]:
        lines += ["Limits set beforehand:", "", *[f"- {_gate(gate)}" for gate in record["gates"]]]
    took = ", ".join(f"{seconds:.0f} s of {name}" for name, seconds in record["took"].items())
    made = f"`{record['command']}`, {record['date']}, {record['seeds']} seeds, {took}."
    return "\n".join([*lines, "", made, ""])


def _gate(gate: Row) -> str:
    outcome = "met" if gate["met"] else "**missed**"
    return f"{gate['what']}: {gate['value']:.3f}, {outcome}"


def _line(row: Row) -> str:
    best, chosen, tuned = (row[k] for k in ("at_best_arm", "at_chosen_arm", "tuned_on_train"))
    name = f"**{row['method']}**" if row["method"].startswith("our plan") else row["method"]
    cells = [
        name,
        _reached(best, "cost_vs_arm"),
        _reached(chosen, "cost_vs_arm"),
        _reached(row["at_chosen_ladder"], "cost_vs_ladder"),
        _ratio(tuned["cost_vs_arm"]),
        _points(tuned["quality_vs_arm"]),
        _ratio(tuned["cost_vs_ladder"]),
        _points(tuned["quality_vs_ladder"]),
        _points(tuned["quality_vs_mixing"]),
    ]
    return f"| {' | '.join(cells)} |"


def _reached(level: Row | None, measure: str) -> str:
    """A ratio, with the share of draws that reached the quality where it is not all of them."""
    if level is None:
        return ""
    done, of = level["reached"].split("/")
    note = "" if done == of else f" [{level['reached']}]"
    return f"{_ratio(level[measure])}{note}"


def _ratio(interval: list[float] | None) -> str:
    if interval is None:
        return ""
    return f"{interval[0]:.3f} ({interval[1]:.3f}, {interval[2]:.3f})"


def _points(interval: list[float] | None) -> str:
    if interval is None:
        return ""
    return f"{100 * interval[0]:+.1f} ({100 * interval[1]:+.1f}, {100 * interval[2]:+.1f})"


_SUMMARY = (
    "set",
    "check",
    "vs the arm chosen on train",
    "vs the ladder chosen on train",
    "cost at that ladder's quality",
    "cost vs mixed ladders",
    "quality vs mixing arms at equal cost",
)


def summary(records: list[Row]) -> str:
    """One line per set and check: how our plan, tuned on train, did against what is simpler."""
    lines = [f"| {' | '.join(_SUMMARY)} |", "|" + "---|" * len(_SUMMARY)]
    for record in records:
        for part in record["checks"]:
            rows = {row["method"]: row for row in part["methods"]}
            plan = rows.get("our plan", rows["routing only"])
            tuned = plan["tuned_on_train"]
            cells = [
                f"[{record['set']}](results/{record['set']}.md)",
                part["check"],
                _outcome(tuned["cost_vs_arm"], tuned["quality_vs_arm"]),
                _outcome(tuned["cost_vs_ladder"], tuned["quality_vs_ladder"]),
                _reached(plan["at_chosen_ladder"], "cost_vs_ladder"),
                _against_mixed(plan, rows.get("mixed ladders")),
                _points(tuned["quality_vs_mixing"]),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _against_mixed(plan: Row, mixed: Row | None) -> str:
    """Costs at the quality of the chosen arm, where both have a fine dial."""
    if mixed is None:
        return ""
    return f"{plan['at_chosen_arm']['cost_usd'] / mixed['at_chosen_arm']['cost_usd']:.2f}"


def _outcome(cost: list[float] | None, quality: list[float] | None) -> str:
    if cost is None or quality is None:
        return ""
    return f"**{word(cost, quality)}**: {cost[0]:.2f} x, {100 * quality[0]:+.1f}"


def word(cost: list[float], quality: list[float]) -> str:
    """How a comparison came out.

    Args:
        cost: Ratio of costs and its interval.
        quality: Difference of qualities and its interval.
    """
    cheaper = cost[2] < 1 and cost[0] <= 1 - _MARGIN
    dearer = cost[1] > 1 and cost[0] >= 1 + _MARGIN
    better, worse = quality[1] > 0, quality[2] < 0 or quality[0] < -_POINT
    if (cheaper and not worse) or (better and cost[0] <= 1 + _MARGIN):
        return "wins"
    if (dearer and not better) or (worse and not cheaper):
        return "loses"
    return "trades" if cheaper or dearer or better else "ties"


def refresh_readme(folder: Path) -> None:
    """Write the tables of all results, and their summary between the marks of the README."""
    found = {path: json.loads(path.read_text("utf-8")) for path in folder.glob("results/*.json")}
    paths = sorted(path for path, record in found.items() if "checks" in record)
    records = [found[path] for path in paths]
    for path, record in zip(paths, records, strict=True):
        path.with_suffix(".md").write_text(table(record), encoding="utf-8")
    readme = folder / "README.md"
    before, rest = readme.read_text("utf-8").split(_BEGIN)
    after = rest.split(_END)[1]
    body = summary(records)
    readme.write_text(f"{before}{_BEGIN}\n\n{body}\n\n{_END}{after}", encoding="utf-8")
