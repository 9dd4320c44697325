"""Logs of inspect_ai in their `.json` form, read without inspect_ai.

Its token counts leave cached tokens out of the input; ours contain them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from effortctl._errors import StoreError
from effortctl._types import EFFORTS
from effortctl.harness.datasets._files import as_object, json_records
from effortctl.harness.formats._dollars import Bill
from effortctl.harness.formats._samples import (
    Intake,
    Sample,
    amount,
    count,
    dollars,
    plain_text,
    usage_of,
)

_GRADES: Final[Mapping[str, float]] = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_WORDS: Final[Mapping[str, float]] = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_CUT_OFF: Final = frozenset({"max_tokens", "model_length", "content_filter"})


def read(paths: Sequence[Path], intake: Intake) -> Iterator[Sample]:
    """Read logs. Epochs of a sample become one row of means; the task is named `task/sample`.

    Raises:
        StoreError: A file is no log with samples, or a number in it makes no sense.
    """
    for path in paths:
        for place, log in json_records(path):
            samples = log.get("samples")
            if not isinstance(log.get("eval"), Mapping) or not isinstance(samples, list):
                raise StoreError(
                    f"{place}: expected an inspect log with `eval` and `samples`; export one with: "
                    "inspect log convert --to json"
                )
            if log.get("status") != "success":
                intake.note(
                    f"{path.name}: the run ended as {log.get('status')!r}; its samples are taken"
                )
            run = _Run(log["eval"], log.get("plan"))
            for number, item in enumerate(samples, start=1):
                where = f"{place}, sample {number}"
                sample = run.sample(as_object(item, where), where, intake)
                if sample is not None:
                    yield sample


class _Run:
    """What all samples of a log share."""

    def __init__(self, spec: Mapping[str, Any], plan: Any) -> None:
        self.task = plain_text(spec.get("task")) or "task"
        self.model = plain_text(spec.get("model")) or "unknown"
        plan_config = plan.get("config") if isinstance(plan, Mapping) else None
        efforts = [
            config.get("reasoning_effort")
            for config in (spec.get("model_generate_config"), plan_config)
            if isinstance(config, Mapping)
        ]
        self.effort = next((effort for effort in efforts if effort in EFFORTS), None)

    def sample(self, item: Mapping[str, Any], place: str, intake: Intake) -> Sample | None:
        if item.get("error"):
            intake.left_out["the sample ended in an error"] += 1
            return None
        if item.get("id") is None:
            raise StoreError(f"{place}: id is missing, expected the sample's name")
        metadata, output = _mapping(item.get("metadata")), _mapping(item.get("output"))
        return Sample(
            place=place,
            query_id=f"{self.task}/{item['id']}",
            model=self.model,
            effort=self.effort,
            score=self._score(item, place, intake),
            bills=self._bills(item, place),
            query=_text(item.get("input")),
            category=plain_text(metadata.get("category")) or self.task,
            cluster=plain_text(metadata.get("cluster")),
            latency_s=amount(item.get("working_time") or item.get("total_time"), "seconds", place),
            answer=_completion(output),
            incomplete=_stop_reason(output) in _CUT_OFF,
        )

    def _score(self, item: Mapping[str, Any], place: str, intake: Intake) -> float | None:
        scores = item.get("scores")
        if not isinstance(scores, Mapping) or not scores:
            return None
        name = intake.scorer or next(iter(scores))
        if name not in scores:
            raise StoreError(
                f"{place}: there is no score {name!r}; there are {', '.join(map(str, scores))}"
            )
        if intake.scorer is None and len(scores) > 1:
            intake.note(f"several scores; took {name!r} of {', '.join(map(str, scores))}")
        score = scores[name]
        return grade(score.get("value") if isinstance(score, Mapping) else score, place)

    def _bills(self, item: Mapping[str, Any], place: str) -> tuple[Bill, ...]:
        usages = item.get("model_usage")
        if not isinstance(usages, Mapping):
            return ()
        at = _moment(item.get("started_at"))
        names = sorted(usages, key=lambda name: name != self.model)
        if names[:1] != [self.model]:
            # Nothing is known of the model itself, so the total is not known either.
            return ()
        return tuple(_bill(name, as_object(usages[name], place), at, place) for name in names)


def grade(value: Any, place: str) -> float | None:
    """A score as inspect writes it: a letter, a truth value, a number; None for several at once.

    Raises:
        StoreError: It is none of these.
    """
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, bool | int | float):
        with suppress(OverflowError):
            return float(value)
    found = _GRADES.get(value, _WORDS.get(str(value).lower()))
    return amount(value, "scores", place) if found is None else found


def _bill(model: str, usage: Mapping[str, Any], at: datetime | None, place: str) -> Bill:
    cached = usage.get("input_tokens_cache_read")
    written = usage.get("input_tokens_cache_write")
    parts = [
        count(part, "input tokens", place) for part in (usage.get("input_tokens"), cached, written)
    ]
    total = None if parts[0] is None else sum(part or 0 for part in parts)
    return Bill(
        model=model,
        usage=usage_of(
            place,
            given_in=total,
            given_out=usage.get("output_tokens"),
            cached=cached,
            written=written,
            reasoning=usage.get("reasoning_tokens"),
        ),
        cost_usd=dollars(usage.get("total_cost"), place),
        at=at,
    )


def _text(value: Any) -> str | None:
    """The prompt, or the readable text of a conversation."""
    if not isinstance(value, list):
        return plain_text(value)
    turns = [turn.get("content") for turn in value if isinstance(turn, Mapping)]
    texts = [
        turn if isinstance(turn, str) else "\n".join(_part_texts(turn)) for turn in turns if turn
    ]
    return "\n".join(texts) or None


def _part_texts(parts: Any) -> Iterator[str]:
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield part["text"]


def _completion(output: Mapping[str, Any]) -> str | None:
    if isinstance(output.get("completion"), str) and output["completion"]:
        return str(output["completion"])
    message = _first_choice(output).get("message")
    return _text([message]) if isinstance(message, Mapping) else None


def _stop_reason(output: Mapping[str, Any]) -> Any:
    return _first_choice(output).get("stop_reason")


def _first_choice(output: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = output.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return _mapping(first)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
