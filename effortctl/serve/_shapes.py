"""Is a body what its API takes, as far as we look into it? What is not is refused before money is set aside."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from effortctl.serve._faults import refuse

MOST_LEVELS: Final = 64
"""So deep may a body be nested: everything that walks through it later is sure to get to its end."""

_Test = Callable[[Any], bool]


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        RefusedError: It is none, or holds what cannot be sent on as JSON.
    """
    try:
        body = json.loads(raw, parse_constant=_no_number, parse_float=_finite)
        if isinstance(body, dict):
            _check_levels(body)
            _check_text(body, raw)
            return body
    except (ValueError, RecursionError):
        pass
    raise refuse(400, "invalid_json", "the body must be one JSON object")


def check_fields(body: Mapping[str, Any]) -> None:
    """Refuse fields of another type than the API's, where somebody here will read them.

    Raises:
        RefusedError: Names the field.
    """
    for name, (test, words) in _FIELDS.items():
        value = body.get(name)
        if value is not None and not test(value):
            raise refuse(400, "invalid_request", f"{name} must be {words}", param=name)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _check_levels(body: object) -> None:
    level: list[Any] = [body]
    for _ in range(MOST_LEVELS):
        inner = [list(each.values()) if isinstance(each, dict) else each for each in level]
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return
    raise ValueError("nested too deeply")


def _check_text(body: object, raw: bytes) -> None:
    """Half of a surrogate pair is no text, though an escape can stand for it."""
    if b"\\u" in raw:
        json.dumps(body, ensure_ascii=False).encode()


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _are_turns(value: Any) -> bool:
    return _are_objects(value) and all(map(_is_turn, value))


def _is_turn(turn: Mapping[str, Any]) -> bool:
    content = turn.get("content")
    fits = content is None or isinstance(content, str) or _are_objects(content)
    calls = turn.get("tool_calls")
    called = calls is None or (_are_objects(calls) and all(map(_is_call, calls)))
    return fits and called and isinstance(turn.get("role", "user"), str)


def _is_call(call: Mapping[str, Any]) -> bool:
    return isinstance(call.get("function", {}), dict)


def _are_tools(value: Any) -> bool:
    return _are_objects(value) and all(isinstance(tool.get("function", {}), dict) for tool in value)


def _is_input(value: Any) -> bool:
    return isinstance(value, str) or _are_turns(value)


def _is_nothing(value: Any) -> bool:
    """For what the API does not know, and what would reach behind the choice of an arm here."""
    return value is None


def _is_choice(value: Any) -> bool:
    return isinstance(value, str | dict)


def _is_effort(value: Any) -> bool:
    return _is_object(value) and isinstance(value.get("effort") or "", str)


def _is_format(value: Any) -> bool:
    return _is_object(value) and isinstance(value.get("json_schema") or {}, dict)


def _is_format_of_text(value: Any) -> bool:
    return _is_object(value) and isinstance(value.get("format") or {}, dict)


_FIELDS: Final[Mapping[str, tuple[_Test, str]]] = {
    "messages": (_are_turns, "a list of messages, each with a role and content"),
    "input": (_is_input, "a text, or a list of items"),
    "instructions": (_is_text, "a text"),
    "n": (_is_count, "a whole number from 1"),
    "max_tokens": (_is_count, "a whole number from 1"),
    "max_completion_tokens": (_is_count, "a whole number from 1"),
    "max_output_tokens": (_is_count, "a whole number from 1"),
    "temperature": (_is_number, "a number"),
    "top_p": (_is_number, "a number"),
    "reasoning_effort": (_is_text, "a text"),
    "reasoning": (_is_effort, "an object whose effort is a text"),
    "stream": (_is_flag, "true or false"),
    "stream_options": (_is_object, "an object"),
    "tools": (_are_tools, "a list of objects"),
    "tool_choice": (_is_choice, "a text or an object"),
    "response_format": (_is_format, "an object"),
    "text": (_is_format_of_text, "an object"),
    "metadata": (_is_object, "an object"),
    "previous_response_id": (_is_text, "a text"),
    "service_tier": (_is_text, "a text"),
    "extra_body": (_is_nothing, "left out; put what is in it beside the other fields"),
}
