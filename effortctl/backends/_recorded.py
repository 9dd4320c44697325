"""Answers that were recorded earlier, given again with the tokens and seconds they took.

A recording is a JSON Lines file, gzipped or not. The first line is a header with the format, its
version and where the answers come from; every other line is one `RecordedAnswer`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from effortctl._errors import BackendError, StoreError
from effortctl._types import Answer, Call, Count, Effort, Finish, Seconds, Task, Usage

FORMAT = "effortctl-recording"
VERSION = 1
_GZIP_MAGIC = b"\x1f\x8b"


class RecordedAnswer(BaseModel):
    """One line of a recording: what one arm said to one task, once.

    Attributes:
        task_id: The task's id.
        prompt_sha256: `prompt_sha256` of the task that was asked. None: not checked.
        arm: Name of the arm.
        model: The model that answered.
        effort: The effort it was asked for.
        sample_index: 0 for the first sample of this arm on this task.
        text: What the model wrote, unchanged.
        finish: How it ended.
        input_tokens: Tokens of the prompt, cached ones included.
        cached_tokens: Tokens of the prompt that the server still had in memory.
        output_tokens: Generated tokens.
        latency_s: Wall-clock seconds.
        compute_s: CPU-seconds.
        recorded_at: When the answer came.
        same_request_as: Arm that got this answer, where two arms make the very same greedy request
            and it was only made once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: Annotated[str, Field(min_length=1)]
    prompt_sha256: str | None = None
    arm: Annotated[str, Field(min_length=1)]
    model: str
    effort: Effort = "default"
    sample_index: Count = 0
    text: str
    finish: Finish = "complete"
    input_tokens: Count
    cached_tokens: Count = 0
    output_tokens: Count
    latency_s: Seconds
    compute_s: Seconds | None = None
    recorded_at: datetime | None = None
    same_request_as: str | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        """What identifies the answer in its recording."""
        return (self.task_id, self.arm, self.sample_index)

    def answer(self) -> Answer:
        """The answer as a backend returns it."""
        return Answer(
            text=self.text,
            finish=self.finish,
            usage=Usage(
                input_tokens=self.input_tokens,
                cached_tokens=self.cached_tokens,
                output_tokens=self.output_tokens,
            ),
            latency_s=self.latency_s,
            compute_s=self.compute_s,
            model=self.model,
        )


Source: TypeAlias = str | Path | Iterable[RecordedAnswer] | None


class RecordedBackend:
    """Gives the recorded answer of (task id, arm name, sample index), without waiting.

    The answers were given to the tasks alone, so run it with `carry="none"`. Nobody recorded what a
    model would have said under a larger cap: give arms whose answers may be truncated a
    `max_output_tokens_limit` equal to their `max_output_tokens`.

    Args:
        source: A recording file, or the answers themselves. None: the recording shipped with
            effortctl.

    Raises:
        StoreError: The file is missing, corrupt, or of another version.
    """

    def __init__(self, source: Source = None) -> None:
        self._provenance: Mapping[str, Any] = {}
        if source is None or isinstance(source, str | Path):
            self._provenance, source = _read(source)
        self._answers = _by_key(source)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The file's header: models, runtime, machine, dates. Empty for answers given directly."""
        return MappingProxyType(dict(self._provenance))

    def recorded_tasks(self, arms: Iterable[str] = ()) -> tuple[str, ...]:
        """Ids of the tasks that each of these arms has answered, sorted; without arms, all ids."""
        wanted = set(arms)
        answered: dict[str, set[str]] = {}
        for task_id, arm, _ in self._answers:
            answered.setdefault(task_id, set()).add(arm)
        return tuple(sorted(task for task, had in answered.items() if wanted <= had))

    def complete(self, call: Call) -> Answer:
        """Return the recorded answer.

        Raises:
            BackendError: There is none (kind `not_recorded`), or the task asks something else than it
                did when it was recorded (kind `prompt_changed`). Nothing is billed.
        """
        recorded = self._answers.get((call.task.id, call.arm.name, call.sample_index))
        problem = _why_missing(call, recorded)
        if problem is not None:
            raise _refusal(call, problem, kind="not_recorded")
        assert recorded is not None  # noqa: S101 - _why_missing says so
        if recorded.prompt_sha256 not in {None, prompt_sha256(call.task)}:
            problem = "its prompt differs from the one that was recorded; install the versions named in the recording's header"
            raise _refusal(call, problem, kind="prompt_changed")
        return recorded.answer()


class AsyncRecordedBackend:
    """`RecordedBackend` for asyncio.

    Args:
        source: As `RecordedBackend`, or such a backend to share its answers.

    Raises:
        StoreError: As `RecordedBackend`.
    """

    def __init__(self, source: Source | RecordedBackend = None) -> None:
        self._backend = source if isinstance(source, RecordedBackend) else RecordedBackend(source)

    async def complete(self, call: Call) -> Answer:
        """As `RecordedBackend.complete`."""
        return self._backend.complete(call)


def prompt_sha256(task: Task) -> str:
    """Fingerprint of what a task asks, to notice when its wording has changed."""
    turns = [[message.role, message.content] for message in task.messages]
    return hashlib.sha256(json.dumps(turns, ensure_ascii=False).encode()).hexdigest()


# --- why not ---------------------------------------------------------------------------------------


def _why_missing(call: Call, recorded: RecordedAnswer | None) -> str | None:
    if recorded is None:
        return f"sample {call.sample_index} of it was not recorded"
    first_cap = call.task.max_output_tokens or call.arm.max_output_tokens
    if recorded.finish == "truncated" and call.max_output_tokens > first_cap:
        return "its answer was cut off, and what a larger cap gives was not recorded; set max_output_tokens_limit to max_output_tokens"
    if recorded.output_tokens > call.max_output_tokens:
        return f"its answer took {recorded.output_tokens} tokens, more than the cap of {call.max_output_tokens}"
    return None


def _refusal(
    call: Call, problem: str, *, kind: Literal["not_recorded", "prompt_changed"]
) -> BackendError:
    message = f"no recorded answer of arm {call.arm.name!r} to task {call.task.id!r}: {problem}"
    return BackendError(message, arm=call.arm.name, kind=kind, billed=False)


# --- the file --------------------------------------------------------------------------------------


def _read(source: str | Path | None) -> tuple[Mapping[str, Any], Iterator[RecordedAnswer]]:
    shipped = resources.files("effortctl.catalog") / "recorded" / "local_ladder.jsonl.gz"
    file = shipped if source is None else Path(source)
    try:
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(_GZIP_MAGIC) else raw).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise StoreError(f"recording {file} cannot be read: {error}") from error
    # Not splitlines(): a text may hold a Unicode line separator, which JSON leaves as it is.
    header, *lines = text.removesuffix("\n").split("\n")
    return _header(header, file.name), _answers(lines, file.name)


def _header(line: str, name: str) -> Mapping[str, Any]:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise StoreError(
            f"{name} is not a recording: its first line must be a header with format {FORMAT!r}"
        )
    if header.get("version") != VERSION:
        raise StoreError(
            f"recording {name} has version {repr(header.get('version'))[:40]}, this effortctl reads version {VERSION}; upgrade effortctl or record again"
        )
    return header


def _answers(lines: Iterable[str], name: str) -> Iterator[RecordedAnswer]:
    for number, line in enumerate(lines, start=2):
        try:
            yield RecordedAnswer.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            raise StoreError(f"recording {name}, line {number}: {where}: {first['msg']}") from error


def _by_key(answers: Iterable[RecordedAnswer]) -> dict[tuple[str, str, int], RecordedAnswer]:
    by_key: dict[tuple[str, str, int], RecordedAnswer] = {}
    for recorded in answers:
        if recorded.key in by_key:
            raise StoreError(
                f"sample {recorded.sample_index} of arm {recorded.arm!r} on task {recorded.task_id!r} is recorded twice"
            )
        by_key[recorded.key] = recorded
    return by_key
