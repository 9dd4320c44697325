"""What `effortctl top` and `effortctl ledger report` show: one overview, as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from effortctl.cli import _show
from effortctl.stores import Activity, ArmActivity, LedgerEntry, TaskActivity, booked_activity

if TYPE_CHECKING:
    from effortctl._drift import DriftReport, Shift


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All that is shown.

    Attributes:
        since: From when on; None: from the beginning.
        ledger: The file of the ledger.
        entries: What was booked.
        traces: The file of traces; None: none was named.
        activity: What the traces tell; None: none was named.
        drift: Against a policy; None: none was named.
    """

    since: datetime | None
    ledger: Path
    entries: Sequence[LedgerEntry]
    traces: Path | None = None
    activity: Activity | None = None
    drift: DriftReport | None = None

    @property
    def booked(self) -> TaskActivity:
        """What the ledger knows."""
        return booked_activity(self.entries)

    def spend(self) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
        """Booked dollars by arm and by day (UTC)."""
        by_arm: dict[str, Decimal] = {}
        by_day: dict[str, Decimal] = {}
        for entry in self.entries:
            day, arm = entry.time.date().isoformat(), entry.arm or "?"
            by_arm[arm] = by_arm.get(arm, Decimal(0)) + entry.cost_usd
            by_day[day] = by_day.get(day, Decimal(0)) + entry.cost_usd
        return by_arm, by_day


# --- JSON ------------------------------------------------------------------------------------------


def fields(view: Overview) -> dict[str, object]:
    """The overview as plain JSON; dollars are exact, as text."""
    by_arm, by_day = view.spend()
    tasks = view.booked if view.activity is None else view.activity.total
    return {
        "since": None if view.since is None else view.since.isoformat(),
        "ledger": str(view.ledger),
        "traces": None if view.traces is None else str(view.traces),
        "spend_usd": f"{view.booked.cost_usd:f}",
        "spend_by_arm": {name: f"{usd:f}" for name, usd in sorted(by_arm.items())},
        "spend_by_day": {name: f"{usd:f}" for name, usd in sorted(by_day.items())},
        "tasks": tasks.tasks,
        "escalation_rate": tasks.escalation_rate,
        "verified_rate": None if view.activity is None else view.activity.total.verified_rate,
        "usd_per_task": _exact(tasks.usd_per_task),
        "usd_per_verified_task": None
        if view.activity is None
        else _exact(view.activity.total.usd_per_verified_task),
        "outcomes": {} if view.activity is None else dict(view.activity.outcomes),
        "arms": {} if view.activity is None else _arm_fields(view.activity.by_arm),
        "days": {} if view.activity is None else _day_fields(view.activity),
        "drift": None if view.drift is None else _drift_fields(view.drift),
    }


def _exact(usd: Decimal | None) -> str | None:
    return None if usd is None else f"{round(usd, 12).normalize():f}"


def _arm_fields(by_arm: Mapping[str, ArmActivity]) -> dict[str, object]:
    return {
        name: {
            "first": arm.first,
            "attempts": arm.attempts,
            "passed": arm.passed,
            "failed": arm.failed,
            "unclear": arm.unclear,
            "errors": arm.errors,
            "verified_rate": arm.verified_rate,
            "cost_usd": f"{arm.cost_usd:f}",
            "feedback": fmean(arm.scores) if arm.scores else None,
            "feedback_count": len(arm.scores),
        }
        for name, arm in sorted(by_arm.items())
    }


def _day_fields(activity: Activity) -> dict[str, object]:
    return {
        day.isoformat(): {
            "tasks": tasks.tasks,
            "escalation_rate": tasks.escalation_rate,
            "verified_rate": tasks.verified_rate,
            "cost_usd": f"{tasks.cost_usd:f}",
        }
        for day, tasks in sorted(activity.by_day.items())
    }


def _drift_fields(report: DriftReport) -> dict[str, object]:
    return {
        "alpha": report.alpha,
        "traces": report.traces,
        "compared": report.compared,
        "shifts": [_shift_fields(shift) for shift in report.shifts],
    }


def _shift_fields(shift: Shift) -> dict[str, object]:
    return {
        "kind": shift.kind,
        "arm": shift.arm,
        "alarm": shift.alarm,
        "since": None if shift.since is None else shift.since.isoformat(),
        "count": shift.count,
        "seen": shift.seen,
        "expected": shift.expected,
        "limit": shift.limit,
        "p": shift.p,
        "text": shift.text,
        "advice": shift.advice if shift.alarm else None,
    }


# --- text ------------------------------------------------------------------------------------------


def rendered(view: Overview, *, days: bool) -> Group:
    """The overview for a terminal.

    Args:
        view: What to show.
        days: Also show a line per day.
    """
    if not view.entries and view.activity is None:
        return Group(Text(f"Nothing booked{_since(view) or ' yet'} in {view.ledger}"))
    parts: list[RenderableType] = [_headline(view), Text(), _arm_table(view)]
    if days:
        parts += [Text(), _day_table(view)]
    if view.drift is not None:
        parts += [Text(), *_drift_lines(view.drift)]
    if view.activity is None:
        hint = "Name the traces (--traces FILE or $EFFORTCTL_TRACES) to see what was verified."
        parts += [Text(), Text(hint, style="dim")]
    return Group(*parts)


def _since(view: Overview) -> str:
    return "" if view.since is None else f" since {view.since:%Y-%m-%d %H:%M} UTC"


def _headline(view: Overview) -> Text:
    tasks = view.booked if view.activity is None else view.activity.total
    parts = [
        f"{_show.usd(view.booked.cost_usd)} booked{_since(view)}",
        _show.plural(tasks.tasks, "task"),
        f"{percent(tasks.escalation_rate)} escalated",
    ]
    if view.activity is not None:
        parts.append(f"{percent(view.activity.total.verified_rate)} verified")
    lines = [Text(", ".join(parts), style="bold")]
    each = [
        f"{_show.usd(usd)} per {what}"
        for usd, what in (
            (tasks.usd_per_task, "task"),
            (None if view.activity is None else tasks.usd_per_verified_task, "verified task"),
        )
        if usd is not None
    ]
    return Text("\n").join([*lines, *([Text(", ".join(each))] if each else [])])


def _share(part: Decimal, whole: Decimal) -> str:
    return percent(float(part / whole) if whole else None)


def _booked_table(booked: Mapping[str, Decimal]) -> RenderableType:
    listing = _show.table("arm", "booked", "share", right=("booked", "share"))
    whole = sum(booked.values(), Decimal(0))
    for name, usd in sorted(booked.items(), key=lambda item: (-item[1], item[0])):
        listing.add_row(name, _show.usd(usd), _share(usd, whole))
    return listing


def _arm_table(view: Overview) -> RenderableType:
    booked, _ = view.spend()
    if view.activity is None:
        return _booked_table(booked)
    by_arm = view.activity.by_arm
    paid = booked or {name: arm.cost_usd for name, arm in by_arm.items()}
    whole = sum(paid.values(), Decimal(0))
    names = sorted({*by_arm, *paid}, key=lambda name: (-paid.get(name, Decimal(0)), name))
    columns: dict[str, Callable[[ArmActivity, Decimal], str]] = {
        "first": lambda arm, _: f"{arm.first:,}",
        "tries": lambda arm, _: f"{arm.attempts:,}",
        "passed": lambda arm, _: percent(arm.verified_rate),
        "errors": lambda arm, _: f"{arm.errors:,}",
        "booked" if booked else "cost": lambda _, usd: _show.usd(usd),
        "share": lambda _, usd: _share(usd, whole),
        "feedback": lambda arm, _: _feedback(arm),
    }
    if not any(arm.errors for arm in by_arm.values()):
        del columns["errors"]
    if not any(arm.scores for arm in by_arm.values()):
        del columns["feedback"]
    listing = _show.table("arm", *columns, right=tuple(columns))
    for name in names:
        arm, usd = by_arm.get(name, ArmActivity()), paid.get(name, Decimal(0))
        listing.add_row(name, *(cell(arm, usd) for cell in columns.values()))
    return listing


def _feedback(arm: ArmActivity) -> str:
    return f"{fmean(arm.scores):.2f} ({len(arm.scores):,})" if arm.scores else "-"


def _day_table(view: Overview) -> RenderableType:
    _, booked = view.spend()
    if view.activity is None:
        listing = _show.table("day", "booked", right=("booked",))
        for day, usd in sorted(booked.items()):
            listing.add_row(day, _show.usd(usd))
        return listing
    known = {day.isoformat(): tasks for day, tasks in view.activity.by_day.items()}
    numbers = ("booked", "tasks", "escalated", "verified")
    listing = _show.table("day", *numbers, right=numbers)
    for day in sorted({*booked, *known}):
        tasks = known.get(day)
        listing.add_row(
            day,
            _show.usd(booked.get(day, Decimal(0))),
            "-" if tasks is None else f"{tasks.tasks:,}",
            "-" if tasks is None else percent(tasks.escalation_rate),
            "-" if tasks is None else percent(tasks.verified_rate),
        )
    return listing


def _drift_lines(report: DriftReport) -> list[RenderableType]:
    if not report.compared:
        return [
            Text(
                "Drift: no trace holds what a policy expected; run with --policy and --traces.",
                style="dim",
            )
        ]
    chance = f"{report.alpha:.0%} chance of a false alarm"
    if not report.alarms:
        count = _show.plural(report.compared, "task")
        return [Text(f"Drift: none. {count} are within the policy's intervals ({chance}).")]
    lines: list[RenderableType] = [Text(f"Drift ({chance}):", style="bold")]
    for shift in report.alarms:
        lines.append(Text(f"  {shift.text}, since {shift.since:%Y-%m-%d %H:%M}.", style="yellow"))
        lines.append(Text(f"    {shift.advice[0].upper()}{shift.advice[1:]}."))
    return lines


def percent(share: float | None) -> str:
    """A share in percent; `-` when it is not known."""
    return "-" if share is None else f"{share:.0%}"
