"""`effortctl ledger reconcile`: the ledger against the provider's bill."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from effortctl._errors import StoreError
from effortctl.cli import _show
from effortctl.cli._exits import ExitCode, print_json, told
from effortctl.cli._options import AsJson, LedgerFile, ledger_path, read_usd
from effortctl.stores import Adjustment, Line, SqliteLedger, adjustments, read_bills
from effortctl.stores import reconcile as compare

CENTS = Decimal("0.005")
"""What rounding to cents can hide."""


def read_pairs(texts: Sequence[str] | None) -> dict[str, str]:
    """Read options of the form `NAME=VALUE`."""
    pairs: dict[str, str] = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        if not (name.strip() and value.strip()):
            raise typer.BadParameter(f"{text!r} is not of the form NAME=VALUE")
        pairs[name.strip()] = value.strip()
    return pairs


def reconcile(
    bill: Annotated[Path, typer.Argument(metavar="BILL.CSV", help="The provider's export.")],
    *,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="WHAT=NAME",
            help="The bill's column of date, model, cost or currency; repeatable.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="COLUMN=VALUE",
            help="Only rows with this value, e.g. of one API key; repeatable.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="THEIRS=OURS",
            help="A model that the bill calls by another name; repeatable.",
        ),
    ] = None,
    tolerance: Annotated[
        Decimal | None,
        typer.Option(
            metavar="USD",
            parser=read_usd,
            help="Differences that are mere rounding. Default: half a cent.",
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Book what the bill says of estimated entries.")
    ] = False,
    ledger: LedgerFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare the ledger with the provider's bill, per day (UTC) and model.

    Exit code 0: equal, or estimates explain the rest. 4: something else differs. Nothing is booked without
    `--apply`, and then only adjustments of estimates, as entries of their own.

    Examples:
    - `effortctl ledger reconcile usage.csv`

    - `effortctl ledger reconcile usage.csv --column cost=amount_value --only api_key_id=key_1 --apply`
    """
    with told(as_json=as_json), SqliteLedger(_existing(ledger_path(ledger))) as store:
        bills = read_bills(bill, columns=read_pairs(column), only=read_pairs(only))
        rounding = CENTS if tolerance is None else tolerance
        lines = compare(store.entries(), bills, aliases=read_pairs(model), tolerance_usd=rounding)
        found = adjustments(lines, before=datetime.now(UTC).date())
        booked = store.adjust(found) if apply else 0
        differs = [line for line in lines if line.status in {"provider_more", "provider_less"}]
        if as_json:
            print_json(_comparison(lines, found, booked=booked, differs=bool(differs)))
        else:
            _print_comparison(lines, found, booked=booked, applied=apply)
        if differs:
            raise typer.Exit(ExitCode.NOT_ACCEPTED)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise StoreError(f"there is no ledger at {path}; check the path")
    return path


_SAID = {
    "equal": "equal",
    "explained": "explained",
    "provider_more": "billed more",
    "provider_less": "billed less",
    "not_billed": "not billed",
    "unnamed": "no model",
}


def _print_comparison(
    lines: Sequence[Line], found: Sequence[Adjustment], *, booked: int, applied: bool
) -> None:
    console = _show.out()
    if not lines:
        console.print("The bill has no rows, so there is nothing to compare.")
        return
    numbers = ("reported", "estimated", "billed", "difference")
    listing = _show.table("day", "model", *numbers, "", right=numbers)
    for line in lines:
        money = (line.reported_usd, line.estimated_usd, line.provider_usd, line.difference_usd)
        cells = [line.day.isoformat(), line.model, *map(_show.usd, money), _SAID[line.status]]
        listing.add_row(*cells)
    console.print(listing)
    console.print()
    change = _show.usd(sum((each.difference_usd for each in found), Decimal(0)))
    if applied:
        console.print(f"Booked {booked:,} adjustments of estimated entries: {change}.")
    elif found:
        console.print(
            f"With --apply, {len(found):,} estimated entries are adjusted to the bill: {change}."
        )


def _comparison(
    lines: Sequence[Line], found: Sequence[Adjustment], *, booked: int, differs: bool
) -> dict[str, object]:
    return {
        "agrees": not differs,
        "lines": [
            {
                "day": line.day.isoformat(),
                "model": line.model,
                "status": line.status,
                "reported_usd": format(line.reported_usd, "f"),
                "estimated_usd": format(line.estimated_usd, "f"),
                "provider_usd": format(line.provider_usd, "f"),
                "difference_usd": format(line.difference_usd, "f"),
                "estimated_entries": len(line.estimates),
            }
            for line in lines
        ],
        "adjustable_entries": len(found),
        "adjustment_usd": format(sum((each.difference_usd for each in found), Decimal(0)), "f"),
        "adjusted_entries": booked,
    }
