"""Traces as lines of JSON: easy to append to from many processes, easy to read with anything.

Each trace is one `write` to a file opened for appending, so writers do not mix their lines, and a
writer that is killed leaves at most its own last line unfinished. The next writer ends that line
first; the reader skips it with a warning.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pydantic

from effortctl._errors import EffortctlWarning, StoreError
from effortctl._types import Attempt, Trace
from effortctl.stores._feedback import FeedbackStore, feedback_path
from effortctl.stores._lines import append_line, is_torn

_VERSION = 1


class TraceStore:
    """Keeps finished traces in a file. Prompts are never in a trace; answers are left out by default.

    Attributes:
        path: The file.
        store_text: Whether answers are written.
    """

    def __init__(self, path: str | Path, *, store_text: bool = False) -> None:
        """Remember where to write; the file (mode 0600) is made with the first trace.

        Args:
            path: The file; a missing directory is made with mode 0700.
            store_text: Write answers, feedback and crash messages as they are. Otherwise the text of
                answers and the feedback of verifiers (which often quotes them) are empty, a crashed
                verifier's error is its type alone, and `metadata["answer_sha256.N"]` has the SHA-256
                of attempt N's text: enough to find equal answers, and to guess very short ones. The
                task's own metadata is always written.
        """
        self.path = Path(path).expanduser().absolute()
        self.store_text = store_text

    def write(self, trace: Trace) -> None:
        """Append one trace.

        Raises:
            StoreError: The file cannot be written.
        """
        kept = trace if self.store_text else _without_text(trace)
        line = json.dumps(kept.model_dump(mode="json"), separators=(",", ":")) + "\n"
        try:
            append_line(self.path, line.encode("ascii"))
        except OSError as error:
            raise StoreError(
                f"trace {trace.id} was not written to {self.path}: {error};"
                " check the path, its permissions and the free space"
            ) from error

    def record_feedback(self, trace_id: str, score: float, note: str | None = None) -> None:
        """Append feedback on a trace to the file beside this one; see `FeedbackStore.write`.

        The trace is not looked for: who calls this has just written it.
        """
        FeedbackStore(feedback_path(self.path)).write(trace_id, score, note=note)


def _without_text(trace: Trace) -> Trace:
    digests = {
        f"answer_sha256.{index}": _digest(attempt.answer.text)
        for index, attempt in enumerate(trace.attempts)
        if attempt.answer is not None
    }
    return trace.model_copy(
        update={
            "attempts": tuple(_textless(attempt) for attempt in trace.attempts),
            "metadata": {**trace.metadata, **digests},
        }
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _textless(attempt: Attempt) -> Attempt:
    answer, verdict = attempt.answer, attempt.verdict
    if answer is not None:
        answer = answer.model_copy(update={"text": ""})
    if verdict is not None:
        error = None if verdict.error is None else verdict.error.partition(":")[0]
        verdict = verdict.model_copy(update={"feedback": "", "error": error})
    return attempt.model_copy(update={"answer": answer, "verdict": verdict})


def read_traces(path: str | Path) -> Iterator[Trace]:
    """Traces in the order they were written.

    A line that ends in mid-record (its writer was killed) is skipped with a warning that names it.

    Raises:
        StoreError: The file cannot be read, or a line is not a trace of this version; names the line.
    """
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip() and (trace := parse_trace(line, f"{path}, line {number}")):
                    yield trace
    except OSError as error:
        raise StoreError(f"traces cannot be read from {path}: {error.strerror or error}") from error


def parse_trace(line: bytes, where: str) -> Trace | None:
    """The trace in one line; None, with a warning, when its writer was killed before the end.

    Raises:
        StoreError: It is not a trace of this version; the message names the line.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        if is_torn(line):
            warnings.warn(
                f"{where}: skipped an unfinished record; its writer was probably killed",
                EffortctlWarning,
                stacklevel=3,
            )
            return None
        raise StoreError(
            f"{where}: not JSON ({error}); expected one trace per line, as TraceStore writes them"
        ) from error
    version = record.get("version") if isinstance(record, dict) else None
    if version != _VERSION:
        raise StoreError(
            f"{where}: expected a trace of version {_VERSION}, found version {repr(version)[:40]};"
            " read it with the effortctl that wrote it, or remove the line"
        )
    try:
        return Trace.model_validate(record)
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise StoreError(
            f"{where}: field {field!r} is wrong: {first['msg']};"
            " correct the line by hand, or remove it"
        ) from None
