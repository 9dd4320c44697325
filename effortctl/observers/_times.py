"""When each attempt of a finished task was made, as far as its trace knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from effortctl._types import Attempt, Trace


@dataclass(frozen=True, slots=True)
class Times:
    """When an attempt began, and when its last call came back; its check comes after that."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.start).total_seconds()


def end_of(trace: Trace) -> datetime:
    """When the task ended."""
    return trace.started_at + timedelta(seconds=trace.latency_s)


def times_of(trace: Trace) -> list[Times]:
    """When each attempt was made; none overlaps the next one.

    An answer says when its call was sent and how long that took. An attempt that needed several calls
    began when the one before it was done. A cached answer was sent long ago and takes no time now. An
    attempt without any answer left no time: those between two known moments share what is between them,
    by their calls.
    """
    found: list[Times] = []
    cursor = trace.started_at
    for position, attempt in enumerate(trace.attempts):
        ahead = trace.attempts[position:]
        times = (
            _unanswered(ahead, cursor, trace) if attempt.answer is None else _own(attempt, cursor)
        )
        found.append(times)
        checked_s = attempt.verdict.latency_s if attempt.verdict else 0.0
        cursor = times.end + timedelta(seconds=checked_s)
    return found


def _own(attempt: Attempt, cursor: datetime) -> Times:
    if attempt.cached or attempt.answer is None:
        return Times(cursor, cursor)
    sent = max(cursor, attempt.answer.started_at or cursor)
    end = sent + timedelta(seconds=attempt.answer.latency_s)
    return Times(cursor if attempt.calls > 1 else sent, end)


def _unanswered(ahead: Sequence[Attempt], cursor: datetime, trace: Trace) -> Times:
    """The share of the first of `ahead` in the time until something is known again."""
    known = (_sent_at(attempt) for attempt in ahead)
    until = max(cursor, next((moment for moment in known if moment is not None), end_of(trace)))
    alike = [max(1, a.calls) for a in takewhile(lambda a: a.answer is None, ahead)]
    return Times(cursor, cursor + (until - cursor) * (alike[0] / sum(alike)))


def _sent_at(attempt: Attempt) -> datetime | None:
    return None if attempt.cached or attempt.answer is None else attempt.answer.started_at
