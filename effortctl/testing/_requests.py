"""Reading requests: JSON body in, `MockRequest` out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from effortctl.testing._records import Api, MockRequest, RawRequest

APIS: dict[str, Api] = {
    "/responses": "responses",
    "/chat/completions": "chat",
    "/decisions": "decisions",
}
"""API by path, after the optional `/v1`."""

FAULT_SUFFIX = "+fault="
FAULT_HEADER = "x-mock-fault"


class BadRequestError(ValueError):
    """The request is not one a provider would accept; the message goes into the 400."""


def route(path: str) -> str:
    """The path without query and `/v1`."""
    return path.partition("?")[0].removeprefix("/v1").rstrip("/")


def read_body(raw: bytes) -> dict[str, Any]:
    """The JSON object in a request body.

    Raises:
        BadRequestError: It is not a JSON object.
    """
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise BadRequestError("We could not parse the JSON body of your request.") from error
    if not isinstance(body, dict):
        raise BadRequestError("The body of the request must be a JSON object.")
    return body


def read_request(
    raw: RawRequest, body: dict[str, Any], *, n: int, repeat: int
) -> tuple[MockRequest, str | None]:
    """Read a request body; the second value is the fault spec in its model id, if any.

    Raises:
        BadRequestError: A field every provider insists on is missing.
    """
    api = APIS[route(raw.path)]
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("you must provide a model parameter")
    prompt = "messages" if api == "chat" else "input"
    if not body.get(prompt):
        raise BadRequestError(f"Missing required parameter: '{prompt}'.")
    fault = model.partition(FAULT_SUFFIX)[2]
    request = MockRequest(
        api=api,
        path=raw.path.partition("?")[0],
        model=model_of(body),
        effort=effort_of(body),
        text="\n".join(_texts(body)),
        stream=body.get("stream") is True and api != "decisions",
        body=body,
        headers=raw.headers,
        n=n,
        repeat=repeat,
    )
    return request, fault or raw.headers.get(FAULT_HEADER)


def model_of(body: Mapping[str, Any]) -> str:
    """The model id without its fault suffix; empty when there is none."""
    model = body.get("model")
    return model.partition(FAULT_SUFFIX)[0] if isinstance(model, str) else ""


def effort_of(body: Mapping[str, Any]) -> str:
    """The effort a body asks for, wherever it says so; `default` when it does not."""
    places = (
        body,
        body.get("reasoning"),
        body.get("chat_template_kwargs"),
        body.get("output_config"),
    )
    for place in places:
        if isinstance(place, Mapping):
            effort = place.get("reasoning_effort") or place.get("effort")
            if isinstance(effort, str):
                return effort
    return "default"


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    instructions = body.get("instructions")
    if isinstance(instructions, str):
        yield instructions
    turns = body.get("messages", body.get("input"))
    if isinstance(turns, str):
        yield turns
    elif isinstance(turns, list):
        for turn in turns:
            if isinstance(turn, Mapping):
                yield from _content_texts(turn.get("content"))


def _content_texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]
