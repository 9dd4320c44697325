"""How good answers turned out to be, told hours later: one line per judgement, beside the traces.

The file of `traces.jsonl` is `traces.feedback.jsonl`. It is only ever appended to; of several judgements
of one decision the last one counts, so that a mistake is corrected by telling again.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from effortctl._errors import ConfigError, EffortctlWarning, StoreError
from effortctl._types._base import Value
from effortctl.stores._lines import append_line, is_torn


class Feedback(Value):
    """One judgement of the answer that a task returned.

    Attributes:
        trace_id: Which decision; the id of its trace.
        score: 0 (wrong) to 1 (right).
        note: Why, for people; None when nobody said.
        given_at: When it was told (UTC).
        version: Version of this record's layout.
    """

    trace_id: Annotated[str, pydantic.Field(min_length=1)]
    score: Annotated[float, pydantic.Field(ge=0, le=1, allow_inf_nan=False)]
    note: str | None = None
    given_at: datetime
    version: Literal[1] = 1


def feedback_path(traces: str | Path) -> Path:
    """Where the feedback on a file of traces is kept: `traces.jsonl` has `traces.feedback.jsonl`."""
    path = Path(traces).expanduser().absolute()
    return path.with_name(f"{path.stem}.feedback{path.suffix}")


class FeedbackStore:
    """Appends feedback to a file. Any number of threads and processes may write at the same time.

    Attributes:
        path: The file; see `feedback_path`.
    """

    def __init__(
        self, path: str | Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Remember where to write; the file (mode 0600) is made with the first feedback.

        Args:
            path: The file; a missing directory is made with mode 0700.
            now: Wall clock, UTC.
        """
        self.path = Path(path).expanduser().absolute()
        self._now = now

    def write(self, trace_id: str, score: float, *, note: str | None = None) -> Feedback:
        """Append one judgement and return it as it was written.

        Whether there is such a trace is not looked up here; `add_feedback` does that.

        Args:
            trace_id: Which decision.
            score: 0 (wrong) to 1 (right).
            note: Why. It is written as it is.

        Raises:
            ConfigError: The score is not within 0..1, or the id is empty.
            StoreError: The file cannot be written.
        """
        given = _checked(trace_id, score, note, given_at=self._now())
        line = json.dumps(given.model_dump(mode="json"), separators=(",", ":")) + "\n"
        try:
            append_line(self.path, line.encode("ascii"))
        except OSError as error:
            raise StoreError(
                f"feedback on {trace_id} was not written to {self.path}: {error}; check the path, its "
                "permissions and the free space"
            ) from error
        return given


def _checked(trace_id: str, score: float, note: str | None, *, given_at: datetime) -> Feedback:
    try:
        return Feedback(trace_id=trace_id, score=score, note=note, given_at=given_at)
    except pydantic.ValidationError as error:
        field = error.errors(include_input=False, include_url=False)[0]["loc"][0]
        if field == "score":
            raise ConfigError(
                f"score {score!r} is no share of right; expected a number from 0 (wrong) to 1 (right)"
            ) from None
        raise ConfigError(
            f"{field} of feedback makes no sense; expected the id of a trace, a score from 0 to 1 and "
            "a note in words"
        ) from None


def read_feedback(path: str | Path) -> Iterator[Feedback]:
    """Feedback in the order it was given, every judgement; `latest_feedback` keeps those that count.

    A line that ends in mid-record (its writer was killed) is skipped with a warning that names it.

    Raises:
        StoreError: The file cannot be read, or a line is no feedback of this version; names the line.
    """
    try:
        with Path(path).expanduser().open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip() and (given := _parse(line, f"{path}, line {number}")):
                    yield given
    except OSError as error:
        raise StoreError(
            f"feedback cannot be read from {path}: {error.strerror or error}"
        ) from error


def latest_feedback(feedback: Iterable[Feedback]) -> dict[str, Feedback]:
    """The judgement that counts of each decision, by trace id: the one given last."""
    return {given.trace_id: given for given in feedback}


def _parse(line: bytes, where: str) -> Feedback | None:
    try:
        return Feedback.model_validate_json(line)
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if first["type"] == "json_invalid" and is_torn(line):
            warnings.warn(
                f"{where}: skipped an unfinished record; its writer was probably killed",
                EffortctlWarning,
                stacklevel=3,
            )
            return None
        field = ".".join(str(part) for part in first["loc"]) or "the line"
        raise StoreError(
            f"{where}: {field} is wrong: {first['msg']}; expected one judgement per line, as "
            "`effortctl feedback` writes them"
        ) from None
