"""Read what a provider billed from the CSV file its console exports."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from effortctl._errors import ConfigError, StoreError

COLUMNS: Mapping[str, Sequence[str]] = {
    "date": (
        "date",
        "day",
        "usage_date",
        "start_time_iso",
        "start_time",
        "created_at",
        "timestamp",
    ),
    "model": ("model", "model_id", "model_name", "model_permaslug", "line_item", "snapshot_id"),
    "cost": ("cost", "cost_usd", "amount_usd", "amount_value", "cost_total", "amount", "usage_usd"),
    "currency": ("currency", "amount_currency"),
}
"""Column names looked for, first match wins, when the caller names none. `currency` is optional."""


def read_bills(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    only: Mapping[str, str] | None = None,
) -> dict[tuple[date, str], Decimal]:
    """Dollars by day (UTC) and model, added up over the rows of a provider's export.

    Days may be dates, ISO times or seconds since 1970. Of a line item such as `gpt-6-luna, input` the part
    before the comma is the model.

    Args:
        path: The CSV file, with a header.
        columns: Names of the columns `date`, `model`, `cost` and, if there is one, `currency`. What is left
            out is looked for under the names in `COLUMNS`.
        only: Keep the rows with these values in these columns, e.g. one API key.

    Raises:
        ConfigError: A column is missing, or the amounts are not in dollars.
        StoreError: The file cannot be read, or a row makes no sense.
    """
    path = Path(path)
    bills: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            chosen = _chosen(header, columns or {}, only or {}, where=str(path))
            for row in _kept(reader, only or {}):
                key, usd = _amount(row, chosen, where=f"{path}, line {reader.line_num}")
                bills[key] += usd
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"cannot read {path}: {error}; expected a CSV file in UTF-8") from error
    return dict(bills)


def _chosen(
    header: Sequence[str], columns: Mapping[str, str], only: Mapping[str, str], *, where: str
) -> dict[str, str]:
    by_lower = {name.strip().lower(): name for name in reversed(header)}
    unknown = [name for name in (*columns.values(), *only) if name not in header]
    strange = sorted(columns.keys() - COLUMNS.keys())
    if strange:
        raise ConfigError(f"cannot map {strange}; map any of {', '.join(COLUMNS)}")
    if unknown:
        raise ConfigError(
            f"{where}: the file has no column {unknown[0]!r}; it has: {', '.join(header)}"
        )
    found = {
        wanted: columns.get(wanted) or next((by_lower[n] for n in names if n in by_lower), "")
        for wanted, names in COLUMNS.items()
    }
    for wanted in ("date", "model", "cost"):
        if not found[wanted]:
            raise ConfigError(
                f"{where}: no column for the {wanted} was found among: {', '.join(header)}; name it with"
                f" {wanted}=COLUMN"
            )
    return found


def _kept(reader: csv.DictReader[str], only: Mapping[str, str]) -> Iterator[dict[str, str | None]]:
    for row in reader:
        if all((row[name] or "").strip() == value for name, value in only.items()):
            yield {name: value for name, value in row.items() if isinstance(name, str)}


def _amount(
    row: Mapping[str, str | None], chosen: Mapping[str, str], *, where: str
) -> tuple[tuple[date, str], Decimal]:
    currency = (row.get(chosen["currency"]) or "usd").strip().lower()
    if currency not in {"usd", "$"}:
        raise ConfigError(f"{where}: the amount is in {currency!r}; expected US dollars")
    text = (row[chosen["cost"]] or "").strip().removeprefix("$").replace(",", "")
    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite():
        raise StoreError(f"{where}: {text!r} is not an amount of dollars")
    model = (row[chosen["model"]] or "").partition(",")[0].strip()
    if not model:
        raise StoreError(f"{where}: the column {chosen['model']!r} names no model")
    return (_day((row[chosen["date"]] or "").strip(), where=where), model), usd


def _day(text: str, *, where: str) -> date:
    try:
        if text.isdecimal() and len(text) > len("20261123"):
            return datetime.fromtimestamp(int(text), UTC).date()
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise StoreError(f"{where}: {text!r} is not a date; expected e.g. 2026-11-23") from None
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
