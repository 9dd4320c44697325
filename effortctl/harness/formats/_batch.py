"""OpenAI Batch files: requests made from a dataset, and results read back.

The order of results is not that of the requests, so each request names its arm, sample and task in its
`custom_id`; ids of other programs are taken as the task's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from effortctl._errors import BackendError, ConfigError, StoreError, UsageError
from effortctl._types import EFFORTS, Answer, Arm, Call, Case, Task
from effortctl.backends._exchange import Exchange
from effortctl.backends._replies import read_reply
from effortctl.backends._requests import chat_request, responses_request
from effortctl.harness.datasets._files import Numbered, as_object, json_lines
from effortctl.harness.formats._dollars import Bill, readable
from effortctl.harness.formats._samples import Intake, Sample

MAX_REQUESTS: Final = 50_000
"""Requests the Batch API takes in one file."""
MAX_BYTES: Final = 200_000_000
"""Bytes it takes in one file."""

_URLS: Final = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
_UNCAPPED: Final = 1_000_000_000
_MARK: Final = "effortctl"


@dataclass(frozen=True, slots=True)
class CustomId:
    """What a request is for, in the one word that comes back with its result.

    Attributes:
        task_id: The case.
        arm: Name of the arm. None: the id was made by another program.
        sample_index: 0 for the first sample of this arm on this task.
    """

    task_id: str
    arm: str | None = None
    sample_index: int = 0

    def __str__(self) -> str:
        return "|".join(
            (
                _MARK,
                quote(self.arm or "", safe="@:/"),
                str(self.sample_index),
                quote(self.task_id, safe="/:"),
            )
        )

    @classmethod
    def parse(cls, text: str) -> CustomId:
        """Read an id; one that is not ours names the task."""
        parts = text.split("|")
        if len(parts) == 4 and parts[0] == _MARK and parts[2].isdecimal():
            return cls(unquote(parts[3]), unquote(parts[1]) or None, int(parts[2]))
        return cls(text)


# --- requests --------------------------------------------------------------------------------------


def write_batch_requests(
    folder: str | Path, cases: Sequence[Case], arms: Sequence[Arm], *, samples: int = 1
) -> tuple[Path, ...]:
    """Write what the Batch API takes: a file per model, more where one would be too large.

    Args:
        folder: Where the files go; made where it is missing. Existing files of the same name are
            replaced.
        cases: What is asked.
        arms: Who is asked; each at an OpenAI-compatible endpoint.
        samples: Requests per case and arm.

    Returns:
        The files, `requests-MODEL-NNN.jsonl`.

    Raises:
        ConfigError: There is nothing to ask, or an arm runs on this machine.
        StoreError: A file cannot be written.
    """
    if not cases or not arms or samples < 1:
        raise ConfigError("a batch needs at least one case, one arm and one sample")
    local = [arm.name for arm in arms if arm.endpoint.kind != "openai"]
    if local:
        raise ConfigError(
            f"{local[0]} does not run at an OpenAI-compatible endpoint, so it has no Batch API; leave it out"
        )
    target, written = Path(folder).expanduser(), []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for (model, api), some in _by_model(arms).items():
            lines = (
                request_line(case, arm, index)
                for arm in some
                for case in cases
                for index in range(samples)
            )
            name = quote(
                f"{model}-{api}" if len({a.api for a in arms}) > 1 else model, safe=""
            ).replace("%", "_")
            written += _write_parts(target, name, lines)
    except OSError as error:
        raise StoreError(f"the requests were not written to {target}: {error}") from error
    return tuple(written)


def request_line(case: Case, arm: Arm, sample_index: int = 0) -> str:
    """One request as a line of JSON."""
    call = Call(case.task, arm, case.task.messages, sample_index, arm.max_output_tokens)
    body = responses_request(call) if arm.api == "responses" else chat_request(call)
    body |= body.pop("extra_body", {})
    record = {
        "custom_id": str(CustomId(case.task.id, arm.name, sample_index)),
        "method": "POST",
        "url": _URLS[arm.api],
        "body": body,
    }
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _by_model(arms: Sequence[Arm]) -> dict[tuple[str, str], list[Arm]]:
    """The Batch API takes one model and one URL per file."""
    groups: dict[tuple[str, str], list[Arm]] = {}
    for arm in arms:
        groups.setdefault((arm.model, arm.api), []).append(arm)
    return groups


def _write_parts(folder: Path, name: str, lines: Iterator[str]) -> list[Path]:
    parts: list[Path] = []
    line = next(lines, None)
    while line is not None:
        parts.append(folder / f"requests-{name}-{len(parts) + 1:03}.jsonl")
        with parts[-1].open("wb") as stream:
            requests = size = 0
            while line is not None:
                packed = line.encode("utf-8", "replace") + b"\n"
                if requests and (requests >= MAX_REQUESTS or size + len(packed) > MAX_BYTES):
                    break
                stream.write(packed)
                requests, size = requests + 1, size + len(packed)
                line = next(lines, None)
    return parts


# --- results ---------------------------------------------------------------------------------------


def read(paths: Sequence[Path], intake: Intake) -> Iterator[Sample]:
    """Read result and error files; request files given with them tell prompt, model and effort.

    Results hold no scores, so a dataset must be given to the import.

    Raises:
        ConfigError: No dataset was given.
        StoreError: A line is no result and no request, or comes twice.
    """
    if intake.dataset is None:
        raise ConfigError(
            "results of a batch hold no scores; give the dataset that was asked, so that answers can be "
            "scored (on the command line --dataset FILE)"
        )
    requests: dict[str, Mapping[str, Any]] = {}
    results: dict[str, Numbered] = {}
    for place, record in (found for path in paths for found in json_lines(path)):
        name = record.get("custom_id")
        if not isinstance(name, str) or not name:
            raise StoreError(f"{place}: custom_id is missing; expected a line of a batch file")
        if "body" in record and "response" not in record:
            as_object(record["body"], f"{place}, body")
            requests[name] = record
            continue
        if name in results:
            raise StoreError(
                f"{place}: the result of {name!r} comes twice; it was in {results[name][0]}"
            )
        results[name] = (place, record)
    for name in requests.keys() - results.keys():
        del requests[name]
        intake.left_out["the request has no result"] += 1
    for name, (place, record) in results.items():
        sample = _sample(name, place, record, request=requests.get(name), intake=intake)
        if sample is not None:
            yield sample


def _sample(
    name: str,
    place: str,
    record: Mapping[str, Any],
    *,
    request: Mapping[str, Any] | None,
    intake: Intake,
) -> Sample | None:
    response = record.get("response")
    body = response.get("body") if isinstance(response, Mapping) else None
    if not isinstance(response, Mapping) or not isinstance(body, Mapping) or record.get("error"):
        intake.left_out["the request failed"] += 1
        return None
    asked = request.get("body", {}) if request is not None else {}
    custom = CustomId.parse(name)
    model = readable(str(asked.get("model") or body.get("model") or "unknown"))
    arm = Arm(
        name=readable(custom.arm or model),
        model=model,
        api="responses" if "output" in body else "chat",
    )
    answer = _answer(arm, response, body, asked=asked)
    if answer is None:
        intake.left_out["the request failed"] += 1
        return None
    effort = _effort(asked, body)
    if custom.arm is None and effort is None:
        intake.note("the effort of some answers is unknown; give the request files too")
    return Sample(
        place=place,
        query_id=custom.task_id,
        model=model,
        effort=effort,
        arm=custom.arm,
        bills=(_bill(model, answer, body),),
        answer=answer.text,
        incomplete=answer.finish != "complete",
    )


def _answer(
    arm: Arm, response: Mapping[str, Any], body: Mapping[str, Any], *, asked: Mapping[str, Any]
) -> Answer | None:
    caps = [asked.get(key) for key in ("max_output_tokens", "max_completion_tokens", "max_tokens")]
    cap = next((cap for cap in caps if isinstance(cap, int) and cap > 0), _UNCAPPED)
    call = Call(Task(input=""), arm, (), 0, cap)
    status = response.get("status_code")
    exchange = Exchange(
        call, status if isinstance(status, int) else None, {}, json.dumps(body).encode()
    )
    try:
        return read_reply(exchange, now=datetime.now(UTC))
    except (BackendError, UsageError):
        return None


def _bill(model: str, answer: Answer, body: Mapping[str, Any]) -> Bill:
    created = body.get("created", body.get("created_at"))
    at = None
    if isinstance(created, int | float):
        with suppress(ValueError, OverflowError, OSError):
            at = datetime.fromtimestamp(created, UTC)
    return Bill(model=model, provider="openai", usage=answer.usage, at=at, tier="batch")


def _effort(asked: Mapping[str, Any], body: Mapping[str, Any]) -> str | None:
    for fields in (asked, body):
        reasoning = fields.get("reasoning")
        for effort in (
            fields.get("reasoning_effort"),
            reasoning.get("effort") if isinstance(reasoning, Mapping) else None,
        ):
            if effort in EFFORTS:
                return str(effort)
    return None
