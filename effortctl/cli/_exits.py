"""How a command ends: its exit code, and what went wrong in one sentence."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TextIO

import typer

from effortctl._errors import (
    BackendError,
    BudgetExceededError,
    DeadlineExceededError,
    EffortctlError,
    EffortctlWarning,
    NotAcceptedError,
    UsageError,
    VerifierError,
)


class ExitCode(IntEnum):
    """What a shell sees. 2 belongs to typer: the command line itself was wrong."""

    OK = 0
    BAD_INPUT = 3
    NOT_ACCEPTED = 4
    BUDGET = 5
    BACKEND = 6
    INTERRUPTED = 130


_CODES: tuple[tuple[tuple[type[EffortctlError], ...], ExitCode], ...] = (
    ((NotAcceptedError,), ExitCode.NOT_ACCEPTED),
    ((BudgetExceededError,), ExitCode.BUDGET),
    ((BackendError, DeadlineExceededError, UsageError, VerifierError), ExitCode.BACKEND),
)


def code_of(error: EffortctlError) -> ExitCode:
    """The exit code of an error; what is not the backend's doing is bad input."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), ExitCode.BAD_INPUT)


@contextmanager
def told(*, as_json: bool) -> Iterator[None]:
    """Run the body of a command: errors become one sentence and an exit code, warnings one line.

    Args:
        as_json: Also print the error to stdout, for the program that reads it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("default", EffortctlWarning)
        warnings.showwarning = _show_warning
        try:
            yield
        except EffortctlError as error:
            if as_json:
                print_json(_as_json(error))
            typer.echo(f"Error: {error}", err=True)
            best = error.trace.best if error.trace is not None else None
            if not as_json and best is not None and best.answer is not None and best.answer.text:
                typer.echo("The best answer so far, not accepted:", err=True)
                typer.echo(best.answer.text)
            raise typer.Exit(code_of(error)) from error
        except KeyboardInterrupt as error:
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from error


def warn(message: str) -> None:
    """Tell the user something that does not stop the command."""
    typer.echo(f"Warning: {message}", err=True)


def print_json(value: object) -> None:
    """Print one JSON document to stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=not _is_utf8(sys.stdout)))


def _as_json(error: EffortctlError) -> dict[str, object]:
    document: dict[str, object] = {
        "error": {"type": type(error).__name__, "message": str(error)},
    }
    if error.trace is not None:
        document["trace"] = error.trace.model_dump(mode="json")
    return document


def _is_utf8(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


def _show_warning(message: Warning | str, *_where: object, **_more: object) -> None:
    warn(str(message))
