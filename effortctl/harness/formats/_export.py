"""One door for what an evaluation's result can be written as."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, get_args

from effortctl._errors import ConfigError, StoreError
from effortctl.harness._result import EvalResult
from effortctl.harness.formats._inspect_export import dumps, inspect_log, log_name
from effortctl.harness.formats._result_tables import write_tables

ExportName = Literal["csv", "parquet", "json", "inspect"]
EXPORTS: Final[tuple[ExportName, ...]] = get_args(ExportName)
"""Formats `export_result` writes."""


def export_result(
    result: EvalResult, path: str | Path, *, to: ExportName, now: datetime | None = None
) -> tuple[Path, ...]:
    """Write a result for other programs.

    Args:
        result: What an evaluation found.
        path: The file. Tables of tasks go beside it, as `NAME.tasks.ENDING`. For inspect best a folder:
            Inspect View and its data frames list only files whose names start with a time, so such a
            name is made there. A path that ends in `.json` is used as it is.
        to: `csv` or `parquet` for tables, `json` for all of it as it is, `inspect` for a log that
            inspect_ai opens.
        now: Time written into an inspect log. None: now.

    Returns:
        The files that were written.

    Raises:
        ConfigError: The format is unknown, or pyarrow is missing.
        StoreError: A file cannot be written.
    """
    target = Path(path).expanduser()
    if to not in EXPORTS:
        raise ConfigError(f"unknown format {to!r}; choose from {', '.join(EXPORTS)}")
    try:
        if to == "inspect":
            return (_write_inspect(result, target, now=now or datetime.now(UTC)),)
        target.parent.mkdir(parents=True, exist_ok=True)
        if to == "json":
            result.save(target)
            return (target,)
        return write_tables(result, target, kind=to)
    except OSError as error:
        raise StoreError(f"the result was not written to {target}: {error}") from error


def _write_inspect(result: EvalResult, target: Path, *, now: datetime) -> Path:
    log = inspect_log(result, now=now)
    path = target if target.suffix.lower() == ".json" else target / log_name(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(dumps(log), "utf-8")
    part.replace(path)
    return path
