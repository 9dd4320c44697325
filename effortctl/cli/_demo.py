"""`effortctl demo`: the main job on recorded answers, then live if this machine can."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from effortctl._errors import StoreError
from effortctl.catalog import load_ladder
from effortctl.cli import _demo_live, _demo_text, _show
from effortctl.cli._exits import print_json, told
from effortctl.cli._options import AsJson, Gguf, Recording, read_usd
from effortctl.harness import (
    Event,
    Progress,
    RecordedSuite,
    Shown,
    Table,
    load_recorded_suite,
    run_demo,
)
from effortctl.stores import SqliteLedger, TraceStore

if TYPE_CHECKING:
    from rich.console import Console


def demo(  # noqa: PLR0913 - one parameter per option of the command line
    *,
    live: Annotated[
        bool,
        typer.Option(help="Then also run a very small model on this machine, if it can be had."),
    ] = False,
    live_only: Annotated[
        bool, typer.Option("--live-only", help="Only the live part; exit 6 when it cannot run.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="At most so many tasks, drawn at random.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All code tasks too, which takes minutes.")
    ] = False,
    usd_per_hour: Annotated[
        Decimal,
        typer.Option(
            "--usd-per-hour",
            metavar="USD",
            parser=read_usd,
            help="What an hour of the machine costs.",
        ),
    ] = "0.05",  # type: ignore[assignment]  # typer parses the text of a default
    traces: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where traces go. Default: a new temporary folder."),
    ] = None,
    recording: Recording = None,
    gguf: Gguf = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the table.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch recorded answers of real models be checked, escalated and priced; then compare.

    Needs no key and no network. Every answer is what a real local model wrote; the checks run now.

    Examples:
    - `effortctl demo`

    - `effortctl demo --live --usd-per-hour 0.10`

    - `effortctl demo --limit 100 --json`
    """
    if live_only:
        _demo_live.run_here(gguf, usd_per_hour=usd_per_hour, as_json=as_json)
        return
    with told(as_json=as_json):
        folder = Path(tempfile.mkdtemp(prefix="effortctl-demo-"))
        report = _Report(traces=traces or folder / "traces.jsonl", ledger=folder / "ledger.sqlite3")
        suite = load_recorded_suite(
            source=recording, limit=limit, **({"code_tasks": None} if everything else {})
        )
        screen = _Screen(_show.out(), quiet=quiet or as_json)
        screen.open(suite)
        for event in _events(suite, report, usd_per_hour=usd_per_hour):
            screen.show(event)
            report.add(event)
        document = report.as_json(suite, usd_per_hour)
        if not as_json:
            screen.close(report, suite, usd_per_hour=usd_per_hour)
        if live:
            document["live"] = _demo_live.run_apart(
                gguf, usd_per_hour=usd_per_hour, as_json=as_json
            )
        if as_json:
            print_json(document)
        elif not quiet:
            screen.say_next(report)


def _events(suite: RecordedSuite, report: _Report, *, usd_per_hour: Decimal) -> Iterator[Event]:
    if report.traces.is_dir():
        raise StoreError(f"{report.traces} is a folder; name a file for the traces")
    with SqliteLedger(report.ledger) as ledger:
        # These answers are public and the tasks are ours, so the traces may hold their text.
        sink = TraceStore(report.traces, store_text=True)
        yield from run_demo(suite, usd_per_hour=usd_per_hour, ledger=ledger, traces=sink)


class _Report:
    """What has to be said at the end."""

    table: Table

    def __init__(self, *, traces: Path, ledger: Path) -> None:
        self.traces = traces
        self.ledger = ledger
        self.shown: list[Shown] = []

    def add(self, event: Event) -> None:
        """Remember an event."""
        if isinstance(event, Shown):
            self.shown.append(event)
        elif isinstance(event, Table):
            self.table = event

    def as_json(self, suite: RecordedSuite, usd_per_hour: Decimal) -> dict[str, Any]:
        """The whole demo as one document."""
        return {
            "about": _demo_text.introduction(suite),
            "left_out": list(suite.left_out),
            "families": dict(suite.families),
            "usd_per_hour": str(usd_per_hour),
            "shown": [
                {"task_id": shown.case.task.id, "story": shown.story}
                | {"trace": shown.trace.model_dump(mode="json")}
                for shown in self.shown
            ],
            "table": _demo_text.table_fields(self.table),
            "findings": _demo_text.findings(self.table),
            "traces": str(self.traces),
            "ledger": str(self.ledger),
        }


class _Screen:
    """Prints the demo as it happens."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._bar: Bar | None = None
        self._stack = ExitStack()

    def open(self, suite: RecordedSuite) -> None:
        """Say what this is."""
        if self._quiet:
            return
        for line in _demo_text.introduction(suite):
            self._console.print(line)
        for line in suite.left_out:
            self._console.print(f"Left out: {line}", style="dim")
        rungs = " -> ".join(arm.name for arm in load_ladder("local").arms)
        self._console.print()
        self._console.print("The ladder, climbed until a check passes:", style="bold")
        self._console.print(f"  {rungs}")
        self._console.print()

    def show(self, event: Event) -> None:
        """Print a decision, or move the bar."""
        if isinstance(event, Shown) and not self._quiet:
            _print_decisions(self._console, event)
        elif isinstance(event, Progress):
            self._advance(event)

    def _advance(self, progress: Progress) -> None:
        if not _show.stderr_is_terminal():
            return
        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = self._stack.enter_context(
                Bar(*columns, console=_show.err(), transient=True)
            )
            self._bar.add_task("the same tasks with every fixed arm", total=progress.total)
        self._bar.update(self._bar.task_ids[0], completed=progress.done)
        if progress.done == progress.total:
            self._stack.close()

    def close(self, report: _Report, suite: RecordedSuite, *, usd_per_hour: Decimal) -> None:
        """Print the table and what it says."""
        console = self._console
        title = _demo_text.table_title(report.table, suite, usd_per_hour)
        console.print(title, style="bold")
        console.print()
        console.print(_demo_text.table(report.table))
        console.print()
        for sentence in _demo_text.findings(report.table):
            console.print(sentence)
        console.print()
        console.print(f"Traces: {report.traces}", soft_wrap=True)

    def say_next(self, report: _Report) -> None:
        """What to try after this."""
        self._console.print()
        self._console.print("Next:", style="bold")
        for command in _demo_text.next_commands(report.ledger):
            self._console.print(f"  {command}", soft_wrap=True)


def _print_decisions(console: Console, shown: Shown) -> None:
    """One task: what was asked, every attempt, how it ended."""
    asked = " ".join(shown.case.task.text.split())
    title = Text(f"{shown.case.task.id}  {asked}")
    title.truncate(console.width, overflow="ellipsis")
    title.stylize("bold", 0, len(shown.case.task.id))
    console.print(title)
    for attempt in shown.trace.attempts:
        _show.print_attempt(console, attempt)
    console.print(f"  {_show.summary(shown.trace)}")
    console.print()
