"""What goes over the wire."""

from __future__ import annotations

from typing import Any

import pytest
from openai_wire import APIS, MODES, Api, Mode, Wire, endpoint, good_body, make_call, replying

from effortctl._types import Message, Task

SCHEMA = {
    "title": "The city!",
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def sent(api: Api = "chat", *, mode: Mode = "sync", **fields: Any) -> dict[str, Any]:
    wire = Wire(replying(good_body(api)), mode=mode)
    wire.complete(make_call(api, **fields))
    return wire.sent


@pytest.mark.parametrize("mode", MODES)
def test_a_chat_call_sends_messages_cap_and_effort(mode: Mode) -> None:
    task = Task(input="Hi", instructions="Be brief.")
    assert sent(mode=mode, task=task, max_output_tokens=77) == {
        "model": "model-x",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "max_completion_tokens": 77,
        "reasoning_effort": "low",
    }


@pytest.mark.parametrize("mode", MODES)
def test_a_responses_call_sends_instructions_input_cap_and_effort_and_is_not_stored(
    mode: Mode,
) -> None:
    task = Task(input="Hi", instructions="Be brief.")
    assert sent("responses", mode=mode, task=task, max_output_tokens=77) == {
        "model": "model-x",
        "instructions": "Be brief.",
        "input": [{"role": "user", "content": "Hi"}],
        "max_output_tokens": 77,
        "reasoning": {"effort": "low"},
        "store": False,
    }


def test_an_endpoint_may_call_the_cap_max_tokens() -> None:
    body = sent(endpoint=endpoint(max_tokens_field="max_tokens"), max_output_tokens=9)
    assert body["max_tokens"] == 9
    assert "max_completion_tokens" not in body


@pytest.mark.parametrize("api", APIS)
def test_the_default_effort_sends_nothing(api: Api) -> None:
    body = sent(api, effort="default")
    assert "reasoning_effort" not in body
    assert "reasoning" not in body


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("sample_index", "first", "further", "expected"),
    [
        (0, None, 0.9, None),
        (0, 0.2, 0.9, 0.2),
        (1, 0.2, 0.9, 0.9),
        (1, 0.2, None, 0.2),
        (1, None, 0.0, 0.0),
        (3, None, None, None),
    ],
)
def test_further_samples_may_have_a_temperature_of_their_own(
    *,
    api: Api,
    sample_index: int,
    first: float | None,
    further: float | None,
    expected: float | None,
) -> None:
    body = sent(api, sample_index=sample_index, temperature=first, resample_temperature=further)
    assert body.get("temperature") == expected


def test_extra_fields_are_sent_as_they_are_and_win() -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    assert sent(extra_body=extra)["chat_template_kwargs"] == {"enable_thinking": False}
    assert sent("responses", extra_body={"store": True})["store"] is True


def test_a_schema_becomes_the_response_format() -> None:
    task = Task(input="Hi", response_schema=SCHEMA)
    expected = {"name": "The_city", "schema": SCHEMA, "strict": True}
    assert sent(task=task)["response_format"] == {"type": "json_schema", "json_schema": expected}
    assert sent("responses", task=task)["text"] == {"format": {"type": "json_schema", **expected}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": False},
        {"type": "array", "items": {"type": "object", "properties": {}}},
    ],
)
def test_strict_mode_is_asked_for_only_where_it_can_work(schema: dict[str, Any]) -> None:
    task = Task(input="Hi", response_schema=schema)
    named = sent(task=task)["response_format"]["json_schema"]
    assert named == {"name": "answer", "schema": schema, "strict": False}


def test_content_parts_are_translated_for_the_responses_api() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}}
    user = Message(role="user", content=({"type": "text", "text": "What is this?"}, image))
    said = Message(role="assistant", content=({"type": "text", "text": "A cat."},))
    file = Message(role="user", content=({"type": "file", "file": {"file_id": "f1"}},))
    own = Message(role="user", content=({"type": "input_text", "text": "Sure?"},))
    body = sent("responses", messages=(user, said, file, own))
    assert [item["content"] for item in body["input"]] == [
        [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
        ],
        [{"type": "output_text", "text": "A cat."}],
        [{"type": "input_file", "file_id": "f1"}],
        [{"type": "input_text", "text": "Sure?"}],
    ]
    assert sent("chat", messages=(user,))["messages"][0]["content"][1] == image


def test_a_lone_system_message_stays_in_the_input() -> None:
    only = Message(role="system", content="Say hi.")
    body = sent("responses", messages=(only,))
    assert body["input"] == [{"role": "system", "content": "Say hi."}]
    assert "instructions" not in body
