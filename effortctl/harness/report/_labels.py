"""Where labels go: beside their points, never over one another and never over the edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DISTANCES = (3.0, 9.0, 18.0, 30.0, 44.0, 60.0)
_LEADER_FROM = 14.0
_DIRECTIONS = tuple(math.radians(angle) for angle in (0, 180, 90, 270, 45, 315, 135, 225, 20, 340, 160, 200, 65, 295, 115, 245))  # fmt: skip
_INK_PENALTY = 2.5
_AIR = 2.0
_PENCIL = 4.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: Box) -> bool:
        """True when the two share some area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def holds(self, other: Box) -> bool:
        """True when the other lies inside."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and self.right >= other.right
            and self.bottom >= other.bottom
        )

    def grown(self, by: float) -> Box:
        """A larger box around the same centre."""
        return Box(self.left - by, self.top - by, self.right + by, self.bottom + by)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A label to place.

    Attributes:
        x: Of its point.
        y: Of its point.
        width: Of the text.
        height: Of the text.
        radius: Of the point's mark.
        reach: How far from the mark the text may be.
    """

    x: float
    y: float
    width: float
    height: float
    radius: float = 4.0
    reach: float = _DISTANCES[-1]


@dataclass(frozen=True, slots=True)
class Placed:
    """A label with a place.

    Attributes:
        box: Where the text goes.
        leader: From the mark to the text, where the text is too far away to be understood without.
    """

    box: Box
    leader: tuple[float, float, float, float] | None


def place(
    wanted: Sequence[Wanted],
    *,
    inside: Box,
    marks: Sequence[Box],
    ink: Sequence[tuple[float, float]] = (),
) -> list[Placed | None]:
    """Find a place for every label, the most important first.

    Args:
        wanted: Labels, most important first.
        inside: Where they may be.
        marks: What they must not cover.
        ink: Points of lines that they had better not cover.

    Returns:
        One place per label; None where there is no room left.
    """
    taken = list(marks)
    dots = np.array(list(ink), dtype=float).reshape(-1, 2)
    leaders: list[tuple[float, float, float, float]] = []
    found: list[Placed | None] = []
    for label in wanted:
        best = _best(label, inside=inside, taken=taken, dots=dots)
        found.append(best)
        if best is not None:
            taken.append(best.box.grown(_AIR))
            if best.leader is not None:
                leaders.append(best.leader)
                dots = np.vstack([dots, _along(best.leader)])
    return found


def dotted(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points along a line, close enough together that no label slips between them."""
    dots: list[tuple[float, float]] = []
    for (x0, y0), (x1, y1) in pairwise(points):
        steps = max(1, math.ceil(math.hypot(x1 - x0, y1 - y0) / _PENCIL))
        dots += [
            (x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps) for step in range(steps)
        ]
    return dots


def _best(
    label: Wanted, *, inside: Box, taken: Sequence[Box], dots: NDArray[np.float64]
) -> Placed | None:
    best: Placed | None = None
    lowest = math.inf
    if label.width > inside.right - inside.left:
        return None
    for distance in _DISTANCES:
        # Nothing farther out can beat what is already found.
        if distance >= min(lowest, label.reach + 0.1):
            break
        for order, angle in enumerate(_DIRECTIONS):
            box = _box(label, angle, distance + label.radius)
            if not inside.holds(box) or any(box.touches(other) for other in taken):
                continue
            cost = distance + 0.2 * order + _INK_PENALTY * _covered(box, dots)
            if cost < lowest:
                lowest, best = cost, Placed(box, _leader(label, box, distance))
    return best


def _box(label: Wanted, angle: float, gap: float) -> Box:
    """The text's box, touching a circle of radius `gap` around the point in this direction."""
    across, up = math.cos(angle), -math.sin(angle)
    left = label.x + across * gap + (across - 1) * label.width / 2
    top = label.y + up * gap + (up - 1) * label.height / 2
    return Box(left, top, left + label.width, top + label.height)


def _covered(box: Box, dots: NDArray[np.float64]) -> int:
    x, y = dots[:, 0], dots[:, 1]
    inside = (x > box.left) & (x < box.right) & (y > box.top) & (y < box.bottom)
    return int(inside.sum())


def _leader(label: Wanted, box: Box, distance: float) -> tuple[float, float, float, float] | None:
    if distance < _LEADER_FROM:
        return None
    x = min(max(label.x, box.left), box.right)
    y = min(max(label.y, box.top + 3), box.bottom - 3)
    length = math.hypot(x - label.x, y - label.y) or 1.0
    share = min(1.0, (label.radius + 1) / length)
    return (label.x + (x - label.x) * share, label.y + (y - label.y) * share, x, y)


def _along(line: tuple[float, float, float, float]) -> NDArray[np.float64]:
    share = np.linspace(0, 1, 8)[:, None]
    start, end = np.array(line[:2]), np.array(line[2:])
    along: NDArray[np.float64] = start + share * (end - start)
    return along
