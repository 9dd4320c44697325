"""All commands in one place, and the options of `effortctl` itself."""

from __future__ import annotations

from typing import Annotated

import typer

from effortctl import __version__
from effortctl.cli import (
    _demo,
    _doctor,
    _eval,
    _feedback,
    _forecast,
    _learn,
    _ledger,
    _models,
    _run,
    _serve,
    _top,
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 2 usage, 3 bad input, 4 not accepted, 5 budget, 6 backend or deadline, "
    "130 interrupted.",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the signature of a typer callback
    if wanted:
        typer.echo(f"effortctl {__version__}")
        raise typer.Exit


@app.callback()
def effortctl(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Spend LLM reasoning where it pays: ask at the lowest effort, check, escalate, count dollars."""


app.command("run")(_run.run)
app.command("serve")(_serve.serve)
app.command("demo")(_demo.demo)
app.command("learn")(_learn.learn)
app.command("plan")(_learn.plan)
app.add_typer(_learn.app, name="policy")
app.add_typer(_eval.app, name="eval")
app.command("forecast")(_forecast.forecast)
app.add_typer(_models.app, name="models")
app.add_typer(_ledger.app, name="ledger")
app.command("top")(_top.top)
app.command("feedback")(_feedback.feedback)
app.command("doctor")(_doctor.doctor)
