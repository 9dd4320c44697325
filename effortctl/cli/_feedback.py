"""`effortctl feedback`: how good an answer turned out to be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effortctl._errors import ConfigError
from effortctl.cli._exits import print_json, told
from effortctl.cli._options import AsJson, TracesFile, traces_path
from effortctl.stores import add_feedback, feedback_path


def feedback(
    decision: Annotated[
        str,
        typer.Argument(
            metavar="DECISION_ID",
            help="Id of the trace: `id` in `run --json`. That of a session judges the whole agent run.",
        ),
    ],
    *,
    score: Annotated[float, typer.Option(metavar="0..1", help="0 is wrong, 1 is right.")],
    note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why; it is kept as it is.")
    ] = None,
    traces: TracesFile = None,
    into: Annotated[
        Path | None,
        typer.Option("--feedback", metavar="FILE", help="Default: beside the traces."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge an answer that was returned earlier; the last judgement of a decision counts.

    Examples:
    - `effortctl feedback 5f0c2a91 --score 1 --traces traces.jsonl`

    - `effortctl feedback 5f0c2a91 --score 0 --note "wrong year"` (with `$EFFORTCTL_TRACES`)
    """
    with told(as_json=as_json):
        path = traces_path(traces)
        if path is None:
            raise ConfigError("name the traces with --traces FILE, or set EFFORTCTL_TRACES")
        given = add_feedback(path, decision, score, note=note, feedback=into)
        if as_json:
            print_json(given.model_dump(mode="json"))
        else:
            where = into or feedback_path(path)
            typer.echo(f"Noted {given.score:g} for {decision} in {where}")
