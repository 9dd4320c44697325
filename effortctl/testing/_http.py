"""Sockets: reads HTTP/1.1 requests on loopback and carries out plans, well-behaved or not."""

from __future__ import annotations

import contextlib
import http.server
import selectors
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator

from effortctl.testing._plans import Plan
from effortctl.testing._records import RawRequest

HOST = "127.0.0.1"
POLL_S = 0.01
JOIN_S = 5.0

Handle = Callable[[RawRequest], Plan]
"""Decides what to answer."""


class Visit:
    """One request while it is being served; counts as concurrent until its last byte is sent."""

    def __init__(self, gate: Gate, connection: socket.socket) -> None:
        self._gate = gate
        self.connection = connection

    def leave(self) -> None:
        """Stop counting; harmless when repeated."""
        self._gate.leave(self)

    def client_left(self) -> bool:
        """True when the client has hung up."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self.connection, selectors.EVENT_READ)
                if not selector.select(timeout=0):
                    return False
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True


class Gate:
    """Counts concurrent requests.

    A client that gave up on a hanging request and sends the next one has one request open, not two:
    before a new high-water mark is believed, clients that hung up are taken off the count.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Visit] = set()
        self._high_water = 0

    @property
    def high_water(self) -> int:
        """Most requests that were open at the same time."""
        with self._lock:
            return self._high_water

    def enter(self, connection: socket.socket) -> Visit:
        """Count a request until its visit leaves."""
        visit = Visit(self, connection)
        with self._lock:
            if len(self._open) >= self._high_water:
                self._open = {visit for visit in self._open if not visit.client_left()}
            self._open.add(visit)
            self._high_water = max(self._high_water, len(self._open))
        return visit

    def leave(self, visit: Visit) -> None:
        """Stop counting a request."""
        with self._lock:
            self._open.discard(visit)

    def reset(self) -> None:
        """Forget the mark; requests that are open still count."""
        with self._lock:
            self._high_water = len(self._open)


class LoopbackServer(socketserver.TCPServer):
    """A thread per connection; stopping ends every one of them, whatever it is doing.

    Args:
        port: TCP port on 127.0.0.1; 0 picks a free one.
        handle: Decides what to answer.
        gate: Counts concurrent requests.
    """

    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, port: int, *, handle: Handle, gate: Gate) -> None:
        self.handle_raw = handle
        self.gate = gate
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        super().__init__((HOST, port), _Handler)
        self._acceptor = threading.Thread(
            target=self.serve_forever, args=(POLL_S,), name="mock-accept", daemon=True
        )
        self._acceptor.start()

    def process_request(self, request: object, client_address: object) -> None:
        """Serve a connection in a thread of its own."""
        if not isinstance(request, socket.socket):
            raise TypeError("a TCP server accepts TCP sockets")
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="mock-connection", daemon=True
        )
        with self._lock:
            self._connections[request] = thread
        thread.start()

    def _serve(self, connection: socket.socket, client_address: tuple[str, int]) -> None:
        try:
            self.finish_request(connection, client_address)
        except OSError:
            pass  # the client hung up, or we did
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            # Plain close: a shutdown first would turn a reset into an orderly end.
            connection.close()

    def stop(self) -> None:
        """End every connection, whatever it is doing, and wait until all threads are gone."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            open_now = dict(self._connections)
        for connection in open_now:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in (self._acceptor, *open_now.values()):
            thread.join(JOIN_S)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Speaks HTTP/1.1 for `LoopbackServer`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: LoopbackServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_args: object) -> None:
        """Say nothing: the hits are the log."""

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = headers.get("content-length", "")
        body = self.rfile.read(int(length)) if length.isdecimal() else b""
        visit = self.server.gate.enter(self.connection)
        try:
            plan = self.server.handle_raw(RawRequest(self.command, self.path, headers, body))
            self.close_connection = plan.closes or headers.get("connection") == "close"
            perform(plan, visit, stopping=self.server.stopping)
        except OSError:
            self.close_connection = True
        finally:
            visit.leave()


def perform(plan: Plan, visit: Visit, *, stopping: threading.Event) -> None:
    """Carry out a plan.

    The visit leaves before the last byte is sent, because the client may be back with its next
    request before this thread runs again.
    """
    steps = list(_joined(plan.pieces()))
    for number, (wait_s, data) in enumerate(steps, start=1):
        if wait_s > 0 and not _wait(wait_s, visit, stopping):
            return
        if number == len(steps) and not plan.stall:
            visit.leave()
        visit.connection.sendall(data)
    if plan.stall:
        _wait(None, visit, stopping)
    if plan.ending == "reset":
        linger = struct.pack("ii", 1, 0)
        visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _joined(pieces: Iterator[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Merge what is sent without waiting, so that an ordinary reply is one write."""
    wait_s, data = 0.0, bytearray()
    for pause_s, piece in pieces:
        if pause_s > 0:
            if data:
                yield wait_s, bytes(data)
            wait_s, data = pause_s, bytearray()
        data += piece
    yield wait_s, bytes(data)


def _wait(seconds: float | None, visit: Visit, stopping: threading.Event) -> bool:
    """Wait; False as soon as the client has left or the server stops. None waits for that only."""
    left_s = seconds
    while left_s is None or left_s > 0:
        step_s = 2 * POLL_S if left_s is None else min(left_s, 2 * POLL_S)
        if stopping.wait(step_s) or visit.client_left():
            return False
        if left_s is not None:
            left_s -= step_s
    return True
