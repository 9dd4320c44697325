"""What came back, as plain JSON, whether at once or as events; and the tool calls in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from effortctl._client._request import Api

_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
_HEAD = ("id", "created", "model", "service_tier", "usage", "error")
_OPENING = frozenset({"response.created", "response.queued", "response.in_progress"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function the model wants called.

    Attributes:
        name: Name of the function.
        arguments: Its arguments as the model wrote them, which should be JSON.
    """

    name: str
    arguments: str

    @property
    def text(self) -> str:
        """The call as text, for traces and corrections."""
        return f"{self.name}({self.arguments})"


def document_of(raw: object) -> Json | None:
    """A response of the SDK as JSON; None when it is none (the SDK passes HTML on as text)."""
    document = _plain(raw)
    return document if isinstance(document, dict) else None


def tool_calls(document: Mapping[str, Any]) -> list[ToolCall]:
    """The function calls in a reply of either API."""
    found: list[ToolCall] = []
    for choice in _objects(document.get("choices"))[:1]:
        message = choice.get("message")
        calls = message.get("tool_calls") if isinstance(message, Mapping) else None
        for call in _objects(calls):
            found += _call(call.get("function"))
    for item in _objects(document.get("output")):
        if item.get("type") == "function_call":
            found += _call(item)
    return found


def _call(function: object) -> list[ToolCall]:
    if not isinstance(function, Mapping):
        return []
    return [ToolCall(str(function.get("name") or ""), str(function.get("arguments") or ""))]


def field_of(thing: Any, name: str) -> Any:
    """A field of an event: of a model of the SDK, or of the plain JSON it was made of."""
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


@dataclass(slots=True)
class Tape:
    """The events of one stream, put together into the reply they amount to.

    Attributes:
        api: Which API they come from.
        keep: Keep the events, to show them later.
        events: The events that were kept.
        ended: True once a chat stream has said why it ends.
    """

    api: Api
    keep: bool = False
    events: list[Any] = field(default_factory=list)
    _document: Json | None = None
    _choices: dict[int, Json] = field(default_factory=dict)
    _texts: dict[tuple[int, str], list[str]] = field(default_factory=dict)
    _head: Json = field(default_factory=dict)
    ended: bool = False

    def add(self, event: Any) -> None:
        """Take in the next event."""
        if self.keep:
            self.events.append(event)
        if self.api == "chat":
            self._add_chunk(event)
        elif field_of(event, "type") in _TERMINAL:
            self._document = document_of(field_of(event, "response"))

    @property
    def document(self) -> Json | None:
        """The whole reply as JSON; None while, or when, its end is missing.

        A chat stream has ended when it said why, or reported usage: some servers never say why.
        """
        if self.api == "responses":
            return self._document
        if not self.ended and not self._head.get("usage"):
            return None
        for (index, name), pieces in self._texts.items():
            self._choices[index]["message"][name] = "".join(pieces)
        choices = [self._choices[index] for index in sorted(self._choices)]
        return {"object": "chat.completion", **self._head, "choices": choices}

    @property
    def priced(self) -> bool:
        """True when the usage is known."""
        document = self.document
        return document is not None and document.get("usage") is not None

    def _add_chunk(self, chunk: Any) -> None:
        for name in _HEAD:
            value = field_of(chunk, name)
            if value is not None:
                self._head[name] = _plain(value)
        for choice in _listed(chunk, "choices"):
            index = field_of(choice, "index")
            self._add_choice(index if isinstance(index, int) else 0, choice)

    def _add_choice(self, index: int, choice: Any) -> None:
        message: Json = {"role": "assistant", "content": None, "refusal": None}
        kept = self._choices.setdefault(
            index, {"index": index, "message": message, "finish_reason": None}
        )
        finish = field_of(choice, "finish_reason")
        if finish is not None:
            kept["finish_reason"] = finish
            self.ended = True
        delta = field_of(choice, "delta")
        for name in ("content", "refusal"):
            piece = field_of(delta, name)
            if isinstance(piece, str):
                self._texts.setdefault((index, name), []).append(piece)
        for piece in _listed(delta, "tool_calls"):
            _add_tool_piece(kept["message"].setdefault("tool_calls", []), piece)


def _add_tool_piece(calls: list[Json], piece: Any) -> None:
    index = field_of(piece, "index")
    # The SDK checks nothing: an index of a billion must not make a billion calls.
    index = index if isinstance(index, int) and 0 <= index <= len(calls) else len(calls)
    if index == len(calls):
        calls.append({"type": "function", "function": {"name": "", "arguments": ""}})
    if name := field_of(piece, "id"):
        calls[index]["id"] = name
    function = field_of(piece, "function")
    for name in ("name", "arguments"):
        text = field_of(function, name)
        calls[index]["function"][name] += text if isinstance(text, str) else ""


def _listed(thing: Any, name: str) -> list[Any]:
    """A field that should be a list; the SDK passes on whatever came."""
    value = field_of(thing, name)
    return value if isinstance(value, list) else []


def is_shown(api: Api, event: Any) -> bool:
    """True for an event that shows a piece of the answer, or how it ended; others only open it."""
    if api == "responses":
        return field_of(event, "type") not in _OPENING
    for choice in _listed(event, "choices"):
        delta = field_of(choice, "delta")
        if field_of(choice, "finish_reason") is not None or any(
            field_of(delta, name) for name in ("content", "refusal", "tool_calls")
        ):
            return True
    return False


def as_without_usage(event: Any, *, ended: bool) -> bool:
    """Make an event look as if usage had not been asked for; False if there would be no such event.

    Code of the caller may not expect a chunk without choices, which carries nothing but usage and comes
    after the end of the answer.
    """
    if field_of(event, "usage") is not None or ended:
        return bool(field_of(event, "choices"))
    fields = getattr(event, "model_fields_set", None)
    if isinstance(fields, set):
        fields.discard("usage")  # null in every chunk of a stream that is to end with usage
    return True


def _plain(value: Any) -> Any:
    """A model of the SDK as JSON, anything else as it is; None when it is nested too deeply."""
    dump = getattr(value, "model_dump", None)
    try:
        return dump(mode="json", warnings=False) if callable(dump) else value
    except ValueError:
        return None


def arguments_of(call: ToolCall) -> Any:
    """The arguments of a call, parsed.

    Raises:
        ValueError: They are not JSON.
    """
    try:
        return json.loads(call.arguments or "{}")
    except RecursionError:
        raise ValueError("nested too deeply") from None
