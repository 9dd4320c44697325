"""OpenTelemetry GenAI spans as OTLP JSON: one export per line, a list of exports, or a single one.

Names follow semantic-conventions-genai. It has no name yet for dollars and for the effort, so the names
in use are read: `operation.cost`, `gen_ai.usage.cost`, `gen_ai.usage.cost.amount`;
`gen_ai.request.reasoning.level`, `gen_ai.request.reasoning_effort`, `effortctl.effort`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from effortctl._errors import StoreError
from effortctl._types import EFFORTS, Usage
from effortctl.harness.datasets._files import json_records
from effortctl.harness.formats._dollars import Bill
from effortctl.harness.formats._samples import (
    Intake,
    Sample,
    amount,
    dollars,
    plain_text,
    usage_of,
)

_CALLS: Final = frozenset({"chat", "generate_content", "text_completion"})
_EFFORTS: Final = (
    *("effortctl.effort", "gen_ai.request.reasoning.level"),
    *("gen_ai.request.reasoning_effort", "gen_ai.openai.request.reasoning_effort"),
)
_COSTS: Final = ("operation.cost", "gen_ai.usage.cost.amount", "gen_ai.usage.cost")
_PASSED: Final = frozenset({"pass", "passed", "correct", "true", "yes"})
_FAILED: Final = frozenset({"fail", "failed", "incorrect", "wrong", "false", "no"})


@dataclass(frozen=True, slots=True)
class Span:
    """One span: where it stands, which trace it belongs to, and its attributes in plain values."""

    place: str
    trace_id: str
    attributes: Mapping[str, Any]
    evaluations: tuple[Mapping[str, Any], ...]
    started_ns: int | None
    ended_ns: int | None

    @property
    def is_call(self) -> bool:
        """A call of a model, and not an agent, a tool or an embedding around it."""
        named = "gen_ai.request.model" in self.attributes or (
            "gen_ai.response.model" in self.attributes
        )
        operation = self.attributes.get("gen_ai.operation.name")
        return named and (operation is None or plain_text(operation) in _CALLS)

    @property
    def arm(self) -> tuple[str, str | None]:
        """Model and effort."""
        get = self.attributes.get
        model = str(get("gen_ai.request.model") or get("gen_ai.response.model"))
        effort = next((get(name) for name in _EFFORTS if get(name) in EFFORTS), None)
        return model, effort


def read(paths: Sequence[Path], intake: Intake) -> Iterator[Sample]:
    """Read spans: calls of one model within a trace are one sample, its dollars and tokens summed.

    The score is that of an evaluation on a call, or anywhere in a trace with one arm.

    Raises:
        StoreError: A file is no OTLP JSON, or a number in it makes no sense.
    """
    traces: dict[str, list[Span]] = defaultdict(list)
    for path in paths:
        for place, document in json_records(path):
            for span in spans(document, place):
                traces[span.trace_id].append(span)
    for members in traces.values():
        calls: dict[tuple[str, str | None], list[Span]] = defaultdict(list)
        for span in members:
            if span.is_call:
                calls[span.arm].append(span)
        if not calls:
            intake.left_out["the trace has no call of a model"] += 1
        for (model, effort), made in calls.items():
            judged = made if len(calls) > 1 else members
            yield _sample(model, effort, made, score=_score(judged, intake), intake=intake)


def spans(document: Mapping[str, Any], place: str) -> Iterator[Span]:
    """The spans of one export.

    Raises:
        StoreError: It is no export of traces.
    """
    if not isinstance(document.get("resourceSpans"), list):
        raise StoreError(f"{place}: no resourceSpans, expected an export of traces as OTLP JSON")
    number = 0
    for resource in document["resourceSpans"]:
        for scope in _objects(resource, "scopeSpans"):
            for span in _objects(scope, "spans"):
                number += 1
                yield _span(span, f"{place}, span {number}")


def _span(span: Mapping[str, Any], place: str) -> Span:
    trace_id = span.get("traceId")
    if not isinstance(trace_id, str) or not trace_id:
        raise StoreError(f"{place}: traceId is missing, expected the id of its trace")
    attributes = _plain(span.get("attributes"))
    events = [_plain(event.get("attributes")) for event in _objects(span, "events")]
    evaluations = [found for found in (attributes, *events) if _is_evaluation(found)]
    started, ended = (_nanoseconds(span.get(f"{end}TimeUnixNano")) for end in ("start", "end"))
    return Span(place, trace_id, attributes, tuple(evaluations), started, ended)


def _sample(
    model: str, effort: str | None, made: Sequence[Span], *, score: float | None, intake: Intake
) -> Sample:
    first, last = made[0], made[-1]
    if len(made) > 1:
        intake.note("several calls of one model in a trace count as one sample, dollars summed")
    named = first.attributes.get(intake.task_attribute) if intake.task_attribute else None
    seconds = [
        (span.ended_ns - span.started_ns) / 1e9
        for span in made
        if span.started_ns is not None and span.ended_ns is not None
    ]
    return Sample(
        place=first.place,
        query_id=plain_text(named) or first.trace_id,
        model=model,
        effort=effort,
        score=score,
        bills=(_bill(model, made),),
        query=_last_text(first.attributes.get("gen_ai.input.messages"), role="user"),
        latency_s=sum(seconds) if len(seconds) == len(made) else None,
        answer=_last_text(last.attributes.get("gen_ai.output.messages"), role="assistant"),
    )


def _bill(model: str, made: Sequence[Span]) -> Bill:
    usages = [_usage(span) for span in made]
    costs = [_cost(span) for span in made]
    provider = made[0].attributes.get(
        "gen_ai.provider.name", made[0].attributes.get("gen_ai.system")
    )
    known = [usage for usage in usages if usage is not None]
    dollars_known = [cost for cost in costs if cost is not None]
    started = made[0].started_ns
    return Bill(
        model=model,
        provider=plain_text(provider),
        usage=sum(known[1:], known[0]) if known and len(known) == len(made) else None,
        cost_usd=sum(dollars_known, Decimal(0)) if len(dollars_known) == len(made) else None,
        at=None if started is None else datetime.fromtimestamp(started / 1e9, UTC),
    )


def _usage(span: Span) -> Usage | None:
    get = span.attributes.get
    return usage_of(
        span.place,
        given_in=get("gen_ai.usage.input_tokens"),
        given_out=get("gen_ai.usage.output_tokens"),
        cached=get("gen_ai.usage.cache_read.input_tokens"),
        written=get("gen_ai.usage.cache_creation.input_tokens"),
        reasoning=get("gen_ai.usage.reasoning.output_tokens"),
    )


def _cost(span: Span) -> Decimal | None:
    currency = span.attributes.get("gen_ai.usage.cost.currency", "USD")
    if str(currency).upper() != "USD":
        return None
    found = next((span.attributes[name] for name in _COSTS if name in span.attributes), None)
    return dollars(found, span.place)


# --- scores ----------------------------------------------------------------------------------------


def _is_evaluation(attributes: Mapping[str, Any]) -> bool:
    return any(f"gen_ai.evaluation.score.{part}" in attributes for part in ("value", "label"))


def _score(judged: Sequence[Span], intake: Intake) -> float | None:
    found = [(span, evaluation) for span in judged for evaluation in span.evaluations]
    if intake.scorer is not None:
        found = [pair for pair in found if pair[1].get("gen_ai.evaluation.name") == intake.scorer]
    for span, evaluation in found:
        value = evaluation.get("gen_ai.evaluation.score.value")
        if value is not None:
            return amount(value, "scores", span.place)
        label = str(evaluation.get("gen_ai.evaluation.score.label")).lower()
        if label in _PASSED | _FAILED:
            return float(label in _PASSED)
    return None


# --- OTLP JSON -------------------------------------------------------------------------------------


def _objects(holder: Any, name: str) -> Iterator[Mapping[str, Any]]:
    items = holder.get(name) if isinstance(holder, Mapping) else None
    for item in items if isinstance(items, list) else ():
        if isinstance(item, Mapping):
            yield item


def _plain(attributes: Any) -> dict[str, Any]:
    pairs = attributes if isinstance(attributes, list) else []
    return {
        str(pair["key"]): _value(pair.get("value"))
        for pair in pairs
        if isinstance(pair, Mapping) and "key" in pair
    }


def _value(value: Any) -> Any:
    """One AnyValue; 64-bit integers come as text."""
    match value:
        case {"stringValue": found} | {"boolValue": found} | {"doubleValue": found}:
            return found
        case {"intValue": found}:
            return int(found) if str(found).lstrip("-").isdecimal() else found
        case {"arrayValue": {"values": list(items)}}:
            return [_value(item) for item in items]
        case {"kvlistValue": {"values": list(items)}}:
            return _plain(items)
    return None


def _nanoseconds(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() and 0 < int(text) < 2**63 else None


def _last_text(messages: Any, *, role: str) -> str | None:
    """The text of the last turn of a role, in any of the shapes in use."""
    if isinstance(messages, str):
        try:
            messages = json.loads(messages)
        except ValueError:
            return messages or None
    turns = (
        [turn for turn in messages if isinstance(turn, Mapping)]
        if isinstance(messages, list)
        else []
    )
    for turn in reversed(turns):
        if turn.get("role") == role:
            return _turn_text(turn)
    return None


def _turn_text(turn: Mapping[str, Any]) -> str | None:
    if isinstance(turn.get("content"), str):
        return str(turn["content"]) or None
    parts = turn.get("parts", turn.get("content"))
    texts = [
        str(part.get("content", part.get("text", "")))
        for part in (parts if isinstance(parts, list) else [])
        if isinstance(part, Mapping) and part.get("type") == "text"
    ]
    return "\n".join(texts) or None
