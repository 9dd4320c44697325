"""`effortctl eval`: measure arms and policies on your own tasks, stop and go on as you like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.status import Status
from rich.table import Table

from effortctl._errors import EffortctlError
from effortctl.cli import _eval_data, _eval_gate, _eval_replay, _eval_report, _show
from effortctl.cli._exits import ExitCode, print_json, told, warn
from effortctl.cli._options import AsJson, Gguf, LedgerFile, UsdPerHour, ledger_path

if TYPE_CHECKING:
    from effortctl.harness import runner
    from effortctl.harness._result import EvalResult

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Measure arms and policies on your own tasks: quality per dollar, with a verdict.",
)

ConfigFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="EVAL.toml", help="What to run: tasks, arms, scoring, limits.")
]
RunFolder: TypeAlias = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
Usd: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--budget-usd", metavar="USD", help="Most the whole run may cost, resumed or not."
    ),
]
Most: TypeAlias = Annotated[
    int | None, typer.Option("--max-concurrency", min=1, help="Most calls in flight.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


@app.command("run")
def run(  # noqa: PLR0913 - one parameter per option of the command line
    config: ConfigFile,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="The run folder.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many tasks, drawn with the seed.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Order of the tasks, and what limit takes.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Answers per arm and task.")] = None,
    budget_usd: Usd = None,
    max_concurrency: Most = None,
    shard: Annotated[
        str | None, typer.Option(metavar="i/N", help="Only part i of N of the tasks.")
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
        typer.Option("--earlier", metavar="RUN", help="Run folders to estimate costs from."),
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

    - `effortctl eval run EVAL.toml --shard 1/4`, then `effortctl eval merge RUN1 RUN2 … -o ALL`
    """
    from effortctl.harness import runner  # noqa: PLC0415 - loads the datasets

    with told(as_json=as_json):
        part = None if shard is None else runner.read_shard(shard)
        asked = runner.load_config(config).changed(
            limit=limit,
            seed=seed,
            epochs=epochs,
            budget_usd=None if budget_usd is None else _dollars(budget_usd),
            max_concurrency=max_concurrency,
            errors=errors,
            cache=cache,
            gguf=None if gguf is None else str(gguf.absolute()),
            usd_per_hour=usd_per_hour,
        )
        folder = _folder(asked.out or "", out, part)
        inputs = runner.prepare(asked, shard=part)
        if dry_run:
            _tell_estimate(inputs, folder, earlier=earlier or (), as_json=as_json)
            return
        _run(inputs, folder, ledger=ledger, quiet=quiet, as_json=as_json)


@app.command("resume")
def resume(
    folder: RunFolder,
    *,
    budget_usd: Usd = None,
    max_concurrency: Most = None,
    ledger: LedgerFile = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was stopped; calls that are finished are not made again."""
    from effortctl.harness import runner  # noqa: PLC0415 - as run

    with told(as_json=as_json):
        header = runner.open_run(folder)
        config = header.config.changed(
            budget_usd=None if budget_usd is None else _dollars(budget_usd),
            max_concurrency=max_concurrency,
        )
        inputs = runner.prepare(config, shard=header.shard)
        _run(inputs, folder, ledger=ledger, quiet=quiet, as_json=as_json)


@app.command("merge")
def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run folders.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="A new run folder.")],
    as_json: AsJson = False,
) -> None:
    """Put the parts of one evaluation together."""
    from effortctl.harness import runner  # noqa: PLC0415 - as run

    with told(as_json=as_json):
        _tell(runner.merge_runs(folders, out), as_json=as_json)


@app.command("rescore")
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
    """Score the recorded answers again, without a call: after a changed check, or by another metric."""
    from effortctl.harness import runner  # noqa: PLC0415 - as run

    with told(as_json=as_json):
        _tell(runner.rescore_run(folder, metric=metric, verify=verify), as_json=as_json)


# Commands of other modules are mounted here, each by its `register(app)`.
_eval_data.register(app)
_eval_gate.register(app)
_eval_replay.register(app)
_eval_report.register(app)


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
    _tell(summary, quiet=quiet, as_json=as_json)
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


def _dollars(text: str) -> Decimal:
    from effortctl._types import Budget  # noqa: PLC0415 - pydantic builds it on first use

    return Budget.parse(text).limit_usd


def _folder(configured: str, given: Path | None, part: tuple[int, int] | None) -> Path:
    if given is not None or part is None:
        return given or Path(configured)
    return Path(f"{configured}-{part[0]}of{part[1]}")


# --- telling ---------------------------------------------------------------------------------------


def _tell(summary: runner.RunSummary, *, quiet: bool = False, as_json: bool) -> None:
    """The verdict first, then the arms, then what to know about the run."""
    result, why_not = _evaluated(summary)
    if as_json:
        verdict = None if result is None else result.verdict.model_dump(mode="json")
        print_json(summary_json(summary) | {"verdict": verdict, "why_no_verdict": why_not})
        return
    if quiet:
        return
    console = _show.out()
    if result is not None:
        console.print(result.verdict.sentence, soft_wrap=True, style="bold")
        console.print(result.verdict.reason, soft_wrap=True)
    else:
        console.print(f"No verdict: {why_not}", soft_wrap=True)
    console.print()
    table = Table("arm", "quality", "$ per task", box=None, pad_edge=False)
    for name, quality in summary.quality.items():
        cost = summary.cost_usd.get(name)
        shown = "unknown" if cost is None else _show.usd(Decimal(f"{cost:.3g}"))
        table.add_row(name, f"{quality:.3f}", shown)
    console.print(table)
    console.print()
    console.print(_sentence(summary), soft_wrap=True)
    for note in summary.notes:
        console.print(f"Note: {note}.", soft_wrap=True)
    if result is not None:
        console.print(f"Look closer with: effortctl eval report {summary.folder}", soft_wrap=True)


def _evaluated(summary: runner.RunSummary) -> tuple[EvalResult | None, str | None]:
    """The evaluation of a whole run, or why there is none; the answers are safe either way."""
    from effortctl.harness import runner  # noqa: PLC0415 - as run

    header = runner.read_header(summary.folder)
    if header is not None and header.shard is not None:
        return None, "this is one part of a run; merge the parts first"
    if summary.stopped is not None:
        return None, "the run is not finished"
    with ExitStack() as stack:
        if _show.stderr_is_terminal():
            stack.enter_context(Status("evaluating", console=_show.err()))
        try:
            return runner.evaluate_run(summary.folder), None
        except EffortctlError as error:
            return None, str(error)


def _sentence(summary: runner.RunSummary) -> str:
    parts = [f"{summary.done} of {summary.total} answers"]
    if summary.called or summary.cached:
        parts.append(f"{summary.called} called and {summary.cached} from the cache in this session")
    if summary.scored:
        parts.append(f"{summary.scored} scored")
    if summary.failed:
        causes = ", ".join(f"{cause} {count}" for cause, count in sorted(summary.failed.items()))
        parts.append(f"without a score: {causes}")
    parts.append(f"{_show.usd(summary.total_spent_usd)} spent")
    return f"{'; '.join(parts)}; in {summary.folder}"


def summary_json(summary: runner.RunSummary) -> dict[str, Any]:
    """A summary as JSON."""
    return {
        "folder": str(summary.folder),
        "total": summary.total,
        "done": summary.done,
        "failed": dict(summary.failed),
        "called": summary.called,
        "cached": summary.cached,
        "scored": summary.scored,
        "spent_usd": f"{summary.spent_usd:f}",
        "total_spent_usd": f"{summary.total_spent_usd:f}",
        "stopped": summary.stopped,
        "rows": summary.rows,
        "quality": dict(summary.quality),
        "cost_usd": dict(summary.cost_usd),
        "notes": list(summary.notes),
    }


def _tell_estimate(
    inputs: runner.Inputs, folder: Path, *, earlier: Sequence[Path], as_json: bool
) -> None:
    from effortctl._pricing import GenaiPriceBook  # noqa: PLC0415 - as run
    from effortctl.harness import runner  # noqa: PLC0415 - as run

    found = runner.estimate_run(inputs, folder, prices=GenaiPriceBook(), earlier=earlier)
    if as_json:
        arms = [{name: getattr(arm, name) for name in _ESTIMATE} for arm in found.arms]
        sums = {name: getattr(found, name) for name in _ESTIMATE[1:6]}
        print_json(sums | {"arms": arms})
        return
    table = Table("arm", "calls", "low", "middle", "high", "worst case", box=None, pad_edge=False)
    for arm in found.arms:
        amounts = (arm.low_usd, arm.usd, arm.high_usd, arm.worst_usd)
        table.add_row(arm.name, str(arm.calls), *map(_amount, amounts))
    total = (found.low_usd, found.usd, found.high_usd, found.worst_usd)
    table.add_row("all", str(found.calls), *map(_amount, total))
    console = _show.out()
    console.print(table)
    console.print()
    for basis in dict.fromkeys(arm.basis for arm in found.arms):
        names = ", ".join(arm.name for arm in found.arms if arm.basis == basis)
        console.print(f"{names}: {basis}.", soft_wrap=True)
    limit = inputs.config.budget_usd
    if limit is not None and found.high_usd > limit:
        warn(f"the budget of {_show.usd(limit)} may not be enough; the run would stop there")


_ESTIMATE = ("name", "calls", "low_usd", "usd", "high_usd", "worst_usd", "basis", "recorded")


def _amount(value: float) -> str:
    return _show.usd(Decimal(f"{value:.3g}"))
