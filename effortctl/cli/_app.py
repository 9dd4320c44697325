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
from effortctl.cli._help import App

app = App(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""Exit codes: 0 ok; 2 usage; 3 bad input (doctor: something is broken); 4 not accepted (ledger
    reconcile: the bill differs); 5 budget; 6 backend or deadline; 130 interrupted. eval gate: 0 pass, 1 fail,
    2 inconclusive, 3 bad input or usage.

    Begin with `effortctl demo` (no key, no network) or `effortctl doctor` (what works on this machine).""",
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


_ASK, _CHOOSE, _WATCH = "Ask", "Measure and choose", "Watch and look up"

app.command("run", rich_help_panel=_ASK, short_help="Ask one thing up a ladder.")(_run.run)
app.command(
    "serve", rich_help_panel=_ASK, short_help="The same for OpenAI clients of any language."
)(_serve.serve)
app.command("demo", rich_help_panel=_ASK, short_help="Watch it work on recorded answers; no key.")(
    _demo.demo
)
app.add_typer(
    _eval.app, name="eval", rich_help_panel=_CHOOSE, short_help="Measure arms on your own tasks."
)
app.command("learn", rich_help_panel=_CHOOSE, short_help="Learn a policy from recorded outcomes.")(
    _learn.learn
)
app.command("plan", rich_help_panel=_CHOOSE, short_help="Explain what it would do with a prompt.")(
    _learn.plan
)
app.add_typer(_learn.app, name="policy", rich_help_panel=_CHOOSE)
app.command("forecast", rich_help_panel=_CHOOSE, short_help="Say what a month would cost.")(
    _forecast.forecast
)
app.add_typer(_ledger.app, name="ledger", rich_help_panel=_WATCH)
app.command(
    "top", rich_help_panel=_WATCH, short_help="Watch spend and verdicts while they happen."
)(_top.top)
app.command("feedback", rich_help_panel=_WATCH, short_help="Judge an answer afterwards.")(
    _feedback.feedback
)
app.command("models", rich_help_panel=_WATCH, short_help="List models and ladders, with prices.")(
    _models.models
)
app.command("doctor", rich_help_panel=_WATCH, short_help="Say what works here, and what does not.")(
    _doctor.doctor
)
