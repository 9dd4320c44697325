"""The frame that the charts of the page share: two sizes, axes, a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from effortctl.harness.report import _svg, _text
from effortctl.harness.report._labels import Box
from effortctl.harness.report._scale import Scale
from effortctl.harness.report._svg import Safe

_TICK_GAP: Final = 8.0
TONES: Final = 5
"""Policies beyond so many share the last colour."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a chart; a phone gets a drawing of its own, not a shrunken one.

    Attributes:
        name: CSS class, `wide` or `narrow`.
        width: Of the drawing, in CSS pixels at full size.
        height: Of the frontier; other charts take a share of it.
        left: Margin for the vertical axis.
        right: Margin on the right.
        font: Size of labels.
        x_ticks: About how many.
        y_ticks: About how many.
        name_limit: Characters of a name that is written in the chart.
    """

    name: str
    width: float
    height: float
    left: float
    right: float
    font: float
    x_ticks: int
    y_ticks: int
    name_limit: int

    def plot(self, height: float, *, top: float = 14, bottom: float = 44) -> Box:
        """Where data goes in a chart of this height."""
        return Box(self.left, top, self.width - self.right, height - bottom)


WIDE: Final = Layout("wide", 1040, 540, 58, 18, 12.5, 9, 7, 34)
NARROW: Final = Layout("narrow", 358, 430, 42, 8, 11, 4, 6, 20)


def tone(number: int) -> str:
    """CSS class of a policy's colour."""
    return f"t{min(number, TONES - 1)}"


def cost_axis(scale: Scale, plot: Box, layout: Layout, *, title: bool = True) -> Iterator[Safe]:
    """Dollars per 1,000 tasks along the bottom, with a grid."""
    for value in scale.ticks(layout.x_ticks):
        x = scale(value)
        yield _svg.line((x, plot.top), (x, plot.bottom), "grid")
        yield _tick_label(x, plot, _text.per_1000(value))
    if scale.zero is not None:
        yield _svg.line((scale.zero, plot.top), (scale.zero, plot.bottom), "grid")
        yield _tick_label(scale.zero, plot, "$0")
        yield _break(scale, plot)
    yield _svg.line((plot.left, plot.bottom), (plot.right, plot.bottom), "axis")
    if title:
        kind = "log scale" if scale.log else "linear scale"
        yield _svg.label(
            (plot.left + plot.right) / 2,
            plot.bottom + 36,
            f"dollars per 1,000 tasks ({kind})",
            css="title",
            anchor="middle",
        )


def _tick_label(x: float, plot: Box, text: str) -> Safe:
    """Centred under its tick, but never beyond the plot's edge."""
    half = _text.text_width(text, 12) / 2
    inside = min(max(x, half), plot.right - half + 6)
    return _svg.label(inside, plot.bottom + 17, text, css="tick", anchor="middle")


def _break(scale: Scale, plot: Box) -> Safe:
    """Two slanted strokes where the axis jumps from zero to the first dollar."""
    middle = ((scale.zero or plot.left) + scale.start) / 2
    return _svg.join(
        _svg.line((x - 2, plot.bottom + 4), (x + 2, plot.bottom - 4), "break")
        for x in (middle - 2.5, middle + 2.5)
    )


def value_axis(
    scale: Scale, plot: Box, *, ticks: int, write: Callable[[float], str]
) -> Iterator[Safe]:
    """Numbers up the left side, with a grid."""
    for value in scale.ticks(ticks):
        y = scale(value)
        yield _svg.line((plot.left, y), (plot.right, y), "grid")
        yield _svg.label(plot.left - _TICK_GAP, y + 4, write(value), css="tick", anchor="end")


def axis_percent(value: float) -> str:
    """A tick of an axis of shares, without a spare decimal."""
    digits = 0 if abs(value * 100 - round(value * 100)) < 1e-6 else 1
    return _text.percent(value, digits)
