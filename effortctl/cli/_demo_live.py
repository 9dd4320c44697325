"""The live part of the demo, on its own and as a guest of the recorded part.

As a guest it runs in a process of its own: native code that crashes on this machine's CPU, or hangs,
must not take the rest of the demo with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from effortctl._errors import EffortctlError
from effortctl._types import Attempt, Trace
from effortctl.cli import _show
from effortctl.cli._exits import ExitCode, print_json
from effortctl.harness import run_live

if TYPE_CHECKING:
    from rich.console import Console

_TIMEOUT_S = 480.0
_INTRODUCTION = (
    "Live on this machine: SmolLM2-135M, a very small model, on the few things it can do."
)


def run_here(gguf: Path | None, *, usd_per_hour: Decimal, as_json: bool) -> None:
    """Run the live part in this process.

    Raises:
        Exit: With code 6, after one sentence on stderr, when it cannot run.
    """
    document: list[dict[str, Any]] = []
    try:
        with ExitStack() as stack:
            _run(gguf, document, stack=stack, usd_per_hour=usd_per_hour, as_json=as_json)
    except EffortctlError as error:
        if as_json:
            print_json({"error": {"type": type(error).__name__, "message": str(error)}})
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(ExitCode.BACKEND) from error
    except KeyboardInterrupt as error:
        typer.echo("Interrupted.", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from error
    if as_json:
        print_json({"tasks": document})


def _run(
    gguf: Path | None,
    document: list[dict[str, Any]],
    *,
    stack: ExitStack,
    usd_per_hour: Decimal,
    as_json: bool,
) -> None:
    from effortctl.backends import LocalBackend, find_weights  # noqa: PLC0415 - loads the SDK

    console = _show.out()
    backend = stack.enter_context(LocalBackend(find_weights(gguf)))
    if not as_json:
        said = _INTRODUCTION if gguf is None else f"Live on this machine: {gguf.name}."
        console.print(said, style="bold")
    shown = None if as_json else partial(_print_attempt, console)
    title, traces = "", list[Trace]()
    for event in run_live(backend, usd_per_hour=usd_per_hour, on_attempt=shown):
        if isinstance(event, Trace):
            traces.append(event)
            document.append({"title": title, "trace": event.model_dump(mode="json")})
        else:
            title = event.title
            if not as_json:
                console.print(title, no_wrap=True, overflow="ellipsis")
    if not as_json:
        console.print(_closing(traces), style="bold")


def _print_attempt(console: Console, attempt: Attempt) -> None:
    console.print(_show.attempt_line(attempt), soft_wrap=True)
    if attempt.answer is not None:
        said = Text(f"    said: {' '.join(attempt.answer.text.split())}", style="dim")
        said.truncate(console.width, overflow="ellipsis")
        console.print(said)


def _closing(traces: Sequence[Trace]) -> str:
    accepted = sum(trace.outcome == "accepted" for trace in traces)
    compute_s = sum(trace.compute_s for trace in traces)
    cost = sum((trace.cost_usd for trace in traces), Decimal(0))
    return f"{accepted} of {len(traces)} accepted, {compute_s:.1f} CPU-seconds, {_show.usd(cost)}."


def run_apart(gguf: Path | None, *, usd_per_hour: Decimal, as_json: bool) -> dict[str, Any]:
    """Run the live part in another process; report a failure in one line and go on.

    Returns:
        Its document, or `{"error": sentence}`; without `as_json` what it prints goes to our stdout.
    """
    command = [sys.executable, "-m", "effortctl", "demo", "--live-only"]
    command += ["--usd-per-hour", str(usd_per_hour)]
    command += ["--gguf", str(gguf)] if gguf is not None else []
    command += ["--json"] if as_json else []
    if not as_json:
        typer.echo()
        # The child writes to the same stdout; what we have written must come first.
        sys.stdout.flush()
    said, problem = _child(command, capture=as_json)
    if problem is None:
        return dict(json.loads(said)) if as_json else {}
    if not as_json:
        typer.echo(f"The live part did not run: {problem}")
    return {"error": problem}


def _child(command: list[str], *, capture: bool) -> tuple[str, str | None]:
    """What the child printed, and in one sentence why it failed, if it did."""
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            stdout=subprocess.PIPE if capture else None,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"it took more than {_TIMEOUT_S:.0f} s"
    except OSError as error:
        return "", f"no process could be started: {error}"
    if done.returncode == 0:
        return done.stdout or "", None
    if done.returncode < 0:
        return "", f"the model's runtime crashed (signal {-done.returncode})"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit code {done.returncode}"
    return "", last.removeprefix("Error: ")
