"""The frontier chart: dollars against quality, every arm and policy with its name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from effortctl.harness.report import _chart, _svg, _text
from effortctl.harness.report._chart import Layout
from effortctl.harness.report._labels import Box, Placed, Wanted, dotted, place
from effortctl.harness.report._scale import Scale, cost_scale, share_scale
from effortctl.harness.report._scene import Curve, Mark, Saving, Scene
from effortctl.harness.report._svg import Safe

_RADIUS = {"arm": 4.5, "dominated": 3.5, "policy": 6.5, "oracle": 6.5}
_REACH = 60.0
_DOMINATED_REACH = 18.0
_SHORTEST_ARROW = 60.0
XY = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where things are in this drawing."""

    x: Scale
    y: Scale
    plot: Box
    layout: Layout

    def at(self, cost_usd: float, quality: float) -> XY:
        return self.x(cost_usd), self.y(quality)


def frontier_chart(scene: Scene, layout: Layout, *, log: bool, ident: str) -> tuple[Safe, int]:
    """Draw the frontier.

    Args:
        scene: What to draw.
        layout: How large.
        log: Logarithmic dollars.
        ident: Prefix of element ids, unique on the page.

    Returns:
        The drawing, and how many marks are without a label for want of room.
    """
    plot = layout.plot(layout.height)
    frame = _Frame(
        x=cost_scale(scene.costs(), start=plot.left + 4, end=plot.right, log=log),
        y=share_scale(scene.qualities(), bottom=plot.bottom, top=plot.top),
        plot=plot,
        layout=layout,
    )
    arrow, *places = _places(scene, frame)
    parts = [
        *_chart.cost_axis(frame.x, plot, layout),
        *_chart.value_axis(frame.y, plot, ticks=layout.y_ticks, write=_chart.axis_percent),
        *(_curve(curve, frame) for curve in scene.curves),
        *(_whiskers(mark, frame) for mark in reversed(scene.marks)),
        *_arrow(scene, frame, arrow),
        *(_mark(mark, frame) for mark in reversed(scene.marks)),
        *(_written(mark, spot, layout) for mark, spot in zip(scene.marks, places, strict=True)),
    ]
    drawn = _svg.drawing(
        *parts,
        size=(layout.width, layout.height),
        css=f"chart {layout.name} {'log' if log else 'linear'}",
        title="Quality against dollars per 1,000 tasks",
        desc=_describe(scene),
        ident=ident,
    )
    return drawn, sum(spot is None for spot in places)


def _describe(scene: Scene) -> str:
    counted = {kind: sum(m.kind == kind for m in scene.marks) for kind in _RADIUS}
    return (
        f"{_text.plural(counted['arm'], 'arm')} on the frontier, "
        f"{_text.plural(counted['dominated'], 'dominated arm')}, "
        f"{counted['policy']} policies. The same numbers are in the table of arms and policies."
    )


# --- labels ----------------------------------------------------------------------------------------


def _label_parts(mark: Mark, layout: Layout) -> tuple[str, str]:
    """The name, and behind it the figures where there is room and interest."""
    name = _text.short(mark.label, layout.name_limit)
    if layout.name == "narrow" or mark.kind in {"dominated", "oracle"}:
        return name, ""
    return name, mark.figures


def _places(scene: Scene, frame: _Frame) -> list[Placed | None]:
    """Where the arrow's text goes, then where every mark's label goes."""
    font = frame.layout.font
    wanted, marks = [_arrow_label(scene, frame)], []
    for mark in scene.marks:
        name, figures = _label_parts(mark, frame.layout)
        width = _text.text_width(name, font, bold=mark.kind != "dominated")
        if figures:
            width += _text.text_width(f"  {figures}", font)
        x, y = frame.at(mark.cost_usd, mark.quality)
        radius = _RADIUS[mark.kind]
        reach = _DOMINATED_REACH if mark.kind == "dominated" else _REACH
        wanted.append(Wanted(x, y, width=width, height=font * 1.15, radius=radius, reach=reach))
        marks.append(Box(x - radius, y - radius, x + radius, y + radius))
    edge = Box(
        frame.plot.left + 2, frame.plot.top - 10, frame.plot.right + 6, frame.plot.bottom - 2
    )
    return place(wanted, inside=edge, marks=marks, ink=_ink(scene, frame))


def _arrow_label(scene: Scene, frame: _Frame) -> Wanted:
    span = _span(scene.saving, frame)
    if span is None or scene.saving is None:
        return Wanted(0, 0, width=math.inf, height=0)
    (start, y), (end, _) = span
    width = _text.text_width(scene.saving.text, frame.layout.font)
    return Wanted((start + end) / 2, y, width=width, height=frame.layout.font * 1.15, radius=1)


def _ink(scene: Scene, frame: _Frame) -> list[XY]:
    """Points of all lines, close enough together that no label slips between them."""
    drawn: list[XY] = []
    for curve in scene.curves:
        drawn += dotted([frame.at(*point) for point in curve.within(frame.x, frame.y)])
    for mark in scene.marks:
        x, y = frame.at(mark.cost_usd, mark.quality)
        if mark.quality_range is not None:
            drawn += dotted([(x, frame.y(end)) for end in mark.quality_range])
        if mark.cost_range is not None:
            drawn += dotted([(frame.x(end), y) for end in mark.cost_range])
    span = _span(scene.saving, frame)
    return drawn + (dotted(list(span)) if span else [])


def _written(mark: Mark, spot: Placed | None, layout: Layout) -> Safe:
    if spot is None:
        return _svg.NOTHING
    name, figures = _label_parts(mark, layout)
    tone = _chart.tone(mark.tone) if mark.kind == "policy" else ""
    parts = [_svg.tag("tspan", _svg.text(name), class_="name")]
    if figures:
        parts.append(_svg.tag("tspan", _svg.text(figures), class_="figures", dx=layout.font * 0.5))
    written = _svg.tag(
        "text",
        *parts,
        x=spot.box.left,
        y=spot.box.bottom - layout.font * 0.25,
        class_=f"label {mark.kind} {tone}".strip(),
    )
    if spot.leader is None:
        return written
    return _svg.join([_svg.line(spot.leader[:2], spot.leader[2:], "leader"), written])


# --- marks and lines -------------------------------------------------------------------------------


def _curve(curve: Curve, frame: _Frame) -> Safe:
    css = f"curve {curve.kind}"
    if curve.kind == "policy":
        css += f" {_chart.tone(curve.tone)}"
    points = [frame.at(*point) for point in curve.within(frame.x, frame.y)]
    return _svg.path(points, css) if len(points) > 1 else _svg.NOTHING


def _whiskers(mark: Mark, frame: _Frame) -> Safe:
    x, y = frame.at(mark.cost_usd, mark.quality)
    tone = f" {_chart.tone(mark.tone)}" if mark.kind == "policy" else ""
    drawn = []
    if mark.quality_range is not None:
        low, high = (frame.y(end) for end in mark.quality_range)
        drawn.append(_svg.line((x, low), (x, high), f"whisker {mark.kind}{tone}"))
    if mark.cost_range is not None:
        left, right = (frame.x(end) for end in mark.cost_range)
        drawn.append(_svg.line((left, y), (right, y), f"whisker {mark.kind}{tone}"))
    return _svg.join(drawn)


def _mark(mark: Mark, frame: _Frame) -> Safe:
    x, y = frame.at(mark.cost_usd, mark.quality)
    tone = _chart.tone(mark.tone) if mark.kind == "policy" else ""
    return _svg.tag(
        "g",
        # A finger needs more than the mark itself.
        _svg.tag("circle", cx=x, cy=y, r=11, class_="touch"),
        _shape(mark, x, y),
        class_=f"mark {mark.kind} {tone}".strip(),
        role="img",
        tabindex="0",
        aria_label=mark.sentence,
    )


def _shape(mark: Mark, x: float, y: float) -> Safe:
    radius = _RADIUS[mark.kind]
    if mark.kind == "policy":
        corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
        return _svg.path(corners, "shape", closed=True)
    if mark.kind == "oracle":
        return _svg.path(star(x, y, radius), "shape", closed=True)
    return _svg.tag("circle", cx=x, cy=y, r=radius, class_="shape")


def star(x: float, y: float, radius: float) -> list[XY]:
    """Corners of a five-pointed star."""
    corners = []
    for step in range(10):
        reach = radius if step % 2 == 0 else radius * 0.45
        angle = math.pi * (step / 5 - 0.5)
        corners.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return corners


def _span(saving: Saving | None, frame: _Frame) -> tuple[XY, XY] | None:
    """Ends of the arrow from the best fixed arm to the same quality for less, if long enough."""
    if saving is None:
        return None
    start, y = frame.at(saving.from_usd, saving.quality)
    end = frame.x(saving.to_usd)
    return ((start - 9, y), (end + 9, y)) if start - end > _SHORTEST_ARROW else None


def _arrow(scene: Scene, frame: _Frame, spot: Placed | None) -> Iterator[Safe]:
    span = _span(scene.saving, frame)
    if span is None or scene.saving is None:
        return
    start, (x, y) = span
    yield _svg.line(start, (x, y), "saving")
    yield _svg.path([(x + 8, y - 4), (x, y), (x + 8, y + 4)], "saving head")
    if spot is not None:
        font = frame.layout.font
        yield _svg.label(
            spot.box.left, spot.box.bottom - font * 0.25, scene.saving.text, css="saving-text"
        )
