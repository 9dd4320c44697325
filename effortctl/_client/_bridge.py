"""Chat Completions asked through the Responses API, for models that take tools and an effort only there.

The caller called Chat Completions and gets its types back; the request and the reply are translated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from effortctl._client._reply import Json, document_of
from effortctl._client._translatable import SAME
from effortctl._types import Arm, Call
from effortctl.backends._requests import responses_part

EVENTS: Final[Any] = ResponseStreamEvent

_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Bridge:
    """Makes calls of a chat request through the Responses API.

    Attributes:
        send: The SDK's own `post` to that API.
        applies: Tells whether an arm needs it.
    """

    send: partial[Any]
    applies: Callable[[Arm], bool]

    def body(self, chat: Mapping[str, Any], call: Call, *, stream: bool) -> Json:
        """The body of a chat request in the shape of Responses."""
        body: Json = {name: chat[name] for name in SAME if chat.get(name) is not None}
        body |= call.arm.responses_kwargs() | {"max_output_tokens": call.max_output_tokens}
        body.update(body.pop("extra_body", {}))
        body["input"] = [item for turn in chat["messages"] for item in _items(turn)]
        body["tools"] = [_tool(tool["function"]) for tool in chat.get("tools") or []]
        # Chat Completions keep nothing unless asked to; Responses keep everything unless told not to.
        body["store"] = bool(chat.get("store"))
        choice = chat.get("tool_choice")
        if isinstance(choice, Mapping):
            body["tool_choice"] = {"type": "function", "name": choice["function"]["name"]}
        elif choice is not None:
            body["tool_choice"] = choice
        text = _text(chat)
        return body | ({"text": text} if text else {}) | ({"stream": True} if stream else {})


def _items(turn: Mapping[str, Any]) -> Iterator[Json]:
    """A turn as items; a turn that calls tools is several."""
    role, content = turn.get("role"), turn.get("content")
    if role == "tool":
        output = content if isinstance(content, str) else _joined(content)
        yield {
            "type": "function_call_output",
            "call_id": turn.get("tool_call_id"),
            "output": output,
        }
        return
    if content:
        kind = "output_text" if role == "assistant" else "input_text"
        parts = (
            content
            if isinstance(content, str)
            else [responses_part(part, text_type=kind) for part in content]
        )
        yield {"role": role, "content": parts}
    for call in turn.get("tool_calls") or []:
        function = call["function"]
        yield {
            "type": "function_call",
            "call_id": call["id"],
            "name": function["name"],
            "arguments": function["arguments"],
        }


def _joined(parts: Any) -> str:
    return "\n".join(str(part.get("text", "")) for part in parts or [])


def _tool(function: Mapping[str, Any]) -> Json:
    # Responses are strict unless told otherwise, Chat Completions are not.
    return {"type": "function", "strict": False, "parameters": {"type": "object"}, **function}


def _text(chat: Mapping[str, Any]) -> Json:
    wanted, text = chat.get("response_format"), {}
    if isinstance(wanted, Mapping):
        schema = wanted.get("json_schema") or {}
        text["format"] = {"type": wanted.get("type"), **schema}
    if chat.get("verbosity") is not None:
        text["verbosity"] = chat["verbosity"]
    return text


# --- back ------------------------------------------------------------------------------------------


def completion_of(raw: Any) -> ChatCompletion | None:
    """A `Response` as a `ChatCompletion`; None when it is no finished response."""
    document = document_of(raw)
    if document is None or document.get("status") not in ("completed", "incomplete"):
        return None
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    calls: list[Json] = []
    for item in document.get("output") or []:
        if item.get("type") == "function_call":
            calls.append(_chat_call(item))
        for part in (item.get("content") or []) if item.get("type") == "message" else []:
            name = "refusal" if part.get("type") == "refusal" else "content"
            piece = part.get("refusal") if name == "refusal" else part.get("text")
            message[name] = (message[name] or "") + (piece or "")
    if calls:
        message["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish(document, calls=bool(calls)),
    }
    made = ChatCompletion.model_construct(
        **{**_head(document), "object": "chat.completion", "choices": [choice], **_usage(document)}
    )
    made._request_id = getattr(raw, "_request_id", None)  # noqa: SLF001 - where the SDK keeps it
    return made


def _chat_call(item: Mapping[str, Any]) -> Json:
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    return {"id": item.get("call_id"), "type": "function", "function": function}


def _head(document: Mapping[str, Any]) -> Json:
    return {
        "id": document.get("id"),
        "created": int(document.get("created_at") or 0),
        "model": document.get("model"),
        "service_tier": document.get("service_tier"),
    }


def _finish(document: Mapping[str, Any], *, calls: bool) -> str:
    if document.get("status") == "incomplete":
        details = document.get("incomplete_details") or {}
        return _FINISH.get(str(details.get("reason")), "length")
    return "tool_calls" if calls else "stop"


def _usage(document: Mapping[str, Any]) -> Json:
    usage = document.get("usage")
    if not usage:
        return {}
    chat = {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "total_tokens": usage.get("total_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens_details": usage.get("output_tokens_details"),
    }
    return {"usage": chat}


class Chunks:
    """Events of a Responses stream as chunks of a chat stream."""

    def __init__(self) -> None:
        self._head: Json = {}
        self._calls: dict[int, int] = {}

    def of(self, event: Any) -> list[ChatCompletionChunk]:
        """The chunks that say what an event says; often none."""
        match getattr(event, "type", None):
            case "response.created":
                self._head = _head(document_of(event.response) or {})
                chunks = [self._chunk({"role": "assistant", "content": None})]
            case "response.output_text.delta":
                chunks = [self._chunk({"content": event.delta})]
            case "response.refusal.delta":
                chunks = [self._chunk({"refusal": event.delta})]
            case "response.output_item.added" if event.item.type == "function_call":
                chunks = [self._opened(event)]
            case "response.function_call_arguments.delta":
                chunks = [self._argued(event)]
            case "response.completed" | "response.incomplete":
                chunks = self._ending(document_of(event.response) or {})
            case _:
                chunks = []
        return chunks

    def _argued(self, event: Any) -> ChatCompletionChunk:
        index = self._calls.setdefault(event.output_index, len(self._calls))
        piece = {"index": index, "function": {"arguments": event.delta}}
        return self._chunk({"tool_calls": [piece]})

    def _opened(self, event: Any) -> ChatCompletionChunk:
        index = self._calls.setdefault(event.output_index, len(self._calls))
        function = {"name": event.item.name, "arguments": ""}
        call = {
            "index": index,
            "id": event.item.call_id,
            "type": "function",
            "function": function,
        }
        return self._chunk({"tool_calls": [call]})

    def _ending(self, document: Mapping[str, Any]) -> list[ChatCompletionChunk]:
        last = self._chunk({}, finish=_finish(document, calls=bool(self._calls)))
        shared = {**self._head, "object": "chat.completion.chunk"}
        usage = ChatCompletionChunk.model_construct(**{**shared, "choices": [], **_usage(document)})
        return [last, usage]

    def _chunk(self, delta: Json, *, finish: str | None = None) -> ChatCompletionChunk:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return ChatCompletionChunk.model_construct(
            **{**self._head, "object": "chat.completion.chunk", "choices": [choice]}
        )
