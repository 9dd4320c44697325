"""Fault modes that answer 200 and are wrong inside. Each works on whole bodies and on streams."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from effortctl._types import Finish
from effortctl.testing._faults import FaultSpec, mode
from effortctl.testing._plans import Plan, document, honest, stream
from effortctl.testing._records import Completion
from effortctl.testing._wire import Event, Json, body_of, error_body, events_of

# --- honest but unwelcome endings ------------------------------------------------------------------


def _ending(completion: Completion, *, finish: Finish, text: str) -> Plan:
    return honest(replace(completion, finish=finish, text=text))


@mode("refusal", "200: the model declines to answer")
def _refusal(completion: Completion, _spec: FaultSpec) -> Plan:
    return _ending(completion, finish="refused", text="I can't help with that.")


@mode("content-filter", "200: the answer was cut off by a content filter")
def _content_filter(completion: Completion, _spec: FaultSpec) -> Plan:
    return _ending(completion, finish="filtered", text="")


@mode("truncated", "200: half an answer, the output cap was reached and billed in full")
def _truncated(completion: Completion, _spec: FaultSpec) -> Plan:
    return _at_cap(completion, text=completion.text[: len(completion.text) // 2])


@mode("truncated-empty", "200: no answer at all, reasoning used up the output cap")
def _truncated_empty(completion: Completion, _spec: FaultSpec) -> Plan:
    return _at_cap(completion, text="")


def _at_cap(completion: Completion, *, text: str) -> Plan:
    spent = completion.request.output_cap or completion.usage.output_tokens
    reasoning = spent - max(0, len(text) // 4)
    usage = completion.usage.model_copy(
        update={"output_tokens": spent, "reasoning_tokens": max(0, reasoning)}
    )
    return honest(replace(completion, finish="truncated", text=text, usage=usage))


# --- wrong JSON ------------------------------------------------------------------------------------

Mutation = Callable[[Json], object]


def _mutated(completion: Completion, mutate: Mutation) -> Plan:
    """Apply a mutation to the body, or to every event that carries a part of it."""
    if not completion.request.stream:
        return document(completion, mutate(copy.deepcopy(body_of(completion))))
    return stream(completion, [_mutated_event(event, mutate) for event in events_of(completion)])


def _mutated_event(event: Event, mutate: Mutation) -> Event:
    if not isinstance(event.data, dict):
        return event
    data: Json = copy.deepcopy(event.data)
    if "response" not in data:
        return replace(event, data=mutate(data) if "choices" in data else data)
    if event.terminal:
        data["response"] = mutate(data["response"])
    return replace(event, data=data)


def _setting(body: Json, *names: str, value: object) -> Json:
    for name in names:
        if name in body:
            body[name] = value
    return body


def _register_mutation(name: str, summary: str, mutate: Mutation) -> None:
    @mode(name, summary)
    def _build(completion: Completion, _spec: FaultSpec) -> Plan:
        return _mutated(completion, mutate)


def _null_content(body: Json) -> Json:
    for choice in body.get("choices", []):
        for part in ("message", "delta"):
            if part in choice:
                choice[part]["content"] = None
    for item in body.get("output", []):
        if item["type"] == "message":
            item["content"] = None
    return body


ANSWER_FIELDS = ("choices", "output", "answers")

_register_mutation(
    "null-choices",
    "200: choices, output or answers is null",
    lambda body: _setting(body, *ANSWER_FIELDS, value=None),
)
_register_mutation(
    "empty-choices",
    "200: choices, output or answers is an empty list",
    lambda body: _setting(body, *ANSWER_FIELDS, value=[]),
)
_register_mutation(
    "wrong-type-choices",
    "200: choices, output or answers is a number",
    lambda body: _setting(body, *ANSWER_FIELDS, value=7),
)
_register_mutation("null-content", "200: the message has null as content", _null_content)
_register_mutation("json-array", "200: a JSON array where an object belongs", lambda body: [body])
_register_mutation("json-scalar", "200: a JSON string where an object belongs", lambda _body: "ok")
_register_mutation("json-null", "200: null where an object belongs", lambda _body: None)
_register_mutation("empty-object", "200: an object without any field", lambda _body: {})


@mode("error-in-200", "200 with an error object instead of an answer")
def _error_in_200(completion: Completion, _spec: FaultSpec) -> Plan:
    body = error_body("The upstream model failed.", kind="server_error", code="server_error")
    plan = stream(completion, [Event(None, body)])
    plan = plan if completion.request.stream else document(completion, body)
    return replace(plan, billed=None)


# --- wrong usage -----------------------------------------------------------------------------------

COUNTS = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens")


def _register_usage(name: str, summary: str, change: Callable[[Any], object]) -> None:
    def mutate(body: Json) -> Json:
        if isinstance(body.get("usage"), dict):
            for key in COUNTS:
                if key in body["usage"]:
                    body["usage"][key] = change(body["usage"][key])
        return body

    _register_mutation(name, summary, mutate)


_register_usage("usage-negative", "200: token counts below 0", lambda count: -count)
_register_usage("usage-string", "200: token counts are text", str)
_register_usage("usage-float", "200: token counts are not whole", lambda count: count + 0.5)
_register_usage("usage-null-counts", "200: token counts are null", lambda _count: None)
_register_usage("usage-nan", "200: token counts are NaN", lambda _count: float("nan"))
_register_usage("usage-huge", "200: token counts are absurd", lambda _count: 10**18)
_register_usage("usage-zero", "200: token counts are 0 though work was done", lambda _count: 0)


def _without_usage(body: Json) -> Json:
    body.pop("usage", None)
    return body


def _impossible_parts(body: Json) -> Json:
    usage = body.get("usage")
    if isinstance(usage, dict):
        for key, value in usage.items():
            if key.endswith("_details"):
                usage[key] = dict.fromkeys(value, 10**9)
    return body


_register_mutation("usage-missing", "200: no usage at all", _without_usage)
_register_mutation(
    "usage-null", "200: usage is null", lambda body: _setting(body, "usage", value=None)
)
_register_mutation(
    "usage-text", "200: usage is text", lambda body: _setting(body, "usage", value="lots")
)
_register_mutation(
    "usage-parts", "200: cached and reasoning tokens exceed their whole", _impossible_parts
)


# --- wrong bytes -----------------------------------------------------------------------------------


def _rewritten(completion: Completion, rewrite: Callable[[bytes], bytes]) -> Plan:
    plan = honest(completion)
    return replace(plan, chunks=(rewrite(plan.body),), framing="length")


@mode("html-200", "200 with an HTML page, as captive portals and proxies send")
def _html_200(_completion: Completion, _spec: FaultSpec) -> Plan:
    page = b"<!doctype html><html><body><h1>Welcome</h1>Please sign in.</body></html>"
    return Plan(content_type="text/html; charset=utf-8", chunks=(page,))


@mode("malformed-json", "200: the last closing brace is missing")
def _malformed_json(completion: Completion, _spec: FaultSpec) -> Plan:
    return _rewritten(completion, lambda body: b"".join(body.rpartition(b"}")[::2]))


@mode("bad-utf8", "200: bytes that are not UTF-8 inside a JSON string")
def _bad_utf8(completion: Completion, _spec: FaultSpec) -> Plan:
    return _rewritten(completion, lambda body: body.replace(b':"', b':"\xff\xfe\xc3', 1))


@mode("empty-body", "200 with no body")
def _empty_body(completion: Completion, _spec: FaultSpec) -> Plan:
    return _rewritten(completion, lambda _body: b"")


@mode(
    "huge-body",
    "200: many megabytes of text, or of one event in a stream",
    mb="megabytes, default 10",
)
def _huge_body(completion: Completion, spec: FaultSpec) -> Plan:
    filler = "x" * int(spec.number("mb", 10) * 1024 * 1024)
    if not completion.request.stream:
        return document(completion, body_of(replace(completion, text=filler)))
    events = events_of(completion)
    events.insert(1, Event(None, {"padding": filler}))
    return stream(completion, events)


@mode("deep-nesting", "200: JSON nested beyond any parser's patience", depth="levels, default 5000")
def _deep_nesting(completion: Completion, spec: FaultSpec) -> Plan:
    depth = int(spec.number("depth", 5000))
    nested = b'{"choices":' + b"[" * depth + b"]" * depth + b"}"
    if completion.request.stream:
        nested = b"data: " + nested + b"\n\n"
    return _rewritten(completion, lambda _body: nested)


@mode("bad-gzip", "200: declared as gzip, sent as it is")
def _bad_gzip(completion: Completion, _spec: FaultSpec) -> Plan:
    return replace(honest(completion), headers=(("Content-Encoding", "gzip"),))


@mode("wrong-content-type", "200: a sound reply declared as text/plain")
def _wrong_content_type(completion: Completion, _spec: FaultSpec) -> Plan:
    return replace(honest(completion), content_type="text/plain")
