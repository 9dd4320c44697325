"""A small plot made of characters: braille dots for lines, letters for marks."""

from __future__ import annotations

from collections.abc import Iterable

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BRAILLE = 0x2800
ACROSS, DOWN = 2, 4
"""Dots in one character, across and down."""


class Canvas:
    """Characters on a grid; lines are drawn in dots, text in whole characters.

    Args:
        width: Characters in a row.
        height: Rows.
        braille: Draw dots as braille; otherwise as full stops.
    """

    def __init__(self, width: int, height: int, *, braille: bool) -> None:
        self.width = width
        self.height = height
        self._braille = braille
        self._dots = [[0] * width for _ in range(height)]
        self._text = [[""] * width for _ in range(height)]

    def line(self, points: Iterable[tuple[float, float]]) -> None:
        """Join points given in dots, from the top left."""
        before: tuple[float, float] | None = None
        for point in points:
            for x, y in _between(before or point, point):
                self._dot(round(x), round(y))
            before = point

    def _dot(self, x: int, y: int) -> None:
        column, row = x // ACROSS, y // DOWN
        if 0 <= column < self.width and 0 <= row < self.height:
            self._dots[row][column] |= _DOTS[y % DOWN][x % ACROSS]

    def mark(self, column: int, row: int, character: str) -> bool:
        """Put a character on a free place; False when something is there already."""
        return self.write(column, row, character, over_lines=True)

    def write(self, column: int, row: int, text: str, *, over_lines: bool = False) -> bool:
        """Write text where it covers nothing and stays inside; False when there is no room."""
        if not 0 <= row < self.height or column < 0 or column + len(text) > self.width:
            return False
        places = range(column, column + len(text))
        if any(self._text[row][place] for place in places):
            return False
        if not over_lines and any(self._dots[row][place] for place in places):
            return False
        for place, character in zip(places, text, strict=True):
            self._text[row][place] = character
        return True

    def rows(self) -> list[str]:
        """The picture, one string per row."""
        return [
            "".join(self._character(row, column) for column in range(self.width)).rstrip()
            for row in range(self.height)
        ]

    def _character(self, row: int, column: int) -> str:
        dots = self._dots[row][column]
        if self._text[row][column] or not dots:
            return self._text[row][column] or " "
        return chr(_BRAILLE + dots) if self._braille else "."


def _between(start: tuple[float, float], end: tuple[float, float]) -> Iterable[tuple[float, float]]:
    steps = max(1, round(max(abs(end[0] - start[0]), abs(end[1] - start[1]))))
    for step in range(steps + 1):
        share = step / steps
        yield start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
