"""How numbers and foreign text are written, in HTML, in a plot and on a terminal alike."""

from __future__ import annotations

import math
import unicodedata

_DIGITS = 3
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_WIDE = frozenset("WF")
_NARROW = frozenset("fijltrI.,:;'|!()[]/ -")
_BROAD = frozenset("mwMW@%\u2014")


def clean(text: str, *, keep_lines: bool = False) -> str:
    """Foreign text without control characters, which could drive a terminal or reorder a line.

    Args:
        text: Names, notes and prompts from a file.
        keep_lines: Leave line ends and tabs alone.
    """
    return "".join(
        character if _is_harmless(character) or (keep_lines and character in "\n\t") else " "
        for character in text
    )


def _is_harmless(character: str) -> bool:
    if character in _DIRECTION or character in "\u2028\u2029":
        return False
    return unicodedata.category(character) not in {"Cc", "Cs"}


def short(text: str, limit: int) -> str:
    """At most `limit` characters; the middle goes, because names differ at both ends."""
    plain = clean(text)
    if len(plain) <= limit:
        return plain
    tail = (limit - 1) // 2
    return f"{plain[: limit - 1 - tail]}…{plain[len(plain) - tail :]}"


def usd(amount: float) -> str:
    """Dollars with three significant digits: `$0`, `$0.0123`, `$4.10`, `$1,230`."""
    if not amount:
        return "$0"
    sign = "-" if amount < 0 else ""
    size = abs(amount)
    if size < 1e-9:
        return f"{sign}${size:.1e}"
    rounded = float(f"{size:.{_DIGITS}g}")
    places = max(0 if rounded >= 100 else 2, _DIGITS - 1 - math.floor(math.log10(rounded)))
    return f"{sign}${_without_spare_zeros(f'{rounded:,.{places}f}')}"


def _without_spare_zeros(text: str) -> str:
    """Drop zeros behind the cents: `0.0120` is `0.012`, `4.10` stays."""
    whole, _, fraction = text.partition(".")
    kept = fraction.rstrip("0")
    if not fraction or len(kept) == len(fraction):
        return text
    return f"{whole}.{kept.ljust(2, '0')}"


def per_1000(cost_usd: float) -> str:
    """Dollars per task as dollars per 1,000 tasks."""
    return usd(cost_usd * 1000)


def percent(share: float, digits: int = 1) -> str:
    """A share as `91.3%`."""
    return f"{share * 100:.{digits}f}%"


def whole_percent(share: float) -> str:
    """A share as `61%`, with a decimal where it would round to nothing."""
    return percent(share, 0 if abs(share) >= 0.1 or not share else 1).replace("-", "\u2212")


def points(difference: float) -> str:
    """A difference of shares as signed percentage points: `+1.2`, `-0.3`, `0.0`."""
    text = f"{difference * 100:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "\u2212")


def percent_range(ends: tuple[float, float], digits: int = 1) -> str:
    """An interval of shares as `[88.1, 93.0]`."""
    low, high = (f"{end * 100:.{digits}f}".replace("-", "\u2212") for end in ends)
    return f"[{low}, {high}]"


def points_range(ends: tuple[float, float]) -> str:
    """An interval of differences as `[-0.9, +0.5]`."""
    return f"[{points(ends[0])}, {points(ends[1])}]"


def usd_range(ends: tuple[float, float]) -> str:
    """An interval of dollars per task as `[$1.20, $1.90]` per 1,000."""
    return f"[{per_1000(ends[0])}, {per_1000(ends[1])}]"


def number(value: float) -> str:
    """Any number with four significant digits at most; what only rounding left behind is zero."""
    if abs(value) < 1e-12:
        return "0"
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.3g}".replace("-", "\u2212")
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "\u2212")


def plural(count: int, noun: str) -> str:
    """`1 task`, `1,400 tasks`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """About how wide a text is in a sans-serif font, in units of `size`; rather too wide."""
    total = sum(_advance(character) for character in text)
    return total * size * (1.07 if bold else 1.0)


def _advance(character: str) -> float:
    if unicodedata.east_asian_width(character) in _WIDE:
        return 1.05
    if character in _NARROW:
        return 0.36
    if character in _BROAD:
        return 0.95
    return 0.7 if character.isupper() else 0.6
