"""Replies as they go over the wire: JSON at once, or events one by one."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from effortctl._client._headers import headers_of
from effortctl._client._reply import field_of
from effortctl._types import Trace
from effortctl.serve._events import Event
from effortctl.serve._faults import NO_RETRY, Fault, fault_of, refuse, trace_of
from effortctl.serve._receipts import Receipt, comment_of
from effortctl.serve._tasks import ClientGoneError, InFlight, unless_gone
from effortctl.serve._wanted import Api

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

JSON_TYPE = "application/json"
EVENT_TYPE = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply.

    Attributes:
        body: All of it, or its pieces as they come.
        status: HTTP status.
        media_type: What it is.
        headers: Further headers.
    """

    body: bytes | AsyncIterator[bytes]
    status: int = 200
    media_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)

    async def whole(self) -> Reply:
        """The same with all of its body, to be sent more than once."""
        if isinstance(self.body, bytes):
            return self
        return replace(self, body=b"".join([piece async for piece in self.body]))

    def response(self, tasks: InFlight) -> Response:
        """It as the server sends it."""
        headers = {**self.headers, "cache-control": "no-store"}
        if isinstance(self.body, bytes):
            return Response(self.body, self.status, headers, self.media_type)
        return _Pieces(self.body, headers=headers, tasks=tasks)


def error_reply(error: Exception, trace: Trace | None = None) -> Reply:
    """The reply to a request that failed."""
    fault = fault_of(error)
    headers = {**headers_of(trace_of(error) or trace), **NO_RETRY, **fault.headers}
    return Reply(json.dumps(fault.body()).encode(), fault.status, headers=headers)


def document_reply(raw: Any, trace: Trace | None) -> Reply:
    """The reply to a request that is answered at once.

    Raises:
        RefusedError: The endpoint sent something else than JSON, or nested it too deeply.
    """
    if not hasattr(raw, "model_dump_json"):
        raise refuse(502, "upstream_malformed", "the endpoint's reply is not a JSON object")
    try:
        body = _json(raw)
    except ValueError:
        body = None
    if body is None:  # outside the except block: the encoder's error may quote the reply
        raise refuse(502, "upstream_malformed", "the endpoint's reply is nested too deeply")
    return Reply(body, headers=headers_of(trace))


def stream_reply(stream: Any, api: Api, *, receipt: Receipt, until: float | None) -> Reply:
    """The reply to a request for events; `until` is the loop's time at which it is cut off."""
    headers = headers_of(receipt.trace)
    body = _events(stream, api, receipt=receipt, until=until)
    return Reply(body, media_type=EVENT_TYPE, headers=headers)


async def _events(
    stream: Any, api: Api, *, receipt: Receipt, until: float | None
) -> AsyncIterator[bytes]:
    told = receipt.trace is not None
    done = b"data: [DONE]\n\n" if api == "chat" else b""
    held: list[bytes] = []
    try:
        async for event in stream if until is None else _timed(stream, until):
            if told:  # it was held back until it was checked, so all of it is there
                held.append(_event(api, event))
            else:
                yield _event(api, event)
    except Exception as error:  # noqa: BLE001 - the border to the SDK; the head of the reply is out already
        done = _error_event(fault_of(error))
    finally:
        await stream.close()
    yield b"".join(held) + (b"" if told else comment_of(receipt.trace)) + done


async def _timed(stream: Any, until: float) -> AsyncIterator[Any]:
    events = aiter(stream)
    while True:
        try:
            async with asyncio.timeout_at(until):
                event = await anext(events)
        except StopAsyncIteration:
            return
        yield event


def _event(api: Api, event: Any) -> bytes:
    if api == "chat":
        return b"data: %b\n\n" % _json(event)
    kind = str(field_of(event, "type"))
    name = kind if kind.isprintable() else "message"  # a line break would begin another field
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _json(event))


def _error_event(fault: Fault) -> bytes:
    """In the shapes that clients of either API look for."""
    body = fault.body()
    told = {"type": "error", "code": fault.code, "message": fault.message, "param": fault.param}
    return b"event: error\ndata: " + json.dumps(body | told).encode() + b"\n\n"


def _json(raw: Any) -> bytes:
    if isinstance(raw, Event):
        return raw.encoded()
    text: str = raw.model_dump_json(by_alias=True, exclude_unset=True, warnings=False)
    return text.encode()


class _Pieces(Response):
    """A body that comes in pieces; when the client leaves, its source is stopped and settled."""

    def __init__(
        self, pieces: AsyncIterator[bytes], *, headers: Mapping[str, str], tasks: InFlight
    ) -> None:
        self.status_code = 200
        self.media_type = EVENT_TYPE
        self.background = None
        self.init_headers(headers)
        self._pieces = pieces
        self._tasks = tasks

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientGoneError):
            await unless_gone(receive, self._tasks.start(self._send(send)))

    async def _send(self, send: Send) -> None:
        head = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **head})
        async for piece in self._pieces:
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
