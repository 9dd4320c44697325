"""Events of a stream as plain JSON beside their own bytes, which are sent on as they came.

Building the SDK's models of every word, and writing them out again, would take most of the time.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_CR, _LF, _CRLF = b"\r", b"\n", b"\r\n"


class Event(dict[str, Any]):
    """One JSON object of a stream.

    Args:
        data: The object.
        raw: The text it was read from. None: there is none, or it does not fit on one line.
    """

    __slots__ = ("_raw",)

    def __init__(self, data: dict[str, Any], raw: bytes | None = None) -> None:
        super().__init__(data)
        self._raw = raw

    def encoded(self) -> bytes:
        """It as JSON text, as it came."""
        return _ENCODE(self).encode() if self._raw is None else self._raw


class _ServerSentEvent:
    """What the SDK wants to know of an event."""

    __slots__ = ("_raw", "data", "event")

    def __init__(self, raw: bytes, event: str | None) -> None:
        self._raw = raw
        self.data = raw.decode()
        self.event = event

    def json(self) -> Event:
        """The data.

        Raises:
            ValueError: It is not JSON.
        """
        data = json.loads(self.data)
        if not isinstance(data, dict):
            return Event({})
        return Event(data, None if _LF in self._raw else self._raw)


class EventDecoder:
    """Reads server-sent events as the HTML standard tells, one block of lines at a time.

    It is what `openai.AsyncStream` calls a decoder of bytes.
    """

    async def aiter_bytes(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[_ServerSentEvent]:
        """Yield the events in a stream of bytes; what is not ended by an empty line is none."""
        blocks = _Blocks()
        async for piece in pieces:
            for event in blocks.feed(piece):
                yield event
        for event in blocks.end():
            yield event


class _Blocks:
    """Cuts a stream at its empty lines."""

    __slots__ = ("_carry", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._carry = b""

    def feed(self, piece: bytes) -> Iterator[_ServerSentEvent]:
        """The events that end in this piece."""
        if _CR in piece or self._carry:
            piece = self._with_line_feeds(self._carry + piece)
        rest = self._rest
        start = max(0, len(rest) - 1)
        rest += piece
        end = rest.rfind(b"\n\n", start)
        if end < 0:
            return
        blocks = bytes(rest[:end])
        del rest[: end + 2]
        yield from _events(blocks)

    def end(self) -> Iterator[_ServerSentEvent]:
        """The event that a last carriage return ended, if there is one."""
        if self._carry:
            self._carry = b""
            yield from self.feed(_LF)

    def _with_line_feeds(self, piece: bytes) -> bytes:
        """A piece whose lines end with a line feed; a last carriage return waits for what follows."""
        self._carry = _CR if piece.endswith(_CR) else b""
        piece = piece.removesuffix(_CR)
        return piece.replace(_CRLF, _LF).replace(_CR, _LF)


def _events(blocks: bytes) -> Iterator[_ServerSentEvent]:
    for block in blocks.split(b"\n\n"):
        data: list[bytes] = []
        name = b""
        for line in block.split(_LF):
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.removeprefix(b" ")
        if data:
            yield _ServerSentEvent(_LF.join(data), name.decode() or None)
