"""How many queries of which kind are expected in a month."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from effortctl._errors import ConfigError, StoreError

_EXPECTED = "a CSV with the columns category, queries_per_month and, if you like, prompt_tokens"


@dataclass(frozen=True, slots=True)
class Volume:
    """One row of expected queries.

    Attributes:
        category: Kind of query, as outcomes name it.
        queries_per_month: How many.
        prompt_tokens: Mean length of their prompts; None: like the recorded ones.
    """

    category: str
    queries_per_month: float
    prompt_tokens: float | None = None


def read_volumes(path: str | Path) -> tuple[Volume, ...]:
    """Read a CSV of expected queries; other columns are ignored.

    Raises:
        StoreError: The file cannot be read.
        ConfigError: A column is missing or a row makes no sense; the message names the line.
    """
    source = Path(path).expanduser()
    try:
        with source.open(encoding="utf-8-sig", newline="") as stream:
            found = tuple(_rows(csv.DictReader(stream, strict=True), source))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{source} is not a readable CSV file ({error})") from error
    if not found:
        raise ConfigError(f"{source} holds no row; expected {_EXPECTED}")
    if not any(each.queries_per_month for each in found):
        raise ConfigError(f"{source} expects no queries at all; set queries_per_month")
    return found


def _rows(reader: csv.DictReader[str], source: Path) -> Iterator[Volume]:
    columns = [name.strip() for name in reader.fieldnames or ()]
    for name in ("category", "queries_per_month"):
        if name not in columns:
            raise ConfigError(f"{source} has no column {name!r}; expected {_EXPECTED}")
    seen = set()
    for raw in reader:
        place = f"{source}, line {reader.line_num}"
        if None in raw or None in raw.values():
            raise ConfigError(f"{place}: the number of columns differs from the header's")
        row = {name.strip(): value.strip() for name, value in raw.items()}
        if not row["category"]:
            raise ConfigError(f"{place}: the category is empty; name the kind of query")
        volume = Volume(
            row["category"],
            _amount(row, "queries_per_month", place),
            _amount(row, "prompt_tokens", place) if row.get("prompt_tokens") else None,
        )
        key = (volume.category, volume.prompt_tokens)
        if key in seen:
            raise ConfigError(
                f"{place}: category {volume.category!r} comes twice; add its queries up in one row"
            )
        seen.add(key)
        yield volume


def _amount(row: Mapping[str, str], name: str, place: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(f"{place}: {name} is {row[name]!r}; expected a number such as 12000")
    return value
