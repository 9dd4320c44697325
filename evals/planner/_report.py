"""Results as JSON and as tables."""

from __future__ import annotations

import json
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effortctl.stores import OutcomeMatrix

if TYPE_CHECKING:
    from _sets import Study

Row = dict[str, Any]
_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"
_PACKAGES = ("effortctl", "numpy", "scipy", "scikit-learn")


def result(study: Study, matrix: OutcomeMatrix, found: list[Row], *, seeds: int) -> Row:
    """Everything worth keeping of one study: aggregates only, no task and no text."""
    cost, quality = matrix.cost_usd.mean(axis=0), matrix.score.mean(axis=0)
    record: Row = {
        "set": study.name,
        "question": study.question,
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python evals/planner/benchmark.py", *_options(sys.argv[1:])]),
        "seeds": seeds,
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _PACKAGES},
        },
        "tasks": len(matrix),
        "arms": [
            {"arm": arm, "cost_usd": float(f"{c:.5g}"), "quality": float(f"{q:.4g}")}
            for arm, c, q in zip(matrix.arms, cost, quality, strict=True)
        ],
        "checks": found,
    }
    record["gates"] = gates(record)
    return record


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
    "tuned: cost / mixing",
)


def table(record: Row) -> str:
    """Markdown of one study."""
    arms = [arm["cost_usd"] for arm in record["arms"]]
    question = record["question"]
    about = f"{question[0].upper()}{question[1:]}. {record['tasks']:,} tasks, {len(arms)} arms at"
    lines = [f"### {record['set']}", "", f"{about} ${min(arms):.2g} to ${max(arms):.2g}.", ""]
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
    return "\n".join([*lines, ""])


def _gate(gate: Row) -> str:
    outcome = "met" if gate["met"] else "**missed**"
    return f"{gate['what']}: {gate['value']:.3f}, {outcome}"


def _line(row: Row) -> str:
    best, chosen, tuned = (row[k] for k in ("at_best_arm", "at_chosen_arm", "tuned_on_train"))
    mixing = tuned["cost_vs_mixing"]
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
        "" if mixing is None else f"{mixing:.2f}",
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


def refresh_readme(folder: Path) -> None:
    """Write the tables of all results between the marks of the README."""
    records = [json.loads(path.read_text("utf-8")) for path in folder.glob("results/*.json")]
    records.sort(key=lambda record: record["set"])
    readme = folder / "README.md"
    before, rest = readme.read_text("utf-8").split(_BEGIN)
    after = rest.split(_END)[1]
    body = "\n".join(table(record) for record in records)
    readme.write_text(f"{before}{_BEGIN}\n\n{body}\n{_END}{after}", encoding="utf-8")
