"""Which client makes the call: the caller's or our own, with which key, in which process and loop."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import threading
from typing import Any

import openai
import pytest
from openai_wire import KEY, MODES, Mode, Wire, endpoint, make_call, replying

from effortctl import backends
from effortctl._errors import BackendError, ConfigError
from effortctl._types import Answer, Endpoint
from effortctl.backends import AsyncOpenAIBackend, OpenAIBackend
from effortctl.protocols import AsyncBackend, Backend
from effortctl.testing import MockRequest, MockServer

KEYED = endpoint(name="acme", api_key_env="ACME_API_KEY")
Either = type[OpenAIBackend] | type[AsyncOpenAIBackend]
BOTH: tuple[Either, ...] = (OpenAIBackend, AsyncOpenAIBackend)


def call_for(server: MockServer, **fields: Any) -> Any:
    return make_call(endpoint=endpoint(base_url=server.base_url), **fields)


def complete(call: Any, *, mode: Mode) -> Answer:
    if mode == "sync":
        with OpenAIBackend(call.arm.endpoint) as backend:
            return backend.complete(call)

    async def run() -> Answer:
        async with AsyncOpenAIBackend(call.arm.endpoint) as backend:
            return await backend.complete(call)

    return asyncio.run(run())


def test_both_follow_their_protocol() -> None:
    assert isinstance(OpenAIBackend(endpoint()), Backend)
    assert isinstance(AsyncOpenAIBackend(endpoint()), AsyncBackend)


def test_importing_the_family_loads_no_sdk() -> None:
    program = "import sys, effortctl.backends; print('openai' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_name_the_family_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nope'"):
        _ = backends.Nope  # type: ignore[attr-defined]


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_key_is_found_out_at_once_and_named(
    backend: Either, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("ACME_API_KEY", value)
    with pytest.raises(ConfigError, match="ACME_API_KEY"):
        backend(KEYED)


@pytest.mark.parametrize("backend", BOTH)
def test_something_else_than_a_client_is_a_config_error(backend: Any) -> None:
    for wrong in (object(), "client"):
        with pytest.raises(ConfigError, match="expected an openai"):
            backend(endpoint(), client=wrong)


def test_a_client_of_the_other_kind_is_a_config_error() -> None:
    with openai.OpenAI(api_key="x") as client, pytest.raises(ConfigError, match="AsyncOpenAI"):
        AsyncOpenAIBackend(endpoint(), client=client)  # type: ignore[arg-type]


def test_a_base_url_that_is_none_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="base_url"):
        OpenAIBackend(endpoint(base_url="http://[::1"))


@pytest.mark.parametrize("mode", MODES)
def test_an_address_without_a_scheme_is_a_bad_request_that_says_so(mode: Mode) -> None:
    with pytest.raises(BackendError, match="base_url") as caught:
        complete(make_call(endpoint=endpoint(base_url="nowhere/v1")), mode=mode)
    assert caught.value.kind == "bad_request"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("key", [KEY + "é", KEY + "\nx"])
def test_a_key_that_cannot_be_a_header_is_not_shown(
    key: str, mode: Mode, monkeypatch: pytest.MonkeyPatch, mock_server: MockServer
) -> None:
    monkeypatch.setenv("ACME_API_KEY", key)
    where = endpoint(base_url=mock_server.base_url, api_key_env="ACME_API_KEY")
    with pytest.raises(BackendError, match="key's characters") as caught:
        complete(make_call(endpoint=where), mode=mode)
    assert KEY[:10] not in str(caught.value)
    assert not mock_server.hits


def headers_sent(where: Endpoint, *, mode: Mode) -> dict[str, str]:
    seen: list[dict[str, str]] = []

    def responder(request: MockRequest) -> str:
        seen.append(dict(request.headers))
        return "Cardiff"

    with MockServer(responder) as server:
        here = where.model_copy(update={"base_url": server.base_url})
        complete(make_call(endpoint=here), mode=mode)
    return seen[0]


@pytest.mark.parametrize("mode", MODES)
def test_the_key_of_the_environment_is_sent_and_kept_nowhere_else(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_API_KEY", f" {KEY} ")
    assert headers_sent(KEYED, mode=mode)["authorization"] == f"Bearer {KEY}"
    backend = OpenAIBackend(KEYED)
    assert KEY not in repr(backend) + repr(vars(backend))
    backend.close()


@pytest.mark.parametrize("mode", MODES)
def test_an_endpoint_without_a_key_gets_a_placeholder_and_no_settings_of_openai(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "sk-private-setting")
    headers = headers_sent(endpoint(), mode=mode)
    assert headers["authorization"] == "Bearer no-key-needed"
    assert "sk-private-setting" not in repr(headers)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [429, 500])
def test_a_client_that_retries_is_made_to_stop(status: int, mode: Mode) -> None:
    wire = Wire(replying({}, status=status), mode=mode)
    with pytest.raises(BackendError):
        wire.complete(make_call())
    assert len(wire.requests) == 1


def test_the_clients_own_settings_are_not_changed() -> None:
    with openai.OpenAI(api_key="x", max_retries=2) as client:
        OpenAIBackend(endpoint(), client=client)
        assert client.max_retries == 2


def test_closing_closes_only_what_we_made(mock_server: MockServer) -> None:
    with openai.OpenAI(api_key="x", base_url=mock_server.base_url) as client:
        with OpenAIBackend(endpoint(), client=client) as backend:
            backend.complete(call_for(mock_server))
        assert not client.is_closed()


def test_a_closed_backend_opens_again(mock_server: MockServer) -> None:
    call = call_for(mock_server)
    backend = OpenAIBackend(call.arm.endpoint)
    for _ in range(2):
        assert backend.complete(call).finish == "complete"
        backend.close()


def test_one_async_backend_serves_one_loop_after_another(mock_server: MockServer) -> None:
    call = call_for(mock_server)
    backend = AsyncOpenAIBackend(call.arm.endpoint)

    async def run() -> Answer:
        async with backend:
            return (await asyncio.gather(*[backend.complete(call) for _ in range(3)]))[0]

    for _ in range(3):
        assert asyncio.run(run()).finish == "complete"


def test_threads_share_one_backend(mock_server: MockServer) -> None:
    call = call_for(mock_server, timeout_s=30)
    answers: list[Answer] = []
    with OpenAIBackend(call.arm.endpoint) as backend:
        threads = [
            threading.Thread(target=lambda: answers.append(backend.complete(call)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [answer.finish for answer in answers] == ["complete"] * 8


def _complete_in_child(backend: OpenAIBackend, call: Any, results: Any) -> None:
    try:
        results.put([backend.complete(call).finish for _ in range(20)])
    except Exception as error:
        results.put(repr(error))


def test_children_of_a_used_backend_open_connections_of_their_own(mock_server: MockServer) -> None:
    call = call_for(mock_server)
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    with OpenAIBackend(call.arm.endpoint) as backend:
        backend.complete(call)
        children = [
            fork.Process(target=_complete_in_child, args=(backend, call, results)) for _ in range(3)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
            assert child.exitcode == 0
        assert backend.complete(call).finish == "complete"
    assert [results.get() for _ in children] == [["complete"] * 20] * 3


def test_the_endpoint_of_a_backend_can_be_read() -> None:
    where = Endpoint(name="x", base_url="http://127.0.0.1:1/v1")
    assert OpenAIBackend(where).endpoint == where
    assert AsyncOpenAIBackend(where).endpoint == where
