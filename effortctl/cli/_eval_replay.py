"""`effortctl eval replay`: what policies would have done on recorded outcomes, and whether they pay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from effortctl._errors import ConfigError
from effortctl.cli import _show
from effortctl.cli._eval_report import JUDGE
from effortctl.cli._exits import print_json, told
from effortctl.cli._help import Command
from effortctl.cli._options import Level, read_verifier
from effortctl.cli._policy_text import usd

if TYPE_CHECKING:
    from rich.console import Console

    from effortctl._fitted_policy import FittedPolicy
    from effortctl.harness._result import EvalResult

_STDOUT = "-"
_OUTCOME_SUFFIXES = (".jsonl", ".csv", ".gz", ".parquet")


def register(app: typer.Typer) -> None:
    """Add `replay` to the app of `effortctl eval`."""
    app.command("replay", cls=_JsonMayNameAFile, rich_help_panel=JUDGE)(replay)


class _JsonMayNameAFile(Command):
    """A command whose `--json` is the flag of all commands, and also takes a file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        given = [
            f"--json={_STDOUT}" if word == "--json" and _is_option(after) else word
            for word, after in zip_longest(args, args[1:], fillvalue="--")
        ]
        return super().parse_args(ctx, given)


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != _STDOUT


def read_result_file(text: str) -> str:
    """Read where a result goes; a name that only outcomes have is taken for a mistake."""
    if text.endswith(_OUTCOME_SUFFIXES):
        raise typer.BadParameter(
            f"{text} has the name of a file of outcomes, which a result would replace; name a file such as "
            "result.json, or write --json last to print",
            param_hint="--json",
        )
    return text


def replay(  # noqa: PLR0913 - one parameter per option of the command
    test: Annotated[
        list[Path],
        typer.Argument(
            metavar="TEST",
            help="Outcomes to judge on: .jsonl, .csv (either may end in .gz) or .parquet.",
        ),
    ],
    *,
    learn: Annotated[
        list[Path] | None,
        typer.Option(
            "--learn",
            metavar="FILE",
            help="Outcomes to learn from; repeatable. Default: TEST itself, crosswise.",
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="Judge this learned policy."),
    ] = None,
    arms: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Arms to choose from. Default: all.")
    ] = None,
    verifier: Annotated[
        str,
        typer.Option(
            metavar="exact|none|recorded|agreement|TPR,FPR",
            help="What checks answers: never wrong, nothing, as recorded, other arms, or rates.",
        ),
    ] = "exact",
    value_usd: Annotated[
        float | None,
        typer.Option(metavar="USD", help="Dollars an accepted correct answer is worth."),
    ] = None,
    max_cost_usd: Annotated[
        float | None, typer.Option(metavar="USD", help="Best quality for at most this a task.")
    ] = None,
    min_quality: Annotated[
        float | None, typer.Option(metavar="0..1", help="Lowest cost at no less than this quality.")
    ] = None,
    cluster_by: Annotated[
        str,
        typer.Option(
            metavar="cluster|category",
            help="Which tasks stand or fall together: those of a cluster, or also of a category.",
        ),
    ] = "cluster",
    include_prompts: Annotated[
        bool, typer.Option("--include-prompts", help="Keep the prompts in the result file.")
    ] = False,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of folds, fits, drawn verdicts and intervals.")
    ] = 0,
    level: Level = 0.95,
    json_to: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="[FILE]",
            help="Print JSON instead of text; with FILE print text, and write the result there.",
        ),
    ] = None,
) -> None:
    """Replay policies over recorded outcomes, and say whether they pay. Nothing is called.

    The first line is the verdict: ROUTE, KEEP or INCONCLUSIVE.

    Examples:
    - `effortctl eval replay outcomes.jsonl.gz`

    - `effortctl eval replay test.csv --learn train.csv --verifier 0.95,0.05 --json result.json`

    - `effortctl eval replay outcomes.jsonl.gz --json` (prints it)
    """
    choice = read_verifier(verifier)
    if cluster_by not in ("cluster", "category"):
        raise typer.BadParameter(
            f"{cluster_by!r} is neither cluster nor category", param_hint="--cluster-by"
        )
    saved_to = None if json_to is None else read_result_file(json_to)
    with told(as_json=saved_to == _STDOUT):
        from effortctl.harness.evaluation import evaluate  # noqa: PLC0415 - slow to load
        from effortctl.stores import read_outcomes  # noqa: PLC0415 - with the others

        with _show.progress("replaying") as tell:
            tell("reading outcomes", 0.0)
            result = evaluate(
                read_outcomes(*test),
                learn=read_outcomes(*learn) if learn else None,
                policy=None if policy is None else _load(policy),
                arms=None if arms is None else _names(arms),
                verifier=choice,
                value_usd=value_usd,
                max_cost_usd=max_cost_usd,
                min_quality=min_quality,
                cluster_by_category=cluster_by == "category",
                include_prompts=include_prompts,
                name=test[0].name,
                seed=seed,
                level=level,
                progress=tell,
            )
        if saved_to == _STDOUT:
            print_json(result.model_dump(mode="json"))
            return
        print_result(_show.out(), result)
        if saved_to is not None:
            result.save(saved_to)
            _show.out().print(f"\nWritten to {saved_to}", soft_wrap=True)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigError("--arms names no arm; write e.g. --arms small,big")
    return names


def _load(path: Path) -> FittedPolicy:
    from effortctl._fitted_policy import FittedPolicy  # noqa: PLC0415 - slow to load

    return FittedPolicy.load(path)


# --- how it looks ----------------------------------------------------------------------------------


def print_result(console: Console, result: EvalResult) -> None:
    """Print the verdict, the policies and arms it is about, and what a reader must know."""
    # The sentence is one line, whatever the width: `| head -1` is the verdict.
    console.print(result.verdict.sentence, style="bold", soft_wrap=True)
    console.print(result.verdict.reason)
    console.print()
    columns = ("policy", "quality", "$/1000 tasks", "cost at equal quality")
    table = _show.table(*columns, right=columns[1:3], wrap="policy")
    for name in _rows(result):
        point = result.policies[name]
        label = name.removeprefix("fixed:") if name.startswith("fixed:") else _words(name)
        quality, cost = f"{100 * point.quality:.1f} %", usd(1000 * point.cost_usd)
        table.add_row(label, quality, cost, _equal_quality(result, name))
    table.add_row(
        "oracle (hindsight)",
        f"{100 * result.oracle.quality:.1f} %",
        usd(1000 * result.oracle.cost_usd),
        "-",
    )
    console.print(table)
    console.print()
    console.print(
        "Cost at equal quality: the quality of the best fixed arm, at this share of its dollars."
    )
    console.print(f"Best fixed arm: {result.best_fixed_arm}", soft_wrap=True)
    console.print(f"Best fixed ladder: {' > '.join(result.best_fixed_ladder)}", soft_wrap=True)
    clusters = "" if result.n_clusters == result.n_tasks else f" in {result.n_clusters:,} clusters"
    console.print(f"{result.n_tasks:,} tasks{clusters}, verifier {result.verifier}.")
    for note in (*_dropped(result), *result.notes):
        console.print(f"- {note}")


def _words(name: str) -> str:
    return "shuffled control" if name == "shuffled" else name.replace("_", " ")


def _equal_quality(result: EvalResult, name: str) -> str:
    if name not in result.cost_at_equal_quality:
        return "-"
    equal = result.cost_at_equal_quality[name]
    if equal is None:
        return "never"
    low, high = equal.ci95
    return f"{equal.ratio_to_best_fixed_arm:.2f} x [{low:.2f}, {high:.2f}]"


def _rows(result: EvalResult) -> Sequence[str]:
    """Policies first, then arms, cheapest first."""
    fixed = [name for name in result.policies if name.startswith("fixed:")]
    others = [name for name in result.policies if name not in fixed]
    return [*others, *sorted(fixed, key=lambda name: result.policies[name].cost_usd)]


def _dropped(result: EvalResult) -> Iterator[str]:
    for reason, count in result.dropped.items():
        yield f"Left out: {count:,} {reason}."
