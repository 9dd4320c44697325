"""The journal of a run: one line per event, only ever appended, so that a crash loses nothing.

Every session of a run writes a file of its own (`journal-0001.jsonl`, …). Lines are handed to the
operating system at the end of the event loop's turn they were made in, so killing the process loses no
finished call; `fsync` follows within a second, so a power cut loses at most about a second. Events:

- `start`: a wire request is about to be sent; with what was set aside for it, and in which tranche.
- `done`, `failed`: what became of a cell (`Sample`).
- `score`: an answer that was scored later, or again.
- `settled`: the dollars of a tranche have been booked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from effortctl._errors import ConfigError, EffortctlWarning, StoreError
from effortctl.harness.runner._sample import (
    Cell,
    Sample,
    Score,
    read_cell,
    read_sample,
    read_score,
    sample_line,
    score_fields,
)

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

_CAN_LOCK: bool = fcntl is not None
LOCK = "run.lock"
PATTERN = "journal-*.jsonl"


@dataclass(slots=True)
class Tranche:
    """Dollars that were set aside together.

    Attributes:
        open: What was set aside for each wire request whose end is not on record, by its number.
        paid: What the others cost.
        settled: The dollars have been booked.
    """

    open: dict[int, Decimal] = field(default_factory=dict)
    paid: Decimal = Decimal(0)
    settled: bool = False


@dataclass(slots=True)
class History:
    """What all journals of a run say together.

    Attributes:
        answered: The answer of each cell; the latest one.
        failed: Cells without an answer, and why.
        tranches: By reservation id.
        starts: Wire requests sent, by cell.
        torn: Last lines that a crash cut short; ignored.
        files: Journals read.
        last_wire: Highest number of a wire request.
    """

    answered: dict[Cell, Sample] = field(default_factory=dict)
    failed: dict[Cell, Sample] = field(default_factory=dict)
    tranches: dict[str, Tranche] = field(default_factory=dict)
    starts: dict[Cell, int] = field(default_factory=dict)
    torn: int = 0
    files: int = 0
    last_wire: int = 0

    def unsettled(self) -> dict[str, Decimal]:
        """What to book for tranches a crash left open: real dollars where known, else the worst case."""
        return {
            name: tranche.paid + sum(tranche.open.values(), Decimal(0))
            for name, tranche in self.tranches.items()
            if not tranche.settled
        }

    def lost_requests(self) -> int:
        """Wire requests that were in flight when a process died."""
        return sum(len(tranche.open) for tranche in self.tranches.values() if not tranche.settled)


class Journal:
    """Appends events of one session.

    Inside an event loop, lines wait for the end of its turn, or for the next wire request.

    Args:
        folder: The run folder; it must be locked.
    """

    def __init__(self, folder: Path) -> None:
        numbers = [_number(path) for path in folder.glob(PATTERN)]
        self.path = folder / f"journal-{max(numbers, default=0) + 1:04d}.jsonl"
        self._fd: int | None = None
        self._lines: list[bytes] = []
        self._waiting = False
        self._fault: StoreError | None = None
        self._synced = True

    def start(self, cell: Cell, *, wire: int, tranche: str, usd: Decimal) -> None:
        """A wire request is about to be sent; returns when that is on record.

        It is written at once and not at the end of the loop's turn: calls that all wait for the same
        moment would all be sent, and come back, at the same moment, for ever.

        Raises:
            StoreError: The journal cannot be written; the request must not be sent.
        """
        self._add({"k": "start", "cell": cell, "wire": wire, "tranche": tranche, "usd": f"{usd:f}"})
        self.flush()

    def sample(self, sample: Sample, paid: Mapping[int, tuple[str, Decimal]]) -> None:
        """A cell is finished; `paid` says what each of its wire requests cost, and in which tranche."""
        line = sample_line(sample)
        if paid:
            line["paid"] = [[wire, name, f"{usd:f}"] for wire, (name, usd) in paid.items()]
        self._add(line)

    def score(self, cell: Cell, score: Score) -> None:
        """An answer has been scored after it was written."""
        self._add({"k": "score", "cell": cell, "score": score_fields(score)})

    def settled(self, tranche: str) -> None:
        """The dollars of a tranche have been booked."""
        self._add({"k": "settled", "tranche": tranche})

    def flush(self) -> None:
        """Hand what was added to the operating system.

        Raises:
            StoreError: It cannot be written.
        """
        view = memoryview(b"".join(self._lines))
        if not view:
            return
        self._synced = False
        try:
            if self._fd is None:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self._fault = StoreError(
                f"the journal {self.path} cannot be written: {error}; make room and resume the run"
            )
            raise self._fault from error
        finally:
            self._lines = [bytes(view)] if view else []  # what is left, so that no line is torn

    def sync(self) -> None:
        """Make sure that what was handed over survives a power cut. Blocks; call it from a thread."""
        if self._fd is not None and not self._synced:
            self._synced = True
            os.fsync(self._fd)

    def close(self) -> None:
        """Write, sync and close."""
        self.flush()
        self.sync()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, line: Mapping[str, Any]) -> None:
        if self._fault is not None:
            raise self._fault
        self._lines.append(_ENCODE(line).encode() + b"\n")
        if self._waiting:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        self._waiting = True
        loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._waiting = False
        with contextlib.suppress(StoreError):  # it is kept, and raised with the next line
            self.flush()


_ENCODE = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def read_history(folder: Path) -> History:
    """Read all journals of a run.

    Raises:
        StoreError: A journal is unreadable, or a line other than a torn last one is damaged.
    """
    history = History()
    for path in sorted(folder.glob(PATTERN), key=_number):
        history.files += 1
        for number, line in _lines(path, history):
            try:
                _EVENTS[line["k"]](history, line)
            except (KeyError, TypeError, ValueError, ArithmeticError) as error:
                raise StoreError(
                    f"{path}, line {number}: not an event of a run ({type(error).__name__}); restore "
                    "the file, or delete that line to have its call repeated"
                ) from None  # such an error may quote the line
    return history


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process out of a run folder.

    Raises:
        ConfigError: Another process is running into it.
        StoreError: The folder cannot be made or locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"the run folder {folder} cannot be used: {error}") from error
    try:
        _take(fd, folder)
        yield
    finally:
        os.close(fd)  # which also lets go of the lock


def _take(fd: int, folder: Path) -> None:
    if not _CAN_LOCK:  # pragma: no cover - Windows
        warnings.warn(
            f"this system cannot lock {folder}; start no second run into it",
            EffortctlWarning,
            stacklevel=4,
        )
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise ConfigError(
            f"process {pid} is running into {folder}; wait for it, or choose another folder with --output"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)


def _number(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def _lines(path: Path, history: History) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of a journal; a last one that was cut short is counted and left out."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"the journal {path} cannot be read: {error}") from error
    *whole, rest = data.split(b"\n")
    history.torn += bool(rest)
    for number, raw in enumerate(whole, start=1):
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError) as error:
            if number == len(whole) and not rest:
                history.torn += 1
                return
            raise StoreError(
                f"{path}, line {number}: not JSON ({error}); restore the file, or delete that line to "
                "have its call repeated"
            ) from None
        yield number, line


def _on_start(history: History, line: Mapping[str, Any]) -> None:
    cell, wire = read_cell(line["cell"]), int(line["wire"])
    tranche = history.tranches.setdefault(str(line["tranche"]), Tranche())
    tranche.open[wire] = Decimal(line["usd"])
    history.starts[cell] = history.starts.get(cell, 0) + 1
    history.last_wire = max(history.last_wire, wire)


def _on_sample(history: History, line: Mapping[str, Any]) -> None:
    sample = read_sample(line)
    for wire, name, usd in line.get("paid", ()):
        tranche = history.tranches.setdefault(str(name), Tranche())
        tranche.open.pop(int(wire), None)
        tranche.paid += Decimal(usd)
    if sample.answered:
        history.failed.pop(sample.cell, None)
        history.answered[sample.cell] = sample
    elif sample.cell not in history.answered:
        history.failed[sample.cell] = sample


def _on_score(history: History, line: Mapping[str, Any]) -> None:
    cell = read_cell(line["cell"])
    history.answered[cell] = history.answered[cell].scored(read_score(line["score"]))


def _on_settled(history: History, line: Mapping[str, Any]) -> None:
    history.tranches.setdefault(str(line["tranche"]), Tranche()).settled = True


_EVENTS: Mapping[str, Callable[[History, Mapping[str, Any]], None]] = {
    "start": _on_start,
    "done": _on_sample,
    "failed": _on_sample,
    "score": _on_score,
    "settled": _on_settled,
}
