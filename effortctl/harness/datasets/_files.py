"""Tables and JSON on disk, read record by record; every record comes with its place in the file.

Nothing here runs what it reads: a pickle is refused, and so is an archive.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from effortctl._errors import ConfigError, StoreError

Numbered = tuple[str, Mapping[str, Any]]
"""Where a record stands, in words, and the record."""

_MAX_FIELD: Final = 2**31 - 1
_PICKLE_ENDINGS: Final = (".pkl", ".pickle", ".pkl.gz", ".pickle.gz", ".pt", ".joblib")
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_PICKLE_PROTOCOLS: Final = range(2, 8)
_OTHER_SEPARATORS: Final = {";": "semicolons", "\t": "tabs"}
"""What spreadsheets write instead of commas, depending on the country."""


def refuse_unreadable(path: Path) -> None:
    """Refuse files that must not or cannot be read as text.

    Raises:
        StoreError: The file is missing, empty, a pickle, an archive or UTF-16 text.
    """
    head = file_head(path)
    if path.name.lower().endswith(_PICKLE_ENDINGS) or _is_pickle(head):
        raise StoreError(
            f"{path} is a pickle, which runs whatever code it contains when it is opened, so it is not "
            "opened here; where you trust its source, convert it yourself, e.g. with "
            'pandas.read_pickle("in.pkl").to_csv("out.csv"), and import the CSV'
        )
    if head.startswith(_ZIP):
        raise StoreError(
            f"{path} is an archive; unpack it first (an inspect .eval log: inspect log convert --to json)"
        )
    if head.startswith(_UTF16):
        raise StoreError(f"{path} is UTF-16 text, expected UTF-8; save it as UTF-8")
    if not head.strip().removeprefix(b"\xef\xbb\xbf"):
        raise StoreError(f"{path} is empty, expected at least one record")


def file_head(path: Path, size: int = 65_536) -> bytes:
    """The first bytes of a file, unpacked where it is gzip.

    Raises:
        StoreError: The file cannot be read.
    """
    with _told(path), path.open("rb") as raw:
        if raw.read(2) != _GZIP:
            raw.seek(0)
            return raw.read(size)
        raw.seek(0)
        with gzip.open(raw, "rb") as packed:
            return packed.read(size)


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open UTF-8 text, packed by gzip or not, with or without a byte order mark.

    Raises:
        StoreError: It cannot be read, is damaged, or is not UTF-8.
    """
    with _told(path), path.open("rb") as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        with (
            gzip.open(raw, "rb") if packed else raw as unpacked,
            io.TextIOWrapper(unpacked, "utf-8-sig", newline="") as text,
        ):
            yield text


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise StoreError(
            f"{path} is not UTF-8 text ({error.reason}: byte {error.object[error.start]:#04x}); save it as UTF-8"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"{path} cannot be read: {reason}") from error


def json_lines(path: Path) -> Iterator[Numbered]:
    """The objects of a file with one JSON object per line; blank lines are skipped.

    Raises:
        StoreError: A line is not a JSON object; the message names it.
    """
    with open_text(path) as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                place = f"{path}, line {number}"
                yield place, as_object(parse_json(line, place), place)


def json_records(path: Path) -> Iterator[Numbered]:
    """The objects of a JSON file, however it holds them: one per line, a list, or a single one.

    Raises:
        StoreError: It is not JSON, or something in it is no object; the message names the place.
    """
    with open_text(path) as stream:
        first = next((line for line in stream if line.strip()), "")
        if _is_object(first):
            lines = True
        else:
            lines = False
            whole = parse_json(first + stream.read(), str(path))
    if lines:
        yield from json_lines(path)
    elif isinstance(whole, list):
        for number, item in enumerate(whole, start=1):
            place = f"{path}, item {number}"
            yield place, as_object(item, place)
    else:
        yield str(path), as_object(whole, str(path))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def parse_json(text: str, place: str) -> Any:
    """One JSON value.

    Raises:
        StoreError: It is not JSON; the message names the place.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = place if error.lineno == 1 else f"{place}, line {error.lineno}"
        raise StoreError(
            f"{where}, column {error.colno}: not JSON ({error.msg}); expected one JSON value"
        ) from None
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{place}: not JSON ({error}); expected one JSON value") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value; leave unknown values out")


def as_object(value: Any, place: str) -> Mapping[str, Any]:
    """The value, which must be a JSON object.

    Raises:
        StoreError: It is something else.
    """
    if not isinstance(value, dict):
        raise StoreError(f"{place}: a JSON {type(value).__name__}, expected an object")
    return value


def csv_header(path: Path) -> list[str]:
    """The column names of a CSV file.

    Raises:
        StoreError: The file is not CSV, or a column is named twice or not at all.
    """
    with open_text(path) as stream, _wide_fields(path):
        return _header(csv.reader(stream, strict=True), path)


def csv_records(path: Path) -> Iterator[Numbered]:
    """The rows of a CSV file with a header; a row's place is the line it starts on.

    Raises:
        StoreError: The file is not CSV, or a row has too many or too few cells.
    """
    with open_text(path) as stream, _wide_fields(path):
        reader = csv.reader(stream, strict=True)
        header = _header(reader, path)
        line = reader.line_num + 1
        for cells in reader:
            place = f"{path}, line {line}"
            line = reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(header):
                raise StoreError(
                    f"{place}: {len(cells)} cells, expected {len(header)} as in the header; put text "
                    "with commas or line breaks in double quotes"
                )
            yield place, dict(zip(header, cells, strict=True))


def _header(reader: Any, path: Path) -> list[str]:
    header = [name.strip() for name in next(reader, [])]
    twice = sorted({name for name in header if header.count(name) > 1})
    if not header or twice:
        what = f"column {twice[0]!r} is named twice" if twice else "there is no header"
        raise StoreError(f"{path}, line 1: {what}; give every column one name in the first line")
    if len(header) == 1:
        for sign, name in _OTHER_SEPARATORS.items():
            if sign in header[0]:
                raise StoreError(
                    f"{path}, line 1: the columns are separated by {name}, expected commas; save it as CSV "
                    "with commas"
                )
    return header


@contextmanager
def _wide_fields(path: Path) -> Iterator[None]:
    """Prompts can be longer than the csv module allows by default."""
    previous = csv.field_size_limit(_MAX_FIELD)
    try:
        yield
    except csv.Error as error:
        raise StoreError(
            f"{path} is not CSV: {error}; close every quote, and write a quote in text twice"
        ) from error
    finally:
        csv.field_size_limit(previous)


def parquet_records(path: Path) -> Iterator[Numbered]:
    """The rows of a Parquet file.

    Raises:
        ConfigError: pyarrow is not installed.
        StoreError: The file is not Parquet.
    """
    pa, parquet = pyarrow()
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", record
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read as Parquet: {error}") from error


def pyarrow() -> tuple[Any, Any]:
    """The pyarrow package and its Parquet module.

    Raises:
        ConfigError: They are not installed.
    """
    try:
        import pyarrow as pa  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - optional
        import pyarrow.parquet as pq  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ConfigError(
            'Parquet needs pyarrow: pip install "effortctl[big]", or use JSON lines'
        ) from error
    return pa, pq


def _is_pickle(head: bytes) -> bool:
    """Pickles since protocol 2 start with this byte and the number of the protocol."""
    return len(head) > 1 and head[0] == 0x80 and head[1] in _PICKLE_PROTOCOLS
