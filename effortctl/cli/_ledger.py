"""`effortctl ledger`: what was spent, on what, when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from effortctl._errors import StoreError
from effortctl.cli import _overview, _reconcile, _show
from effortctl.cli._exits import print_json, told
from effortctl.cli._help import App
from effortctl.cli._options import (
    AsJson,
    LedgerFile,
    PolicyToCompare,
    Since,
    TracesFile,
    ledger_path,
)
from effortctl.cli._top import Watch
from effortctl.stores import LedgerTotal, SqliteLedger

app = App(help="What was spent, on what, and when.")


@app.command("show")
def show(
    *,
    by: Annotated[
        Literal["arm", "day", "model"],
        typer.Option(
            metavar="arm|day|model", help="One line per arm, per day (UTC), or per model."
        ),
    ] = "arm",
    since: Since = None,
    ledger: LedgerFile = None,
    as_json: AsJson = False,
) -> None:
    """Add up calls, tokens and dollars.

    Examples:
    - `effortctl ledger show`

    - `effortctl ledger show --by day --since 7d`
    """
    with told(as_json=as_json):
        path = ledger_path(ledger)
        with _opened(path, named=ledger is not None) as store:
            totals = {} if store is None else store.totals(by, since=since)
        everything = sum(totals.values(), LedgerTotal())
        if as_json:
            groups = {name: _fields(total) for name, total in totals.items()}
            print_json(
                {"ledger": str(path), "by": by, "groups": groups, "total": _fields(everything)}
            )
        else:
            _print_totals(by, totals, everything, path=path)


@app.command("report")
def report(
    *,
    since: Since = None,
    traces: TracesFile = None,
    policy: PolicyToCompare = None,
    ledger: LedgerFile = None,
    as_json: AsJson = False,
) -> None:
    """Spend by arm and by day, escalations, what was verified, and drift away from a policy.

    Examples:
    - `effortctl ledger report --since 7d --traces traces.jsonl`

    - `effortctl ledger report --traces traces.jsonl --policy policy.json --json`
    """
    with told(as_json=as_json):
        view = Watch(traces=traces, ledger=ledger, policy=policy, since=since).look()
        if as_json:
            print_json(_overview.fields(view))
        else:
            _show.out().print(_overview.rendered(view, days=True))


@app.command("export")
def export(
    *,
    fmt: Annotated[
        Literal["csv", "jsonl"], typer.Option("--format", help="How entries are written.")
    ] = "csv",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where it goes. Default: stdout."),
    ] = None,
    since: Since = None,
    ledger: LedgerFile = None,
) -> None:
    """Write every entry: one call each, never a prompt or an answer.

    Examples:
    - `effortctl ledger export --format csv -o spend.csv`

    - `effortctl ledger export --format jsonl --since 24h`
    """
    with told(as_json=False), _opened(ledger_path(ledger), named=ledger is not None) as store:
        lines = iter(()) if store is None else store.export(fmt, since=since)
        if output is None:
            for line in lines:
                typer.echo(line)
        else:
            _write(output, lines)


app.command("reconcile")(_reconcile.reconcile)


@contextmanager
def _opened(path: Path, *, named: bool) -> Iterator[SqliteLedger | None]:
    """The ledger, or None when nothing was ever booked; looking must not create a file."""
    if path.exists():
        with SqliteLedger(path) as store:
            yield store
    elif named:
        raise StoreError(f"there is no ledger at {path}; check the path")
    else:
        yield None


def _write(output: Path, lines: Iterator[str]) -> None:
    try:
        with output.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        raise StoreError(f"cannot write {output}: {error.strerror}; choose another file") from error
    typer.echo(f"Written to {output}", err=True)


def _print_totals(
    by: str, totals: Mapping[str, LedgerTotal], everything: LedgerTotal, *, path: Path
) -> None:
    console = _show.out()
    if not totals:
        console.print(f"Nothing booked yet in {path}", soft_wrap=True)
        return
    numbers = ("calls", "input", "output", "reasoning", "CPU s", "cost")
    listing = _show.table(by, *numbers, right=numbers)
    for name, total in totals.items():
        listing.add_row(name, *_cells(total))
    listing.add_section()
    listing.add_row("total", *_cells(everything), style="bold")
    console.print(listing)
    console.print()
    if everything.estimated_usd:
        console.print(
            f"{_show.usd(everything.estimated_usd)} of it is an upper bound: what was set aside for "
            "calls whose real cost never arrived."
        )
    console.print(f"Ledger: {path}", soft_wrap=True)


def _cells(total: LedgerTotal) -> list[str]:
    return [
        f"{total.entries:,}",
        f"{total.input_tokens:,}",
        f"{total.output_tokens:,}",
        f"{total.reasoning_tokens:,}",
        f"{total.compute_s:,.1f}",
        _show.usd(total.cost_usd),
    ]


def _fields(total: LedgerTotal) -> dict[str, object]:
    money = {
        "cost_usd": format(total.cost_usd, "f"),
        "estimated_usd": format(total.estimated_usd, "f"),
    }
    return asdict(total) | money
