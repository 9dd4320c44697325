"""`effortctl forecast`: what a month will cost, before committing to anything."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from effortctl.cli import _show
from effortctl.cli._exits import print_json, told, warn
from effortctl.cli._options import AsJson, Level, UsdPerHour
from effortctl.harness.report._text import clean, usd

if TYPE_CHECKING:
    from rich.console import Console

    from effortctl.harness.forecast import Amount, MonthlyForecast, PolicyForecast


def forecast(  # noqa: PLR0913 - one parameter per option of the command
    *,
    volume: Annotated[
        Path,
        typer.Option(
            "--volume",
            metavar="TASKS.csv",
            help="Columns category, queries_per_month and, if you like, prompt_tokens.",
        ),
    ],
    policy: Annotated[
        Path, typer.Option("--policy", metavar="FILE", help="A learned policy.")
    ] = Path("policy.json"),
    outcomes: Annotated[
        list[Path] | None,
        typer.Option(
            "--outcomes",
            metavar="FILE",
            help="Recorded outcomes to take dollars per task from; repeatable. Default: means in the "
            "policy's file, without intervals.",
        ),
    ] = None,
    usd_per_hour: UsdPerHour = None,
    local: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Arms on your machine. Default: those that never cost a cent."
        ),
    ] = None,
    volume_uncertainty: Annotated[
        str,
        typer.Option(metavar="PERCENT", help="Standard deviation of the volumes, all together."),
    ] = "0%",
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse categories without outcomes; default: pool."),
    ] = False,
    level: Level = 0.95,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the resampling.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Model what a month costs at expected volumes: the plan, fixed ladders and every arm. Calls nothing.

    Examples:
    - `effortctl forecast --policy policy.json --volume tasks.csv --outcomes outcomes.jsonl.gz`

    - `effortctl forecast --volume tasks.csv --outcomes outcomes.csv --usd-per-hour 1.20`
    """
    uncertainty = read_share(volume_uncertainty)
    with told(as_json=as_json):
        from effortctl._fitted_policy import FittedPolicy  # noqa: PLC0415 - slow to load
        from effortctl.harness import forecast as forecasts  # noqa: PLC0415 - with the others
        from effortctl.stores import read_outcomes  # noqa: PLC0415 - with the others

        found = forecasts.forecast(
            FittedPolicy.load(policy),
            forecasts.read_volumes(volume),
            outcomes=read_outcomes(*outcomes) if outcomes else None,
            gpu_usd_per_hour=None if usd_per_hour is None else float(usd_per_hour),
            local=None if local is None else [arm.strip() for arm in local.split(",")],
            volume_uncertainty=uncertainty,
            strict=strict,
            level=level,
            seed=seed,
        )
        for warning in found.warnings:
            warn(warning)
        if as_json:
            print_json(found.to_json())
        else:
            print_forecast(_show.out(), found)


def read_share(text: str) -> float:
    """Read a percentage such as `20%` as a share."""
    try:
        value = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        value = math.nan
    if not text.strip().endswith("%") or not (math.isfinite(value) and value >= 0):
        raise typer.BadParameter(
            f"{text!r} is not a percentage; write e.g. 20%", param_hint="--volume-uncertainty"
        )
    return value


# --- how it looks ----------------------------------------------------------------------------------


def print_forecast(console: Console, found: MonthlyForecast) -> None:
    """Print a table of choices, where the money of the plan goes, and what a reader must know."""
    queries = f"{found.queries_per_month:,.0f}"
    basis = f"{found.n_tasks:,} recorded tasks" if found.n_tasks else "the policy's own file"
    console.print(f"{queries} queries per month; dollars per task from {basis}", soft_wrap=True)
    console.print()
    table = _show.table(
        "per month", "dollars", "quality", "saves", wrap="per month", right=("quality",)
    )
    for each in _unique(found.policies):
        quality = "-" if each.quality is None else f"{100 * each.quality:.1f} %"
        table.add_row(clean(_label(each)), _range(each.usd_per_month), quality, _saves(each.saving))
    console.print(table)
    plan = found.policies[0]
    if plan.by_provider:
        console.print("Where the money of the plan goes:")
        for title, parts in (("provider", plan.by_provider), ("model", plan.by_model)):
            table = _show.table(title, "dollars per month", wrap=title)
            for name, amount in parts.items():
                table.add_row(clean(name), _range(amount))
            console.print(table)
    if len(plan.by_category) > 1:
        table = _show.table("category", "dollars of the plan", wrap="category")
        for name, dollars in plan.by_category.items():
            table.add_row(clean(name), usd(dollars))
        console.print(table)
    if plan.gpu_hours is not None:
        low, high = plan.gpu_hours.low, plan.gpu_hours.high
        ends = "" if low is None or high is None else f" [{low:,.0f}, {high:,.0f}]"
        console.print(f"Hours of your machine under the plan: {plan.gpu_hours.value:,.0f}{ends}")
    for note in found.notes:
        console.print(Text(f"- {clean(note)}"), soft_wrap=True)


def _unique(found: tuple[PolicyForecast, ...]) -> list[PolicyForecast]:
    """Without the line `fixed:<arm>` of the arm that is already there as the best one."""
    named = {each.arms for each in found if not each.name.startswith("fixed:")}
    return [each for each in found if not each.name.startswith("fixed:") or each.arms not in named]


def _label(each: PolicyForecast) -> str:
    if not each.arms:
        return each.name
    arms = " > ".join(each.arms)
    return arms if each.name.startswith("fixed:") else f"{each.name.replace('_', ' ')} {arms}"


def _range(amount: Amount) -> str:
    if amount.low is None or amount.high is None:
        return usd(amount.value)
    return f"{usd(amount.value)} [{usd(amount.low)}, {usd(amount.high)}]"


def _saves(saving: Amount | None) -> str:
    if saving is None:
        return "-"
    text = f"{100 * saving.value:.0f} %"
    if saving.low is None or saving.high is None:
        return text
    return f"{text} [{100 * saving.low:.0f}, {100 * saving.high:.0f}]"
