"""`effortctl eval import|export|convert|batch-requests`: data in, results out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from effortctl._errors import ConfigError
from effortctl.cli import _show
from effortctl.cli._exits import print_json, told, warn
from effortctl.cli._options import AsJson

if TYPE_CHECKING:
    from effortctl.harness.datasets import Dataset
    from effortctl.harness.formats import Imported

Output: TypeAlias = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Where it goes.")
]
DatasetFile: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--dataset", metavar="FILE", help="The tasks that were asked; answers are scored with it."
    ),
]
MetricName: TypeAlias = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Scores answers of the dataset.")
]
TrustCode: TypeAlias = Annotated[
    bool, typer.Option("--trust-code", help="Checks in the dataset's file may run Python.")
]
_OUTCOMES = "Outcome files: .jsonl, .csv (either may end in .gz) or .parquet."


def register(app: typer.Typer) -> None:
    """Add these commands to `effortctl eval`."""
    commands: dict[str, Callable[..., None]] = {
        "import": import_files,
        "export": export,
        "convert": convert,
        "batch-requests": batch_requests,
    }
    for name, command in commands.items():
        app.command(name, rich_help_panel="Bring data in, take results out")(command)


def import_files(  # noqa: PLR0913 - one parameter per option of the command
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Files of one format; never a pickle.")
    ],
    *,
    output: Output = Path("outcomes.jsonl.gz"),
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="auto, routellm, routerbench, llmrouterbench, inspect, batch, otel, traces or outcomes.",
        ),
    ] = "auto",
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARM=IN/OUT",
            help="Dollars per million tokens, e.g. gpt-4=10/30, or per call, e.g. gpt-4=0.004/call; "
            "repeatable.",
        ),
    ] = None,
    dataset: DatasetFile = None,
    metric: MetricName = None,
    scorer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which score, where a file has several.")
    ] = None,
    trust_verdicts: Annotated[
        bool, typer.Option("--trust-verdicts", help="Verdicts in our traces count as scores.")
    ] = False,
    task_attribute: Annotated[
        str | None, typer.Option(metavar="NAME", help="Attribute naming the task of an OTel span.")
    ] = None,
    estimate_tokens: Annotated[
        bool,
        typer.Option(
            "--estimate-tokens", help="Count a token per four characters if none are known."
        ),
    ] = False,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> None:
    """Turn what other programs recorded into one outcome file, to learn from and to replay.

    Dollars come from --price, else from the file, else from the price book; else they stay unknown.

    Examples:
    - `effortctl eval import gsm8k_responses.csv --price gpt-4=0.0037/call -o outcomes.jsonl.gz`

    - `effortctl eval import batch_output.jsonl requests.jsonl --dataset tasks.csv`
    """
    with told(as_json=as_json):
        from effortctl.harness.formats import import_outcomes, read_price  # noqa: PLC0415 - slow
        from effortctl.stores import write_outcomes  # noqa: PLC0415 - with the others

        found = import_outcomes(
            *files,
            format=None if source == "auto" else source,  # type: ignore[arg-type]  # checked there
            prices=dict(map(read_price, price or ())),
            dataset=_dataset(dataset, metric, trust_code=trust_code),
            scorer=scorer,
            trust_verdicts=trust_verdicts,
            task_attribute=task_attribute,
            estimate_tokens=estimate_tokens,
        )
        matrix = found.matrix()
        write_outcomes(output, found.rows)
        if as_json:
            print_json(
                {
                    "output": str(output),
                    "format": found.format,
                    "outcomes": len(found.rows),
                    "tasks": len(matrix),
                    "arms": list(matrix.arms),
                    "left_out": dict(found.left_out),
                    "price_sources": dict(found.price_sources),
                    "unknown_cost": dict(found.unknown_cost),
                    "notes": list(found.notes),
                }
            )
            return
        _print_import(found, tasks=len(matrix), arms=matrix.arms, output=output)


def export(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT.json", help="What `eval run` or `eval replay --json FILE` wrote."
        ),
    ],
    *,
    to: Annotated[str, typer.Option(metavar="FORMAT", help="csv, parquet, json or inspect.")],
    output: Output,
    as_json: AsJson = False,
) -> None:
    """Write a result for a spreadsheet, a data frame, or Inspect View.

    Examples:
    - `effortctl eval export result.json --to csv -o result.csv`

    - `effortctl eval export result.json --to inspect -o logs`
    """
    with told(as_json=as_json):
        from effortctl.harness._result import EvalResult  # noqa: PLC0415 - slow to load
        from effortctl.harness.formats import export_result  # noqa: PLC0415 - with the others

        written = export_result(EvalResult.load(result), output, to=to)  # type: ignore[arg-type]  # checked there
        _print_written(written, as_json=as_json)


def convert(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help=_OUTCOMES)],
    *,
    output: Output,
    as_json: AsJson = False,
) -> None:
    """Write outcome files as another kind, or several as one.

    Examples:
    - `effortctl eval convert outcomes.csv -o outcomes.jsonl.gz`

    - `effortctl eval convert monday.jsonl tuesday.jsonl -o both.parquet`
    """
    with told(as_json=as_json):
        from effortctl.stores import (  # noqa: PLC0415 - slow to load
            matrix_rows,
            read_outcomes,
            write_outcomes,
        )

        write_outcomes(output, matrix_rows(read_outcomes(*files)))
        _print_written((output,), as_json=as_json)


def batch_requests(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="The tasks to ask.")],
    *,
    arms: Annotated[str, typer.Option(metavar="A,B,C", help="Arms, or the name of a ladder.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go.")
    ] = Path("batch"),
    samples: Annotated[
        int, typer.Option(metavar="N", min=1, help="Requests per task and arm.")
    ] = 1,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="At most so many tasks.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Draw them at random.")] = None,
    metric: MetricName = None,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> None:
    """Write the request files of a dataset for the OpenAI Batch API, at half the price of calls.

    Examples:
    - `effortctl eval batch-requests tasks.csv --arms gpt-6-luna@low,gpt-6-luna@high -o batch`
    """
    with told(as_json=as_json):
        from effortctl.catalog import (  # noqa: PLC0415 - slow to load
            load_ladder,
            resolve,
            shipped_ladders,
        )
        from effortctl.harness.formats import write_batch_requests  # noqa: PLC0415 - with the others

        tasks = _dataset(dataset, metric, trust_code=trust_code, limit=limit, seed=seed)
        named = [name.strip() for name in arms.split(",") if name.strip()]
        if len(named) == 1 and named[0] in shipped_ladders():
            chosen = list(load_ladder(named[0]).arms)
        else:
            chosen = [resolve(name) for name in named]
        written = write_batch_requests(
            output, () if tasks is None else tasks.cases, chosen, samples=samples
        )
        _print_written(written, as_json=as_json)


def _dataset(
    source: str | None,
    metric: str | None,
    *,
    trust_code: bool,
    limit: int | None = None,
    seed: int | None = None,
) -> Dataset | None:
    from effortctl.harness.datasets import load_dataset  # noqa: PLC0415 - slow to load

    if source is None:
        if metric is not None:
            raise ConfigError("--metric scores answers of a dataset; give --dataset FILE too")
        return None
    found = load_dataset(source, metric=metric, limit=limit, seed=seed, trust_code=trust_code)
    for note in found.notes:
        warn(f"{found.name}: {note}")
    return found


def _print_import(found: Imported, *, tasks: int, arms: tuple[str, ...], output: Path) -> None:
    console = _show.out()

    def say(text: str) -> None:
        console.print(text, soft_wrap=True)

    say(f"{len(found.rows)} outcomes of {tasks} tasks and {len(arms)} arms ({found.format})")
    say(f"Arms: {', '.join(arms)}")
    for source, times in found.price_sources.items():
        say(f"Dollars of {times} answers: {source}")
    for model, times in found.unknown_cost.items():
        say(f"Dollars unknown for {times} answers of {model}; set --price {model}=IN/OUT")
    for why, times in found.left_out.items():
        say(f"Left out {times}: {why}")
    for note in found.notes:
        say(f"Note: {note}")
    say(f"Written to {output}")


def _print_written(files: tuple[Path, ...], *, as_json: bool) -> None:
    if as_json:
        print_json({"files": [str(path) for path in files]})
        return
    for path in files:
        _show.out().print(f"Written to {path}", soft_wrap=True)
