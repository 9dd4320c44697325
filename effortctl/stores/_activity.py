"""What happened lately, added up: tasks, escalations, verdicts and dollars, by arm and by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from effortctl._types import Attempt, Trace
from effortctl.stores._entries import LedgerEntry

_VERIFIER = "verifier"
"""Price source of a check: it is booked like a call, but it is no arm."""


@dataclass(slots=True)
class ArmActivity:
    """What one arm did.

    Attributes:
        first: Tasks that were sent to it first.
        attempts: Attempts, cached answers included.
        passed: Attempts that a check passed.
        failed: Attempts that a check failed, or that were cut off or refused.
        unclear: Attempts without a check, or where it could not tell.
        errors: Attempts without an answer.
        cost_usd: Dollars of its calls and of their checks.
        scores: Feedback on answers of it that were returned.
    """

    first: int = 0
    attempts: int = 0
    passed: int = 0
    failed: int = 0
    unclear: int = 0
    errors: int = 0
    cost_usd: Decimal = Decimal(0)
    scores: list[float] = field(default_factory=list)

    @property
    def verified_rate(self) -> float | None:
        """Share of its checked answers that passed; None when none was checked."""
        return _share(self.passed, self.passed + self.failed)

    def add(self, attempt: Attempt) -> None:
        """Count an attempt."""
        self.attempts += 1
        self.cost_usd += attempt.cost_usd
        match _result(attempt):
            case "passed":
                self.passed += 1
            case "failed":
                self.failed += 1
            case "error":
                self.errors += 1
            case _:
                self.unclear += 1


@dataclass(slots=True)
class TaskActivity:
    """What became of tasks.

    Attributes:
        tasks: How many.
        escalated: Those that more than one arm was tried on.
        verified: Those whose returned answer passed a check.
        accepted: Those whose returned answer nothing objected to.
        cost_usd: Dollars.
    """

    tasks: int = 0
    escalated: int = 0
    verified: int = 0
    accepted: int = 0
    cost_usd: Decimal = Decimal(0)

    @property
    def escalation_rate(self) -> float | None:
        """Share that was escalated; None without a task."""
        return _share(self.escalated, self.tasks)

    @property
    def verified_rate(self) -> float | None:
        """Share that is verified; None without a task."""
        return _share(self.verified, self.tasks)

    @property
    def usd_per_task(self) -> Decimal | None:
        """Dollars per task; None without a task."""
        return self.cost_usd / self.tasks if self.tasks else None

    @property
    def usd_per_verified_task(self) -> Decimal | None:
        """All dollars, those of failed tasks included, per verified task; None without one."""
        return self.cost_usd / self.verified if self.verified else None

    def add(self, trace: Trace) -> None:
        """Count a task."""
        best = trace.best
        self.tasks += 1
        self.escalated += len({attempt.arm for attempt in trace.attempts}) > 1
        self.verified += best is not None and best.passed
        self.accepted += trace.outcome == "accepted"
        self.cost_usd += trace.cost_usd


class Activity:
    """Counts traces as they come.

    Attributes:
        total: All tasks.
        by_day: Tasks by the day (UTC) they were started.
        by_arm: Attempts by arm.
        outcomes: How tasks ended.
    """

    def __init__(
        self, traces: Iterable[Trace] = (), *, scores: Mapping[str, float] | None = None
    ) -> None:
        """Begin with some traces.

        Args:
            traces: Finished tasks.
            scores: Feedback by trace id.
        """
        self.total = TaskActivity()
        self.by_day: dict[date, TaskActivity] = {}
        self.by_arm: dict[str, ArmActivity] = {}
        self.outcomes: Counter[str] = Counter()
        self._scores = scores or {}
        for trace in traces:
            self.add(trace)

    def add(self, trace: Trace) -> None:
        """Count a trace."""
        self.total.add(trace)
        self.by_day.setdefault(trace.started_at.date(), TaskActivity()).add(trace)
        self.outcomes[trace.outcome] += 1
        for position, attempt in enumerate(trace.attempts):
            arm = self.by_arm.setdefault(attempt.arm, ArmActivity())
            arm.first += position == 0
            arm.add(attempt)
        best = trace.best
        if best is not None and trace.id in self._scores:
            self.by_arm[best.arm].scores.append(self._scores[trace.id])


def booked_activity(entries: Iterable[LedgerEntry]) -> TaskActivity:
    """Tasks, escalations and dollars as far as a ledger knows them: it has no verdicts."""
    arms: dict[str, set[str]] = {}
    found = TaskActivity()
    for entry in entries:
        found.cost_usd += entry.cost_usd
        if entry.arm is not None and entry.price_source != _VERIFIER:
            arms.setdefault(entry.trace_id, set()).add(entry.arm)
    found.tasks = len(arms)
    found.escalated = sum(len(tried) > 1 for tried in arms.values())
    return found


def _result(attempt: Attempt) -> str:
    if attempt.answer is None:
        return "error"
    if attempt.answer.finish != "complete":
        return "failed"
    if attempt.verdict is None or attempt.verdict.status == "abstain":
        return "unclear"
    return "passed" if attempt.passed else "failed"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
