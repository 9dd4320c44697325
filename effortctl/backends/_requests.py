"""A `Call` as the keyword arguments of the two OpenAI create methods."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from effortctl._types import Call, Message

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_SYSTEM_ROLES = ("system", "developer")


def chat_request(call: Call) -> dict[str, Any]:
    """Keyword arguments for `client.chat.completions.create`."""
    request = call.arm.chat_kwargs()
    request[call.arm.endpoint.max_tokens_field] = call.max_output_tokens
    request["messages"] = [_chat_message(message) for message in call.messages]
    if call.task.response_schema is not None:
        schema = _named_schema(call.task.response_schema)
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    return request | _per_call(call)


def responses_request(call: Call) -> dict[str, Any]:
    """Keyword arguments for `client.responses.create`.

    `store` is off, because the API keeps every conversation on the provider's disks by default.
    """
    request = call.arm.responses_kwargs()
    request["max_output_tokens"] = call.max_output_tokens
    request["store"] = False
    instructions, turns = _split_instructions(call.messages)
    if instructions is not None:
        request["instructions"] = instructions
    request["input"] = [_responses_message(message) for message in turns]
    if call.task.response_schema is not None:
        schema = _named_schema(call.task.response_schema)
        request["text"] = {"format": {"type": "json_schema", **schema}}
    return request | _per_call(call)


def _per_call(call: Call) -> dict[str, Any]:
    """What differs between two samples of one arm, and the timeout of each network operation."""
    extra: dict[str, Any] = {}
    arm = call.arm
    if call.sample_index > 0 and arm.resample_temperature is not None:
        extra["temperature"] = arm.resample_temperature
    if call.timeout_s is not None:
        extra["timeout"] = call.timeout_s
    return extra


def _chat_message(message: Message) -> dict[str, Any]:
    content = message.content
    return {
        "role": message.role,
        "content": content if isinstance(content, str) else [dict(part) for part in content],
    }


def _split_instructions(
    messages: tuple[Message, ...],
) -> tuple[str | None, tuple[Message, ...]]:
    """Take a leading system message out of the turns, unless nothing would be left to answer."""
    if len(messages) > 1 and messages[0].role in _SYSTEM_ROLES:
        return messages[0].text, messages[1:]
    return None, messages


def _responses_message(message: Message) -> dict[str, Any]:
    content = message.content
    if isinstance(content, str):
        return {"role": message.role, "content": content}
    text_type = "output_text" if message.role == "assistant" else "input_text"
    return {
        "role": message.role,
        "content": [responses_part(part, text_type=text_type) for part in content],
    }


def responses_part(part: Mapping[str, Any], *, text_type: str) -> dict[str, Any]:
    """Translate a Chat content part; parts already in the Responses shape pass unchanged."""
    match part:
        case {"type": "text", "text": text}:
            return {"type": text_type, "text": text}
        case {"type": "image_url", "image_url": {"url": _} as image}:
            fields = dict(image)
            return {"type": "input_image", "image_url": fields.pop("url"), **fields}
        case {"type": "file", "file": dict() as file}:
            return {"type": "input_file", **file}
        case _:
            return dict(part)


def _named_schema(schema: dict[str, Any]) -> dict[str, Any]:
    name = _NOT_A_NAME.sub("_", str(schema.get("title", "")))[:64].strip("_")
    return {"name": name or "answer", "schema": schema, "strict": _is_strict(schema)}


def _is_strict(node: Any) -> bool:
    """True when strict mode accepts the schema: closed objects, every property required.

    Sending `strict` with any other schema is a 400, so it is only asked for where it can work.
    """
    if isinstance(node, list):
        return all(_is_strict(item) for item in node)
    if not isinstance(node, dict):
        return True
    if node.get("type") == "object" or "properties" in node:
        properties = node.get("properties", {})
        if node.get("additionalProperties") is not False:
            return False
        if sorted(properties) != sorted(node.get("required", [])):
            return False
    return all(_is_strict(value) for value in node.values())
