"""The first arm a task was sent to: what was expected of it, and what it did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from effortctl._types import Attempt, Estimate, Trace


@dataclass(frozen=True, slots=True)
class Try:
    """One task at its first arm.

    Attributes:
        at: When the task was started.
        expected: What the policy's estimator expected of the arm on this task.
        passed: Did the check pass it? None: it could not tell, or there was no check.
        cost_usd: What it cost.
    """

    at: datetime
    expected: Estimate
    passed: bool | None
    cost_usd: float

    @property
    def p_correct(self) -> float:
        """Expected probability of a correct answer."""
        return self.expected.p_correct


def first_try(trace: Trace) -> Try | None:
    """None when nothing was expected of the arm, nothing came back, or all came from the cache."""
    if not trace.attempts:
        return None
    first = trace.attempts[0]
    # An answer that was cut off is asked for again with a larger cap: that is still the first try.
    same = list(takewhile(lambda a: (a.arm, a.sample_index) == (first.arm, 0), trace.attempts))
    last = same[-1] if same else first
    if last.expected is None or last.answer is None or last.cached:
        return None
    cost = sum(float(attempt.cost_usd) for attempt in same or [first])
    return Try(trace.started_at, last.expected, _passed(last), cost)


def _passed(attempt: Attempt) -> bool | None:
    if attempt.answer is not None and attempt.answer.finish != "complete":
        return False
    if attempt.verdict is None or attempt.verdict.status == "abstain":
        return None
    return attempt.passed
