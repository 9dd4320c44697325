"""The ledger against the provider's own bill, per day (UTC) and model.

Entries marked `estimated` are upper bounds: calls that were cut off, cancelled or timed out. Where the bill
lies between what calls reported and that upper bound, the estimates explain the difference, and their real
cost is known at last. Any other difference is shown and never booked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Literal

from effortctl.stores._entries import LedgerEntry, from_pico, to_pico

LineStatus = Literal[
    "equal", "explained", "provider_more", "provider_less", "not_billed", "unnamed"
]
"""`equal`: within the tolerance. `explained`: estimates make up the difference. `provider_more`: the bill
holds more than the ledger can explain. `provider_less`: it holds less than calls reported. `not_billed`: the
bill never names this model, so it is probably another provider's. `unnamed`: calls that a dead process left
behind; they name no model, but may explain what other lines of the day lack."""

Bills = Mapping[tuple[date, str], Decimal]
"""Billed dollars by day and model."""

UNKNOWN = "?"
"""Model of entries that name none: the reaper booked them for a process that died."""


@dataclass(frozen=True, slots=True)
class Estimated:
    """One booked upper bound whose real cost never arrived.

    Attributes:
        reservation: Id of the reservation it was booked for.
        booked_usd: Dollars booked.
    """

    reservation: str
    booked_usd: Decimal


@dataclass(frozen=True, slots=True)
class Line:
    """One day of one model.

    Attributes:
        day: The day (UTC).
        model: Model id; `?` collects entries that name none.
        reported_usd: Booked from usage that endpoints reported.
        estimated_usd: Booked as upper bounds.
        provider_usd: On the bill.
        status: What the comparison says.
        estimates: The upper bounds.
    """

    day: date
    model: str
    reported_usd: Decimal = Decimal(0)
    estimated_usd: Decimal = Decimal(0)
    provider_usd: Decimal = Decimal(0)
    status: LineStatus = "equal"
    estimates: tuple[Estimated, ...] = ()

    @property
    def ledger_usd(self) -> Decimal:
        """All that is booked."""
        return self.reported_usd + self.estimated_usd

    @property
    def difference_usd(self) -> Decimal:
        """What the provider billed beyond what is booked; negative when less."""
        return self.provider_usd - self.ledger_usd


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What an estimate turned out to be too high by.

    Attributes:
        reservation: Whose estimate it corrects.
        difference_usd: Dollars to add; negative.
    """

    reservation: str
    difference_usd: Decimal


def reconcile(
    entries: Iterable[LedgerEntry],
    bills: Bills,
    *,
    aliases: Mapping[str, str] | None = None,
    tolerance_usd: Decimal = Decimal("0.005"),
) -> list[Line]:
    """Compare day by day and model by model; days outside the bill's are left alone.

    Args:
        entries: What is booked.
        bills: What the provider billed, see `read_bills`.
        aliases: Our model id by the provider's, where they differ.
        tolerance_usd: Differences up to this count as rounding of the bill.

    Returns:
        A line for every day and model that either side knows, in order.
    """
    if not bills:
        return []
    days = {day for day, _ in bills}
    lines = _booked(entries, first=min(days), last=max(days))
    named = _renamed(bills, {line.model for line in lines.values()}, aliases or {})
    for key, usd in named.items():
        lines[key] = replace(lines.get(key, Line(*key)), provider_usd=usd)
    billed = {model for _, model in named}
    judged = [_judged(lines[key], billed, tolerance_usd=tolerance_usd) for key in sorted(lines)]
    return _explained_by_unnamed(judged, tolerance_usd)


def adjustments(lines: Iterable[Line], *, before: date) -> list[Adjustment]:
    """Entries that would bring explained lines to the bill, exactly; none for other lines.

    What the bill leaves for the estimates of a line is shared out in proportion to them.

    Args:
        lines: From `reconcile`.
        before: Only days before this one, because the bill of a running day is not complete.
    """
    found: list[Adjustment] = []
    for line in lines:
        if line.day < before and line.estimates and line.status == "explained":
            found += _shared_out(line)
    return found


def _booked(
    entries: Iterable[LedgerEntry], *, first: date, last: date
) -> dict[tuple[date, str], Line]:
    by_reservation: dict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        if first <= entry.time.date() <= last:
            by_reservation[entry.reservation].append(entry)
    lines: dict[tuple[date, str], Line] = {}
    for reservation, group in by_reservation.items():
        key = (group[0].time.date(), next((e.model for e in group if e.model), UNKNOWN))
        usd = sum((entry.cost_usd for entry in group), Decimal(0))
        if not usd:
            continue
        line = lines.get(key, Line(*key))
        if group[-1].estimated:  # no correction or adjustment came after the estimate
            mine = Estimated(reservation, usd)
            total = line.estimated_usd + usd
            lines[key] = replace(line, estimated_usd=total, estimates=(*line.estimates, mine))
        else:
            lines[key] = replace(line, reported_usd=line.reported_usd + usd)
    return lines


def _renamed(
    bills: Bills, ours: set[str], aliases: Mapping[str, str]
) -> dict[tuple[date, str], Decimal]:
    """The bill under our model ids: by alias, by the same id, or by the id without its release date."""
    named: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for (day, theirs), usd in bills.items():
        named[day, aliases.get(theirs) or _our_name(theirs, ours)] += usd
    return dict(named)


def _our_name(theirs: str, ours: set[str]) -> str:
    if theirs in ours:
        return theirs
    dated = [name for name in ours if theirs.startswith(f"{name}-2")]
    return max(dated, key=len, default=theirs)


def _judged(line: Line, billed: set[str], *, tolerance_usd: Decimal) -> Line:
    status: LineStatus
    if line.model == UNKNOWN:
        status = "unnamed"
    elif line.model not in billed:
        status = "not_billed"
    elif abs(line.difference_usd) <= tolerance_usd:
        status = "equal"
    elif line.difference_usd > 0:
        status = "provider_more"
    elif line.provider_usd >= line.reported_usd - tolerance_usd:
        status = "explained"
    else:
        status = "provider_less"
    return replace(line, status=status)


def _explained_by_unnamed(lines: list[Line], tolerance_usd: Decimal) -> list[Line]:
    """Excuse a line of which the bill holds more, while calls without a name can have caused it."""
    room = {line.day: line.estimated_usd for line in lines if line.status == "unnamed"}
    done = []
    for line in lines:
        left, more = room.get(line.day, Decimal(0)), line.difference_usd
        if line.status == "provider_more" and more <= left + tolerance_usd:
            room[line.day] = left - min(more, left)
            done.append(replace(line, status="explained"))
        else:
            done.append(line)
    return done


def _shared_out(line: Line) -> list[Adjustment]:
    """Whole pico-dollars that add up to the difference: the last estimate takes the rounding."""
    real = min(line.estimated_usd, max(Decimal(0), line.provider_usd - line.reported_usd))
    total, left = to_pico(line.estimated_usd), to_pico(real)
    found, weight = [], total
    for estimate in line.estimates:
        pico = to_pico(estimate.booked_usd)
        share = left * pico // weight
        left, weight = left - share, weight - pico
        found.append(Adjustment(estimate.reservation, from_pico(share - pico)))
    return found
