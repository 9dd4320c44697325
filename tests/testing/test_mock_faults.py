import contextlib
import email.utils
import http.client
import json
import socket
import time

import pytest
from mock_wire import CHAT, DECISIONS, RESPONSES, events, post

from effortctl._errors import ConfigError
from effortctl.testing import FAULTS, MockServer
from effortctl.testing._faults import parse_fault

STATUSES = [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529]
HANGS = {"hang", "hang-after-headers", "hang-mid-body", "stream-stall"}
SLOW = {"drip-body", "drip-headers", "stream-slow"}


def spec_of(fault):
    """A spec of the fault that a test can wait for."""
    if fault in SLOW:
        return f"{fault}:interval=0.0001"
    return {"huge-body": "huge-body:mb=0.1", "slow": "slow:delay=0.01"}.get(fault, fault)


def test_there_are_at_least_thirty_faults_each_with_a_summary():
    assert len(FAULTS) >= 30
    assert all(fault.summary and fault.name == name for name, fault in FAULTS.items())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, RESPONSES, DECISIONS])
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_every_fault_happens_on_every_api_and_the_server_lives_on(mock_server, fault, path, stream):
    mock_server.script([spec_of(fault)])
    timeout = 0.1 if fault in HANGS else 5
    with contextlib.suppress(http.client.HTTPException, OSError):
        post(mock_server, path, stream=stream, timeout=timeout, reasoning_effort="max")
    assert mock_server.count(fault=spec_of(fault)) == 1
    assert post(mock_server, path).status == 200
    assert mock_server.count() == 2
    assert mock_server.errors == []


@pytest.mark.parametrize("status", STATUSES)
def test_status_faults_send_their_status_and_an_error_object(mock_server, status):
    seen = post(mock_server, model=f"m+fault={status}")
    assert seen.status == status
    assert seen.json()["error"]["message"]
    assert mock_server.hits[0].would_bill_usage is None
    assert mock_server.hits[0].model == "m"


def test_retry_after_comes_in_every_form(mock_server):
    mock_server.script(
        ["429:retry-after=0.5", "429:retry-after-ms=250", "503:retry-after-date=60", "429"]
    )
    seconds, millis, date, none = (post(mock_server).headers for _ in range(4))
    assert seconds["retry-after"] == "0.5"
    assert millis["retry-after-ms"] == "250"
    moment = email.utils.parsedate_to_datetime(date["retry-after"])
    assert 50 < moment.timestamp() - time.time() <= 60
    assert "retry-after" not in none


def test_x_should_retry_is_sent_when_asked(mock_server):
    seen = post(mock_server, model="m+fault=500:should-retry=false")
    assert seen.headers["x-should-retry"] == "false"


def test_the_header_chooses_a_fault_too(mock_server):
    assert post(mock_server, headers={"x-mock-fault": "503"}).status == 503


def test_a_script_goes_before_the_model_id(mock_server):
    mock_server.script(["ok"])
    assert post(mock_server, model="m+fault=503").status == 200
    assert post(mock_server, model="m+fault=503").status == 503


def test_an_unknown_fault_in_a_request_is_a_bad_request(mock_server):
    seen = post(mock_server, model="m+fault=volcano")
    assert seen.status == 400
    assert "no fault 'volcano'" in seen.json()["error"]["message"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("volcano", "no fault 'volcano'"),
        ("429:colour=red", "no option 'colour'; it takes: retry-after"),
        ("429:retry-after=soon", "retry-after wants a number"),
        ("hang:delay=-1", "delay wants a number"),
        ("hang:delay=nan", "delay wants a number"),
        ("unsupported-effort:style=klingon", "style must be one of"),
    ],
)
def test_bad_specs_are_refused_with_the_choices(spec, message):
    with pytest.raises(ConfigError, match=message):
        parse_fault(spec)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("insufficient-quota", 429, "insufficient_quota"),
        ("context-length-exceeded", 400, "context_length_exceeded"),
        ("prompt-filtered", 400, "content_filter"),
    ],
)
def test_named_rejections_carry_their_code(mock_server, fault, status, code):
    mock_server.script([fault])
    seen = post(mock_server)
    assert (seen.status, seen.json()["error"]["code"]) == (status, code)


def test_the_cap_is_billed_in_full_when_reasoning_used_it_up(mock_server):
    mock_server.script(["truncated-empty"])
    body = post(mock_server, max_completion_tokens=77).json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["choices"][0]["message"]["content"] == ""
    assert body["usage"]["completion_tokens"] == 77
    assert mock_server.billed_usage.output_tokens == 77
    assert mock_server.billed_usage.reasoning_tokens == 77


def test_a_truncated_answer_is_half_an_answer(mock_server):
    whole = post(mock_server).json()["choices"][0]["message"]["content"]
    mock_server.script(["truncated"])
    half = post(mock_server).json()["choices"][0]["message"]["content"]
    assert half
    assert whole.startswith(half)
    assert len(half) == len(whole) // 2


def test_a_reset_is_a_reset(mock_server):
    mock_server.script(["reset"])
    with pytest.raises(ConnectionResetError):
        post(mock_server)
    assert mock_server.hits[0].status == 0
    assert mock_server.hits[0].would_bill_usage is not None


def test_a_disconnect_is_an_orderly_end_without_a_reply(mock_server):
    mock_server.script(["disconnect:billed=no"])
    with pytest.raises(http.client.RemoteDisconnected):
        post(mock_server)
    assert mock_server.hits[0].would_bill_usage is None


@pytest.mark.parametrize(
    ("fault", "error"),
    [("truncated-body", http.client.IncompleteRead), ("reset-mid-body", ConnectionResetError)],
)
def test_half_a_body_is_not_a_body(mock_server, fault, error):
    mock_server.script([fault])
    with pytest.raises((error, http.client.IncompleteRead)):
        post(mock_server)


@pytest.mark.parametrize("fault", ["hang", "hang-after-headers", "hang-mid-body"])
def test_hangs_last_until_the_client_gives_up(mock_server, fault):
    mock_server.script([fault])
    with pytest.raises(TimeoutError):
        post(mock_server, timeout=0.2)


def test_dripping_comes_in_single_bytes_and_is_whole_in_the_end(mock_server):
    mock_server.script(["drip-body:interval=0.0001", "drip-headers:interval=0.0001"])
    for _ in range(2):
        assert post(mock_server).json()["choices"]


def test_a_slow_reply_takes_at_least_its_delay(mock_server):
    start = time.monotonic()
    post(mock_server, model="m+fault=slow:delay=0.15")
    assert time.monotonic() - start >= 0.15


@pytest.mark.parametrize("path", [CHAT, RESPONSES, DECISIONS])
def test_wrong_bodies_are_wrong_in_the_way_they_say(mock_server, path):
    field = {CHAT: "choices", RESPONSES: "output", DECISIONS: "answers"}[path]

    def body(fault):
        mock_server.script([fault])
        seen = post(mock_server, path)
        assert seen.status == 200
        return seen

    assert body("null-choices").json()[field] is None
    assert body("empty-choices").json()[field] == []
    assert isinstance(body("json-array").json(), list)
    assert body("error-in-200").json()["error"]
    assert body("empty-body").body == b""
    assert body("html-200").body.startswith(b"<!doctype html>")
    assert len(body("huge-body:mb=1").body) > (1 << 20 if path != DECISIONS else 0)
    with pytest.raises(json.JSONDecodeError):
        body("malformed-json").json()
    with pytest.raises(UnicodeDecodeError):
        body("bad-utf8").body.decode()
    with pytest.raises(RecursionError):
        json.loads(body("deep-nesting:depth=200000").body)


def test_wrong_usage_is_on_the_wire_only_the_bill_is_right(mock_server):
    honest = post(mock_server).json()["usage"]

    def wire(fault):
        mock_server.script([fault])
        return post(mock_server).json().get("usage")

    assert wire("usage-negative")["prompt_tokens"] == -honest["prompt_tokens"]
    assert wire("usage-string")["prompt_tokens"] == str(honest["prompt_tokens"])
    assert wire("usage-huge")["completion_tokens"] == 10**18
    assert wire("usage-zero")["completion_tokens"] == 0
    assert wire("usage-null") is None
    assert wire("usage-missing") is None
    assert wire("usage-parts")["prompt_tokens_details"]["cached_tokens"] == 10**9
    bills = [hit.would_bill_usage for hit in mock_server.hits]
    assert all(bill.input_tokens == honest["prompt_tokens"] for bill in bills)
    assert all(bill.output_tokens > 0 for bill in bills)


def stream_of(server, fault, path):
    server.script([fault])
    return post(
        server,
        path,
        stream=True,
        **({"stream_options": {"include_usage": True}} if path == CHAT else {}),
    )


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_a_cut_stream_ends_without_any_sign(mock_server, path):
    seen = stream_of(mock_server, "stream-cut", path)
    found = events(seen.body)
    assert "content-length" not in seen.headers
    assert "transfer-encoding" not in seen.headers
    assert len(found) >= 2
    assert "[DONE]" not in found
    assert not any("usage" in str(item) and "total_tokens" in str(item) for item in found)


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_a_stream_cut_inside_chunked_coding_is_noticed_by_http(mock_server, path):
    with pytest.raises(http.client.IncompleteRead):
        stream_of(mock_server, "stream-cut-chunked", path)


def test_a_stream_error_is_an_event(mock_server):
    assert "error" in events(stream_of(mock_server, "stream-error", CHAT).body)[-1]
    assert events(stream_of(mock_server, "stream-error", RESPONSES).body)[-1]["type"] == "error"
    failed = events(stream_of(mock_server, "stream-failed", RESPONSES).body)[-1]
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"]["code"] == "server_error"


def test_a_stream_without_terminal_event_ends_in_good_order(mock_server):
    chat = events(stream_of(mock_server, "stream-no-terminal", CHAT).body)
    assert chat[-1] == "[DONE]"
    assert all(item["choices"][0]["finish_reason"] is None for item in chat[:-1])
    responses = events(stream_of(mock_server, "stream-no-terminal", RESPONSES).body)
    assert responses[-1]["type"] == "response.output_item.done"


def test_a_stream_may_lack_only_done(mock_server):
    chat = events(stream_of(mock_server, "stream-no-done", CHAT).body)
    assert chat[-1]["usage"]["total_tokens"] > 0


def test_a_stalled_stream_hangs_after_some_text(mock_server):
    with socket.create_connection(("127.0.0.1", mock_server.port), timeout=0.3) as raw:
        body = json.dumps({"model": "m+fault=stream-stall", "stream": True, "input": "hello you"})
        raw.sendall(
            f"POST /v1/responses HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        received = b""
        with contextlib.suppress(TimeoutError):
            while piece := raw.recv(65536):
                received += piece
            pytest.fail("the server hung up")
    assert b"response.output_text.delta" in received
    assert b"response.completed" not in received


def test_stream_faults_without_a_stream_are_half_a_body(mock_server):
    mock_server.script(["stream-error"])
    with pytest.raises(http.client.IncompleteRead):
        post(mock_server)


def test_random_faults_come_at_their_rate_and_do_not_depend_on_order():
    def faults(seed, order):
        with MockServer(seed=seed, faults={"500": 0.2, "429:retry-after=1": 0.1}) as server:
            for i in order:
                post(server, messages=[{"role": "user", "content": f"question {i}"}])
            return {hit.body["messages"][0]["content"]: hit.fault for hit in server.hits}

    forwards = faults(7, range(300))
    assert forwards == faults(7, reversed(range(300)))
    assert forwards != faults(8, range(300))
    assert 30 <= sum(fault == "500" for fault in forwards.values()) <= 90
    assert 10 <= sum(fault == "429:retry-after=1" for fault in forwards.values()) <= 55


@pytest.mark.parametrize("shares", [{"500": -0.1}, {"500": 0.7, "429": 0.4}])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ConfigError, match="shares of random faults"):
        MockServer(faults=shares)
