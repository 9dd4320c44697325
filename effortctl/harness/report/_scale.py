"""From dollars and shares to places on a chart, and the round numbers to mark there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_NOTHING = 1e-9
_LEAST = 1e-300
"""Dollars below it have no logarithm, or no step, that a computer can hold."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight or logarithmic axis.

    Attributes:
        low: Smallest value shown.
        high: Largest value shown, above `low`.
        start: Where `low` is, in chart units.
        end: Where `high` is.
        log: Logarithmic; `low` is above zero then.
        zero: Where values of zero go on a logarithmic axis, which has no place for them.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    zero: float | None = None

    def __call__(self, value: float) -> float:
        """The place of a value; values outside end up at the nearer end."""
        if self.log and value < self.low and self.zero is not None:
            return self.zero
        inside = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """True when the value has a place of its own, not only the nearer end."""
        return self.low <= value <= self.high or (value == 0 and self.zero is not None)

    def ticks(self, count: int) -> list[float]:
        """About `count` round values, lowest first."""
        marked = log_ticks(self.low, self.high, count) if self.log else []
        # Between two and five there is no round power; even steps do as well on so short an axis.
        return marked if len(marked) > 1 else self._even(count)

    def _even(self, count: int) -> list[float]:
        step = _round_step((self.high - self.low) / max(1, count))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def _round_step(rough: float) -> float:
    size = 10.0 ** math.floor(math.log10(rough))
    return next(step * size for step in _STEPS if step * size >= rough * (1 - 1e-9))


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Powers of ten, with their halves and fifths where there is room."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for within in ((1, 2, 5), (1, 3), (1,)):
        made = [
            digit * 10.0**power
            for power in range(first, last + 1)
            for digit in within
            if low * (1 - 1e-9) <= digit * 10.0**power <= high * (1 + 1e-9)
        ]
        if len(made) <= count:
            break
    every = max(1, math.ceil(len(made) / max(1, count)))
    return made[::every]


def cost_scale(values: Iterable[float], *, start: float, end: float, log: bool) -> Scale:
    """An axis of dollars that holds all values; zeros get a place of their own on a log axis.

    Args:
        values: Dollars, none negative.
        start: Left end.
        end: Right end.
        log: Logarithmic. An axis with nothing above zero is straight all the same.
    """
    given = list(values)
    # Fourteen decades of empty axis would help nobody: next to nothing counts as nothing.
    above = [value for value in given if value > max(_NOTHING * max(given), _LEAST)]
    if not above:
        return Scale(0.0, 1e-3, start, end)
    if not log:
        return Scale(0.0, max(above) * 1.06, start, end)
    low, high = min(above), max(above)
    pad = max(1.25, (high / low) ** 0.06)
    zero = start + 0.03 * (end - start) if len(above) < len(given) else None
    left = start if zero is None else start + 0.09 * (end - start)
    return Scale(low / pad, high * pad, left, end, log=True, zero=zero)


def share_scale(values: Iterable[float], *, bottom: float, top: float) -> Scale:
    """An axis of shares with some air, inside 0 and 1; `top` is above `bottom` on the page."""
    given = list(values)
    low, high = min(given), max(given)
    air = max(0.02, 0.07 * (high - low))
    low, high = max(0.0, low - air), min(1.0, high + air)
    return Scale(low, high if high - low > 0.01 else low + 0.01, bottom, top)


def signed_scale(values: Iterable[float], *, bottom: float, top: float) -> Scale:
    """An axis of differences that always shows zero."""
    given = [0.0, *values]
    low, high = min(given), max(given)
    air = max(0.005, 0.08 * (high - low))
    return Scale(low - air, high + air, bottom, top)
