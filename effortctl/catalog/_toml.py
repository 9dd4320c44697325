"""Read TOML written by people, and say in one sentence what is wrong with it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from effortctl._errors import ConfigError

_EXPECTED = {"missing": "is missing", "extra_forbidden": "is not a known key"}


def read_toml(file: Traversable | Path) -> dict[str, Any]:
    """Parse a file.

    Raises:
        ConfigError: The file cannot be read or is not TOML; the message names file and line.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read as UTF-8 text ({error}); check the path and the file"
        raise ConfigError(msg) from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{file}: not valid TOML: {error}; fix that line"
        raise ConfigError(msg) from error


def table_line(file: Traversable | Path, *, table: str, index: int) -> int | None:
    """Line of the `index`-th `[[table]]` header, counted from 1; None when it is written otherwise."""
    header = re.compile(rf"^\s*\[\[\s*{re.escape(table)}\s*\]\]", re.MULTILINE)
    text = file.read_text(encoding="utf-8")
    starts = [match.end() for match in header.finditer(text)]
    return text.count("\n", 0, starts[index]) + 1 if index < len(starts) else None


@contextmanager
def told_plainly(where: str) -> Iterator[None]:
    """Turn a pydantic error raised inside into a ConfigError of one sentence that starts with `where`."""
    try:
        yield
    except ValidationError as error:
        msg = f"{where}: {_first_problem(error)}"
        raise ConfigError(msg) from error


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    known = _EXPECTED.get(first["type"])
    if known is not None:
        return f"`{field}` {known}"
    detail = first["msg"].removeprefix("Value error, ")
    return f"`{field}`: {detail}" if field else detail


def only_keys(data: Mapping[str, Any], *allowed: str, where: str) -> None:
    """Refuse tables we do not know, so that a misspelt one is not silently ignored.

    Raises:
        ConfigError: There is an unknown key.
    """
    unknown = sorted(set(data) - set(allowed))
    if unknown:
        msg = (
            f"{where}: unknown key `{unknown[0]}`; expected {', '.join(f'`{k}`' for k in allowed)}"
        )
        raise ConfigError(msg)
