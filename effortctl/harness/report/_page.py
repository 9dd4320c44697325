"""The page: one file, no network, every part of a result where a reader looks for it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from importlib import resources
from typing import Final

from effortctl.harness._result import Calibration, EvalResult, Point
from effortctl.harness.report import _facts, _panels, _svg, _tables, _text
from effortctl.harness.report._chart import NARROW, WIDE
from effortctl.harness.report._frontier import frontier_chart, star
from effortctl.harness.report._scene import Scene, frontier_scene, gains
from effortctl.harness.report._svg import Safe, join, tag, text
from effortctl.harness.report._tasks import MAX_BYTES, TaskData, task_data

_PLACE: Final = re.compile(r"\{\{(\w+)\}\}")
_SHADES: Final = 8
_UNNAMED: Final = (
    "Some marks carry no name for want of room; point at one, or tab to it, to see what it is."
)


def html_report(
    result: EvalResult, *, with_tasks: bool = True, max_task_bytes: int = MAX_BYTES
) -> str:
    """One self-contained HTML page.

    All text of the result is escaped, and the page's own policy forbids every script but its own
    and every request, so a hostile prompt stays text.

    Args:
        result: What was found.
        with_tasks: Include the tasks one by one, where the result has them.
        max_task_bytes: Most they may add to the page; beyond that only the most telling are shown.
    """
    tasks = task_data(result, max_bytes=max_task_bytes) if with_tasks else None
    style, script = _file("page.css"), _file("page.js")
    return _fill(
        _file("page.html"),
        {
            "policy": _security_policy(style, script),
            "title": text(f"{_facts.headline(result).word}: {result.name}"),
            "name": text(result.name),
            "style": Safe(style),
            "script": Safe(script),
            "verdict": _verdict(result),
            "sections": join(_sections(result, tasks)),
            "footer": _footer(result),
            "tasks": tasks.script if tasks is not None else Safe("null"),
        },
    )


def _file(name: str) -> str:
    return resources.files("effortctl.harness.report").joinpath(name).read_text(encoding="utf-8")


def _fill(template: str, parts: dict[str, Safe]) -> str:
    """Put the parts in, in one pass: what looks like a placeholder inside a part is left alone."""
    return _PLACE.sub(lambda found: parts[found[1]], template)


def _security_policy(style: str, script: str) -> Safe:
    return Safe(
        f"default-src 'none'; img-src data:; style-src '{_fingerprint(style)}'; "
        f"script-src '{_fingerprint(script)}'; base-uri 'none'; form-action 'none'"
    )


def _fingerprint(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _sections(result: EvalResult, tasks: TaskData | None) -> Iterator[Safe]:
    scene = frontier_scene(result)
    yield _frontier(scene, _facts.level(result))
    yield _gains(result, scene)
    yield _section("Arms and policies", _tables.arms_and_policies(result))
    yield _money(result)
    yield _calibration(result.calibration, result)
    yield _metrics(result)
    yield _tasks(tasks, result)
    yield _notes(result)


def _section(title: str, *children: Safe, intro: str = "", css: str | None = None) -> Safe:
    said = tag("p", text(intro), class_="note") if intro else _svg.NOTHING
    return tag("section", tag("h2", text(title)), said, *children, class_=css)


def _details(summary: str, *children: Safe) -> Safe:
    return tag("details", tag("summary", text(summary)), *children, class_="screen")


# --- verdict ---------------------------------------------------------------------------------------


def _verdict(result: EvalResult) -> Safe:
    said = _facts.headline(result)
    css = {"route": "route", "keep_fixed": "keep", "inconclusive": "inconclusive"}
    detail = tag("p", text(said.detail)) if said.detail else _svg.NOTHING
    return tag(
        "section",
        tag("p", text(said.word), class_="word"),
        tag("h1", text(said.sentence)),
        detail,
        tag("dl", *_key_facts(result), class_="facts"),
        class_=css[result.verdict.decision],
    )


def _key_facts(result: EvalResult) -> Iterator[Safe]:
    main = _facts.main_policy(result)
    if main is not None:
        yield _fact(_facts.policy_label(main), result.policies[main])
    base = result.verdict.baseline
    if base in result.arms and base != result.best_fixed_arm:
        yield _fact(f"held against {_text.short(base, 30)}", result.arms[base])
    best = result.arms.get(result.best_fixed_arm)
    if best is not None:
        yield _fact(f"best fixed arm, {_text.short(result.best_fixed_arm, 30)}", best)
    yield _fact("oracle, in hindsight", result.oracle)
    counted = _text.plural(result.n_tasks, "task")
    clusters = f"in {_text.plural(result.n_clusters, 'cluster')}"
    extra = clusters if result.n_clusters < result.n_tasks else f"checks: {result.verifier}"
    yield _big("judged on", counted, extra)


def _fact(name: str, point: Point) -> Safe:
    cost = f"quality, {_text.per_1000(point.cost_usd)} per 1,000 tasks"
    return _big(name, _text.percent(point.quality), cost)


def _big(name: str, value: str, more: str) -> Safe:
    return tag(
        "div",
        tag("dt", tag("bdi", text(name))),
        tag("dd", text(value), class_="big"),
        tag("dd", text(more)),
    )


# --- charts ----------------------------------------------------------------------------------------


def _frontier(scene: Scene, level: str) -> Safe:
    drawn, notes = [], []
    for layout in (WIDE, NARROW):
        for log in (True, False):
            kind = "log" if log else "linear"
            ident = f"f-{layout.name}-{kind}"
            chart, unnamed = frontier_chart(scene, layout, log=log, ident=ident)
            drawn.append(chart)
            if unnamed:
                css = f"note screen {layout.name} {kind}"
                notes.append(tag("p", text(_UNNAMED), class_=css))
    heading = tag(
        "div",
        tag(
            "div",
            tag("h2", text("What quality costs")),
            tag(
                "p",
                text(f"Up and to the left is better. Bars are {level} intervals. Arms of one model are "
                "joined over its effort levels; a policy\u2019s line joins the settings that no cheaper one beats."),
                class_="note",
            ),
        ),
        _axis_switch() if any(scene.costs()) else _svg.NOTHING,
        class_="heading",
    )  # fmt: skip
    return tag("section", heading, tag("figure", *drawn), _legend(scene), *notes)


def _axis_switch() -> Safe:
    buttons = (
        tag("button", text(name), type="button", data_axis_button=key, aria_pressed=pressed)
        for key, name, pressed in (("log", "Log", "true"), ("linear", "Linear", "false"))
    )
    return tag("div", *buttons, class_="switch", role="group", aria_label="dollar axis", hidden="")


def _legend(scene: Scene) -> Safe:
    dot = tag("circle", cx=9, cy=7, r=4.5, class_="shape")
    small = tag("circle", cx=9, cy=7, r=3.5, class_="shape")
    diamond = _svg.path([(9, 1), (15, 7), (9, 13), (3, 7)], "shape", closed=True)
    kinds = {mark.kind for mark in scene.marks}
    entries = [("mark arm", dot, "arm on the frontier", "arm" in kinds)]
    entries += [
        ("mark dominated", small, "dominated arm", "dominated" in kinds),
        ("mark policy t0", diamond, "policy", "policy" in kinds),
        ("mark oracle", _svg.path(star(9, 7, 6.5), "shape", closed=True), "oracle, known only in hindsight", True),
        ("", _svg.line((0, 7), (18, 7), "curve hull"), "best random mixture of fixed arms",
         any(curve.kind == "hull" for curve in scene.curves)),
    ]  # fmt: skip
    items = (
        tag("li", tag("svg", tag("g", icon, class_=f"key {css}"), viewBox="0 0 18 14", aria_hidden="true"), text(name))
        for css, icon, name, wanted in entries
        if wanted
    )  # fmt: skip
    return tag("ul", *items, class_="legend")


def _gains(result: EvalResult, scene: Scene) -> Safe:
    curves = gains(result)
    if not curves:
        return _svg.NOTHING
    drawn = (
        _panels.gain_chart(
            curves, scene, layout, log=log, ident=f"g-{layout.name}-{'log' if log else 'lin'}"
        )
        for layout in (WIDE, NARROW)
        for log in (True, False)
    )
    return _section(
        "What routing adds",
        tag("figure", *drawn),
        _details("These numbers as a table", _tables.gains(result)),
        intro="Quality in points above random mixing of fixed arms at equal dollars, paired over the "
        "same tasks. Where the band lies above zero, the policy knows something about the tasks.",
    )


# --- money -----------------------------------------------------------------------------------------


def _money(result: EvalResult) -> Safe:
    rows = _facts.spenders(result)
    if not rows:
        return _svg.NOTHING
    shades = _shades(result, [arm for _, policy in rows for arm in policy.spent_usd])
    longest = max(sum(policy.spent_usd.values()) for _, policy in rows)
    entries = []
    for name, policy in rows:
        spent = sorted(policy.spent_usd.items(), key=lambda item: shades[item[0]])
        parts = [(arm, cost, shades[arm]) for arm, cost in spent if cost]
        bars = (
            _panels.money_bar(parts, total=policy.cost_usd, longest=longest, layout=layout)
            for layout in (WIDE, NARROW)
        )
        heading = tag(
            "dt", tag("b", tag("bdi", text(_facts.policy_label(name)))), text(_spent(result, name))
        )
        entries.append(tag("div", heading, tag("dd", *bars)))
    return _section(
        "Where the money went",
        tag("dl", *entries, class_="money"),
        _details("These numbers as a table", _tables.money(result)),
        intro="Dollars by arm, all attempts charged; darker arms cost more per task.",
    )


def _shades(result: EvalResult, arms: list[str]) -> dict[str, int]:
    """Cheap arms light, dear arms dark, evenly spread over the arms that were used."""
    used = sorted(
        dict.fromkeys(arms),
        key=lambda name: result.arms[name].cost_usd if name in result.arms else 0.0,
    )
    last = max(1, len(used) - 1)
    return {name: round((_SHADES - 1) * place / last) for place, name in enumerate(used)}


def _spent(result: EvalResult, name: str) -> str:
    said = f" \u2013 {_text.per_1000(result.policies[name].cost_usd)} per 1,000 tasks"
    wasted = _facts.wasted_share(result, name)
    if not wasted:
        return said
    return f"{said}, {_text.whole_percent(wasted)} of it on answers that were not returned"


# --- the rest --------------------------------------------------------------------------------------


def _calibration(calibration: Calibration | None, result: EvalResult) -> Safe:
    if calibration is None:
        return _svg.NOTHING
    facts = {
        "Brier score": _text.number(calibration.brier),
        "log-loss": f"{calibration.log_loss:.3f} nats",
        "log-loss of each arm's mean": f"{calibration.baseline_log_loss:.3f} nats",
        "expected calibration error": _text.percent(calibration.ece),
        "area under ROC": "not defined" if calibration.auc is None else f"{calibration.auc:.3f}",
    }
    pairs = [join([tag("dt", text(key)), tag("dd", text(value))]) for key, value in facts.items()]
    gain = calibration.baseline_log_loss - calibration.log_loss
    said = (
        "The predictions tell tasks apart: their log-loss is below that of each arm's mean."
        if gain > 0
        else "The predictions tell nothing: their log-loss is no better than that of each arm's mean."
    )
    numbers = tag("div", tag("p", text(said)), tag("dl", *pairs, class_="pairs"))
    plot = (
        tag("figure", _panels.reliability_chart(calibration, ident="c"))
        if calibration.bins
        else _svg.NOTHING
    )
    table = (
        _details("The bins as a table", _tables.reliability(result)) if calibration.bins else plot
    )
    return _section(
        "Can its predictions be believed?",
        tag("div", plot, numbers, class_="side" if calibration.bins else None),
        table,
        intro="Predicted P(correct) against what happened, on the test tasks.",
    )


def _metrics(result: EvalResult) -> Safe:
    table = _tables.metrics(result)
    return _section("Metrics", table) if table else _svg.NOTHING


def _tasks(tasks: TaskData | None, result: EvalResult) -> Safe:
    if tasks is None:
        return _svg.NOTHING
    said = "Open a task to see every arm's score and dollars."
    if tasks.shown < tasks.total:
        said += (
            f" To keep this file small it holds {tasks.shown:,} of {tasks.total:,} tasks: first those "
            f"where the policy and {_text.clean(result.best_fixed_arm)} disagree, then the dearest."
        )
    return _section(
        "Task by task",
        tag("noscript", tag("p", text("This part needs JavaScript."))),
        tag("div", *_controls(), class_="controls"),
        tag("p", text(""), id="task-count", class_="note", role="status"),
        tag("div", id="task-list"),
        tag("button", text("Show more"), type="button", id="more", hidden=""),
        intro=said,
        css="screen",
    )


def _controls() -> Iterator[Safe]:
    orders = {"cost": "dearest first", "cheap": "cheapest first", "wrong": "wrong first",
              "worse": "worse than the best fixed arm first", "file": "as in the file"}  # fmt: skip
    filters = {"all": "all tasks", "wrong": "not fully right", "worse": "worse than the best fixed arm",
               "better": "better than the best fixed arm"}  # fmt: skip
    yield _field("Policy", tag("select", id="task-policy"))
    yield _field("Show", _select("task-only", filters))
    yield _field("Order", _select("task-order", orders))
    yield _field(
        "Search", tag("input", type="search", id="task-text", placeholder="id, category, text")
    )


def _field(name: str, control: Safe) -> Safe:
    return tag("label", text(name), control)


def _select(ident: str, choices: dict[str, str]) -> Safe:
    options = (tag("option", text(shown), value=value) for value, shown in choices.items())
    return tag("select", *options, id=ident)


def _notes(result: EvalResult) -> Safe:
    if not result.notes and not result.dropped:
        return _svg.NOTHING
    notes = [tag("li", text(note)) for note in result.notes]
    dropped = [
        tag("li", text(f"Left out, {why}: {count:,}")) for why, count in result.dropped.items()
    ]
    return _section("What to know before quoting this", tag("ul", *notes, *dropped, class_="plain"))


def _footer(result: EvalResult) -> Safe:
    counted = _text.plural(result.n_tasks, "task")
    if result.n_clusters < result.n_tasks:
        counted += f" in {_text.plural(result.n_clusters, 'cluster')}"
    over = "whole clusters" if result.n_clusters < result.n_tasks else "tasks"
    facts: dict[str, str | float | None] = {
        "judged on": counted,
        "checks": result.verifier,
        "intervals": f"{_facts.level(result)}, over {over}",
        **result.provenance,
    }
    pairs = (
        join([tag("dt", text(key.replace("_", " "))), tag("dd", text(str(value)))])
        for key, value in facts.items()
        if value is not None
    )
    return join(
        [
            tag("dl", *pairs, class_="pairs"),
            tag("p", text("Made by effortctl eval report. This file loads nothing from anywhere.")),
        ]
    )
