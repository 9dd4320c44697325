"""The JSON and the server-sent events of the OpenAI API: shapes only, no faults, no sockets.

Field names and event order follow the types of the `openai` package, version 3.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from effortctl._types import Usage
from effortctl.testing._records import Completion

Json = dict[str, Any]

DELTA_CHARS = 6
"""Characters per streamed piece of text."""


def encode(document: object) -> bytes:
    """JSON as a server sends it: compact, non-ASCII letters as they are."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def error_body(
    message: str, *, kind: str = "invalid_request_error", code: object = None, param: object = None
) -> Json:
    """Error object in the OpenAI shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


# --- whole bodies ----------------------------------------------------------------------------------


def body_of(completion: Completion) -> Json:
    """The reply to a request that does not stream."""
    api = completion.request.api
    if api == "chat":
        return _chat_body(completion)
    if api == "responses":
        return _response_object(completion, status=_status(completion), output=_output(completion))
    return {
        "answers": [dict(answer) for answer in completion.answers],
        "model": completion.request.model,
        "usage": responses_usage(completion.usage),
    }


def chat_usage(usage: Usage) -> Json:
    """Usage block of Chat Completions."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens or 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def responses_usage(usage: Usage) -> Json:
    """Usage block of the Responses and Decisions APIs."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _chat_finish(completion: Completion) -> str:
    whole = "tool_calls" if completion.tool_calls else "stop"
    return {"truncated": "length", "filtered": "content_filter"}.get(completion.finish, whole)


def _chat_tool_calls(completion: Completion) -> list[Json]:
    return [
        {
            "id": f"call_{completion.id}_{index}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for index, (name, arguments) in enumerate(completion.tool_calls)
    ]


def _chat_body(completion: Completion) -> Json:
    refused = completion.finish == "refused"
    message: Json = {
        "role": "assistant",
        "content": None if refused or not _says(completion) else completion.text,
        "refusal": completion.text if refused else None,
        "annotations": [],
    }
    if completion.tool_calls:
        message["tool_calls"] = _chat_tool_calls(completion)
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _chat_finish(completion),
    }
    return {
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created,
        "model": completion.request.model,
        "choices": [choice],
        "usage": chat_usage(completion.usage),
        "service_tier": completion.service_tier,
    }


def _status(completion: Completion) -> str:
    return "incomplete" if completion.finish in ("truncated", "filtered") else "completed"


def _part(completion: Completion, text: str) -> Json:
    if completion.finish == "refused":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message_item(completion: Completion, *, status: str, content: list[Json]) -> Json:
    return {
        "id": f"msg_{completion.id}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def _reasoning_item(completion: Completion) -> Json:
    return {"id": f"rs_{completion.id}", "type": "reasoning", "summary": []}


def _says(completion: Completion) -> bool:
    """True when there is a message, be it an empty one, and not tool calls alone."""
    return bool(completion.text) or not completion.tool_calls


def _call_items(completion: Completion) -> list[Json]:
    return [
        {
            "id": f"fc_{completion.id}_{index}",
            "type": "function_call",
            "call_id": f"call_{completion.id}_{index}",
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }
        for index, (name, arguments) in enumerate(completion.tool_calls)
    ]


def _output(completion: Completion) -> list[Json]:
    items = [_reasoning_item(completion)] if completion.usage.reasoning_tokens else []
    if completion.text or (completion.finish == "complete" and _says(completion)):
        content = [_part(completion, completion.text)]
        items.append(_message_item(completion, status=_status(completion), content=content))
    return items + _call_items(completion)


def _response_object(
    completion: Completion, *, status: str, output: list[Json], usage: bool = True
) -> Json:
    reasons = {"truncated": "max_output_tokens", "filtered": "content_filter"}
    reason = reasons.get(completion.finish)
    body = completion.request.body
    return {
        "id": completion.id,
        "object": "response",
        "created_at": completion.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": completion.request.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
        "service_tier": completion.service_tier,
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": responses_usage(completion.usage) if usage else None,
        "metadata": body.get("metadata") or {},
    }


# --- server-sent events ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event.

    Attributes:
        name: Value of its `event:` line; None when it has none.
        data: JSON document, or a string sent as it is.
        terminal: True for the events a client must see to know that the answer is whole.
        piece: True for the events that carry a piece of the answer's text.
    """

    name: str | None
    data: object
    terminal: bool = False
    piece: bool = False

    def encode(self) -> bytes:
        """The event's bytes."""
        head = f"event: {self.name}\n".encode() if self.name else b""
        data = self.data.encode() if isinstance(self.data, str) else encode(self.data)
        return head + b"data: " + data + b"\n\n"


def events_of(completion: Completion) -> list[Event]:
    """The reply to a request that streams."""
    make = _chat_events if completion.request.api == "chat" else _responses_events
    return list(make(completion))


def _pieces(text: str) -> list[str]:
    return [text[i : i + DELTA_CHARS] for i in range(0, len(text), DELTA_CHARS)]


def _chat_events(completion: Completion) -> Iterator[Event]:
    shared = {
        "id": completion.id,
        "object": "chat.completion.chunk",
        "created": completion.created,
        "model": completion.request.model,
        "service_tier": completion.service_tier,
    }
    options = completion.request.body.get("stream_options")
    with_usage = isinstance(options, Mapping) and options.get("include_usage") is True
    if with_usage:
        shared["usage"] = None

    field = "refusal" if completion.finish == "refused" else "content"

    def chunk(delta: Json, finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        document = shared | {"choices": [choice]}
        return Event(None, document, terminal=finish is not None, piece=bool(delta.get(field)))

    opening = "" if _says(completion) else None
    yield chunk({"role": "assistant", "content": opening, "refusal": None})
    for piece in _pieces(completion.text):
        yield chunk({field: piece})
    for index, call in enumerate(_chat_tool_calls(completion)):
        arguments = call["function"]["arguments"]
        opened = call | {"index": index, "function": call["function"] | {"arguments": ""}}
        yield chunk({"tool_calls": [opened]})
        for piece in _pieces(arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _chat_finish(completion))
    if with_usage:
        usage = {"choices": [], "usage": chat_usage(completion.usage)}
        yield Event(None, shared | usage, terminal=True)
    yield Event(None, "[DONE]", terminal=True)


def _responses_events(completion: Completion) -> Iterator[Event]:
    for number, (name, fields) in enumerate(_responses_steps(completion)):
        document = {"type": name, "sequence_number": number} | fields
        ends = name in ("response.completed", "response.incomplete")
        yield Event(name, document, terminal=ends, piece=name.endswith(".delta"))


def _responses_steps(completion: Completion) -> Iterator[tuple[str, Json]]:
    started = _response_object(completion, status="in_progress", output=[], usage=False)
    yield "response.created", {"response": started}
    yield "response.in_progress", {"response": started}
    items = _output(completion)
    for index, item in enumerate(items):
        if item["type"] == "message":
            yield from _message_steps(completion, index=index, item=item)
        elif item["type"] == "function_call":
            yield from _call_steps(item, index=index)
        else:
            yield "response.output_item.added", {"output_index": index, "item": item}
            yield "response.output_item.done", {"output_index": index, "item": item}
    status = _status(completion)
    finished = _response_object(completion, status=status, output=items)
    yield f"response.{status}", {"response": finished}


def _call_steps(item: Json, *, index: int) -> Iterator[tuple[str, Json]]:
    where = {"item_id": item["id"], "output_index": index}
    opened = item | {"arguments": "", "status": "in_progress"}
    yield "response.output_item.added", {"output_index": index, "item": opened}
    for piece in _pieces(item["arguments"]):
        yield "response.function_call_arguments.delta", where | {"delta": piece}
    done = {"arguments": item["arguments"], "name": item["name"]}
    yield "response.function_call_arguments.done", where | done
    yield "response.output_item.done", {"output_index": index, "item": item}


def _message_steps(completion: Completion, *, index: int, item: Json) -> Iterator[tuple[str, Json]]:
    kind, field = (
        ("refusal", "refusal") if completion.finish == "refused" else ("output_text", "text")
    )
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    extra: Json = {} if kind == "refusal" else {"logprobs": []}
    empty = _message_item(completion, status="in_progress", content=[])
    yield "response.output_item.added", {"output_index": index, "item": empty}
    yield "response.content_part.added", where | {"part": _part(completion, "")}
    for piece in _pieces(completion.text):
        yield f"response.{kind}.delta", where | {"delta": piece} | extra
    yield f"response.{kind}.done", where | {field: completion.text} | extra
    yield "response.content_part.done", where | {"part": _part(completion, completion.text)}
    yield "response.output_item.done", {"output_index": index, "item": item}
