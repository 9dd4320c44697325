"""Rejections and broken connections: which error, whether to wait, whether it was billed."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_wire import APIS, KEY, MODES, PROMPT, Api, Mode, Wire, endpoint, make_call, replying

from effortctl._errors import BackendError, TransientBackendError, UnsupportedEffortError
from effortctl._types import Finish, Task, Usage
from effortctl.backends._error_text import listed_efforts, retry_after_s, safe_message

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def error(message: str = "no", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "x_error", "param": None, "code": None} | fields}


def fault_of(
    body: Any, status: int, *, mode: Mode = "sync", api: Api = "chat", **reply: Any
) -> BackendError:
    arm = reply.pop("arm", {})
    wire = Wire(replying(body, status=status, **reply), mode=mode)
    with pytest.raises(BackendError) as caught:
        wire.complete(make_call(api, **arm), now=lambda: NOW)
    assert len(wire.requests) == 1, "a fault was retried below the backend"
    assert caught.value.arm == "model-x@low"
    assert caught.value.status == status
    assert caught.value.__context__ is None
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), vars(copy)) == (str(caught.value), vars(caught.value))
    return caught.value


STATUSES: list[tuple[int, Any, str, bool, bool]] = [
    # status, body, kind, transient, billed
    (400, error(code="invalid_value"), "bad_request", False, False),
    (401, error(code="invalid_api_key"), "auth", False, False),
    (402, error("Insufficient Balance"), "quota", False, False),
    (403, error(), "auth", False, False),
    (404, error(code="model_not_found"), "not_found", False, False),
    (408, b"", "timeout", True, False),
    (409, error(), "conflict", True, False),
    (413, error(), "bad_request", False, False),
    (422, {"detail": [{"loc": ["body", "n"], "msg": "too small"}]}, "bad_request", False, False),
    (429, error(code="rate_limit_exceeded"), "rate_limit", True, False),
    (429, error(code="insufficient_quota", type="insufficient_quota"), "quota", False, False),
    (429, error(type="exceeded_current_quota_error"), "quota", False, False),
    (500, b"", "server", True, False),
    (500, {"usage": {"prompt_tokens": 1}}, "server", True, True),
    (502, b"<html>Bad gateway</html>", "server", True, False),
    (503, [{"error": {"code": 503}}], "server", True, False),
    (504, b"", "server", True, True),
    (529, error(type="overloaded_error"), "overloaded", True, False),
    (498, error(code="capacity_exceeded"), "overloaded", True, False),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(("status", "body", "kind", "transient", "billed"), STATUSES)
def test_a_status_becomes_one_error_after_one_request(
    *, status: int, body: Any, kind: str, transient: bool, billed: bool, api: Api, mode: Mode
) -> None:
    fault = fault_of(body, status, mode=mode, api=api)
    assert fault.kind == kind
    assert isinstance(fault, TransientBackendError) is transient
    assert fault.billed is billed


def test_a_proxy_that_says_not_to_retry_is_obeyed() -> None:
    fault = fault_of(error(), 503, headers={"x-should-retry": "false"})
    assert not isinstance(fault, TransientBackendError)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("status", "body", "finish"),
    [
        (400, error(code="context_length_exceeded"), "context_exceeded"),
        (400, error(code=400, type="exceed_context_size_error"), "context_exceeded"),
        (400, error("This model's maximum context length is 8192 tokens."), "context_exceeded"),
        (
            400,
            error("the request exceeds the available context size. try again"),
            "context_exceeded",
        ),
        (400, error(code="content_filter"), "filtered"),
        (400, error(code="invalid_prompt"), "refused"),
        (403, error(code="bio_policy"), "refused"),
    ],
)
def test_an_error_that_is_an_ending_is_an_answer_that_cost_nothing(
    status: int, body: Any, finish: Finish, mode: Mode
) -> None:
    wire = Wire(replying(body, status=status, headers={"x-request-id": "req_9"}), mode=mode)
    answer = wire.complete(make_call())
    assert (answer.text, answer.finish, answer.usage) == ("", finish, Usage())
    assert answer.request_id == "req_9"


EFFORT_WORDINGS: list[tuple[str, int, Any, tuple[str, ...]]] = [
    (
        "OpenAI",
        400,
        error(
            "Unsupported value: 'minimal' is not supported with the 'model-x' model. "
            "Supported values are: 'none', 'low', 'medium', 'high', and 'xhigh'.",
            param="reasoning.effort",
            code="unsupported_value",
        ),
        ("none", "low", "medium", "high", "xhigh"),
    ),
    (
        "one value only",
        400,
        error("Unsupported value. Supported values are: 'medium'.", param="reasoning_effort"),
        ("medium",),
    ),
    (
        "parameter unknown",
        400,
        error("Unrecognized request argument supplied: reasoning_effort"),
        (),
    ),
    (
        "Kimi",
        400,
        {
            "detail": "Validation error for `reasoning_effort`: expected one of `'low' | 'medium' | 'high'`, received `'minimal'`."
        },
        ("low", "medium", "high"),
    ),
    (
        "SGLang",
        400,
        {
            "object": "error",
            "message": "1 validation error: {'loc': ('body', 'reasoning_effort'), "
            "'msg': \"Input should be 'low', 'medium' or 'high'\", 'input': 'max'}",
            "code": 400,
        },
        ("low", "medium", "high"),
    ),
    (
        "FastAPI",
        422,
        {
            "detail": [
                {
                    "loc": ["body", "reasoning_effort"],
                    "msg": "Input should be 'low', 'high' or 'max'",
                }
            ]
        },
        ("low", "high", "max"),
    ),
    (
        "aggregator",
        400,
        error('Invalid option: expected one of "low"|"medium"|"high"', param="reasoning_effort"),
        ("low", "medium", "high"),
    ),
    (
        "levels",
        400,
        error('level "minimal" not supported, valid levels: low, medium, high'),
        ("low", "medium", "high"),
    ),
    (
        "default in brackets",
        400,
        error(
            "Unexpected reasoning effort minimal. Supported types are xhigh (default), medium, and low."
        ),
        ("low", "medium", "xhigh"),
    ),
    (
        "Ollama",
        400,
        error(
            'invalid reasoning value: \'minimal\' (must be "high", "medium", "low", "max", or "none")'
        ),
        ("none", "low", "medium", "high", "max"),
    ),
    (
        "serde",
        422,
        b"Failed to parse: reasoning_effort: unknown variant `minimal`, expected one of `low`, `high`",
        ("low", "high"),
    ),
    (
        "a list",
        400,
        error("reasoning_effort must be one of ['low', 'high', 'max']"),
        ("low", "high", "max"),
    ),
    (
        "the sent one listed too",
        422,
        error("reasoning_effort: allowed values are minimal, low"),
        ("low",),
    ),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("status", "body", "supported"),
    [row[1:] for row in EFFORT_WORDINGS],
    ids=[row[0] for row in EFFORT_WORDINGS],
)
def test_a_rejected_effort_names_the_efforts_that_would_do(
    status: int, body: Any, supported: tuple[str, ...], mode: Mode
) -> None:
    fault = fault_of(body, status, mode=mode, arm={"effort": "minimal"})
    assert isinstance(fault, UnsupportedEffortError)
    assert fault.supported == supported
    assert not fault.billed


@pytest.mark.parametrize("arm", [{"effort": "default"}, {"effort_style": "fixed"}])
def test_an_effort_that_was_not_sent_cannot_be_rejected(arm: dict[str, Any]) -> None:
    assert (
        fault_of(error("reasoning effort must be one of low, high"), 400, arm=arm).kind
        == "bad_request"
    )


def test_tools_that_need_another_api_are_no_matter_of_effort() -> None:
    message = "Function tools with reasoning_effort are not supported for model-x in this API."
    assert fault_of(error(message, param="reasoning_effort"), 400).kind == "bad_request"


@pytest.mark.parametrize(
    "text", ["", "effort", "the highest low prices", "supported values are: 'gpu', 'cpu'"]
)
def test_no_efforts_are_read_out_of_other_lists(text: str) -> None:
    assert listed_efforts(text) == ()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "Mon, 99 Nov 2026 12:00:30 GMT"}, None),
    ],
)
def test_the_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    fault = fault_of(error(), 429, headers=headers)
    assert isinstance(fault, TransientBackendError)
    assert fault.retry_after_s == seconds


@given(st.text(max_size=40))
def test_no_header_breaks_the_reading_of_the_wait(value: str) -> None:
    wait = retry_after_s({"retry-after": value, "retry-after-ms": value}, now=NOW)
    assert wait is None or 0 <= wait < float("inf")


# --- nothing private in a message ------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500])
@pytest.mark.parametrize(
    "leak",
    [
        f"Incorrect API key provided: {KEY}. You can find your key elsewhere.",
        f"Incorrect key {KEY[:8]}********{KEY[-4:]}",
        f"header was Bearer {KEY}",
        f"cannot answer: {PROMPT}",
        f"cannot answer: {PROMPT[10:40]}",
        f"cannot answer: {PROMPT.upper()}",
        "cannot answer: " + PROMPT.replace(" ", "\n"),
    ],
)
def test_a_message_holds_neither_key_nor_prompt(leak: str, status: int) -> None:
    fault = fault_of(error(leak, code=KEY, type=PROMPT), status, headers={"x-request-id": KEY})
    shown = str(fault) + repr(fault) + repr(vars(fault))
    assert KEY[:8] not in shown
    assert KEY[-4:] not in shown
    assert PROMPT[12:30].lower() not in shown.lower()
    assert len(str(fault)) < 500


def test_a_harmless_message_is_passed_on_with_its_code_and_request_id() -> None:
    body = error("n must be at least 1", code="invalid_value")
    fault = fault_of(body, 400, headers={"x-request-id": "req_7"})
    assert "n must be at least 1" in str(fault)
    assert "invalid_value" in str(fault)
    assert "req_7" in str(fault)
    assert fault.request_id == "req_7"


def test_a_long_message_is_cut() -> None:
    assert len(safe_message("word " * 500, prompt="")) == 200


@pytest.mark.parametrize("short", ["Hi there", "2+2?"])
def test_a_short_prompt_is_not_echoed_either(short: str) -> None:
    wire = Wire(replying(error(f"bad input: {short}"), status=400), mode="sync")
    with pytest.raises(BackendError) as caught:
        wire.complete(make_call(task=Task(input=short)))
    assert short not in str(caught.value)


def test_an_escaped_echo_is_not_passed_on() -> None:
    prompt = "Wie heißt die schöne Stadt?"
    assert safe_message(ascii(prompt), prompt=prompt) == ""


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_no_run_of_the_prompt_survives(prompt: str, before: str, after: str) -> None:
    shown = safe_message(before + prompt + after, prompt=prompt)
    assert not any(prompt[i : i + 20] in shown for i in range(len(prompt) - 19))


# --- the connection --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("raised", "kind", "transient", "billed"),
    [
        (httpx2.ConnectError("x"), "connection", True, False),
        (httpx2.ConnectTimeout("x"), "timeout", True, False),
        (httpx2.PoolTimeout("x"), "timeout", True, False),
        (httpx2.ReadTimeout("x"), "timeout", True, True),
        (httpx2.ReadError("x"), "connection", True, True),
        (httpx2.RemoteProtocolError("x"), "connection", True, True),
        (httpx2.UnsupportedProtocol("x"), "bad_request", False, False),
        (ConnectionResetError("x"), "connection", True, True),
        (TypeError("x"), "bad_request", False, False),
        (RuntimeError(KEY), "error", False, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_a_broken_connection_becomes_one_error(
    *, raised: Exception, kind: str, transient: bool, billed: bool, mode: Mode
) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise raised

    wire = Wire(handler, mode=mode)
    with pytest.raises(BackendError) as caught:
        wire.complete(make_call())
    assert len(wire.requests) == 1
    assert caught.value.kind == kind
    assert isinstance(caught.value, TransientBackendError) is transient
    assert caught.value.billed is billed
    assert KEY not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_request_that_is_not_json_is_never_sent() -> None:
    wire = Wire(replying({}), mode="sync")
    with pytest.raises(BackendError, match="could not be built") as caught:
        wire.complete(make_call(extra_body={"field": object()}))
    assert wire.requests == []
    assert not caught.value.billed


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("base_url", "raised", "says"),
    [
        (
            "http://127.0.0.1:1/v1",
            httpx2.ConnectError("x"),
            "to 127.0.0.1:1 failed (ConnectError); is",
        ),
        (
            "http://[::1]:8000/v1",
            httpx2.ConnectError("x"),
            "to [::1]:8000 failed (ConnectError); is",
        ),
        ("http://127.0.0.1:1/v1", httpx2.ReadError("x"), "to 127.0.0.1:1 failed (ReadError)"),
        (
            f"https://me:{KEY}@far.example/{KEY}?k={KEY}",
            httpx2.ConnectError("x"),
            "to far.example failed (ConnectError)",
        ),
    ],
)
def test_a_failed_connection_names_host_and_port_and_nothing_else_of_the_address(
    *, base_url: str, raised: Exception, says: str, mode: Mode
) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise raised

    with pytest.raises(TransientBackendError) as caught:
        Wire(handler, mode=mode).complete(make_call(endpoint=endpoint(base_url=base_url)))
    hint = " the server running?" if says.endswith("is") else ""
    assert str(caught.value) == f"model-x@low: the connection {says}{hint}"
