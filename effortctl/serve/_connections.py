"""HTTP connections of clients: what is no HTTP gets an error like any other, and silence ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from effortctl.serve._faults import Fault

SILENCE_S: Final = 30.0
"""A connection on which no request began for so long, or for up to twice as long, is closed."""

_Base: Any = AutoHTTPProtocol


class Connection(_Base):  # type: ignore[misc]  # uvicorn chooses the parser when it is imported
    """uvicorn's own, which does not wait for ever for the head of a request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        super().connection_made(transport)
        self._last: object = None
        self._watch = self.loop.call_later(SILENCE_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        cycle = self.cycle
        if (cycle is None or cycle.response_complete) and cycle is self._last:
            self.transport.close()
            return
        # While a request is under way this is no request to compare with: it may end the next moment.
        self._last = cycle if cycle is None or cycle.response_complete else _UNDER_WAY
        self._watch = self.loop.call_later(SILENCE_S, self._look)

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read, and close."""
        body = json.dumps(Fault(400, "invalid_http", msg).body()).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nx-should-retry: false\r\n"
            f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


_UNDER_WAY: Final = object()
