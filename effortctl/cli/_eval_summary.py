"""What `effortctl eval run` and its siblings print: the verdict, the summary, the estimate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.status import Status

from effortctl._errors import EffortctlError
from effortctl.cli import _show
from effortctl.cli._eval_replay import print_result
from effortctl.cli._exits import print_json, warn

if TYPE_CHECKING:
    from rich.console import RenderableType

    from effortctl.harness import runner
    from effortctl.harness._result import EvalResult


def tell(summary: runner.RunSummary, *, quiet: bool = False, as_json: bool) -> None:
    """The verdict first, then the arms, then what to know about the run."""
    result, why_not = _evaluated(summary)
    if as_json:
        verdict = None if result is None else result.verdict.model_dump(mode="json")
        print_json(summary_json(summary) | {"verdict": verdict, "why_no_verdict": why_not})
        return
    if quiet:
        return
    console = _show.out()
    if result is None:
        console.print(f"No verdict: {why_not}", soft_wrap=True)
        console.print()
        console.print(_measured(summary, summary.quality))
    else:
        print_result(console, result)
        live = [name for name in summary.quality if name not in result.arms]
        if live:
            console.print()
            console.print(_measured(summary, live))
    console.print()
    console.print(_sentence(summary), soft_wrap=True)
    for note in summary.notes:
        console.print(f"Note: {note}.", soft_wrap=True)
    if result is not None:
        console.print(f"Look closer with: effortctl eval report {summary.folder}", soft_wrap=True)


def _measured(summary: runner.RunSummary, names: Iterable[str]) -> RenderableType:
    """What really happened with arms, and with policies that were run live."""
    numbers = ("quality", "$/1000 tasks")
    listing = _show.table("as it was run", *numbers, right=numbers)
    for name in names:
        cost = summary.cost_usd.get(name)
        shown = "unknown" if cost is None else _amount(1000 * cost)
        listing.add_row(name, f"{100 * summary.quality[name]:.1f} %", shown)
    return listing


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


def tell_estimate(
    inputs: runner.Inputs, folder: Path, *, earlier: Sequence[Path], as_json: bool
) -> None:
    """Say what a run will probably cost; `earlier` are runs to judge that by."""
    from effortctl._pricing import GenaiPriceBook  # noqa: PLC0415 - as run
    from effortctl.harness import runner  # noqa: PLC0415 - as run

    found = runner.estimate_run(inputs, folder, prices=GenaiPriceBook(), earlier=earlier)
    if as_json:
        arms = [{name: getattr(arm, name) for name in _ESTIMATE} for arm in found.arms]
        sums = {name: getattr(found, name) for name in _ESTIMATE[1:6]}
        print_json(sums | {"arms": arms})
        return
    numbers = ("calls", "low", "middle", "high", "worst case")
    table = _show.table("arm", *numbers, right=numbers)
    for arm in found.arms:
        amounts = (arm.low_usd, arm.usd, arm.high_usd, arm.worst_usd)
        table.add_row(arm.name, str(arm.calls), *map(_amount, amounts))
    total = (found.low_usd, found.usd, found.high_usd, found.worst_usd)
    table.add_section()
    table.add_row("all", str(found.calls), *map(_amount, total), style="bold")
    console = _show.out()
    console.print(table)
    console.print()
    bases = dict.fromkeys(arm.basis for arm in found.arms)
    for basis in bases:
        names = ", ".join(arm.name for arm in found.arms if arm.basis == basis)
        console.print(f"{'Every arm' if len(bases) == 1 else names}: {basis}.", soft_wrap=True)
    limit = inputs.config.budget_usd
    if limit is not None and found.high_usd > limit:
        warn(f"the budget of {_show.usd(limit)} may not be enough; the run would stop there")


_ESTIMATE = ("name", "calls", "low_usd", "usd", "high_usd", "worst_usd", "basis", "recorded")


def _amount(value: float) -> str:
    return _show.usd(Decimal(f"{value:.3g}"))
