"""The run folder: what was asked for, the journals, and the tables made from them.

```
config.json            the config as it was run, paths relative to the folder; id of the run
journal-0001.jsonl …   one per session, see `_journal`
outcomes.jsonl.gz      one row per (task, arm): what `effortctl learn` and `eval replay` read
outcomes.parquet       the same, where pyarrow is installed
policies.jsonl.gz      the rows of live policies, where there are any
result.json            the evaluation
ledger.sqlite3         the run's own ledger, unless another was given
```
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from effortctl._errors import StoreError
from effortctl.harness.runner._config import EvalConfig, plain, rebased

FORMAT: Final = "effortctl-run"
VERSION: Final = 1
CONFIG: Final = "config.json"
OUTCOMES: Final = "outcomes.jsonl.gz"
POLICIES: Final = "policies.jsonl.gz"
RESULT: Final = "result.json"
_PATHS: Final = ("dataset", "ladder", "recording", "gguf")


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What `config.json` says.

    Attributes:
        run_id: Made when the folder was; names the run in the ledger.
        config: What was asked for last, its paths absolute.
        shard: Part i of N. None: all.
        merged: Ids of the runs it was merged from.
    """

    run_id: str
    config: EvalConfig
    shard: tuple[int, int] | None = None
    merged: tuple[str, ...] = ()


def new_header(config: EvalConfig, shard: tuple[int, int] | None = None) -> RunHeader:
    """The header of a run that begins."""
    return RunHeader(uuid.uuid4().hex[:12], config, shard)


def read_header(folder: Path) -> RunHeader | None:
    """What a run folder says of itself; None where no run has begun.

    Raises:
        StoreError: It is damaged or of another version.
    """
    file = folder / CONFIG
    if not file.exists():
        return None
    try:
        raw: Any = json.loads(file.read_text(encoding="utf-8"))
        if raw["format"] != FORMAT or raw["version"] != VERSION:
            raise StoreError(
                f"{file} is {repr(raw['format'])[:40]} version {repr(raw['version'])[:40]}, expected {FORMAT!r} version "
                f"{VERSION}; use the effortctl that wrote it, or another folder"
            )
        config = rebased(EvalConfig.model_validate(raw["config"]), folder.resolve())
        shard = raw.get("shard")
        return RunHeader(
            run_id=str(raw["run_id"]),
            config=config.model_copy(update={"out": str(folder.resolve())}),
            shard=None if shard is None else (int(shard[0]), int(shard[1])),
            merged=tuple(raw.get("merged", ())),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(
            f"{file} is damaged ({type(error).__name__}); restore it, or run into another folder"
        ) from error


def write_header(folder: Path, header: RunHeader) -> None:
    """Write `config.json`: all of it, or nothing.

    Raises:
        StoreError: It cannot be written.
    """
    fields: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "run_id": header.run_id,
        "config": _portable(plain(header.config), folder.resolve()),
    }
    if header.shard is not None:
        fields["shard"] = list(header.shard)
    if header.merged:
        fields["merged"] = list(header.merged)
    write_atomically(folder / CONFIG, json.dumps(fields, indent=2, sort_keys=True) + "\n")


def write_atomically(file: Path, text: str) -> None:
    """Replace a file as a whole.

    Raises:
        StoreError: It cannot be written.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error}") from error


def _portable(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Paths relative to the folder, so that it can move together with the files it names."""

    def relative(value: Any) -> Any:
        is_path = isinstance(value, str) and Path(value).is_absolute()
        return os.path.relpath(value, folder) if is_path else value

    found = {key: relative(value) if key in _PATHS else value for key, value in config.items()}
    found.pop("out", None)
    found["policy"] = [
        spec | {"file": relative(spec["file"])} if "file" in spec else spec
        for spec in config.get("policy", ())
    ]
    return found
