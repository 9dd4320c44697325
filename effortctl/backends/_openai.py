"""OpenAI-compatible endpoints: Responses, Chat Completions and Decisions, chosen by `call.arm.api`.

The SDK authenticates, signs and sends. Everything else it would do is done here or by the driver:
retries (never here), the deadline of the whole call, and reading the reply, which the SDK does not
validate.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Self, TypeVar, cast

import openai

from effortctl._errors import ConfigError, EffortctlError
from effortctl._types import Answer, Call, Endpoint
from effortctl.backends._deadline import run_within
from effortctl.backends._decisions import decisions_request
from effortctl.backends._error_text import secrets_in
from effortctl.backends._exchange import Exchange
from effortctl.backends._faults import lower, received, timed_out
from effortctl.backends._replies import MAX_REPLY_BYTES, read_reply
from effortctl.backends._requests import chat_request, responses_request

_NO_KEY = "no-key-needed"

ClientT = TypeVar("ClientT", bound=openai.OpenAI | openai.AsyncOpenAI)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Owner:
    """Who may use an open connection: one process and, in asyncio, one event loop of it."""

    pid: int
    loop: asyncio.AbstractEventLoop | None = None

    @property
    def alive(self) -> bool:
        return self.pid == os.getpid() and not (self.loop is not None and self.loop.is_closed())


class _Connection(Generic[ClientT]):
    """The client of one endpoint: the caller's, or one of our own made where it is used.

    An open connection must not be shared with a forked child nor, in asyncio, with another event loop,
    so a client of our own belongs to one `owner` and is made anew for the next.
    """

    def __init__(self, endpoint: Endpoint, *, kind: type[ClientT], client: ClientT | None) -> None:
        if client is not None and not isinstance(client, kind):
            raise ConfigError(
                f"client is a {type(client).__name__}, expected an openai.{kind.__name__}"
            )
        self._endpoint = endpoint
        self._kind = kind
        self._given = client and cast("ClientT", client.with_options(max_retries=0))
        self._made: dict[_Owner, ClientT] = {}
        if client is None:
            read_key(endpoint)

    def client(self, owner: _Owner) -> ClientT:
        """The client to use here and now."""
        if self._given is not None:
            return self._given
        client = self._made.get(owner)
        if client is None:
            client = self._make()
            alive = {known: made for known, made in self._made.items() if known.alive}
            self._made = {**alive, owner: client}
        return client

    def forget(self, owner: _Owner) -> ClientT | None:
        """Hand over the client we made for this owner, to be closed."""
        return self._made.pop(owner, None)

    def _make(self) -> ClientT:
        endpoint = self._endpoint
        try:
            client = self._kind(
                api_key=read_key(endpoint),
                base_url=endpoint.base_url,
                max_retries=0,
                default_headers=foreign_headers(endpoint),
            )
        except Exception as error:  # noqa: BLE001 - foreign code: a bad URL, proxy or certificate
            fault = f"endpoint {endpoint.name!r}: no client can be made ({type(error).__name__}); check base_url and the proxy variables"
        else:
            # The SDK loads its resources on first use; do it before a deadline is running.
            _ = client.chat.completions.with_streaming_response
            _ = client.responses.with_streaming_response
            return client
        raise ConfigError(fault)


def read_key(endpoint: Endpoint) -> str:
    """The key of an endpoint, from the environment.

    Raises:
        ConfigError: The variable is not set.
    """
    if endpoint.api_key_env is None:
        return _NO_KEY
    key = os.environ.get(endpoint.api_key_env, "").strip()
    if not key:
        raise ConfigError(
            f"endpoint {endpoint.name!r} needs a key: set the environment variable {endpoint.api_key_env}"
        )
    return key


def foreign_headers(endpoint: Endpoint) -> dict[str, Any]:
    """The SDK reads organisation and project from the environment; other providers get neither."""
    if endpoint.base_url is None or "api.openai.com" in endpoint.base_url:
        return {}
    return {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}


class OpenAIBackend:
    """Makes one call to an OpenAI-compatible endpoint, once.

    Safe to share between threads. A client the backend makes itself is also safe across fork; one that
    is passed in is the caller's to re-create in a child process, and to close.

    Args:
        endpoint: Where the calls go. How replies count tokens is read from each call's arm.
        client: Client to use instead of one made from the endpoint. Its retries are switched off.
        clock: Monotonic seconds, for `Answer.latency_s`.
        now: Current time with time zone, for `Answer.started_at` and dates in `retry-after`.

    Raises:
        ConfigError: The key's environment variable is not set, or the client is not an `openai.OpenAI`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        client: openai.OpenAI | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.endpoint = endpoint
        self._connection = _Connection(endpoint, kind=openai.OpenAI, client=client)
        self._clock = clock
        self._now = now
        self._connection.client(_here())  # now rather than when a deadline is running

    def complete(self, call: Call) -> Answer:
        """Return what the arm replied. `call.timeout_s` bounds the whole call.

        Raises:
            TransientBackendError: The same call may work later; kind `timeout`, `rate_limit`,
                `overloaded`, `server`, `conflict` or `connection`.
            UnsupportedEffortError: The endpoint does not take the arm's effort.
            BackendError: Repeating is pointless; kind `auth`, `quota`, `not_found`, `bad_request`,
                `malformed_reply` or `error`.
            UsageError: The reply's token counts make no sense.
        """
        _check_time_left(call)
        client = self._connection.client(_here())
        started_at, start = self._now(), self._clock()
        exchange = self._send(client, call)
        latency_s = self._clock() - start
        answer = read_reply(exchange, now=self._now())
        return _stamped(answer, started_at=started_at, latency_s=latency_s)

    @property
    def client(self) -> openai.OpenAI:
        """The client of the SDK that makes the calls, without retries."""
        return self._connection.client(_here())

    def close(self) -> None:
        """Close the connections of a client we made. The backend can still be used afterwards."""
        if (client := self._connection.forget(_here())) is not None:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, client: openai.OpenAI, call: Call) -> Exchange:
        try:
            return run_within(
                lambda abandoned: _exchange(client, call, abandoned), timeout_s=call.timeout_s
            )
        except TimeoutError:
            outcome: Exchange | EffortctlError = timed_out(call)
        except Exception as error:  # noqa: BLE001 - the border to the SDK and the transport below it
            outcome = received(error, call)
        return _unwrap(outcome)


class AsyncOpenAIBackend:
    """`OpenAIBackend` for asyncio.

    A client the backend makes itself follows the running event loop; one that is passed in belongs to
    the loop it was first used in.

    Args:
        endpoint: Where the calls go. How replies count tokens is read from each call's arm.
        client: Client to use instead of one made from the endpoint. Its retries are switched off.
        clock: Monotonic seconds, for `Answer.latency_s`.
        now: Current time with time zone, for `Answer.started_at` and dates in `retry-after`.

    Raises:
        ConfigError: The key's environment variable is not set, or the client is not an
            `openai.AsyncOpenAI`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        client: openai.AsyncOpenAI | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.endpoint = endpoint
        self._connection = _Connection(endpoint, kind=openai.AsyncOpenAI, client=client)
        self._clock = clock
        self._now = now

    async def complete(self, call: Call) -> Answer:
        """As `OpenAIBackend.complete`."""
        _check_time_left(call)
        client = self._connection.client(_here_in_loop())
        started_at, start = self._now(), self._clock()
        exchange = await self._send(client, call)
        latency_s = self._clock() - start
        answer = read_reply(exchange, now=self._now())
        return _stamped(answer, started_at=started_at, latency_s=latency_s)

    @property
    def client(self) -> openai.AsyncOpenAI:
        """The client of the SDK that makes the calls in the running event loop, without retries."""
        return self._connection.client(_here_in_loop())

    async def aclose(self) -> None:
        """Close the connections of a client we made. Call it in the loop that used them."""
        if (client := self._connection.forget(_here_in_loop())) is not None:
            await client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _send(self, client: openai.AsyncOpenAI, call: Call) -> Exchange:
        try:
            async with asyncio.timeout(call.timeout_s):
                return await _async_exchange(client, call)
        except TimeoutError:
            outcome: Exchange | EffortctlError = timed_out(call)
        except Exception as error:  # noqa: BLE001 - the border to the SDK and the transport below it
            outcome = received(error, call)
        return _unwrap(outcome)


def _exchange(client: openai.OpenAI, call: Call, abandoned: threading.Event) -> Exchange:
    create, request = _request(client, call)
    body = bytearray()
    with create(**request) as response:
        for chunk in response.iter_bytes():
            if abandoned.is_set():
                break
            body += _checked(chunk, call, so_far=len(body))
        return _raw(call, response, body)


async def _async_exchange(client: openai.AsyncOpenAI, call: Call) -> Exchange:
    create, request = _request(client, call)
    body = bytearray()
    async with create(**request) as response:
        async for chunk in response.iter_bytes():
            body += _checked(chunk, call, so_far=len(body))
        return _raw(call, response, body)


def _request(client: Any, call: Call) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The create method and its arguments, in the form that leaves the reply unread."""
    if call.arm.api == "responses":
        return client.responses.with_streaming_response.create, responses_request(call)
    if call.arm.api == "decisions":
        return client.decisions.with_streaming_response.create, decisions_request(call)
    return client.chat.completions.with_streaming_response.create, chat_request(call)


def _checked(chunk: bytes, call: Call, *, so_far: int) -> bytes:
    if so_far + len(chunk) > MAX_REPLY_BYTES:
        raise Exchange(call).malformed(f"it is longer than {MAX_REPLY_BYTES} bytes")
    return chunk


def _raw(call: Call, response: Any, body: bytearray) -> Exchange:
    return Exchange(
        call,
        status=response.status_code,
        headers=lower(response.headers),
        body=bytes(body),
        secrets=secrets_in(lower(response.http_request.headers)),
    )


def _unwrap(outcome: Exchange | EffortctlError) -> Exchange:
    # Raised outside the except block: the SDK's own error, which holds key and prompt, must not
    # travel along as the context of ours.
    if isinstance(outcome, EffortctlError):
        raise outcome
    return outcome


def _here() -> _Owner:
    return _Owner(os.getpid())


def _here_in_loop() -> _Owner:
    return _Owner(os.getpid(), asyncio.get_running_loop())


def _check_time_left(call: Call) -> None:
    if call.timeout_s is not None and call.timeout_s <= 0:
        raise timed_out(call, billed=False)


def _stamped(answer: Answer, *, started_at: datetime, latency_s: float) -> Answer:
    return answer.model_copy(update={"started_at": started_at, "latency_s": max(0.0, latency_s)})
