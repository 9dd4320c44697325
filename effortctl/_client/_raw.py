"""Managed replies that the caller wants raw: the SDK's own response types, around what was accepted."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any, Final

import openai
from openai._legacy_response import LegacyAPIResponse
from openai._models import FinalRequestOptions
from openai._response import APIResponse, AsyncAPIResponse

from effortctl._client._headers import headers_of
from effortctl._client._info import CallInfo, remember
from effortctl._client._live import ManagedAsyncStream, ManagedStream
from effortctl._client._request import PATHS, Api, SdkRequest
from effortctl._types import Trace

_OF_THE_BYTES: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers that are true of the bytes that came, but not of those we put in their place."""

_DONE: Final[Mapping[Api, bytes]] = {"chat": b"data: [DONE]\n\n", "responses": b""}


def with_body(response: Any, content: Any) -> Any:
    """An HTTP response with other content: bytes, or a (possibly async) generator of bytes."""
    headers = [item for item in response.headers.multi_items() if item[0] not in _OF_THE_BYTES]
    made = type(response)(
        response.status_code,
        headers=headers,
        content=content,
        request=response.request,
        extensions=response.extensions,
    )
    if hasattr(response, "_elapsed"):  # it is there once the reply was read, and raises before
        made.elapsed = response.elapsed
    return made


def raw_reply(request: SdkRequest, response: Any, *, info: CallInfo, parsed: object) -> Any:
    """The accepted reply as `with_raw_response` or `with_streaming_response` returns it.

    Args:
        request: What was asked.
        response: The HTTP response of the reply, read to its end.
        info: What became of the call; told by headers, too.
        parsed: What the SDK made of the reply.
    """
    response.headers.update(headers_of(info.trace))
    made = _made(request, response, info.trace)
    if request.parser is None:
        made._parsed_by_type[request.cast_to] = parsed  # noqa: SLF001 - where the SDK keeps it
    remember(made, info)
    return made


def raw_stream(request: SdkRequest, stream: Any, trace: Trace | None) -> Any:
    """A managed stream as `with_raw_response` or `with_streaming_response` returns it.

    What `parse` returns is the stream itself; whoever reads bytes or lines gets its events as the
    endpoint would have sent them.

    Args:
        request: What was asked.
        stream: The managed stream, of either kind.
        trace: How the call ended, if it has; else the headers that tell are set when it does.
    """
    is_async = isinstance(stream, ManagedAsyncStream)
    events: Any = _abytes_of(stream, request.api) if is_async else _bytes_of(stream, request.api)
    response = with_body(stream.response, events)
    response.headers.update(headers_of(trace))
    closing = partial(_aclosing if is_async else _closing, weakref.ref(response), stream)
    setattr(response, "aclose" if is_async else "close", closing)
    made = _made(request, response, trace)
    made._parsed_by_type[request.cast_to] = stream  # noqa: SLF001 - where the SDK keeps it
    stream.when_over(partial(_tell, weakref.ref(made)))
    return made


def _made(request: SdkRequest, response: Any, trace: Trace | None) -> Any:
    is_async = isinstance(request.client, openai.AsyncOpenAI)
    kind: Any = AsyncAPIResponse if is_async else APIResponse
    if request.raw == "true":
        kind = LegacyAPIResponse
    path = next(path for path, api in PATHS.items() if api == request.api)
    best = None if trace is None else trace.best
    return kind(
        raw=response,
        cast_to=request.cast_to,
        client=request.client,
        stream=request.stream,
        stream_cls=request.stream_cls,
        options=FinalRequestOptions.construct(
            method="post", url=path, json_data=request.given, **request.options
        ),
        retries_taken=0 if best is None else max(0, best.calls - 1),
    )


def _tell(made: weakref.ref[Any], info: CallInfo) -> None:
    if (still := made()) is not None:
        still.http_response.headers.update(headers_of(info.trace))
        still.http_response.is_closed = True
        remember(still, info)


def _closing(response: weakref.ref[Any], stream: ManagedStream[Any]) -> None:
    _mark_closed(response)
    stream.close()


async def _aclosing(response: weakref.ref[Any], stream: ManagedAsyncStream[Any]) -> None:
    _mark_closed(response)
    await stream.close()


def _mark_closed(response: weakref.ref[Any]) -> None:
    if (still := response()) is not None:
        still.is_closed = True


def _bytes_of(stream: ManagedStream[Any], api: Api) -> Iterator[bytes]:
    for event in stream:
        yield _line(event)
    yield _DONE[api]


async def _abytes_of(stream: ManagedAsyncStream[Any], api: Api) -> AsyncIterator[bytes]:
    async for event in stream:
        yield _line(event)
    yield _DONE[api]


def _line(event: Any) -> bytes:
    """An event of the SDK as a server-sent event."""
    name = getattr(event, "type", None)
    data: str = event.to_json(indent=None, warnings=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()
