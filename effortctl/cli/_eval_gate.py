"""`effortctl eval gate` and `compare`: may this change be merged, and what did it change?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.text import Text

from effortctl._errors import StoreError
from effortctl.cli import _show
from effortctl.cli._eval_report import JUDGE, load_result
from effortctl.cli._exits import ExitCode, print_json, told
from effortctl.cli._help import Command
from effortctl.cli._options import AsJson, Level
from effortctl.harness.report._text import clean, usd

if TYPE_CHECKING:
    from rich.console import Console

    from effortctl.harness._compare import Change, ComparisonReport, SeriesChange
    from effortctl.harness._pairing import ClusterBy
    from effortctl.harness.gate import GateReport

_OFF = "off"
_STYLES = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}

Run: TypeAlias = Annotated[
    Path, typer.Argument(metavar="RUN|RESULT.json", help="A run's folder, or a saved result.")
]
ClusterOption: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="cluster|category",
        help="Which tasks stand or fall together: those of a cluster, or of a category.",
    ),
]


class GateCode(IntEnum):
    """How `gate` ends; bad input and usage exit with `ExitCode.BAD_INPUT`, so that 2 has one meaning."""

    PASS = 0
    FAIL = 1
    INCONCLUSIVE = 2


_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""A wrong command line; typer has no public name for it."""


class _UsageIsBadInput(Command):
    """A command that needs exit code 2 for itself: a wrong command line exits as bad input."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Read the command line."""
        with _exiting_as_bad_input():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, which still reads some options."""
        with _exiting_as_bad_input():
            return super().invoke(ctx)


@contextmanager
def _exiting_as_bad_input() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        problem: Any = error
        problem.exit_code = ExitCode.BAD_INPUT
        raise


def register(app: typer.Typer) -> None:
    """Add `gate` and `compare` to the commands of `effortctl eval`."""
    app.command(
        "gate",
        cls=_UsageIsBadInput,
        rich_help_panel=JUDGE,
        epilog="Exit codes: 0 pass, 1 fail, 2 inconclusive, 3 bad input or usage.",
    )(gate)
    app.command("compare", rich_help_panel=JUDGE)(compare)


# --- reading options -------------------------------------------------------------------------------


def read_points(text: str, option: str) -> float | None:
    """Read points of quality, such as `1.0`, as a share; `off` is None."""
    return None if text.strip() == _OFF else _number(text, "points such as 1.0", option) / 100


def read_percent(text: str, option: str) -> float | None:
    """Read a percentage, such as `5%`, as a share; `off` is None."""
    plain = text.strip()
    if plain == _OFF:
        return None
    if not plain.endswith("%"):
        raise typer.BadParameter(
            f"{text!r} is not a percentage; write e.g. 5%, or off", param_hint=option
        )
    return _number(plain[:-1], "a percentage such as 5%", option) / 100


def read_cluster_by(text: str) -> ClusterBy:
    """Read `cluster` or `category`."""
    if text == "cluster":
        return "cluster"
    if text == "category":
        return "category"
    raise typer.BadParameter(f"{text!r} is neither cluster nor category", param_hint="--cluster-by")


def _number(text: str, expected: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise typer.BadParameter(
            f"{text!r} is not a number; write {expected}, or off", param_hint=option
        )
    return value


# --- gate ------------------------------------------------------------------------------------------


def gate(  # noqa: PLR0913 - one parameter per option of the command
    run: Run,
    *,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="RUN|RESULT.json", help="What it was before the change."),
    ] = None,
    policy: Annotated[
        str, typer.Option(metavar="NAME", help="Policy or arm to judge: plan, fixed:ARM.")
    ] = "plan",
    baseline_policy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Policy or arm of the baseline. Default: the same."),
    ] = None,
    max_quality_drop: Annotated[
        str,
        typer.Option(metavar="POINTS|off", help="Quality that may be lost against the baseline."),
    ] = "1.0",
    max_cost_increase: Annotated[
        str,
        typer.Option(
            metavar="PERCENT|off",
            help="Dollars that may be added against the baseline; -20% asks for a saving.",
        ),
    ] = "5%",
    min_quality: Annotated[
        float | None,
        typer.Option(metavar="0..1", help="Mean quality to reach; needs no baseline."),
    ] = None,
    max_cost_usd: Annotated[
        float | None,
        typer.Option(metavar="USD", help="Mean dollars per task to keep; needs no baseline."),
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(metavar="0..1", help="Accepted chance of a wrong pass, and of a wrong fail."),
    ] = 0.05,
    cluster_by: ClusterOption = "cluster",
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE.xml", help="Write JUnit XML for a CI server.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE.md", help="Write a summary for a pull request."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pass a change only if it is shown to keep quality and dollars; for CI.

    A limit is kept if the whole interval keeps it, broken if the whole interval breaks it; otherwise the
    answer is inconclusive, with the number of tasks that would decide.

    Examples:
    - `effortctl eval gate runs/new --baseline runs/main --max-quality-drop 1.0 --max-cost-increase 5%`

    - `effortctl eval gate runs/new --min-quality 0.9 --max-cost-usd 0.002 --junit gate.xml`
    """
    drop = read_points(max_quality_drop, "--max-quality-drop")
    increase = read_percent(max_cost_increase, "--max-cost-increase")
    if baseline is None and min_quality is None and max_cost_usd is None:
        raise typer.BadParameter(
            "there is no limit to keep; give --baseline to hold the run against, --min-quality or "
            "--max-cost-usd"
        )
    hang_together = read_cluster_by(cluster_by)
    with told(as_json=as_json):
        from effortctl.harness import gate as gates  # noqa: PLC0415 - loads numpy

        limits = gates.Limits(
            max_quality_drop=None if baseline is None else drop,
            max_cost_increase=None if baseline is None else increase,
            min_quality=min_quality,
            max_cost_usd=max_cost_usd,
        )
        report = gates.gate(
            load_result(run),
            limits,
            policy=policy,
            baseline=None if baseline is None else load_result(baseline),
            baseline_policy=baseline_policy,
            alpha=alpha,
            cluster_by=hang_together,
        )
        if junit is not None:
            _write(junit, gates.junit_xml(report, at=datetime.now(UTC)))
        if markdown is not None:
            _write(markdown, gates.markdown(report))
        if as_json:
            print_json(report.to_json())
        else:
            _print_gate(_show.out(), report)
    raise typer.Exit(GateCode[report.status.upper()])


def _write(path: Path, text: str) -> None:
    target = path.expanduser()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{target} was not written: {error}") from error


def _print_gate(console: Console, report: GateReport) -> None:
    from effortctl.harness.gate import _text  # noqa: PLC0415 - loads numpy

    console.print(Text(_text.sentence(report), style=_STYLES[report.status]), soft_wrap=True)
    console.print()
    for each in report.criteria:
        line = Text(f"  {each.status:<13}", style=_STYLES[each.status])
        line.append(_text.reason(each), style="")
        console.print(line, soft_wrap=True)
    console.print()
    console.print(_text.basis(report), soft_wrap=True)
    for note in report.notes:
        console.print(Text(f"- {clean(note)}"), soft_wrap=True)


# --- compare ---------------------------------------------------------------------------------------


def compare(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="What it was: a run's folder, or a saved result.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="What it is now.")],
    *,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Policy or arm; repeatable. Default: all that both have."
        ),
    ] = None,
    tasks: Annotated[
        int, typer.Option(metavar="N", min=0, help="Most tasks to list as won, and as lost.")
    ] = 10,
    level: Level = 0.95,
    cluster_by: ClusterOption = "cluster",
    as_json: AsJson = False,
) -> None:
    """Show what changed from A to B, paired over the tasks both have.

    Categories and the tasks won and lost are shown for the policies named, or for the plan.

    Examples:
    - `effortctl eval compare runs/before runs/after`

    - `effortctl eval compare before.json after.json --policy plan --policy fixed:small --json`
    """
    hang_together = read_cluster_by(cluster_by)
    with told(as_json=as_json):
        from effortctl.harness._compare import compare as compare_results  # noqa: PLC0415 - as gate

        report = compare_results(
            load_result(first),
            load_result(second),
            policies=policy,
            level=level,
            cluster_by=hang_together,
        )
        if as_json:
            print_json(report.to_json(tasks=tasks))
            return
        _print_comparison(_show.out(), report, tasks=tasks, named=bool(policy))


def _print_comparison(
    console: Console, report: ComparisonReport, *, tasks: int, named: bool
) -> None:
    def say(text: str) -> None:
        console.print(Text(clean(text)), soft_wrap=True)

    clusters = "" if report.n_clusters == report.n_tasks else f" in {report.n_clusters:,} clusters"
    say(f"{report.first} -> {report.second}: {report.n_tasks:,} paired tasks{clusters}")
    if report.only_first or report.only_second:
        say(f"Not shared: {report.only_first:,} tasks of A, {report.only_second:,} of B")
    console.print()
    table = _table("")
    for each in report.series:
        table.add_row(clean(each.name), *_cells(each.overall), _p(each.p_holm))
    console.print(table)
    detailed = report.series if named else _default_detail(report.series)
    for each in detailed:
        _print_detail(console, each, tasks=tasks)
    if report.unmatched:
        say(f"Only in one of them: {', '.join(report.unmatched)}")
    for note in report.notes:
        say(f"- {note}")


def _default_detail(found: tuple[SeriesChange, ...]) -> tuple[SeriesChange, ...]:
    return tuple(each for each in found if each.name == "plan") or found[:1]


def _print_detail(console: Console, each: SeriesChange, *, tasks: int) -> None:
    if each.categories:
        table = _table(clean(each.name), p=False)
        for label, change in each.categories.items():
            table.add_row(clean(label), *_cells(change))
        console.print(table)
    for word, ids in (("won", each.won), ("lost", each.lost)):
        shown = ", ".join(ids[:tasks])
        more = f", and {len(ids) - tasks:,} more" if len(ids) > tasks and tasks else ""
        text = f"{each.name} {word} {_show.plural(len(ids), 'task')}: {shown}{more}"
        console.print(Text(clean(text).rstrip(": ")), soft_wrap=True)
    console.print()


def _table(first: str, *, p: bool = True) -> Any:
    heads = ("quality, points", "dollars", *(("p",) if p else ()))
    return _show.table(first, *heads, wrap=first, right=("p",))


def _cells(change: Change) -> tuple[str, str]:
    was, now = (100 * share for share in change.quality)
    low, high = (100 * end for end in change.quality_ci)
    gain = 100 * change.quality_difference
    quality = f"{was:.1f} -> {now:.1f}: {gain:+.1f} [{low:+.1f}, {high:+.1f}]"
    if change.cost_ratio is None or change.cost_ratio_ci is None:
        return quality, f"{usd(change.cost_usd[0])} -> {usd(change.cost_usd[1])}"
    bottom, top = change.cost_ratio_ci
    end = "no bound" if top is None else f"{top:.2f}"
    return quality, f"x {change.cost_ratio:.2f} [{bottom:.2f}, {end}]"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
