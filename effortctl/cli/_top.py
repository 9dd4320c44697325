"""`effortctl top`: what is going on right now, and the overview behind `effortctl ledger report`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from effortctl._errors import StoreError
from effortctl._types import Trace
from effortctl.cli import _overview, _show
from effortctl.cli._exits import print_json, told
from effortctl.cli._options import (
    AsJson,
    LedgerFile,
    PolicyToCompare,
    Since,
    TracesFile,
    ledger_path,
    traces_path,
)
from effortctl.cli._overview import Overview
from effortctl.stores import (
    Activity,
    LedgerEntry,
    SqliteLedger,
    TraceTail,
    feedback_path,
    latest_feedback,
    read_feedback,
)

if TYPE_CHECKING:
    from effortctl._drift import DriftReport
    from effortctl._fitted_policy import FittedPolicy


def top(
    *,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How often to look again.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    traces: TracesFile = None,
    ledger: LedgerFile = None,
    policy: PolicyToCompare = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Watch spend, tasks, escalations and verdicts by arm while they happen; Ctrl-C ends it.

    Where nobody can watch (a pipe, a file, `--json`), it looks once.

    Examples:
    - `effortctl top --traces traces.jsonl`

    - `effortctl top --traces traces.jsonl --since 24h --once --json`
    """
    with told(as_json=as_json):
        watch = Watch(traces=traces, ledger=ledger, policy=policy, since=since)
        if as_json:
            print_json(_overview.fields(watch.look()))
        elif once or not _show.out().is_terminal:
            _show.out().print(_overview.rendered(watch.look(), days=False))
        else:
            keep_looking(watch, every_s=every)


def keep_looking(
    watch: Watch,
    *,
    every_s: float,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Show the overview again and again until interrupted."""
    with Live(console=_show.out(), auto_refresh=False, screen=False) as live:
        try:
            while True:
                live.update(_overview.rendered(watch.look(), days=False), refresh=True)
                sleep(every_s)
        except KeyboardInterrupt:
            return


class Watch:
    """Reads ledger, traces and feedback, and reads only what is new the next time."""

    def __init__(
        self,
        *,
        traces: Path | None,
        ledger: Path | None,
        policy: Path | None = None,
        since: datetime | None = None,
    ) -> None:
        """Find the files.

        Raises:
            StoreError: One that was named is not there, or the policy cannot be read.
        """
        named = traces_path(traces)
        self._since = since
        self._ledger = ledger_path(ledger)
        self._tail = None if named is None else TraceTail(named)
        self._kept: list[Trace] = []
        self._policy = _loaded(policy)
        for path, kind in ((ledger, "ledger"), (traces, "file of traces")):
            if path is not None and not path.exists():
                raise StoreError(f"there is no {kind} at {path}; check the path")

    def look(self) -> Overview:
        """What is known now.

        Raises:
            StoreError: A file cannot be read.
        """
        entries = self._entries()
        if self._tail is None:
            return Overview(since=self._since, ledger=self._ledger, entries=entries)
        self._follow(self._tail)
        return Overview(
            since=self._since,
            ledger=self._ledger,
            entries=entries,
            traces=self._tail.path,
            activity=Activity(self._kept, scores=_scores(self._tail.path)),
            drift=self._drift(),
        )

    def _follow(self, tail: TraceTail) -> None:
        restarts = tail.restarts
        new = tail.read()
        if tail.restarts != restarts:
            self._kept.clear()
        since = self._since
        self._kept += [trace for trace in new if since is None or trace.started_at >= since]

    def _entries(self) -> list[LedgerEntry]:
        if not self._ledger.exists():
            return []  # looking must not create a file
        with SqliteLedger(self._ledger) as store:
            return list(store.entries(self._since))

    def _drift(self) -> DriftReport | None:
        if self._policy is None:
            return None
        from effortctl._drift import drift  # noqa: PLC0415 - loads NumPy

        return drift(self._kept, self._policy)


def _loaded(policy: Path | None) -> FittedPolicy | None:
    if policy is None:
        return None
    from effortctl._fitted_policy import FittedPolicy  # noqa: PLC0415 - loads NumPy

    return FittedPolicy.load(policy)


def _scores(traces: Path) -> dict[str, float]:
    path = feedback_path(traces)
    if not path.exists():
        return {}
    return {one: given.score for one, given in latest_feedback(read_feedback(path)).items()}
