"""Hostile requests: always an error of OpenAI's shape, never a traceback, never a spend, never a secret."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effortctl.serve import _app, _connections
from effortctl.testing import MockServer

CHAT = "/chat/completions"
PROMPT = "the-secret-prompt-8841"
TOKEN = "the-secret-token-7762"
KEY = "sk-the-secret-key-9923"
ASK = {"model": "effortctl/auto", "messages": [{"role": "user", "content": PROMPT}]}
ASK_RESPONSES = {"model": "effortctl/auto", "input": PROMPT}
SOME = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = [
    "model",
    "messages",
    "input",
    "instructions",
    "stream",
    "stream_options",
    "n",
    "tools",
    "tool_choice",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "text",
    "max_tokens",
    "max_output_tokens",
    "temperature",
    "metadata",
    "previous_response_id",
    "service_tier",
    "effortctl",
    "extra_body",
    "user",
]


def error_of(text):
    error = json.loads(text)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert "Traceback" not in text
    return error


@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@SOME
def refused(http, proxy, path, body):
    status, headers, text = http.post(proxy.base_url + path, body)
    assert 400 <= status < 500
    error_of(text)
    assert headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", [CHAT, "/responses"])
def test_a_body_that_is_no_request_is_refused_before_money_moves(serve, http, path):
    proxy = serve()
    refused(http, proxy, path)
    assert not proxy.mock.hits
    assert not list(proxy.ledger.entries())


def nearly(ask):
    """A request in which one field is of any type, or one turn is."""
    odd = st.tuples(st.sampled_from(FIELDS), JSON).map(lambda pair: {**ask, pair[0]: pair[1]})
    turns = st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "type"]), JSON)
    name = "messages" if "messages" in ask else "input"
    return odd | turns.map(lambda turn: {**ask, name: [turn]})


@pytest.mark.parametrize("ask", [ASK, ASK_RESPONSES], ids=["chat", "responses"])
@pytest.mark.parametrize("model", ["effortctl/auto", "gpt-6-sol"])
def test_a_field_of_a_wrong_type_is_never_our_failure(serve, http, ask, model):
    proxy = serve(lambda request: "fine")
    path = CHAT if ask is ASK else "/responses"

    @given(body=nearly({**ask, "model": model}))
    @SOME
    def check(body):
        before = sum(entry.cost_usd for entry in proxy.ledger.entries())
        status, _, text = http.post(proxy.base_url + path, body)
        assert status < 500, text
        if status != 200:
            error_of(text)
            assert sum(entry.cost_usd for entry in proxy.ledger.entries()) == before

    check()


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model": "effortctl/auto", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "effortctl/auto", "messages": [{"role": "user", "content": "x"}], "seed": NaN}',
        b'{"model": "effortctl/auto", "messages": [{"role": "user", "content": "x"}], "seed": 1e999}',
        b'{"model": "effortctl/auto", "messages": [{"role": "user", "content": '
        + b"[" * 99
        + b"]" * 99
        + b"}]}",
        b'{"model": "effortctl/auto", "messages": [{"role": "user", "content": "\xff"}]}',
    ],
)
def test_what_cannot_be_sent_on_is_refused_before_money_moves(serve, http, raw):
    proxy = serve()
    status, _, text = http.post(proxy.base_url + CHAT, raw)
    assert (status, error_of(text)["code"]) == (400, "invalid_json")
    assert not list(proxy.ledger.entries())


def test_a_request_cannot_reach_behind_the_choice_of_an_arm(serve, http):
    proxy = serve()
    body = {**ASK, "extra_body": {"model": "gpt-6-sol-pro", "max_completion_tokens": 10**6}}
    status, _, text = http.post(proxy.base_url + CHAT, body)
    assert (status, error_of(text)["param"]) == (400, "extra_body")
    assert not proxy.mock.hits


# --- HTTP itself ---


def spoken(proxy, raw):
    """What comes back for some bytes, until the connection is closed or nothing more comes."""
    port = int(re.search(r":(\d+)/", proxy.base_url)[1])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(5)
        connection.sendall(raw)
        with contextlib.suppress(OSError):  # it may be closed already
            connection.shutdown(socket.SHUT_WR)
        reply = b""
        while piece := connection.recv(65536):
            reply += piece
    return reply


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        b"HELO example\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: x\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nbad header: 1\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_the_same_shape(serve, raw):
    proxy = serve()
    head, _, body = spoken(proxy, raw).partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1.1 4\d\d ", head)
    error_of(body.decode())
    assert not proxy.mock.hits


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_another_method_is_refused(serve, method):
    proxy = serve()
    raw = f"{method} /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
    head, _, body = spoken(proxy, raw.encode()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405")
    assert error_of(body.decode())["code"] == "not_found"
    assert b"access-control" not in head.lower()


@given(
    name=st.text(alphabet=st.characters(max_codepoint=255), max_size=40),
    value=st.text(max_size=40),
)
@SOME
def headers_hold(http, proxy, name, value):
    model = f"gpt-none\r\nx-injected: {name}"
    status, headers, text = http.post(proxy.base_url + CHAT, {**ASK, "model": model, "user": value})
    assert status == 404
    assert "x-injected" not in headers
    error_of(text)


def test_nothing_of_a_request_becomes_a_header(serve, http):
    headers_hold(http, serve())


# --- patience ---


def test_a_connection_on_which_nothing_is_asked_is_closed(serve, monkeypatch):
    monkeypatch.setattr(_connections, "SILENCE_S", 0.2)
    proxy = serve()
    port = int(re.search(r":(\d+)/", proxy.base_url)[1])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(10)
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: ")
        assert connection.recv(100) == b""


def test_a_request_under_way_is_not_silence(serve, http, monkeypatch):
    monkeypatch.setattr(_connections, "SILENCE_S", 0.05)
    proxy = serve(mock=MockServer(lambda request: "fine", latency_s=0.5))
    assert http.post(proxy.base_url + CHAT, ASK)[0] == 200


def test_a_body_that_does_not_come_is_a_408(serve, monkeypatch):
    monkeypatch.setattr(_app, "_BODY_S", 0.2)
    proxy = serve()
    port = int(re.search(r":(\d+)/", proxy.base_url)[1])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(10)
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 99\r\n\r\n{"
        )
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 408")
    assert not proxy.mock.hits


# --- web pages ---


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1"},
        {"origin": "https://127.0.0.1.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "Cross-Site"},
        {"host": "evil.example:8787"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil.example"},
        {"host": ""},
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/responses"])
def test_no_page_spends_through_the_browser(serve, http, headers, path):
    proxy = serve()
    status, _, text = http.post(proxy.base_url + path, ASK | ASK_RESPONSES, headers=headers)
    assert status == 403
    assert error_of(text)["code"] in ("foreign_host", "foreign_origin")
    assert http.get(proxy.root + "/metrics", headers=headers)[0] == 403
    assert not proxy.mock.hits


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "[::1]:8787"])
def test_programs_of_this_machine_may_ask(serve, http, host):
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    assert http.post(serve().base_url + CHAT, ASK, headers=headers)[0] == 200


# --- secrets ---


@pytest.mark.parametrize("model", ["effortctl/auto", "gpt-6-sol"])
@pytest.mark.parametrize(
    "fault",
    [
        "400",
        "401",
        "403",
        "429",
        "500",
        "html-200",
        "disconnect",
        "stream-reset",
        "stream-bad-json",
    ],
)
@pytest.mark.usefixtures("key")
def test_no_secret_is_told(serve, http, model, fault):
    mock = MockServer(lambda request: "one two three four", faults={fault: 1.0})
    proxy = serve(mock=mock, token=TOKEN, key_env="CANARY_KEY")
    headers = {"authorization": f"Bearer {TOKEN}"}
    told = []
    for stream in (False, True):
        body = {**ASK, "model": model, "stream": stream}
        told.append(http.post(proxy.base_url + CHAT, body, headers=headers))
        told.append(http.post(proxy.base_url + CHAT, body, headers={"authorization": "Bearer no"}))
    told.append(http.get(proxy.root + "/metrics", headers=headers))
    assert mock.hits[0].headers["authorization"] == f"Bearer {KEY}"
    assert not [secret for secret in (PROMPT, TOKEN, KEY) if secret in repr(told)]


@pytest.mark.usefixtures("key")
def test_no_secret_is_logged(serve, http, caplog, capfd):
    caplog.set_level(logging.DEBUG, logger="effortctl")
    proxy = serve(token=TOKEN, key_env="CANARY_KEY")
    proxy.mock.script(["ok", "500", "400", "disconnect"])
    headers = {"authorization": f"Bearer {TOKEN}"}
    for body in (ASK, ASK, ASK, ASK, {**ASK, "model": 7}, b"{"):
        http.post(proxy.base_url + CHAT, body, headers=headers)
    logged = repr((capfd.readouterr(), caplog.text))
    assert not [secret for secret in (PROMPT, TOKEN, KEY) if secret in logged]


@pytest.fixture
def key(monkeypatch):
    """A key for the endpoint behind."""
    monkeypatch.setenv("CANARY_KEY", KEY)
