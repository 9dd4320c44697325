"""One table of replies, read through both APIs, sync and async."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from openai_wire import (
    APIS,
    MODES,
    Api,
    Mode,
    chat_body,
    complete,
    good_body,
    make_call,
    responses_body,
)

from effortctl._errors import BackendError, TransientBackendError, UsageError
from effortctl._types import Finish, Usage

USAGE = {"prompt_tokens": 20, "completion_tokens": 5}


def part(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def message(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(parts)} | fields


def text(value: str) -> dict[str, Any]:
    return part("output_text", text=value)


ENDINGS: list[tuple[str, Api, Any, str, Finish]] = [
    ("chat stop", "chat", chat_body(), "Cardiff", "complete"),
    ("chat length", "chat", chat_body(choice={"finish_reason": "length"}), "Cardiff", "truncated"),
    (
        "chat all thought",
        "chat",
        chat_body(None, message={"reasoning_content": "hm"}, choice={"finish_reason": "length"}),
        "",
        "truncated",
    ),
    (
        "chat thought without an end",
        "chat",
        chat_body(None, message={"reasoning": "hm"}, choice={"finish_reason": None}),
        "",
        "truncated",
    ),
    (
        "chat reason unsaid",
        "chat",
        chat_body(choice={"finish_reason": None}),
        "Cardiff",
        "complete",
    ),
    (
        "chat reason of its own",
        "chat",
        chat_body(choice={"finish_reason": "eos"}),
        "Cardiff",
        "complete",
    ),
    (
        "chat reasoning is not the answer",
        "chat",
        chat_body(message={"reasoning": "hm"}),
        "Cardiff",
        "complete",
    ),
    (
        "chat filter",
        "chat",
        chat_body(choice={"finish_reason": "content_filter"}),
        "Cardiff",
        "filtered",
    ),
    ("chat refusal", "chat", chat_body(None, message={"refusal": "No."}), "No.", "refused"),
    ("chat refusal part", "chat", chat_body([part("refusal", refusal="No.")]), "No.", "refused"),
    (
        "chat parts",
        "chat",
        chat_body(
            [part("thinking", thinking="hm"), part("text", text="Car"), part("text", text="diff")]
        ),
        "Cardiff",
        "complete",
    ),
    ("chat lone surrogate", "chat", chat_body("a\ud800b"), "a?b", "complete"),
    ("chat policy in the body", "chat", {"error": {"code": "content_filter"}}, "", "filtered"),
    ("responses completed", "responses", responses_body(), "Cardiff", "complete"),
    (
        "responses out of tokens",
        "responses",
        responses_body(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        "Cardiff",
        "truncated",
    ),
    (
        "responses out of tokens, all thought",
        "responses",
        responses_body(
            status="incomplete",
            incomplete_details={"reason": "max_output_tokens"},
            output=[{"type": "reasoning"}],
        ),
        "",
        "truncated",
    ),
    (
        "responses filter",
        "responses",
        responses_body(status="incomplete", incomplete_details={"reason": "content_filter"}),
        "Cardiff",
        "filtered",
    ),
    (
        "responses at the cap but completed",
        "responses",
        responses_body(usage={"input_tokens": 20, "output_tokens": 100}),
        "Cardiff",
        "truncated",
    ),
    (
        "responses refusal",
        "responses",
        responses_body(output=[message(part("refusal", refusal="No."))]),
        "No.",
        "refused",
    ),
    (
        "responses refusal at the cap",
        "responses",
        responses_body(
            output=[message(part("refusal", refusal="No."))],
            usage={"input_tokens": 20, "output_tokens": 100},
        ),
        "No.",
        "refused",
    ),
    (
        "responses failed by policy",
        "responses",
        responses_body(status="failed", error={"code": "bio_policy", "message": "x"}, output=[]),
        "",
        "refused",
    ),
    (
        "responses remark before the answer",
        "responses",
        responses_body(
            output=[
                message(text("Looking."), phase="commentary"),
                message(text("Cardiff"), phase="final_answer"),
            ]
        ),
        "Cardiff",
        "complete",
    ),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("api", "body", "expected", "finish"),
    [row[1:] for row in ENDINGS],
    ids=[row[0] for row in ENDINGS],
)
def test_a_reply_becomes_text_and_an_ending(
    *, api: Api, body: Any, expected: str, finish: Finish, mode: Mode
) -> None:
    answer = complete(body, make_call(api), mode=mode)
    assert (answer.text, answer.finish) == (expected, finish)
    answer.model_dump_json()


MALFORMED: list[tuple[str, Api | None, Any]] = [
    ("a web page", None, b"<html><body>Gateway</body></html>"),
    ("nothing", None, b""),
    ("half a document", None, json.dumps(chat_body()).encode()[:60]),
    ("bad UTF-8", None, b'{"choices": "\xff\xfe"}'),
    ("a list", None, [1, 2, 3]),
    ("a string", None, "hello"),
    ("null", None, None),
    ("an empty object", None, {}),
    ("deep nesting", None, b"[" * 100_000),
    ("an integer too long to read", None, b'{"id": ' + b"9" * 5000 + b"}"),
    ("an error with status 200", None, {"error": {"message": "boom"}}),
    ("an error that is a string", None, {"error": "boom"}),
    ("null choices", "chat", chat_body(choices=None)),
    ("no choices", "chat", chat_body(choices=[])),
    ("choices of numbers", "chat", chat_body(choices=[1])),
    ("null message", "chat", chat_body(choice={"message": None})),
    ("content is a number", "chat", chat_body(7)),
    ("content part without text", "chat", chat_body([part("text", text=3)])),
    ("refusal is a list", "chat", chat_body(message={"refusal": [1]})),
    ("finish reason is a number", "chat", chat_body(choice={"finish_reason": 1})),
    ("null output", "responses", responses_body(output=None)),
    ("output of strings", "responses", responses_body(output=["hi"])),
    ("content is not a list", "responses", responses_body(output=[message(content="hi")])),
    (
        "text is null-like",
        "responses",
        responses_body(output=[message(part("output_text", text=1))]),
    ),
    ("still in progress", "responses", responses_body(status="in_progress")),
    ("unknown status", "responses", responses_body(status={"a": 1})),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("api", "body"),
    [(api, row[2]) for row in MALFORMED for api in APIS if row[1] in (None, api)],
    ids=[f"{row[0]} ({api})" for row in MALFORMED for api in APIS if row[1] in (None, api)],
)
def test_a_reply_that_cannot_be_read_is_a_typed_error_and_may_be_billed(
    api: Api, body: Any, mode: Mode
) -> None:
    with pytest.raises(BackendError) as caught:
        complete(body, make_call(api), mode=mode)
    assert caught.value.kind == "malformed_reply"
    assert caught.value.billed
    assert not isinstance(caught.value, TransientBackendError)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": "12", "completion_tokens": 5},
        {"prompt_tokens": 12, "completion_tokens": None},
        {"prompt_tokens": 12, "completion_tokens": 10**30},
        {"prompt_tokens": 12, "completion_tokens": True},
        {"prompt_tokens": 12.5, "completion_tokens": 1},
        {"prompt_tokens": float("nan"), "completion_tokens": 1},
        {
            "prompt_tokens": 12,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 13},
        },
        {"prompt_tokens": 12, "completion_tokens": 1, "prompt_tokens_details": 4},
        [1],
        "many",
    ],
    ids=str,
)
def test_token_counts_that_make_no_sense_are_a_usage_error(usage: Any, mode: Mode) -> None:
    with pytest.raises(UsageError):
        complete(chat_body(usage=usage), make_call(), mode=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("usage", [None, {}])
def test_a_reply_without_usage_is_an_answer_without_usage(api: Api, usage: Any, mode: Mode) -> None:
    answer = complete(good_body(api) | {"usage": usage}, make_call(api), mode=mode)
    assert answer.text == "Cardiff"
    assert answer.usage is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("api", APIS)
def test_an_answer_says_who_gave_it_and_when(api: Api, mode: Mode) -> None:
    from openai_wire import Wire, replying

    ticks = iter([100.0, 101.5])
    when = datetime(2026, 11, 23, 12, tzinfo=UTC)
    body = good_body(api) | {"service_tier": "flex"}
    wire = Wire(replying(body, headers={"X-Request-Id": "req_42"}), mode=mode)
    answer = wire.complete(make_call(api), clock=lambda: next(ticks), now=lambda: when)
    assert answer.model == "model-x-2026"
    assert answer.service_tier == "flex"
    assert answer.request_id == "req_42"
    assert answer.started_at == when
    assert answer.latency_s == 1.5
    assert answer.compute_s is None
    assert answer.usage == Usage(input_tokens=20, output_tokens=5)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("/models/Small Model.gguf", "/models/Small Model.gguf"),
        ("", None),
        (None, None),
        (7, None),
        ("a\nb", None),
        ("x" * 300, None),
    ],
)
def test_the_model_is_named_as_the_endpoint_names_it(said: Any, read: str | None) -> None:
    assert complete(chat_body(model=said), make_call(), mode="sync").model == read


def test_without_a_header_the_reply_names_the_request() -> None:
    assert complete(chat_body(), make_call(), mode="sync").request_id == "chatcmpl-1"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("chat", {"error": {"code": 429, "message": "slow down"}}),
        ("chat", chat_body(choice={"finish_reason": "error", "error": {"code": 502}})),
        ("chat", chat_body(choice={"finish_reason": "insufficient_system_resource"})),
        (
            "responses",
            responses_body(status="failed", error={"code": "server_error", "message": "x"}),
        ),
    ],
)
def test_a_passing_fault_inside_a_good_status_is_transient_and_may_be_billed(
    api: Api, body: Any, mode: Mode
) -> None:
    with pytest.raises(TransientBackendError) as caught:
        complete(body, make_call(api), mode=mode)
    assert caught.value.billed


def test_a_reply_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("effortctl.backends._openai.MAX_REPLY_BYTES", 1000)
    for mode in MODES:
        with pytest.raises(BackendError, match="longer than 1000 bytes") as caught:
            complete(b" " * 2000, make_call(), mode=mode)
        assert caught.value.kind == "malformed_reply"


def test_a_broken_content_encoding_is_a_malformed_reply() -> None:
    for mode in MODES:
        with pytest.raises(BackendError) as caught:
            complete(b"not gzip", make_call(), mode=mode, headers={"content-encoding": "gzip"})
        assert caught.value.kind == "malformed_reply"
