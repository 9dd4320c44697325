"""Recorded outcomes on disk: one row per (task, arm), as JSON lines, CSV or Parquet.

The file's ending says which: `.jsonl`, `.csv` (either may end in `.gz`), `.parquet`. Columns are the
fields of `OutcomeRow`; others are ignored on reading. A file is read whole or not at all.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from effortctl._errors import ConfigError, StoreError
from effortctl.stores._matrix import CELL_ARRAYS, FAIL, MISSING, PASS, OutcomeMatrix
from effortctl.stores._outcome_rows import FIELDS, OutcomeRow, parse_row

if TYPE_CHECKING:
    import numpy as np

_MAX_FIELD = 2**31 - 1
_CODES: Final = {"pass": PASS, "fail": FAIL}
_SHARED = ("query", "category", "cluster", "date")
_NOT_ESCALATED: Final = ("escalated", False)
_NO_AMOUNTS: Final = {"score", "verdict", "n_samples", "answers", "escalated"}


def read_outcomes(*paths: str | Path) -> OutcomeMatrix:
    """Read outcome files into one matrix.

    Args:
        *paths: Files ending in `.jsonl`, `.jsonl.gz`, `.csv`, `.csv.gz` or `.parquet`. Several files
            are read as if they were one.

    Raises:
        StoreError: A file cannot be read, a row makes no sense (the message has file and line), an
            outcome comes twice, or there is no outcome at all.
        ConfigError: A file's ending is not known, or Parquet is asked for without pyarrow.
    """
    return to_matrix(
        (numbered for path in paths for numbered in _read(Path(path).expanduser(), _kind(path))),
        source=", ".join(map(str, paths)),
    )


def outcome_matrix(rows: Iterable[OutcomeRow | Mapping[str, Any]]) -> OutcomeMatrix:
    """Build a matrix from rows in memory.

    Raises:
        StoreError: A row makes no sense, an outcome comes twice, or there is no row.
    """
    return to_matrix((f"row {number}", row) for number, row in enumerate(rows, start=1))


def write_outcomes(path: str | Path, rows: Iterable[OutcomeRow]) -> None:
    """Write rows to a file of the kind its ending says; unknown fields are left out.

    Raises:
        StoreError: The file cannot be written.
        ConfigError: The file's ending is not known, or Parquet is asked for without pyarrow.
    """
    kind, target = _kind(path), Path(path).expanduser()
    # Rows hold plain values, so nothing needs the deep copies of `dataclasses.asdict`.
    records = ({name: getattr(row, name) for name in FIELDS} for row in rows)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind == "parquet":
            _write_parquet(target, records)
            return
        with _open(target, "wt") as stream:
            (_write_lines if kind == "jsonl" else _write_csv)(stream, records)
    except OSError as error:
        raise StoreError(f"outcomes were not written to {target}: {error}") from error


def matrix_rows(matrix: OutcomeMatrix) -> Iterator[OutcomeRow]:
    """The known cells of a matrix as rows, task by task."""
    status = {PASS: "pass", FAIL: "fail", MISSING: None}
    amounts = [name for name in CELL_ARRAYS if name not in _NO_AMOUNTS]
    for i, task_id in enumerate(matrix.task_ids):
        for j, arm in enumerate(matrix.arms):
            if matrix.n_samples[i, j] == 0:
                continue
            yield OutcomeRow(
                query_id=task_id,
                arm=arm,
                score=float(matrix.score[i, j]),
                query=matrix.texts[i],
                category=matrix.categories[i],
                cluster=matrix.clusters[i],
                date=matrix.dates[i],
                model=matrix.models[j],
                effort=matrix.efforts[j],
                verdict=status[int(matrix.verdict[i, j])],
                n_samples=int(matrix.n_samples[i, j]),
                answer=None if matrix.answers is None else matrix.answers[i, j],
                escalated=matrix.escalated is not None and bool(matrix.escalated[i, j]),
                **{name: _known(getattr(matrix, name)[i, j]) for name in amounts},
            )


def _known(value: np.float64) -> float | None:
    number = float(value)
    return number if number == number else None  # noqa: PLR0124 - NaN differs from itself


def to_matrix(
    rows: Iterable[tuple[str, OutcomeRow | Mapping[str, Any]]], *, source: str = ""
) -> OutcomeMatrix:
    """Build a matrix from (place, row) pairs; the place is named when the row makes no sense."""
    table = _Table()
    for place, row in rows:
        try:
            table.add(row if isinstance(row, OutcomeRow) else parse_row(row))
        except ConfigError as error:
            raise StoreError(f"{place}: {error}") from None
    return table.matrix(source)


class _Table:
    """Collects rows and refuses what contradicts an earlier one."""

    def __init__(self) -> None:
        self.tasks: dict[str, tuple[int, OutcomeRow]] = {}
        self.arms: dict[str, tuple[int, OutcomeRow]] = {}
        self.cells: dict[tuple[int, int], OutcomeRow] = {}

    def add(self, row: OutcomeRow) -> None:
        i, task = self.tasks.setdefault(row.query_id, (len(self.tasks), row))
        j, arm = self.arms.setdefault(row.arm, (len(self.arms), row))
        for name in _SHARED:
            self._agree(f"task {row.query_id!r}", name, task, row)
        for name in ("model", "effort"):
            self._agree(f"arm {row.arm!r}", name, arm, row)
        if (i, j) in self.cells:
            raise ConfigError(
                f"task {row.query_id!r} already has an outcome of arm {row.arm!r};"
                " average repeated samples into one score and set n_samples"
            )
        self.cells[i, j] = row

    @staticmethod
    def _agree(what: str, name: str, first: OutcomeRow, row: OutcomeRow) -> None:
        if getattr(row, name) != getattr(first, name):
            raise ConfigError(f"{what} had another {name} in an earlier row; give it one {name}")

    def matrix(self, source: str) -> OutcomeMatrix:
        import numpy as np  # noqa: PLC0415 - importing effortctl must not load numpy

        if not self.cells:
            raise StoreError(
                f"there is no outcome in {source or 'the input'}, expected one row per (task, arm)"
            )
        shape = (len(self.tasks), len(self.arms))
        where = tuple(np.array(list(self.cells)).T)
        rows = list(self.cells.values())

        def numbers(name: str, absent: float = np.nan) -> np.ndarray[Any, np.dtype[np.float64]]:
            array = np.full(shape, absent)
            values = [getattr(row, name) for row in rows]
            array[where] = [absent if value is None else value for value in values]
            return array

        verdict = np.full(shape, MISSING, dtype=np.int8)
        verdict[where] = [_CODES.get(row.verdict or "", MISSING) for row in rows]
        answers = None
        if any(row.answer is not None for row in rows):
            answers = np.full(shape, None, dtype=object)
            answers[where] = [row.answer for row in rows]
        escalated = None
        if any(row.escalated for row in rows):
            escalated = np.zeros(shape, dtype=np.bool_)
            escalated[where] = [row.escalated for row in rows]
        tasks = [row for _, row in self.tasks.values()]
        arms = [row for _, row in self.arms.values()]
        return OutcomeMatrix(
            task_ids=tuple(self.tasks),
            texts=tuple(row.query for row in tasks),
            categories=tuple(row.category for row in tasks),
            clusters=tuple(row.cluster for row in tasks),
            dates=tuple(row.date for row in tasks),
            arms=tuple(self.arms),
            models=tuple(str(row.model) for row in arms),
            efforts=tuple(str(row.effort) for row in arms),
            verdict=verdict,
            answers=answers,
            escalated=escalated,
            n_samples=numbers("n_samples", 0.0),
            score=numbers("score"),
            **{n: numbers(n) for n in CELL_ARRAYS if n not in _NO_AMOUNTS},
        )


def _kind(path: str | Path) -> str:
    name = Path(path).name.lower()
    for kind, endings in {
        "jsonl": (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"),
        "csv": (".csv", ".csv.gz"),
        "parquet": (".parquet", ".pq"),
    }.items():
        if name.endswith(endings):
            return kind
    raise ConfigError(f"unknown ending of {name!r}; use .jsonl, .csv (either with .gz) or .parquet")


@contextmanager
def _open(path: Path, mode: str) -> Iterator[TextIO]:
    opener = gzip.open if path.suffix.lower() == ".gz" else io.open
    encoding = "utf-8-sig" if "r" in mode else "utf-8"  # spreadsheets put a mark before the text
    with opener(path, mode, encoding=encoding, newline="") as stream:
        yield stream  # type: ignore[misc]  # text mode gives text in both openers


def _read(path: Path, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        if kind == "parquet":
            yield from _read_parquet(path)
            return
        with _open(path, "rt") as stream:
            yield from (_read_lines if kind == "jsonl" else _read_csv)(stream, path)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def _read_lines(stream: TextIO, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{place}: not JSON ({error})") from None
        if not isinstance(record, dict):
            raise StoreError(f"{place}: a JSON {type(record).__name__}, expected an object")
        yield place, record


def _read_csv(stream: TextIO, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    previous = csv.field_size_limit(_MAX_FIELD)
    try:
        reader = csv.DictReader(stream, strict=True)
        for record in reader:
            place = f"{path}, line {reader.line_num}"
            if None in record or None in record.values():
                raise StoreError(f"{place}: the number of columns differs from the header's")
            yield place, record
    except csv.Error as error:
        raise StoreError(f"{path} is not CSV: {error}") from error
    finally:
        csv.field_size_limit(previous)


def _write_lines(stream: TextIO, records: Iterable[dict[str, Any]]) -> None:
    for record in records:
        known = {n: v for n, v in record.items() if v is not None and (n, v) != _NOT_ESCALATED}
        stream.write(json.dumps(known, ensure_ascii=False, allow_nan=False) + "\n")


def _write_csv(stream: TextIO, records: Iterable[dict[str, Any]]) -> None:
    # The line ends of RFC 4180, so that a lone carriage return inside a prompt gets quoted.
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(records)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - optional
        import pyarrow.parquet as pq  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            'Parquet needs pyarrow: pip install "effortctl[big]", or use .jsonl.gz'
        ) from error
    return pa, pq


def _read_parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    pa, parquet = _pyarrow()
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name in FIELDS]
            for batch in file.iter_batches(columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", record
    except pa.ArrowException as error:
        raise StoreError(f"{path} is not a Parquet file: {error}") from error


def _write_parquet(path: Path, records: Iterable[dict[str, Any]]) -> None:
    pa, parquet = _pyarrow()
    parquet.write_table(pa.Table.from_pylist(list(records)), path)
