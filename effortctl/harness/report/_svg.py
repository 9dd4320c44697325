"""Elements of HTML and SVG as text, escaped by construction.

`Safe` is text that has been escaped; only `text` and `tag` make it, and mypy refuses anything else.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NewType

from effortctl.harness.report import _text

Safe = NewType("Safe", str)

NOTHING = Safe("")
_VOID = frozenset({"br", "col", "hr", "input", "link", "meta"})


def text(value: str, *, keep_lines: bool = False) -> Safe:
    """Foreign text, escaped and without control characters."""
    return Safe(html.escape(_text.clean(value, keep_lines=keep_lines), quote=True))


def join(parts: Iterable[Safe]) -> Safe:
    """One piece of many."""
    return Safe("".join(parts))


def tag(name: str, *children: Safe, **attributes: str | float | None) -> Safe:
    """An element.

    Args:
        name: Of the element.
        children: What is inside, already escaped.
        attributes: `class_` stands for `class`, `_` for `-`; None leaves one out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Safe(f"<{name}{written}>")
    return Safe(f"<{name}{written}>{''.join(children)}</{name}>")


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return html.escape(_text.clean(value), quote=True)
    return _short(value)


def _short(value: float) -> str:
    written = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def line(start: tuple[float, float], end: tuple[float, float], css: str) -> Safe:
    """A straight line."""
    return tag("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=css)


def path(points: Sequence[tuple[float, float]], css: str, *, closed: bool = False) -> Safe:
    """Points joined in order."""
    steps = " ".join(f"{_short(x)},{_short(y)}" for x, y in points)
    return tag("path", d=f"M{steps}{'Z' if closed else ''}", class_=css)


def label(x: float, y: float, value: str, *, css: str, anchor: str | None = None) -> Safe:
    """Text in a chart."""
    return tag("text", text(value), x=x, y=y, class_=css, text_anchor=anchor)


def drawing(
    *children: Safe, size: tuple[float, float], css: str, title: str, desc: str, ident: str
) -> Safe:
    """A whole chart, with a name and a description for those who cannot see it."""
    return tag(
        "svg",
        tag("title", text(title), id=f"{ident}-t"),
        tag("desc", text(desc), id=f"{ident}-d"),
        *children,
        viewBox=f"0 0 {size[0]:g} {size[1]:g}",
        class_=css,
        role="group",
        aria_labelledby=f"{ident}-t",
        aria_describedby=f"{ident}-d",
    )
