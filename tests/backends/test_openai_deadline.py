"""`call.timeout_s` bounds the whole call, whatever the server does with its bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import pytest
from openai_wire import MODES, Mode, chat_body, endpoint, make_call

from effortctl._errors import BackendError, TransientBackendError
from effortctl._types import Answer
from effortctl.backends import AsyncOpenAIBackend, OpenAIBackend
from effortctl.backends._deadline import run_within

BODY = json.dumps(chat_body()).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
    BODY
)
TIMEOUT_S = 0.3
SLACK_S = 1.5  # the machine may be busy; a deadline that does not hold shows up as minutes

Serve = Callable[[socket.socket, threading.Event], None]


def _drip(data: bytes, conn: socket.socket, stop: threading.Event) -> None:
    for index in range(len(data)):
        conn.sendall(data[index : index + 1])
        if stop.wait(0.02):
            return


def hang(conn: socket.socket, stop: threading.Event) -> None:
    stop.wait(30)


def drip_headers(conn: socket.socket, stop: threading.Event) -> None:
    _drip(
        HEAD.replace(b"content-type", b"x-filler: " + b"y" * 3000 + b"\r\ncontent-type"), conn, stop
    )


def drip_body(conn: socket.socket, stop: threading.Event) -> None:
    conn.sendall(HEAD.replace(b"%d" % len(BODY), b"9999"))
    _drip(BODY + b" " * (9999 - len(BODY)), conn, stop)


def drip_error_body(conn: socket.socket, stop: threading.Event) -> None:
    conn.sendall(b"HTTP/1.1 500 Oops\r\ncontent-length: 9999\r\n\r\n")
    _drip(b" " * 9999, conn, stop)


def cut_body(conn: socket.socket, stop: threading.Event) -> None:
    conn.sendall(HEAD + BODY[:40])


def say_nothing(conn: socket.socket, stop: threading.Event) -> None:
    return


def talk_nonsense(conn: socket.socket, stop: threading.Event) -> None:
    conn.sendall(b"220 mail.example ESMTP\r\n")


def answer_well(conn: socket.socket, stop: threading.Event) -> None:
    conn.sendall(HEAD + BODY)


class RawServer:
    """Speaks just enough HTTP to be wrong in a chosen way. Counts hang-ups of its clients."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self._listener.accept()
                self._start(self._talk, conn)

    def _talk(self, conn: socket.socket) -> None:
        with conn, contextlib.suppress(OSError):
            conn.settimeout(30)
            request = b""
            while b"\r\n\r\n" not in request:
                request += conn.recv(65536)
            self._serve(conn, self._stop)
            conn.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def serving(serve: Serve) -> Iterator[str]:
    with RawServer(serve) as server:
        yield server.base_url


def send(base_url: str, *, mode: Mode, timeout_s: float | None = TIMEOUT_S) -> Answer:
    call = make_call(endpoint=endpoint(base_url=base_url), timeout_s=timeout_s)
    if mode == "sync":
        with OpenAIBackend(call.arm.endpoint) as backend:
            return backend.complete(call)

    async def run() -> Answer:
        async with AsyncOpenAIBackend(call.arm.endpoint) as backend:
            return await backend.complete(call)

    return asyncio.run(run())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("serve", [hang, drip_headers, drip_body, drip_error_body])
def test_a_server_that_never_finishes_is_left_when_the_time_is_over(
    serve: Serve, mode: Mode
) -> None:
    with serving(serve) as base_url:
        start = time.monotonic()
        with pytest.raises(TransientBackendError) as caught:
            send(base_url, mode=mode)
        assert time.monotonic() - start < TIMEOUT_S + SLACK_S
    assert caught.value.kind == "timeout"
    assert caught.value.billed, "it may have worked for us, and may charge"
    assert caught.value.__context__ is None


@pytest.mark.parametrize("mode", MODES)
def test_a_server_in_time_is_heard(mode: Mode) -> None:
    for timeout_s in (30.0, None):
        with serving(answer_well) as base_url:
            assert send(base_url, mode=mode, timeout_s=timeout_s).text == "Cardiff"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("serve", [cut_body, say_nothing, talk_nonsense])
@pytest.mark.parametrize("timeout_s", [30.0, None])
def test_a_reply_that_breaks_off_is_transient_and_may_be_billed(
    serve: Serve, mode: Mode, timeout_s: float | None
) -> None:
    with serving(serve) as base_url, pytest.raises(TransientBackendError) as caught:
        send(base_url, mode=mode, timeout_s=timeout_s)
    assert caught.value.kind == "connection"
    assert caught.value.billed


@pytest.mark.parametrize("mode", MODES)
def test_nobody_listening_is_transient_and_free(mode: Mode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    with pytest.raises(TransientBackendError) as caught:
        send(base_url, mode=mode)
    assert caught.value.kind == "connection"
    assert not caught.value.billed


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
def test_with_no_time_left_nothing_is_sent(timeout_s: float, mode: Mode) -> None:
    with pytest.raises(TransientBackendError) as caught:
        send("http://127.0.0.1:1/v1", mode=mode, timeout_s=timeout_s)
    assert caught.value.kind == "timeout"
    assert not caught.value.billed


def test_the_thread_of_an_abandoned_call_hangs_up_at_the_next_byte() -> None:
    with serving(drip_body) as base_url:
        with pytest.raises(TransientBackendError):
            send(base_url, mode="sync")
        workers = [t for t in threading.enumerate() if t.name == "effortctl-call"]
        for worker in workers:
            assert worker.daemon
            worker.join(10)
            assert not worker.is_alive()


def test_an_abandoned_call_does_not_keep_the_process_alive() -> None:
    program = (
        "import sys\n"
        "from effortctl._types import Arm, Call, Endpoint, Task\n"
        "from effortctl.backends import OpenAIBackend\n"
        "where = Endpoint(name='x', base_url=sys.argv[1])\n"
        "task = Task(input='hi')\n"
        "arm = Arm(name='a', model='m', api='chat', endpoint=where)\n"
        "try:\n"
        "    OpenAIBackend(where).complete(Call(task, arm, task.messages, 0, 9, timeout_s=0.2))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    with serving(drip_headers) as base_url:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, base_url],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "TransientBackendError\n", "")


def test_cancelling_an_async_call_hangs_up_and_leaves_the_backend_usable() -> None:
    async def run(base_url: str) -> None:
        call = make_call(endpoint=endpoint(base_url=base_url))
        async with AsyncOpenAIBackend(call.arm.endpoint) as backend:
            task = asyncio.create_task(backend.complete(call))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with serving(drip_body) as base_url:
        asyncio.run(run(base_url))


def test_the_work_sees_that_nobody_waits_any_more() -> None:
    seen = threading.Event()

    def work(abandoned: threading.Event) -> None:
        if abandoned.wait(10):
            seen.set()

    with pytest.raises(TimeoutError):
        run_within(work, timeout_s=0.01)
    assert seen.wait(10)


def test_work_without_a_limit_runs_in_the_calling_thread() -> None:
    assert run_within(lambda _: threading.get_ident(), timeout_s=None) == threading.get_ident()


def test_an_error_of_the_work_reaches_the_caller() -> None:
    def work(_: threading.Event) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_within(work, timeout_s=10)


def test_a_malformed_reply_in_the_worker_thread_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("effortctl.backends._openai.MAX_REPLY_BYTES", 10)
    with serving(answer_well) as base_url, pytest.raises(BackendError) as caught:
        send(base_url, mode="sync", timeout_s=30)
    assert caught.value.kind == "malformed_reply"
