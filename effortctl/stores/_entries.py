"""What a ledger keeps of each call, and the ways to look at it. Never a prompt, never an answer."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from decimal import ROUND_CEILING, Context, Decimal
from typing import Literal, TypeAlias

from effortctl._errors import ConfigError, StoreError
from effortctl._types import Answer, Call

EntryKind = Literal["settled", "reaped", "correction", "adjustment"]
"""`settled`: the real cost. `reaped`: nobody settled, so the reserved amount was charged.
`correction`: the difference, when the real cost of a reaped reservation arrived after all. `adjustment`:
the difference to the provider's bill, when it told what an estimate had really cost."""

AFTERTHOUGHTS: frozenset[EntryKind] = frozenset({"correction", "adjustment"})
"""Entries that change the amount of an earlier one; they are not calls."""

GroupBy = Literal["arm", "day", "model"]
ExportFormat = Literal["csv", "jsonl"]
Cell: TypeAlias = str | int | float | None

_PICO = 12
_EXACT = Context(prec=100)
_MAX_PICO = 2**63 - 1
_MAX_TEXT = 200


def to_pico(usd: Decimal, *, rounding: str = ROUND_CEILING) -> int:
    """Whole pico-dollars, rounded up unless told otherwise.

    Integers are kept because SQLite adds them exactly, and text or floats it would not. A pico-dollar
    (10^-12) holds every price of up to six decimals per million tokens without rounding, and 64 bits
    of them are nine million dollars. Finer amounts (rent per second) gain less than one pico-dollar.

    Raises:
        StoreError: The amount does not fit.
    """
    pico = int(usd.scaleb(_PICO, _EXACT).to_integral_value(rounding, _EXACT))
    if abs(pico) > _MAX_PICO:
        raise StoreError(
            f"${usd} is more than a ledger can hold (about $9,200,000); check the price of this arm"
        )
    return pico


def from_pico(pico: int) -> Decimal:
    """Dollars of a whole number of pico-dollars, without trailing zeros."""
    usd = Decimal(pico).scaleb(-_PICO, _EXACT).normalize(_EXACT)
    return Decimal(int(usd)) if usd == usd.to_integral_value() else usd


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One booked amount. Entries are only ever added, never changed.

    Attributes:
        time: When the money was set aside (UTC); decides which budget window it counts in.
        settled_at: When the entry was written (UTC).
        kind: How the amount came about.
        reservation: Id of the reservation it replaces.
        trace_id: Joins the entry to its trace.
        task_id: The task's own id.
        arm: Name of the arm.
        model: Model id that was asked for.
        requested_effort: Effort that was asked for.
        effective_effort: Effort that was sent.
        input_tokens: Input tokens, cached and cache-written ones included. None: not known.
        cached_tokens: Part of the input read from the provider's cache.
        cache_write_tokens: Part of the input written to the provider's cache.
        output_tokens: Generated tokens, reasoning included.
        reasoning_tokens: Part of the output spent on reasoning.
        latency_s: Wall-clock seconds of the call.
        compute_s: Compute-seconds of a local call.
        cost_usd: Dollars booked. Negative only for a correction or an adjustment.
        reserved_usd: Worst case that had been set aside.
        price_source: Where the price came from.
        price_version: Version of that source.
        estimated: True when the amount is an upper bound, not a report of the endpoint.
        service_tier: Tier the endpoint says it billed.
        request_id: The endpoint's own id of the call.
        scopes: Budget scopes the amount counts in.
    """

    time: datetime
    settled_at: datetime
    kind: EntryKind
    reservation: str
    trace_id: str
    cost_usd: Decimal
    reserved_usd: Decimal
    price_source: str
    price_version: str
    estimated: bool
    scopes: tuple[str, ...]
    task_id: str | None = None
    arm: str | None = None
    model: str | None = None
    requested_effort: str | None = None
    effective_effort: str | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    latency_s: float | None = None
    compute_s: float | None = None
    service_tier: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerTotal:
    """Sum of some entries.

    Attributes:
        entries: Calls booked; corrections and adjustments do not count as calls.
        cost_usd: Dollars.
        estimated_usd: Part of them that is an upper bound, not a report of the endpoint.
        input_tokens: Input tokens, where known.
        output_tokens: Generated tokens, where known.
        reasoning_tokens: Reasoning tokens, where known.
        compute_s: Compute-seconds of local calls.
    """

    entries: int = 0
    cost_usd: Decimal = Decimal(0)
    estimated_usd: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    compute_s: float = 0.0

    def __add__(self, other: LedgerTotal) -> LedgerTotal:
        """Sum of two totals."""
        mine, theirs = asdict(self), asdict(other)
        return LedgerTotal(**{name: mine[name] + theirs[name] for name in mine})


def total_by(entries: Iterable[LedgerEntry], by: GroupBy) -> dict[str, LedgerTotal]:
    """Totals per arm, per day (UTC) or per model, by name; entries without a name count as `?`."""
    groups: dict[str, LedgerTotal] = {}
    for entry in entries:
        name = _group(entry, by)
        groups[name] = groups.get(name, LedgerTotal()) + _as_total(entry)
    return dict(sorted(groups.items()))


def _group(entry: LedgerEntry, by: GroupBy) -> str:
    match by:
        case "arm":
            return entry.arm or "?"
        case "model":
            return entry.model or "?"
        case "day":
            return entry.time.date().isoformat()
    raise ConfigError(f'totals by {by!r} are not kept; use "arm", "day" or "model"')


def _as_total(entry: LedgerEntry) -> LedgerTotal:
    guessed = entry.cost_usd if entry.estimated else Decimal(0)
    if entry.kind in AFTERTHOUGHTS and not entry.estimated:
        guessed = -entry.reserved_usd  # takes back the whole estimate that had been booked
    return LedgerTotal(
        entries=0 if entry.kind in AFTERTHOUGHTS else 1,
        cost_usd=entry.cost_usd,
        estimated_usd=guessed,
        input_tokens=entry.input_tokens or 0,
        output_tokens=entry.output_tokens or 0,
        reasoning_tokens=entry.reasoning_tokens or 0,
        compute_s=entry.compute_s or 0.0,
    )


def export_lines(entries: Iterable[LedgerEntry], fmt: ExportFormat) -> Iterator[str]:
    """Entries as text, one line each without its line break; CSV starts with the column names.

    Raises:
        ConfigError: When the format is neither `csv` nor `jsonl`.
    """
    if fmt == "jsonl":
        return (json.dumps(_plain(entry)) for entry in entries)
    if fmt == "csv":
        return _csv_lines(entries)
    raise ConfigError(f'a ledger cannot be exported as {fmt!r}; use "csv" or "jsonl"')


def _csv_lines(entries: Iterable[LedgerEntry]) -> Iterator[str]:
    yield _csv_line([field.name for field in fields(LedgerEntry)])
    for entry in entries:
        cells = _plain(entry).values()
        yield _csv_line(["|".join(c) if isinstance(c, list) else c for c in cells])


def _csv_line(cells: Iterable[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def _plain(entry: LedgerEntry) -> dict[str, object]:
    plain: dict[str, object] = {}
    for field in fields(entry):
        value = getattr(entry, field.name)
        if isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, Decimal):
            value = format(value, "f")
        elif isinstance(value, tuple):
            value = list(value)
        plain[field.name] = value
    return plain


# --- the part of an entry that its caller fills in ---------------------------------------------------


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    # A reply may hold half a surrogate pair, which SQLite refuses.
    return value[:_MAX_TEXT].encode("utf-8", "replace").decode()


def _count(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= _MAX_PICO:
        raise TypeError
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise TypeError
    return float(value)


ROW_COLUMNS: Mapping[str, Callable[[object], Cell]] = {
    "task_id": _text,
    "arm": _text,
    "model": _text,
    "requested_effort": _text,
    "effective_effort": _text,
    "input_tokens": _count,
    "cached_tokens": _count,
    "cache_write_tokens": _count,
    "output_tokens": _count,
    "reasoning_tokens": _count,
    "latency_s": _seconds,
    "compute_s": _seconds,
    "service_tier": _text,
    "request_id": _text,
}
"""What a settlement's `row` may hold besides `estimated`. There is no column a prompt would fit in."""


def clean_row(row: Mapping[str, object]) -> tuple[list[Cell], list[str]]:
    """Cells in the order of `ROW_COLUMNS`, and the names of values that cannot be kept.

    A bad value is left out instead of refused: the money it belongs to has been spent.
    """
    cells: list[Cell] = []
    dropped = [name for name in row if name not in ROW_COLUMNS and name != "estimated"]
    for name, convert in ROW_COLUMNS.items():
        value = row.get(name)
        try:
            cells.append(None if value is None else convert(value))
        except TypeError:
            cells.append(None)
            dropped.append(name)
    return cells, dropped


def ledger_row(call: Call, answer: Answer | None = None) -> dict[str, object]:
    """The `row` of a settlement: who was asked, and what the answer says it used."""
    row: dict[str, object] = {
        "task_id": call.task.id,
        "arm": call.arm.name,
        "model": call.arm.model,
        "requested_effort": call.arm.effort,
        "effective_effort": call.arm.sent_effort,
    }
    if answer is None:
        return row
    row |= {
        "latency_s": answer.latency_s,
        "compute_s": answer.compute_s,
        "service_tier": answer.service_tier,
        "request_id": answer.request_id,
    }
    if answer.usage is not None:
        row |= answer.usage.model_dump()
    return row
