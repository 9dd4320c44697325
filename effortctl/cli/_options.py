"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from effortctl.stores import default_ledger_path

if TYPE_CHECKING:
    from effortctl._held_out import VerifierChoice

_AGO = re.compile(r"^(\d+)\s*([hdw])$")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}


def read_usd(text: str) -> Decimal:
    """Read dollars, with or without `$`."""
    try:
        value = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise typer.BadParameter(f"{text!r} is not an amount of dollars; write e.g. 0.05")
    return value


def read_since(text: str) -> datetime:
    """Read a day, a time, or how long ago: `2026-11-01`, `2026-11-01T12:00`, `24h`, `7d`, `2w`."""
    match = _AGO.match(text.strip())
    if match:
        return datetime.now(UTC) - timedelta(hours=int(match[1]) * _HOURS[match[2]])
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time; write e.g. 2026-11-01, 24h or 7d"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def ledger_path(given: Path | None) -> Path:
    """The ledger to use: the one named, else `$EFFORTCTL_LEDGER`, else the user's."""
    named = os.environ.get("EFFORTCTL_LEDGER")
    return given or (Path(named).expanduser() if named else default_ledger_path())


def traces_path(given: Path | None) -> Path | None:
    """The file of traces to look at: the one named, else `$EFFORTCTL_TRACES`, else none."""
    named = os.environ.get("EFFORTCTL_TRACES")
    return given or (Path(named).expanduser() if named else None)


Level: TypeAlias = Annotated[
    float, typer.Option("--level", metavar="0..1", help="Coverage of intervals.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
LedgerFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--ledger",
        metavar="FILE",
        help="The ledger. Default: $EFFORTCTL_LEDGER, else the file in your data folder.",
    ),
]
Since: TypeAlias = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        metavar="TIME",
        parser=read_since,
        help="From here on (UTC): 2026-11-01, 24h, 7d or 2w.",
    ),
]
TracesFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--traces",
        metavar="FILE",
        help="Traces of finished tasks. Default: $EFFORTCTL_TRACES.",
    ),
]
PolicyToCompare: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="Warn when pass rates, dollars or difficulty leave what this policy expects.",
    ),
]
UsdPerHour: TypeAlias = Annotated[
    Decimal | None,
    typer.Option(
        "--usd-per-hour",
        metavar="USD",
        parser=read_usd,
        help="What an hour of your machine costs; prices local and recorded arms.",
    ),
]
Gguf: TypeAlias = Annotated[
    Path | None,
    typer.Option("--gguf", metavar="FILE", help="A chat model to run on this machine."),
]
Recording: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--recording",
        metavar="FILE",
        help="Recorded answers. Default: those shipped with effortctl.",
    ),
]

_VERIFIERS = ("exact", "none", "recorded", "agreement")


def read_verifier(text: str) -> VerifierChoice:
    """Read `exact`, `none`, `recorded`, `agreement`, or two rates such as `0.95,0.05`."""
    for name in _VERIFIERS:
        if text == name:
            return text  # type: ignore[return-value]  # it equals one of the literals
    try:
        tpr, fpr = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a verifier; write exact, none, recorded, agreement, or TPR,FPR such as "
            "0.95,0.05",
            param_hint="--verifier",
        ) from None
    return tpr, fpr
