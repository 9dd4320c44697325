"""The report as plain text and numbers: the command line adds colour, this knows what to say."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from effortctl.harness._result import ArmResult, EvalResult, PolicyResult
from effortctl.harness.report import _facts, _text
from effortctl.harness.report._canvas import ACROSS, DOWN, Canvas
from effortctl.harness.report._facts import Headline
from effortctl.harness.report._scale import Scale, cost_scale, share_scale
from effortctl.harness.report._scene import Mark, Scene, frontier_scene

Emphasis = Literal["main", "normal", "faint"]

_AXIS: Final = 6
_NARROW: Final = 64
_ARM_KEYS: Final = string.ascii_lowercase + string.ascii_uppercase
_POLICY_KEYS: Final = "123456789"
_ORACLE: Final = "*"
_SHORT_LEGEND: Final = "Lines: best random mixture of fixed arms; policies over their dials."
_LEGEND: Final = (
    f"{_SHORT_LEGEND} Equal quality: dollars for the quality of the best fixed arm, by what that arm "
    "costs."
)
_PLAIN: Final = str.maketrans({"\u2212": "-", "…": "~", "\u2013": "-", "\u2192": ">"})


@dataclass(frozen=True, slots=True)
class TerminalRow:
    """One row of the table; the first cell is the key used in the plot."""

    cells: tuple[str, ...]
    emphasis: Emphasis


@dataclass(frozen=True, slots=True)
class TerminalReport:
    """All parts of the report, each of which fits the width that was asked for.

    Attributes:
        headline: The verdict; it may be wrapped.
        columns: Headings of the table; all but the first two are numbers.
        rows: Policies, then arms from cheap to dear, then the oracle.
        chart: Lines of the frontier plot.
        legend: What the plot's signs mean; it may be wrapped.
        notes: What a reader must know; they may be wrapped.
    """

    headline: Headline
    columns: tuple[str, ...]
    rows: tuple[TerminalRow, ...]
    chart: tuple[str, ...]
    legend: str
    notes: tuple[str, ...]


def terminal_report(result: EvalResult, *, width: int, unicode: bool = True) -> TerminalReport:
    """Lay the report out for a terminal.

    Args:
        result: What was found.
        width: Columns of the terminal; below 64 the table keeps only what matters most.
        unicode: False for terminals that only know ASCII.
    """
    keys = _keys(result)
    said = _facts.headline(result)
    plain = _Writer(unicode=unicode)
    return TerminalReport(
        headline=Headline(said.word, plain(said.sentence), plain(said.detail)),
        columns=_columns(width, _facts.level(result)),
        rows=tuple(_table_rows(result, keys, width=width, plain=plain)),
        chart=tuple(_chart(result, keys, width=width, plain=plain)),
        legend=plain(_LEGEND if width >= _NARROW else _SHORT_LEGEND),
        notes=tuple(plain(note) for note in _notes(result)),
    )


@dataclass(frozen=True, slots=True)
class _Writer:
    """Foreign text made harmless, and ASCII where the terminal knows nothing else."""

    unicode: bool

    def __call__(self, text: str) -> str:
        harmless = _text.clean(text)
        if self.unicode:
            return harmless
        return harmless.translate(_PLAIN).encode("ascii", "replace").decode()


def _notes(result: EvalResult) -> Iterator[str]:
    yield from result.notes
    for why, count in result.dropped.items():
        yield f"Left out, {why}: {count:,}"


# --- the table -------------------------------------------------------------------------------------


def _keys(result: EvalResult) -> dict[str, str]:
    """Label of a mark → the sign it has in the plot; a blank where the signs run out."""
    arms = sorted(result.arms, key=lambda name: result.arms[name].cost_usd)
    policies = [_facts.policy_label(name) for name in _facts.policy_names(result)]
    signs = dict(zip(arms, _ARM_KEYS, strict=False)) | dict(
        zip(policies, _POLICY_KEYS, strict=False)
    )
    return signs | {"oracle": _ORACLE}


def _columns(width: int, level: str) -> tuple[str, ...]:
    if width < _NARROW:
        return ("", "", "quality", "$/1k")
    return ("", "", "quality", f"{level}\nrange", "$/1k\ntasks", "$/1k\nright", "equal\nquality")


def _table_rows(
    result: EvalResult, keys: dict[str, str], *, width: int, plain: _Writer
) -> Iterator[TerminalRow]:
    best = _facts.frontier_arms(result)
    for name in _facts.policy_names(result):
        label = _facts.policy_label(name)
        emphasis: Emphasis = "main" if name == result.verdict.policy else "normal"
        equal = _equal_quality(result, name)
        cells = _figures(result.policies[name], equal=equal, width=width)
        yield TerminalRow((keys.get(label, ""), plain(_name(label, width)), *cells), emphasis)
    for name, arm in sorted(result.arms.items(), key=lambda item: item[1].cost_usd):
        is_chosen = result.verdict.policy in (name, f"fixed:{name}")
        emphasis = "main" if is_chosen else "normal" if name in best else "faint"
        equal = _equal_quality(result, f"fixed:{name}")
        cells = _figures(arm, equal=equal, width=width)
        yield TerminalRow((keys.get(name, ""), plain(_name(name, width)), *cells), emphasis)
    oracle = (_text.percent(result.oracle.quality), _text.per_1000(result.oracle.cost_usd))
    shown = (oracle[0], oracle[1]) if width < _NARROW else (oracle[0], "", oracle[1], "", "")
    yield TerminalRow((_ORACLE, "oracle", *shown), "faint")


def _name(label: str, width: int) -> str:
    """A name cut to columns, not characters: some scripts need two for one."""
    room = width - 25 if width < _NARROW else min(30, width - 56)
    limit = max(8, room)
    shown = _text.short(label, limit)
    while _cells(shown) > max(8, room) and limit > 4:
        limit -= 1
        shown = _text.short(label, limit)
    return shown


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _figures(of: ArmResult | PolicyResult, *, equal: str, width: int) -> tuple[str, ...]:
    quality, cost = _text.percent(of.quality), _text.per_1000(of.cost_usd)
    if width < _NARROW:
        return (quality, cost)
    right = _facts.cost_per_correct(of.cost_usd, of.quality)
    interval = _text.percent_range(of.quality_ci95, 0).strip("[]").replace(", ", "-")
    return (quality, interval, cost, "" if right is None else _text.per_1000(right), equal)


def _equal_quality(result: EvalResult, name: str) -> str:
    if name not in result.cost_at_equal_quality:
        return ""
    found = result.cost_at_equal_quality[name]
    return "never" if found is None else f"{found.ratio_to_best_fixed_arm:.2f}x"


# --- the plot --------------------------------------------------------------------------------------


def _chart(
    result: EvalResult, keys: dict[str, str], *, width: int, plain: _Writer
) -> Iterator[str]:
    scene = frontier_scene(result)
    across, down = max(12, width - _AXIS - 1), 16 if width >= _NARROW else 11
    canvas = Canvas(across, down, braille=plain.unicode)
    x = cost_scale(scene.costs(), start=0, end=across * ACROSS - 1, log=True)
    y = share_scale(scene.qualities(), bottom=down * DOWN - 1, top=0)
    for curve in scene.curves:
        if curve.kind != "model":
            canvas.line((x(cost), y(quality)) for cost, quality in curve.within(x, y))
    _marks(canvas, scene, keys, x=x, y=y, plain=plain)
    ticks = {round(y(value)) // DOWN: f"{value:.0%}" for value in y.ticks(5)}
    edge = "\u2502" if plain.unicode else "|"
    for row, line in enumerate(canvas.rows()):
        yield f"{ticks.get(row, ''):>{_AXIS - 1}}{edge}{line}"
    yield from _bottom(x, across, plain=plain)


def _marks(
    canvas: Canvas, scene: Scene, keys: dict[str, str], *, x: Scale, y: Scale, plain: _Writer
) -> None:
    """Every sign first, then the names that find room beside theirs."""
    placed: list[tuple[int, int, Mark]] = []
    for mark in scene.marks:
        column, row = int(x(mark.cost_usd)) // ACROSS, int(y(mark.quality)) // DOWN
        if canvas.mark(column, row, keys.get(mark.label, ".")):
            placed.append((column, row, mark))
    if canvas.width < _NARROW - _AXIS:
        return
    for column, row, mark in placed:
        name = plain(_text.short(mark.label, 20))
        if _cells(name) == len(name):
            # The blank belongs to the text, so that no other mark comes between a sign and its name.
            start = column - len(name) - 1
            _ = canvas.write(column + 1, row, f" {name}") or canvas.write(start, row, f"{name} ")


def _bottom(x: Scale, across: int, *, plain: _Writer) -> Iterator[str]:
    corner, rule = ("\u2514", "\u2500") if plain.unicode else ("+", "-")
    yield f"{'':>{_AXIS - 1}}{corner}{rule * across}"
    labels = Canvas(across, 1, braille=False)
    ticks = [*([0.0] if x.zero is not None else []), *x.ticks(across // 10)]
    for value in ticks:
        written = _text.per_1000(value)
        middle = int(x(value)) // ACROSS - len(written) // 2
        start = min(max(0, middle), across - len(written))
        labels.write(start, 0, written + " " if start + len(written) < across else written)
    kind = "log scale" if x.log else "linear scale"
    yield f"{'':>{_AXIS}}{labels.rows()[0]}"
    yield f"{'':>{_AXIS}}{f'$ per 1,000 tasks, {kind}':^{across}}".rstrip()
