"""Live traces against the expectations of the policy they were run with.

What an arm was expected to do was written into its attempts when they were made, so a policy that sends
hard tasks to strong arms does not look like a change. Only the first arm a task was sent to is judged:
a later one is tried on what another failed, and was expected to do worse there.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from effortctl._drift._hardness import hardness_ranks
from effortctl._drift._sequential import Evidence, excess
from effortctl._drift._tries import Try, first_try

if TYPE_CHECKING:
    from effortctl._fitted_policy import FittedPolicy
    from effortctl._types import Trace
    from effortctl.estimators._model import FittedArm

ShiftKind: TypeAlias = Literal[
    "passes_less", "passes_more", "costs_more", "tasks_cost_more", "harder", "easier"
]

_TESTS_PER_ARM = 3
_TESTS_OF_TASKS = 3
_TWO_SIDED_95 = 1.96
_LEAST_ALLOWED = 0.01

_ADVICE: dict[ShiftKind, str] = {
    "passes_less": "look at recent failures (did the provider change the model, or you the prompt or "
    "the check?), then learn again from recent traces",
    "passes_more": "make sure the check still checks; if the arm did get better, learn again and pay less",
    "costs_more": "compare prices and reasoning tokens with `effortctl ledger show`; probe the effort "
    "with `effortctl doctor --probe`; then learn again",
    "tasks_cost_more": "see which arm it is with `effortctl ledger report`; tighten the budget until you "
    "know why; then learn again",
    "harder": "the policy was learned from easier tasks, so its predictions reach less far; record "
    "outcomes of the new tasks and learn again",
    "easier": "the policy was learned from harder tasks; learn again, cheaper arms may do",
}


@dataclass(frozen=True, slots=True)
class Shift:
    """One thing that was compared.

    Attributes:
        kind: What it would mean if it had changed.
        arm: Which arm; None: tasks as a whole.
        count: Tasks it rests on.
        seen: Live mean: share of passes, dollars, or share of learned-from tasks that look easier.
        expected: The same as the policy expects it.
        limit: End of the policy's interval: beyond it the live mean has left.
        p: P-value of "it has not left", valid however often one looks.
        since: When the alarm first came; None: there is none.
    """

    kind: ShiftKind
    arm: str | None
    count: int
    seen: float
    expected: float
    limit: float
    p: float
    since: datetime | None

    @property
    def alarm(self) -> bool:
        """Has it left the interval?"""
        return self.since is not None

    @property
    def advice(self) -> str:
        """What to do if it has."""
        return _ADVICE[self.kind]

    @property
    def text(self) -> str:
        """What is seen and what was expected, in one sentence."""
        count = f"{self.count:,} {'task' if self.count == 1 else 'tasks'}"
        if self.kind in {"passes_less", "passes_more"}:
            return (
                f"{self.arm} passes {self.seen:.0%} of {count}, expected {self.expected:.0%} and "
                f"{'at least' if self.kind == 'passes_less' else 'at most'} {self.limit:.0%}"
            )
        if self.kind in {"harder", "easier"}:
            return (
                f"tasks look {self.kind} than {self.seen:.0%} of those learned from on average, expected "
                f"{self.expected:.0%} ({count})"
            )
        name = self.arm or "a task"
        return (
            f"{name} costs ${self.seen:.3g} on average, expected ${self.expected:.3g} and at most "
            f"${self.limit:.3g} ({count})"
        )


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Everything that was compared.

    Attributes:
        shifts: One per comparison with at least one task, alarms first.
        alpha: Chance of any false alarm in the whole report.
        traces: Traces that were looked at.
        compared: Those of them that hold what was expected.
    """

    shifts: tuple[Shift, ...]
    alpha: float
    traces: int
    compared: int

    @property
    def alarms(self) -> tuple[Shift, ...]:
        """What has left the policy's intervals."""
        return tuple(shift for shift in self.shifts if shift.alarm)


def drift(
    traces: Iterable[Trace],
    policy: FittedPolicy,
    *,
    alpha: float = 0.01,
    tolerance: float = 0.05,
    cost_tolerance: float = 0.25,
) -> DriftReport:
    """Compare traces with what the policy expected of them.

    The report may be made again after every task: the chance that it ever raises an alarm while nothing has
    left the intervals is at most `alpha`, all comparisons together.

    Args:
        traces: Of a controller that follows this policy, in the order they were written.
        policy: The policy.
        alpha: Chance of a false alarm that is accepted.
        tolerance: How far a pass rate, or the mean rank of difficulty, may be off besides the policy's own
            uncertainty (two standard errors, and the calibration error of the arm).
        cost_tolerance: Share by which dollars may be higher, besides the same.

    Raises:
        ConfigError: Alpha or a tolerance is out of range.
    """
    kept = list(traces)
    tried = [found for trace in kept if (found := first_try(trace)) is not None]
    compare = _Comparison(policy, alpha, tolerance, cost_tolerance)
    shifts = [
        *compare.arms(tried),
        *compare.task_costs(kept),
        *compare.difficulty(tried),
    ]
    shifts.sort(key=lambda shift: (not shift.alarm, shift.p))
    return DriftReport(tuple(shifts), alpha, len(kept), len(tried))


@dataclass(slots=True)
class _Comparison:
    policy: FittedPolicy
    alpha: float
    tolerance: float
    cost_tolerance: float
    each: float = field(init=False)
    """Alpha of one comparison. Their number depends on the policy only, never on the traces."""

    def __post_init__(self) -> None:
        tests = _TESTS_PER_ARM * len(self.policy.model.arms) + _TESTS_OF_TASKS
        self.each = self.alpha / tests

    def arms(self, tried: Sequence[Try]) -> Iterator[Shift]:
        by_arm: dict[str, list[Try]] = defaultdict(list)
        for one in tried:
            by_arm[one.expected.arm].append(one)
        for arm in self.policy.model.arms:
            checked = [one for one in by_arm[arm.name] if one.passed is not None]
            if checked and self.policy.model.verifier != "none":
                yield from self._passes(arm, checked)
            paid = [one for one in by_arm[arm.name] if one.expected.cost_usd > 0]
            if paid and arm.cost is not None:
                yield self._costs(arm, paid)

    def _passes(self, arm: FittedArm, checked: Sequence[Try]) -> Iterator[Shift]:
        half = self._half_width(arm)
        believed = [arm.tpr * one.p_correct + arm.fpr * (1 - one.p_correct) for one in checked]
        expected = math.fsum(believed) / len(believed)
        failed = [float(not one.passed) for one in checked]
        fewer = excess(
            failed, [max(1 - q + half, _LEAST_ALLOWED) for q in believed], alpha=self.each
        )
        more = excess(
            [1 - x for x in failed],
            [max(q + half, _LEAST_ALLOWED) for q in believed],
            alpha=self.each,
        )
        when = [one.at for one in checked]
        seen, low = 1 - fewer.mean, max(0.0, 1 - fewer.allowed)
        yield _shift("passes_less", arm.name, fewer, (seen, expected, low), when=when)
        yield _shift(
            "passes_more", arm.name, more, (seen, expected, min(1.0, more.allowed)), when=when
        )

    def _costs(self, arm: FittedArm, paid: Sequence[Try]) -> Shift:
        slack = 1 + self.cost_tolerance + _error(arm.outcomes)
        believed = [one.expected.cost_usd for one in paid]
        found = excess(
            [one.cost_usd for one in paid], [slack * c for c in believed], alpha=self.each
        )
        expected = math.fsum(believed) / len(believed)
        when = [one.at for one in paid]
        return _shift(
            "costs_more", arm.name, found, (found.mean, expected, found.allowed), when=when
        )

    def task_costs(self, traces: Sequence[Trace]) -> Iterator[Shift]:
        """Whole tasks against the held-out cost of what decides: the plan, or its fallback."""
        policy = self.policy
        wanted = () if policy.decides else policy.certificate.fallback
        expected = next((r.cost_usd for r in policy.results if r.arms == wanted), 0.0)
        paid = [trace for trace in traces if trace.attempts and not _from_cache(trace)]
        if not expected or not paid:
            return
        limit = expected * (1 + self.cost_tolerance + _error(policy.provenance.certify_tasks))
        found = excess(
            [float(trace.cost_usd) for trace in paid], [limit] * len(paid), alpha=self.each
        )
        when = [trace.started_at for trace in paid]
        yield _shift("tasks_cost_more", None, found, (found.mean, expected, limit), when=when)

    def difficulty(self, tried: Sequence[Try]) -> Iterator[Shift]:
        ranked = hardness_ranks(tried, self.policy)
        if not ranked:
            return
        ranks, when = [rank for _, rank in ranked], [one.at for one, _ in ranked]
        known = sum(self.policy.difficulty.counts)
        limit = min(1.0, 0.5 + self.tolerance + _TWO_SIDED_95 * math.sqrt(1 / 12 / known))
        kinds: tuple[tuple[ShiftKind, list[float]], ...] = (
            ("harder", ranks),
            ("easier", [1 - rank for rank in ranks]),
        )
        for kind, values in kinds:
            found = excess(values, [limit] * len(values), alpha=self.each)
            yield _shift(kind, None, found, (found.mean, 0.5, limit), when=when)

    def _half_width(self, arm: FittedArm) -> float:
        report = self.policy.model.report
        arms = () if report is None else report.arms
        ece = next((each.ece for each in arms if each.arm == arm.name), 0.0)
        mean = arm.mean_score if arm.outcomes else 0.5
        error = math.sqrt(mean * (1 - mean) / max(arm.outcomes, 1))
        return max(self.tolerance, ece) + _TWO_SIDED_95 * error


def _shift(
    kind: ShiftKind,
    arm: str | None,
    found: Evidence,
    numbers: tuple[float, float, float],
    *,
    when: Sequence[datetime],
) -> Shift:
    since = None if found.alarm_at is None else when[found.alarm_at]
    return Shift(kind, arm, found.count, *numbers, found.p, since)


def _error(outcomes: int) -> float:
    """Two standard errors of a mean of dollars that spread as much as their mean, as a share of it."""
    return _TWO_SIDED_95 / math.sqrt(max(outcomes, 1))


def _from_cache(trace: Trace) -> bool:
    return all(attempt.cached for attempt in trace.attempts)
