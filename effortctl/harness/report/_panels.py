"""The charts below the frontier: gain over random mixing, reliability, and where the money went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from effortctl.harness._result import Calibration
from effortctl.harness.report import _chart, _svg, _text
from effortctl.harness.report._chart import Layout
from effortctl.harness.report._labels import Box, Wanted, place
from effortctl.harness.report._scale import Scale, signed_scale
from effortctl.harness.report._scene import Gain, Scene, gain_axis
from effortctl.harness.report._svg import Safe

_GAIN_SHARE = 0.56


# --- gain over random mixing -----------------------------------------------------------------------


def gain_chart(
    gains: Sequence[Gain], scene: Scene, layout: Layout, *, log: bool, ident: str
) -> Safe:
    """Draw quality above random mixing at equal dollars, on the frontier's own dollar axis."""
    height = layout.height * _GAIN_SHARE
    plot = layout.plot(height)
    x, gains = gain_axis(gains, scene, start=plot.left + 4, end=plot.right, log=log)
    y = signed_scale(
        (value for gain in gains for point in gain.points for value in point[1:]),
        bottom=plot.bottom,
        top=plot.top,
    )
    parts = [
        *_chart.cost_axis(x, plot, layout),
        *_chart.value_axis(y, plot, ticks=5, write=_text.points),
        _svg.line((plot.left, y(0)), (plot.right, y(0)), "zero"),
        *(_gain_curve(gain, x, y) for gain in reversed(gains)),
        *_gain_labels(gains, x, y, plot=plot, layout=layout),
    ]
    return _svg.drawing(
        *parts,
        size=(layout.width, height),
        css=f"chart {layout.name} {'log' if log else 'linear'}",
        title="Gain in quality over random mixing of fixed arms, at equal dollars",
        desc="Percentage points with bands of intervals; a table of the same numbers follows.",
        ident=ident,
    )


def _gain_curve(gain: Gain, x: Scale, y: Scale) -> Safe:
    tone = _chart.tone(gain.tone)
    middle = [(x(cost), y(value)) for cost, value, _, _ in gain.points]
    if len(middle) == 1:
        (cost, _, low, high) = gain.points[0]
        whisker = _svg.line((x(cost), y(low)), (x(cost), y(high)), f"whisker policy {tone}")
        dot = _svg.tag("circle", cx=middle[0][0], cy=middle[0][1], r=4.5, class_=f"dot {tone}")
        return _svg.join([whisker, dot])
    band = [(x(cost), y(high)) for cost, _, _, high in gain.points]
    band += [(x(cost), y(low)) for cost, _, low, _ in reversed(gain.points)]
    return _svg.join(
        [
            _svg.path(band, f"band {tone}", closed=True),
            _svg.path(middle, f"curve policy {tone}"),
        ]
    )


def _gain_labels(
    gains: Sequence[Gain], x: Scale, y: Scale, *, plot: Box, layout: Layout
) -> Iterator[Safe]:
    wanted, ink = [], []
    for gain in gains:
        top = max(gain.points, key=lambda point: point[1])
        name = _text.short(gain.label, layout.name_limit)
        width = _text.text_width(name, layout.font, bold=True)
        wanted.append(Wanted(x(top[0]), y(top[1]), width=width, height=layout.font * 1.15))
        ink += [(x(point[0]), y(point[1])) for point in gain.points]
    inside = Box(plot.left + 2, plot.top, plot.right, plot.bottom - 2)
    for gain, spot in zip(gains, place(wanted, inside=inside, marks=(), ink=ink), strict=True):
        if spot is not None:
            yield _svg.label(
                spot.box.left,
                spot.box.bottom - layout.font * 0.25,
                _text.short(gain.label, layout.name_limit),
                css=f"label policy name {_chart.tone(gain.tone)}",
            )


# --- reliability -----------------------------------------------------------------------------------


def reliability_chart(calibration: Calibration, *, ident: str) -> Safe:
    """Draw what was predicted against what happened; larger dots hold more predictions."""
    size = 330.0
    plot = Box(46, 10, size - 12, size - 44)
    x = Scale(0.0, 1.0, plot.left, plot.right)
    y = Scale(0.0, 1.0, plot.bottom, plot.top)
    most = max((bin_.count for bin_ in calibration.bins), default=1) or 1
    parts = [
        *_chart.value_axis(y, plot, ticks=5, write=_chart.axis_percent),
        *_share_axis(x, plot),
        _svg.line((x(0), y(0)), (x(1), y(1)), "ideal"),
        _svg.path([(x(b.predicted), y(b.observed)) for b in calibration.bins], "curve policy t0")
        if len(calibration.bins) > 1
        else _svg.NOTHING,
        *(
            _svg.tag(
                "circle",
                cx=x(bin_.predicted),
                cy=y(bin_.observed),
                r=2.5 + 4.5 * (bin_.count / most) ** 0.5,
                class_="dot t0",
            )
            for bin_ in calibration.bins
        ),
    ]
    return _svg.drawing(
        *parts,
        size=(size, size),
        css="chart square",
        title="Observed share of correct answers against the predicted one",
        desc="On the diagonal, predictions come true as often as they say. A table follows.",
        ident=ident,
    )


def _share_axis(scale: Scale, plot: Box) -> Iterator[Safe]:
    for value in scale.ticks(5):
        x = scale(value)
        yield _svg.line((x, plot.top), (x, plot.bottom), "grid")
        anchor = "end" if value == 1 else "middle"
        shift = 8 if value == 1 else 0
        yield _svg.label(
            x + shift, plot.bottom + 17, _chart.axis_percent(value), css="tick", anchor=anchor
        )
    middle = (plot.left + plot.right) / 2
    yield _svg.label(middle, plot.bottom + 36, "predicted P(correct)", css="title", anchor="middle")


# --- where the money went --------------------------------------------------------------------------


def money_bar(
    spent: Sequence[tuple[str, float, int]], *, total: float, longest: float, layout: Layout
) -> Safe:
    """Draw one stacked bar.

    Args:
        spent: Arm, dollars per task, shade; in the order of the bar.
        total: Dollars per task of the policy.
        longest: Dollars per task at the full width of the drawing.
        layout: How wide.
    """
    height, x, parts = 26.0, 0.0, []
    for name, cost, shade in spent:
        width = layout.width * cost / longest if longest else 0.0
        parts.append(
            _svg.tag("rect", x=x, y=0, width=max(0.0, width - 1), height=height, class_=f"s{shade}")
        )
        parts.append(_bar_label(name, x, width, shade=shade, layout=layout))
        x += width
    return _svg.tag(
        "svg",
        *parts,
        viewBox=f"0 0 {layout.width:g} {height:g}",
        class_=f"bar {layout.name}",
        role="img",
        aria_label=", ".join(
            f"{_text.clean(name)} {_text.per_1000(cost)}" for name, cost, _ in spent
        )
        or f"{_text.per_1000(total)} in all",
    )


def _bar_label(name: str, x: float, width: float, *, shade: int, layout: Layout) -> Safe:
    shown = _text.short(name, layout.name_limit)
    if _text.text_width(shown, layout.font) + 14 > width:
        return _svg.NOTHING
    return _svg.label(x + 7, 17.5, shown, css=f"on-bar o{shade}")
