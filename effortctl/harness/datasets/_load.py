"""From a path, a name or an iterable to a dataset."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from effortctl._errors import ConfigError, StoreError
from effortctl._types import Case
from effortctl.harness.datasets._dataset import Dataset
from effortctl.harness.datasets._files import (
    csv_records,
    json_lines,
    json_records,
    parquet_records,
    refuse_unreadable,
)
from effortctl.harness.datasets._generated import GENERATOR, generated_cases
from effortctl.harness.datasets._metrics import METRIC_NAMES, Metric, metric_named
from effortctl.harness.datasets._python import call_factory, names_python
from effortctl.harness.datasets._rows import COLUMNS, CaseTable
from effortctl.verifiers import number

_READERS: Final[Mapping[str, Callable[[Path], Iterator[tuple[str, Mapping[str, Any]]]]]] = {
    ".csv": csv_records,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_records,
    ".parquet": parquet_records,
    ".pq": parquet_records,
}


def load_dataset(
    source: str | Path | Iterable[Case | Mapping[str, Any]],
    *,
    limit: int | None = None,
    seed: int | None = None,
    metric: str | Metric | Callable[[str, Case], Any] | None = None,
    verify: Any = None,
    name: str | None = None,
    trust_code: bool = False,
) -> Dataset:
    """Load a dataset, and refuse it at once where a case could not be scored later.

    Columns: `id`, one of `input`, `prompt` and `messages`, and where wanted `target`, `choices`,
    `cluster`, `category`, `instructions`, `verify`, `metric`. A case without an id is named by its
    content.

    Args:
        source: A file ending in `.csv`, `.jsonl`, `.json` (any of them may end in `.gz`) or
            `.parquet`; `module.py:function` for a function that gives cases or records;
            `reasoning-gym:chain_sum?n=50&seed=1` for generated tasks; or the cases themselves.
        limit: At most so many cases. None: all.
        seed: Draw them at random with this seed. None: take the first.
        metric: Scores answers; a name, a `Metric`, or a function of (answer text, case). None: by what
            the targets look like: `choice` where choices are given, `number` where all are numbers,
            `json` where all are objects, `verifier` where there are checks and no targets, else `text`.
        verify: Run-time check of the cases that have none in their row: a spec such as `not-empty`, a
            function, or `metric` to check with the metric itself.
        name: Name of the dataset. None: the file's.
        trust_code: Checks and metrics may run Python that stands in the file. A `.py` source and
            arguments of this function are trusted anyway.

    Raises:
        StoreError: The file cannot be read, or a row makes no sense; the message has file, line, column.
        ConfigError: An argument makes no sense, a package is missing, or a case cannot be scored.
        SandboxUnavailableError: A check runs code, and no sandbox works on this machine.
    """
    opened = _open(source)
    table = CaseTable(trust_code=trust_code or opened.trusted)
    table.add_all(opened.records)
    shown = opened.name
    if not table.cases:
        raise StoreError(f"{shown} has no cases, expected at least one row")
    chosen = metric if metric is not None else opened.metric
    if chosen is None:
        chosen = _fitting_metric(table)
        table.metrics |= _checked_only(table, chosen)
    elif not isinstance(chosen, str) or chosen.strip().lower() != "verifier":
        chosen = metric_named(chosen)
    dataset = Dataset(
        name=name or shown,
        cases=tuple(table.cases),
        metric=chosen,
        metrics=table.metrics,
        verify=verify,
        checks=table.checks,
        notes=tuple(_ignored_notes(table)),
    ).sample(limit, seed=seed)
    dataset.refuse()
    return dataset


@dataclass(frozen=True, slots=True)
class _Opened:
    """A source before its cases are read; code that the user named is trusted, a file is not."""

    name: str
    records: Iterable[tuple[str, Mapping[str, Any] | Case]]
    trusted: bool = False
    metric: Metric | None = None


def _open(source: str | Path | Iterable[Case | Mapping[str, Any]]) -> _Opened:
    if isinstance(source, str) and source.startswith(GENERATOR):
        cases, metric = generated_cases(source)
        return _Opened(source, cases, metric=metric)
    if isinstance(source, str) and names_python(source):
        return _Opened(source, _numbered(call_factory(source)), trusted=True)
    if isinstance(source, str | Path):
        return _Opened(Path(source).name, file_records(Path(source).expanduser()))
    return _Opened("cases", _numbered(source), trusted=True)


def file_records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a table or JSON file, each with its place; nothing is checked but that they are rows.

    Raises:
        StoreError: The file cannot be read, or is no table.
        ConfigError: Its ending is not known.
    """
    plain = path.name.lower().removesuffix(".gz")
    reader = _READERS.get(Path(plain).suffix)
    if reader is not None or path.is_file():
        refuse_unreadable(path)
    if reader is None:
        raise ConfigError(
            f"unknown kind of dataset {str(path)!r}; use .csv, .jsonl, .json (each also with .gz), .parquet, "
            f"module.py:function or {GENERATOR}NAME?n=50"
        )
    return reader(path)


def _numbered(items: Any) -> Iterator[tuple[str, Mapping[str, Any] | Case]]:
    for index, item in enumerate(items, start=1):
        if not isinstance(item, Mapping | Case):
            raise ConfigError(
                f"case {index} is of type {type(item).__name__}, expected a Case or a dict with the columns "
                f"{', '.join(COLUMNS)}"
            )
        yield f"case {index}", item


def _fitting_metric(table: CaseTable) -> str:
    references = [case.reference for case in table.cases if case.task.id not in table.metrics]
    known = [reference for reference in references if _has_target(reference)]
    if not known:
        return "verifier" if table.checks or not references else "text"
    kinds = {_kind(reference) for reference in known}
    return kinds.pop() if len(kinds) == 1 else "text"


def _checked_only(table: CaseTable, metric: str) -> dict[str, str]:
    """Cases with a check and no target are scored by the check."""
    if metric == "verifier":
        return {}
    return {
        case.task.id: "verifier"
        for case in table.cases
        if not _has_target(case.reference)
        and case.task.id in table.checks
        and case.task.id not in table.metrics
    }


def _has_target(reference: Any) -> bool:
    if isinstance(reference, Mapping) and reference.get("kind") == "choice":
        reference = reference["expected"]
    return reference not in (None, "", [])


def _kind(reference: Any) -> str:
    if isinstance(reference, Mapping):
        return "choice" if reference.get("kind") == "choice" else "json"
    if isinstance(reference, bool | list):
        return "text"
    try:
        number(reference)
    except ConfigError:
        return "text"
    return "number"


def _ignored_notes(table: CaseTable) -> Iterator[str]:
    for column in table.ignored:
        close = difflib.get_close_matches(
            column.lower(), (*COLUMNS, *METRIC_NAMES), n=1, cutoff=0.75
        )
        hint = f"; was {close[0]!r} meant?" if close else ""
        yield f"column {column!r} is not used{hint}"
