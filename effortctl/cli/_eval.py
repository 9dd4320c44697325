"""`effortctl eval`: measure arms and policies on your own tasks, stop and go on as you like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from effortctl.cli import _eval_data, _eval_gate, _eval_replay, _eval_report, _show
from effortctl.cli._eval_summary import tell, tell_estimate
from effortctl.cli._exits import ExitCode, told
from effortctl.cli._help import App
from effortctl.cli._options import AsJson, Gguf, LedgerFile, UsdPerHour, ledger_path, read_usd

if TYPE_CHECKING:
    from effortctl.harness import runner

app = App(help="Measure arms and policies on your own tasks: quality per dollar, with a verdict.")

ConfigFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="EVAL.toml", help="What to run: tasks, arms, scoring, limits.")
]
RunFolder: TypeAlias = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
BudgetUsd: TypeAlias = Annotated[
    Decimal | None,
    typer.Option(
        "--budget-usd",
        metavar="USD",
        parser=read_usd,
        help="Most the whole run may cost, resumed or not.",
    ),
]
Most: TypeAlias = Annotated[
    int | None, typer.Option("--max-concurrency", metavar="N", min=1, help="Most calls in flight.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


_RUN = "Fill the table"


@app.command("run", rich_help_panel=_RUN)
def run(  # noqa: PLR0913 - one parameter per option of the command line
    config: ConfigFile,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="The run folder. Default: what EVAL.toml says, else runs/NAME beside it.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="At most so many tasks, drawn with the seed."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Order of the tasks, and which of them --limit takes."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Answers per arm and task.")
    ] = None,
    budget_usd: BudgetUsd = None,
    max_concurrency: Most = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only part I of N of the tasks.")
    ] = None,
    errors: Annotated[
        str | None,
        typer.Option(metavar="missing|wrong", help="What a call that failed means for the table."),
    ] = None,
    cache: Annotated[
        bool | None, typer.Option("--cache/--no-cache", help="Use and keep answers on disk.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it will probably cost, and stop.")
    ] = False,
    earlier: Annotated[
        list[Path] | None,
        typer.Option("--earlier", metavar="RUN", help="A run to estimate costs from; repeatable."),
    ] = None,
    gguf: Gguf = None,
    usd_per_hour: UsdPerHour = None,
    ledger: LedgerFile = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Ask every arm every task, and keep what came back; does only what is missing.

    Examples:
    - `effortctl eval run EVAL.toml --dry-run`

    - `effortctl eval run EVAL.toml --budget-usd 5 --limit 100`

    - `effortctl eval run EVAL.toml --shard 1/4` (then the others, then: effortctl eval merge)
    """
    from effortctl.harness import runner  # noqa: PLC0415 - loads the datasets

    with told(as_json=as_json):
        part = None if shard is None else runner.read_shard(shard)
        asked = runner.load_config(config).changed(
            limit=limit,
            seed=seed,
            epochs=epochs,
            budget_usd=budget_usd,
            max_concurrency=max_concurrency,
            errors=errors,
            cache=cache,
            gguf=None if gguf is None else str(gguf.absolute()),
            usd_per_hour=usd_per_hour,
        )
        folder = _folder(asked.out or "", output, part)
        inputs = runner.prepare(asked, shard=part)
        if dry_run:
            tell_estimate(inputs, folder, earlier=earlier or (), as_json=as_json)
            return
        _run(inputs, folder, ledger=ledger, quiet=quiet, as_json=as_json)


@app.command("resume", rich_help_panel=_RUN)
def resume(
    folder: RunFolder,
    *,
    budget_usd: BudgetUsd = None,
    max_concurrency: Most = None,
    ledger: LedgerFile = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was stopped; calls that are finished are not made again.

    Examples:
    - `effortctl eval resume runs/tickets`

    - `effortctl eval resume runs/tickets --budget-usd 10` (the first budget was too small)
    """
    from effortctl.harness import runner  # noqa: PLC0415 - as run

    with told(as_json=as_json):
        header = runner.open_run(folder)
        config = header.config.changed(
            budget_usd=budget_usd,
            max_concurrency=max_concurrency,
        )
        inputs = runner.prepare(config, shard=header.shard)
        _run(inputs, folder, ledger=ledger, quiet=quiet, as_json=as_json)


@app.command("merge", rich_help_panel=_RUN)
def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders.")],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="A new run folder.")
    ],
    as_json: AsJson = False,
) -> None:
    """Put the parts of one evaluation (`eval run --shard`) together.

    Examples:
    - `effortctl eval merge runs/tickets-1of2 runs/tickets-2of2 -o runs/tickets`
    """
    from effortctl.harness import runner  # noqa: PLC0415 - as run

    with told(as_json=as_json):
        tell(runner.merge_runs(folders, output), as_json=as_json)


@app.command("rescore", rich_help_panel=_RUN)
def rescore(
    folder: RunFolder,
    *,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another metric. Default: the run's own.")
    ] = None,
    verify: Annotated[
        str | None, typer.Option(metavar="KIND:ARG", help="Another check for all tasks.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score the recorded answers again, without a call: after a changed check, or by another metric.

    Examples:
    - `effortctl eval rescore runs/tickets`

    - `effortctl eval rescore runs/tickets --verify regex:'^[A-Z]+$'`
    """
    from effortctl.harness import runner  # noqa: PLC0415 - as run

    with told(as_json=as_json):
        tell(runner.rescore_run(folder, metric=metric, verify=verify), as_json=as_json)


# Commands of other modules are mounted here, each by its `register(app)`.
_eval_report.register(app)
_eval_gate.register(app)
_eval_replay.register(app)
_eval_data.register(app)


# --- running ---------------------------------------------------------------------------------------


def _run(
    inputs: runner.Inputs, folder: Path, *, ledger: Path | None, quiet: bool, as_json: bool
) -> None:
    from effortctl.harness import runner  # noqa: PLC0415 - as run
    from effortctl.stores import DiskCache, SqliteLedger  # noqa: PLC0415 - loads diskcache

    with ExitStack() as stack:
        tools = runner.Tools(
            ledger=stack.enter_context(SqliteLedger(ledger_path(ledger))),
            cache=stack.enter_context(DiskCache()) if inputs.config.cache else None,
            on_progress=None if quiet else stack.enter_context(_progress()),
        )
        summary = runner.run_eval(inputs, folder, tools=tools)
    tell(summary, quiet=quiet, as_json=as_json)
    _exit(summary)


@contextmanager
def _progress() -> Iterator[Callable[[runner.Progress], object] | None]:
    """A bar for whoever is watching; nothing in a pipe."""
    if not _show.stderr_is_terminal():
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=_show.err(), transient=True) as bar:
        task = bar.add_task("", total=None, state="")
        yield lambda now: bar.update(
            task, completed=now.done, total=now.total, state=progress_text(now)
        )


def progress_text(now: runner.Progress) -> str:
    """Dollars, time left, calls in flight and errors, in one short line."""
    parts = [_show.usd(now.spent_usd)]
    if now.eta_s is not None:
        minutes, seconds = divmod(round(now.eta_s), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    parts.append(f"{now.in_flight} of {now.allowed} in flight")
    failed = sum(now.errors.values())
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts)


def _exit(summary: runner.RunSummary) -> None:
    resume_it = f"effortctl eval resume {summary.folder}"
    left = summary.total - summary.done
    if summary.stopped == "interrupted":
        typer.echo(f"Interrupted; nothing is lost. Go on with: {resume_it}", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED)
    if summary.stopped == "budget":
        typer.echo(
            f"Error: the budget cannot hold the next call, {left} answers are missing; go on with: "
            f"{resume_it} --budget-usd MORE",
            err=True,
        )
        raise typer.Exit(ExitCode.BUDGET)
    if left:
        typer.echo(f"Error: {left} answers are missing; try them again with: {resume_it}", err=True)
        raise typer.Exit(ExitCode.BACKEND)


def _folder(configured: str, given: Path | None, part: tuple[int, int] | None) -> Path:
    if given is not None or part is None:
        return given or Path(configured)
    return Path(f"{configured}-{part[0]}of{part[1]}")
