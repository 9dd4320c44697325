"""Ground truth: every hit, counted exactly, whatever the caller's own books say."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from effortctl._types import Price, Usage
from effortctl.testing._records import Hit

MILLION = Decimal(1_000_000)


class _Key(NamedTuple):
    path: str
    model: str
    effort: str
    fault: str | None
    status: int


class Truth:
    """What the server saw and did. Safe to share between threads.

    Args:
        keep_hits: How many hits to keep in full, the latest ones. None: all. Counts and bills are
            exact either way.
    """

    def __init__(self, *, keep_hits: int | None = None) -> None:
        self._changed = threading.Condition()
        self._hits: deque[Hit] = deque(maxlen=keep_hits)
        self._counts: Counter[_Key] = Counter()
        self._billed: dict[str, Usage] = {}

    def record(self, hit: Hit) -> None:
        """Add a hit."""
        key = _Key(hit.path, hit.model, hit.effort, hit.fault, hit.status)
        with self._changed:
            self._hits.append(hit)
            self._counts[key] += 1
            if hit.would_bill_usage is not None:
                before = self._billed.get(hit.model, Usage())
                self._billed[hit.model] = before + hit.would_bill_usage
            self._changed.notify_all()

    def hits(self) -> tuple[Hit, ...]:
        """The hits that were kept, in the order in which they were answered."""
        with self._changed:
            return tuple(self._hits)

    def count(self, wanted: Mapping[str, object]) -> int:
        """How many hits have these values in these fields."""
        with self._changed:
            return self._count(wanted)

    def wait_for(self, count: int, *, wanted: Mapping[str, object], timeout_s: float) -> bool:
        """Wait until that many hits match; False when time is up first."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count(wanted) >= count, timeout_s)

    def _count(self, wanted: Mapping[str, object]) -> int:
        unknown = sorted(wanted.keys() - set(_Key._fields))
        if unknown:
            raise TypeError(f"hits are counted by {', '.join(_Key._fields)}, not by {unknown}")
        return sum(
            number
            for key, number in self._counts.items()
            if all(getattr(key, field) == value for field, value in wanted.items())
        )

    def billed(self) -> dict[str, Usage]:
        """Tokens a provider would have billed, by model."""
        with self._changed:
            return dict(self._billed)

    def clear(self) -> None:
        """Forget everything."""
        with self._changed:
            self._hits.clear()
            self._counts.clear()
            self._billed.clear()


def dollars(usage: Usage, price: Price) -> Decimal:
    """Exact dollars of a usage, reckoned apart from the code under test."""
    cached, written = price.cached_input_usd_per_mtok, price.cache_write_usd_per_mtok
    plain_input = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    return (
        plain_input * price.input_usd_per_mtok
        + usage.cached_tokens * (price.input_usd_per_mtok if cached is None else cached)
        + usage.cache_write_tokens * (price.input_usd_per_mtok if written is None else written)
        + usage.output_tokens * price.output_usd_per_mtok
    ) / MILLION
