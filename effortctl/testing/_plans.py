"""What to put on the wire, as data: a fault is a plan, so it can be looked at without a socket."""

from __future__ import annotations

import http
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from effortctl._types import Usage
from effortctl.testing._records import Completion
from effortctl.testing._wire import Event, body_of, encode, events_of

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One HTTP reply, honest or not.

    Attributes:
        status: HTTP status.
        headers: Headers besides framing and content type.
        content_type: Value of the content type header.
        chunks: The body in pieces; pauses come between them.
        framing: `length` declares Content-Length, `chunked` uses chunked coding, `close` ends the
            body by closing the connection.
        missing: Bytes that are declared but never sent (`length`), or, above 0, the final chunk that
            is never sent (`chunked`).
        delay_s: Seconds before the first byte.
        pause_s: Seconds between pieces of the body.
        header_pause_s: Seconds between single bytes of the header.
        hidden: True when nothing of the reply is sent, not even the header.
        stall: True when the server then neither sends nor hangs up until the client leaves.
        ending: What becomes of the connection.
        billed: Tokens a provider would bill. None: nothing.
    """

    status: int = 200
    headers: Headers = ()
    content_type: str = "application/json"
    chunks: tuple[bytes, ...] = (b"",)
    framing: Literal["length", "chunked", "close"] = "length"
    missing: int = 0
    delay_s: float = 0.0
    pause_s: float = 0.0
    header_pause_s: float = 0.0
    hidden: bool = False
    stall: bool = False
    ending: Literal["keep", "close", "reset"] = "keep"
    billed: Usage | None = None

    @property
    def body(self) -> bytes:
        """The body that is sent, without framing."""
        return b"".join(self.chunks)

    @property
    def closes(self) -> bool:
        """True when the connection cannot be used again."""
        broken = self.hidden or self.stall or self.missing > 0
        return broken or self.ending != "keep" or self.framing == "close"

    @property
    def seen_status(self) -> int:
        """Status the client gets to see; 0 when it sees none."""
        return 0 if self.hidden else self.status

    def header(self) -> bytes:
        """Status line and header."""
        try:
            phrase = http.HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Overloaded"
        lines = [f"HTTP/1.1 {self.status} {phrase}", f"Content-Type: {self.content_type}"]
        if self.framing == "length":
            lines.append(f"Content-Length: {len(self.body) + self.missing}")
        elif self.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        if self.closes:
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def pieces(self) -> Iterator[tuple[float, bytes]]:
        """Everything to send: seconds to wait first, then bytes."""
        if self.hidden:
            yield self.delay_s, b""
            return
        step = 1 if self.header_pause_s > 0 else None
        for number, part in enumerate(_parts(self.header(), step)):
            yield (self.header_pause_s if number else self.delay_s), part
        for number, chunk in enumerate(self.chunks):
            yield (self.pause_s if number else 0.0), self._framed(chunk)
        if self.framing == "chunked" and not self.missing:
            yield 0.0, b"0\r\n\r\n"

    def _framed(self, chunk: bytes) -> bytes:
        if self.framing != "chunked" or not chunk:
            return chunk
        return f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"


def _parts(data: bytes, step: int | None) -> list[bytes]:
    return [data] if step is None else [data[i : i + step] for i in range(0, len(data), step)]


def honest(completion: Completion) -> Plan:
    """The plan that sends a completion as a well-behaved server would."""
    if completion.request.stream:
        return stream(completion, events_of(completion))
    return document(completion, body_of(completion))


def document(completion: Completion, body: object) -> Plan:
    """A JSON body, billed."""
    return Plan(chunks=(encode(body),), billed=completion.usage)


def stream(completion: Completion, events: list[Event]) -> Plan:
    """Server-sent events, billed."""
    return Plan(
        content_type="text/event-stream; charset=utf-8",
        chunks=tuple(event.encode() for event in events),
        framing="chunked",
        billed=completion.usage,
    )


def rejected(status: int, body: object, *, headers: Headers = ()) -> Plan:
    """A JSON error that costs nothing."""
    return Plan(status=status, chunks=(encode(body),), headers=headers)
