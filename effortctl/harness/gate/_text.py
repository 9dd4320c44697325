"""A gate's answer for people, for pull requests and for CI servers."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from effortctl.harness.report._text import clean, usd

if TYPE_CHECKING:
    from effortctl.harness.gate._values import Criterion, GateReport

_TITLES: Final = {
    "quality_drop": "quality drop",
    "cost_increase": "cost increase",
    "min_quality": "quality",
    "max_cost_usd": "dollars per task",
}
_UNITS: Final = {
    "quality_drop": " points",
    "cost_increase": " %",
    "min_quality": " %",
    "max_cost_usd": "",
}
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#])")


def amount(criterion: Criterion, value: float) -> str:
    """A value in the criterion's own unit: points, percent or dollars."""
    return f"{_number(criterion, value)}{_UNITS[criterion.kind]}"


def _number(criterion: Criterion, value: float) -> str:
    if math.isinf(value):
        return "unbounded"
    if criterion.kind == "quality_drop":
        return _plain(100 * value, 2)
    if criterion.kind == "cost_increase":
        shown = _plain(100 * value, 1)
        return shown if value <= 0 or shown == "0.0" else f"+{shown}"
    if criterion.kind == "min_quality":
        return _plain(100 * value, 1)
    return usd(value)


def _plain(value: float, digits: int) -> str:
    """Rounded, and never minus zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def limit_text(criterion: Criterion) -> str:
    """The limit in words: `at most 1.00 points`."""
    word = "at least" if criterion.kind == "min_quality" else "at most"
    return f"{word} {amount(criterion, criterion.limit)}"


def title(criterion: Criterion) -> str:
    """What is limited: `quality drop`."""
    return _TITLES[criterion.kind]


def bounds_text(criterion: Criterion) -> str:
    """The interval that was held against the limit."""
    low, high = _number(criterion, criterion.low), _number(criterion, criterion.high)
    return f"[{low}, {high}]"


def reason(criterion: Criterion) -> str:
    """One criterion in one sentence."""
    what = f"{title(criterion)} {amount(criterion, criterion.seen)} {bounds_text(criterion)}"
    asked = limit_text(criterion)
    if criterion.status == "pass":
        return f"{what}: shown to be {asked}"
    if criterion.status == "fail":
        return f"{what}: shown not to be {asked}"
    return f"{what}: cannot tell whether it is {asked}{_need(criterion.n_needed)}"


def sentence(report: GateReport) -> str:
    """The answer in one line."""
    against = f" against {clean(report.baseline)}" if report.baseline is not None else ""
    if report.baseline is not None and report.baseline_policy != report.policy:
        against = f"{against} ({clean(str(report.baseline_policy))})"
    need = _need(report.n_needed) if report.status == "inconclusive" else ""
    return f"{report.status.upper()}: {clean(report.policy)} of {clean(report.run)}{against}{need}"


def basis(report: GateReport) -> str:
    """What the answer rests on."""
    clusters = ""
    if report.n_clusters != report.n_tasks:
        clusters = f" in {report.n_clusters:,} clusters"
    return (
        f"{report.n_tasks:,} {'paired ' if report.baseline is not None else ''}tasks{clusters}; "
        f"at most {100 * report.alpha:g} % chance of a wrong pass, and of a wrong fail."
    )


def _need(count: int | None) -> str:
    return "" if count is None else f"; about {count:,} tasks would decide"


# --- Markdown --------------------------------------------------------------------------------------


def markdown(report: GateReport) -> str:
    """A summary for a comment on a pull request."""
    lines = [
        f"### effortctl gate: {_escape(sentence(report))}",
        "",
        "| criterion | limit | seen | interval | result |",
        "|---|---|---|---|---|",
    ]
    for each in report.criteria:
        cells = (
            title(each),
            limit_text(each),
            amount(each, each.seen),
            bounds_text(each),
            f"**{each.status}**{_need(each.n_needed)}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", basis(report), ""]
    lines += [f"- {_escape(clean(note))}" for note in report.notes]
    return "\n".join(lines).rstrip() + "\n"


def _escape(text: str) -> str:
    """Names from files must not format, link or mention anybody."""
    return _MARKDOWN.sub(r"\\\1", text).replace("@", "@\u200b")


# --- JUnit -----------------------------------------------------------------------------------------


def junit_xml(report: GateReport, *, at: datetime) -> str:
    """The answer as JUnit XML: a test case per criterion, inconclusive ones as skipped.

    Args:
        report: What the gate found.
        at: When, for the `timestamp` of the suite.

    Source: the elements and attributes that the readers of Jenkins, GitLab and the Ant format share.
    """
    failed = sum(each.status == "fail" for each in report.criteria)
    skipped = sum(each.status == "inconclusive" for each in report.criteria)
    counts = {
        "tests": str(len(report.criteria)),
        "failures": str(failed),
        "errors": "0",
        "skipped": str(skipped),
        "time": "0",
    }
    root = ET.Element("testsuites", {"name": "effortctl gate", **counts})
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": f"effortctl gate {_legal(report.policy)}",
            "hostname": "localhost",
            "timestamp": at.replace(tzinfo=None).isoformat(timespec="seconds"),
            **counts,
        },
    )
    for each in report.criteria:
        _case(suite, report, each)
    ET.SubElement(suite, "system-out").text = "\n".join(
        [_legal(sentence(report)), *map(reason, report.criteria), basis(report)]
        + [_legal(note) for note in report.notes]
    )
    ET.SubElement(suite, "system-err")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, report: GateReport, criterion: Criterion) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "classname": f"effortctl.gate.{_legal(report.policy)}",
            "name": f"{title(criterion)} {limit_text(criterion)}",
            "time": "0",
        },
    )
    said = reason(criterion)
    if criterion.status == "fail":
        failure = ET.SubElement(case, "failure", {"message": said, "type": criterion.kind})
        failure.text = f"{said}\n{basis(report)}"
    elif criterion.status == "inconclusive":
        ET.SubElement(case, "skipped", {"message": f"inconclusive: {said}"})


def _legal(text: str) -> str:
    """Without characters XML cannot hold."""
    return clean(text).replace("\ufffe", " ").replace("\uffff", " ")
