"""The frontier and the gain panel as PNG or SVG, through matplotlib."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from effortctl._errors import ConfigError, StoreError
from effortctl.harness._result import EvalResult
from effortctl.harness.report import _facts, _text
from effortctl.harness.report._labels import Box, Placed, Wanted, dotted, place
from effortctl.harness.report._scale import Scale, cost_scale, share_scale, signed_scale
from effortctl.harness.report._scene import Gain, Mark, Scene, frontier_scene, gain_axis, gains

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _SOFT, _FAINT, _GRID = "#1a1e23", "#565f69", "#8a939d", "#eceef1"
_TONES: Final = ("#1558c0", "#a2580a", "#7a3fa8", "#1b7a62", "#6b7480")
_SIZE_IN: Final = (10.4, 6.2)
_GAIN_IN: Final = 2.6
_DPI: Final = 160
_FORMATS: Final = (".png", ".svg")
_MARKERS: Final = {"arm": "o", "dominated": "o", "policy": "D", "oracle": "*"}


def write_figure(result: EvalResult, path: str | Path, *, log: bool = True) -> None:
    """Write the frontier, and below it the gain over random mixing where there is one.

    Args:
        result: What was found.
        path: Ends in `.png` or `.svg`.
        log: Logarithmic dollars.

    Raises:
        ConfigError: matplotlib is not installed, or the file name says no known format.
        StoreError: The file cannot be written.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() not in _FORMATS:
        raise ConfigError(f"{target.name} is no picture file; name it *.png or *.svg")
    matplotlib = _matplotlib()
    # The defaults, not the user's matplotlibrc: its fonts may be missing, and `$` must stay a dollar.
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {"text.parse_math": False, "font.size": 9, "svg.hashsalt": "effortctl"}
        )
        # A script the font lacks is drawn as boxes; that is no reason to fail.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing", category=UserWarning)
        figure = _draw(result, log=log)
        metadata = {"Date": None} if target.suffix.lower() == ".svg" else None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(target, dpi=_DPI, metadata=metadata, facecolor="white")
        except OSError as error:
            raise StoreError(f"the picture was not written to {target}: {error}") from error


def _matplotlib() -> Any:
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise ConfigError(
            "pictures need matplotlib, which is not installed; run `pip install 'effortctl[plot]'`"
        ) from error
    return mpl


def _draw(result: EvalResult, *, log: bool) -> Figure:
    from matplotlib.figure import Figure as _Figure  # noqa: PLC0415 - an optional dependency

    scene, curves = frontier_scene(result), gains(result)
    height = _SIZE_IN[1] + (_GAIN_IN if curves else 0)
    figure = _Figure(figsize=(_SIZE_IN[0], height))
    ratios = [_SIZE_IN[1], _GAIN_IN] if curves else [1.0]
    axes = figure.subplots(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0]
    figure.subplots_adjust(
        left=0.075, right=0.975, top=1 - 0.8 / height, bottom=0.85 / height, hspace=0.3
    )
    dollars = cost_scale(scene.costs(), start=0.0, end=1.0, log=log)
    _frontier(axes[0], scene, dollars)
    if curves:
        dollars, curves = gain_axis(curves, scene, start=0.0, end=1.0, log=log)
        _gains(axes[1], curves, dollars)
    axes[-1].set_xlabel(
        f"dollars per 1,000 tasks ({'log' if dollars.log else 'linear'} scale)", color=_SOFT
    )
    _words(figure, result, height=height)
    return figure


def _words(figure: Figure, result: EvalResult, *, height: float) -> None:
    said = _facts.headline(result)
    lines = textwrap.wrap(f"{said.word}: {said.sentence}", 100, max_lines=2, placeholder="…")
    top = 1 - 0.14 / height
    figure.text(0.012, top, "\n".join(lines), va="top", fontsize=11, weight="bold", color=_INK)
    figure.text(0.012, 0.12 / height, _footer(result), fontsize=7.5, color=_SOFT)


def _footer(result: EvalResult) -> str:
    parts = [_text.short(result.name, 50), _text.plural(result.n_tasks, "task")]
    if result.n_clusters < result.n_tasks:
        parts.append(_text.plural(result.n_clusters, "cluster"))
    wanted = ("interval", "price_date", "seed", "effortctl")
    known = result.provenance
    parts += [
        _text.short(f"{key.replace('_', ' ')} {known[key]}", 50)
        for key in wanted
        if known.get(key) is not None
    ]
    return "  ·  ".join([*parts, f"bars and bands: {_facts.level(result)} intervals"])


# --- panels ----------------------------------------------------------------------------------------
# Dollars are mapped to 0..1 by the same scale that the page uses, so both show the same picture.


def _frame(axes: Axes, dollars: Scale) -> None:
    axes.set_xlim(0, 1)
    values = [*([0.0] if dollars.zero is not None else []), *dollars.ticks(9)]
    axes.set_xticks([dollars(value) for value in values], [_text.per_1000(v) for v in values])
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=_SOFT)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_FAINT)


def _frontier(axes: Axes, scene: Scene, dollars: Scale) -> None:
    _frame(axes, dollars)
    y = share_scale(scene.qualities(), bottom=0.0, top=1.0)
    # A mark on the edge, at 100 %, is drawn whole; half a point of air changes no reading.
    axes.set_ylim(y.low, y.high + 0.02 * (y.high - y.low))
    ticks = y.ticks(7)
    axes.set_yticks(
        ticks, [_text.percent(value, 0 if y.high - y.low > 0.05 else 1) for value in ticks]
    )
    axes.set_ylabel("quality", color=_SOFT)
    styles = {
        "model": {"color": _FAINT, "linewidth": 0.8, "alpha": 0.55},
        "hull": {"color": _INK, "linewidth": 1.2, "linestyle": (0, (5, 4))},
    }
    for curve in scene.curves:
        points = curve.within(dollars, y)
        style = styles.get(curve.kind, {"color": _tone(curve.tone), "linewidth": 1.6})
        axes.plot([dollars(cost) for cost, _ in points], [q for _, q in points], **style)  # type: ignore[arg-type]
    for mark in reversed(scene.marks):
        _mark(axes, mark, dollars)
    _write(axes, [_name(mark, dollars) for mark in scene.marks])


def _mark(axes: Axes, mark: Mark, dollars: Scale) -> None:
    x, colour = dollars(mark.cost_usd), _colour(mark)
    if mark.quality_range is not None:
        axes.vlines(x, *mark.quality_range, color=colour, linewidth=0.9, alpha=0.5)
    if mark.cost_range is not None:
        left, right = (dollars(end) for end in mark.cost_range)
        axes.hlines(mark.quality, left, right, color=colour, linewidth=0.9, alpha=0.5)
    hollow = mark.kind in {"dominated", "oracle"}
    size = {"arm": 26, "dominated": 18, "policy": 36, "oracle": 90}[mark.kind]
    face, line = ("white", 1.1) if hollow else (colour, 0.6)
    axes.scatter(
        [x], [mark.quality], s=size, marker=_MARKERS[mark.kind], zorder=3, clip_on=False,
        facecolor=face, edgecolor=colour if hollow else "white", linewidth=line,
    )  # fmt: skip


def _colour(mark: Mark) -> str:
    if mark.kind == "policy":
        return _tone(mark.tone)
    return _FAINT if mark.kind == "dominated" else _INK


def _tone(number: int) -> str:
    return _TONES[min(number, len(_TONES) - 1)]


@dataclass(frozen=True, slots=True)
class _Name:
    """A text beside a point, given in the units of the axes."""

    x: float
    y: float
    text: str
    colour: str
    bold: bool = True
    reach: float = 60.0


def _name(mark: Mark, dollars: Scale) -> _Name:
    text = _text.short(mark.label, 32)
    if mark.kind in {"arm", "policy"}:
        text += f"  {mark.figures}"
    x = dollars(mark.cost_usd)
    if mark.kind == "dominated":
        return _Name(x, mark.quality, text, _SOFT, bold=False, reach=18.0)
    return _Name(x, mark.quality, text, _colour(mark))


def _write(axes: Axes, names: Sequence[_Name]) -> None:
    """Place names in points of the page, with y growing downwards as the placing expects."""
    figure = axes.get_figure()
    if figure is None:
        return
    scale = 72 / figure.dpi
    frame = axes.get_window_extent()
    top = frame.y1 * scale
    wanted, taken = [], []
    for name in names:
        x, y = axes.transData.transform((name.x, name.y)) * (scale, -scale) + (0, top)
        width = _text.text_width(name.text, 8, bold=name.bold) * 1.06
        wanted.append(Wanted(x, y, width=width, height=10, reach=name.reach))
        taken.append(Box(x - 4, y - 4, x + 4, y + 4))
    inside = Box(frame.x0 * scale, -12, frame.x1 * scale, top - frame.y0 * scale)
    ink: list[tuple[float, float]] = []
    for line in axes.lines:
        spots = axes.transData.transform(line.get_xydata()) * (scale, -scale) + (0, top)
        ink += dotted([(float(x), float(y)) for x, y in spots])
    for name, spot in zip(names, place(wanted, inside=inside, marks=taken, ink=ink), strict=True):
        if spot is not None:
            _annotate(axes, name, spot, top=top)


def _annotate(axes: Axes, name: _Name, spot: Placed, *, top: float) -> None:
    # Points of the page, because a vector drawing has another resolution than the picture.
    page: Any = {"xycoords": "figure points", "annotation_clip": False}
    weight = "bold" if name.bold else "normal"
    at = (spot.box.left, top - spot.box.bottom + 2)
    axes.annotate(name.text, at, fontsize=8, color=name.colour, weight=weight, **page)
    if spot.leader is not None:
        x0, y0, x1, y1 = spot.leader
        stroke = {"arrowstyle": "-", "color": _FAINT, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
        start, end = (x0, top - y0), (x1, top - y1)
        axes.annotate("", start, end, textcoords="figure points", arrowprops=stroke, **page)


def _gains(axes: Axes, curves: Sequence[Gain], dollars: Scale) -> None:
    _frame(axes, dollars)
    y = signed_scale((v for c in curves for p in c.points for v in p[1:]), bottom=0.0, top=1.0)
    axes.set_ylim(y.low, y.high)
    ticks = y.ticks(5)
    axes.set_yticks(ticks, [_text.points(value) for value in ticks])
    axes.set_ylabel("points gained", color=_SOFT)
    axes.set_title(
        "Gain over random mixing of fixed arms at equal dollars", loc="left", fontsize=9, color=_INK
    )
    axes.axhline(0, color=_SOFT, linewidth=1)
    for curve in reversed(curves):
        x = [dollars(point[0]) for point in curve.points]
        colour = _tone(curve.tone)
        low, high = [p[2] for p in curve.points], [p[3] for p in curve.points]
        if len(x) == 1:
            axes.vlines(x, low, high, color=colour, linewidth=1.2)
        axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
        axes.plot(
            x, [p[1] for p in curve.points], color=colour, linewidth=1.6, marker="o", markersize=3
        )
    _write(axes, [_gain_name(curve, dollars) for curve in curves])


def _gain_name(curve: Gain, dollars: Scale) -> _Name:
    cost, gain, *_ = max(curve.points, key=lambda point: point[1])
    return _Name(dollars(cost), gain, _text.short(curve.label, 32), _tone(curve.tone))
