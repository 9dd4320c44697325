"""What one call of a run says about the next: where on the ladder to start.

Most runs are hard or easy as a whole. A step that needed a stronger arm is a reason to start the next
one there, and a step that passed where it started is a reason to try one arm lower.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from effortctl._types import Arm, Attempt, Situation, Trace


class Carried(Protocol):
    """A running estimate of how hard a run is."""

    @property
    def difficulty(self) -> float:
        """From 0, easy, to 1, hard."""
        ...

    def learn_from(self, trace: Trace) -> None:
        """Take in how a step went."""
        ...


@dataclass(slots=True)
class LadderCarry:
    """The position on the ladder at which the next step starts; also the policy that does so.

    The rule: a step that failed its checks, or escalated because of one, moves the start to the last arm
    it tried. One that was accepted at its first arm, at the start or below it, moves the start one arm
    down. A fault of the endpoint says nothing about the task and moves nothing.

    Attributes:
        order: Names of the arms, the weakest first.
    """

    order: Sequence[str]
    _start: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """Name written into traces."""
        return "session_ladder"

    @property
    def difficulty(self) -> float:
        """The position, as a share of the ladder."""
        return self._start / max(1, len(self.order) - 1)

    def choose(self, situation: Situation) -> Arm | None:
        """Return the first arm from the start on; the weaker ones come last."""
        # A step keeps the start it began with, whatever other steps find out in the meantime.
        tried = situation.attempts
        start = self._position(tried[0].arm) if tried else self._start
        stronger = [arm for arm in situation.arms if self._position(arm.name) >= start]
        return next(iter(stronger or situation.arms), None)

    def learn_from(self, trace: Trace) -> None:
        """Move the start."""
        told = [attempt for attempt in trace.attempts if attempt.arm in self.order]
        failed = [attempt for attempt in told if said(attempt) is False]
        if failed:
            highest = max(self._position(attempt.arm) for attempt in told)
            with self._lock:
                self._start = highest
        elif trace.outcome == "accepted" and len(told) == 1:
            with self._lock:
                if self._position(told[0].arm) <= self._start:
                    self._start = max(0, self._start - 1)

    def _position(self, name: str) -> int:
        return self.order.index(name) if name in self.order else 0


def said(attempt: Attempt) -> bool | None:
    """What an attempt says about its task: it was solved, it was not, or nothing."""
    if attempt.answer is None or attempt.cached:
        return None
    if attempt.answer.finish in ("truncated", "context_exceeded"):
        return False
    if attempt.verdict is None or attempt.verdict.status == "abstain":
        return None
    return attempt.passed
