"""A child process that answers in frames, with a deadline and a size limit on everything it does."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

_MOST_BYTES = 8 * 2**20


class PeerError(Exception):
    """The other process broke the conversation."""


class PeerClosedError(PeerError):
    """It ended."""


class PeerTimeoutError(PeerError):
    """It said nothing in time."""


class PeerFloodError(PeerError):
    """It said too much."""


class Peer:
    """A child process in its own session, spoken to in frames of four length bytes and a payload.

    Leaving the `with` block kills the whole process group.

    Args:
        argv: The command.
        env: Its whole environment.
        pass_fds: File descriptors it inherits besides the standard ones.
        user: Numeric user and group to run as. None: as ourselves.
        cwd: Its working directory. None: ours.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: dict[str, str],
        pass_fds: Sequence[int] = (),
        user: int | None = None,
        cwd: str | None = None,
    ) -> None:
        identity: dict[str, Any] = {}
        if user is not None:
            identity = {"user": user, "group": user, "extra_groups": ()}
        self._process = subprocess.Popen(  # noqa: S603 - a fixed command; no shell
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=env,
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            **identity,
        )
        assert self._process.stdin is not None  # noqa: S101 - asked for above; tells the type checker
        assert self._process.stdout is not None  # noqa: S101 - as above
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        for pipe in (self._stdin, self._stdout):
            os.set_blocking(pipe.fileno(), False)

    def send(self, payload: bytes, *, deadline: float) -> None:
        """Write one frame before the deadline (of `time.monotonic`).

        Raises:
            PeerError: It ended or does not read.
        """
        frame = memoryview(struct.pack(">I", len(payload)) + payload)
        fd = self._stdin.fileno()
        while frame:
            _wait(fd, select.POLLOUT, deadline)
            try:
                frame = frame[os.write(fd, frame[:65536]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise PeerClosedError("it ended by itself") from error

    def receive(self, *, deadline: float, most_bytes: int = _MOST_BYTES) -> bytes:
        """Read one frame before the deadline (of `time.monotonic`).

        Raises:
            PeerError: It ended, says nothing, or says too much.
        """
        (length,) = struct.unpack(">I", self._exactly(4, deadline))
        if length > most_bytes:
            raise PeerFloodError("it wrote too much")
        return self._exactly(length, deadline)

    def _exactly(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        fd = self._stdout.fileno()
        while len(data) < size:
            _wait(fd, select.POLLIN, deadline)
            try:
                part = os.read(fd, min(size - len(data), 2**20))
            except BlockingIOError:
                continue
            if not part:
                raise PeerClosedError("it ended by itself")
            data += part
        return bytes(data)

    def close(self) -> None:
        """Kill the whole process group and wait for it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self._process.kill()
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _wait(fd: int, event: int, deadline: float) -> None:
    left = deadline - time.monotonic()
    poll = select.poll()
    poll.register(fd, event)
    if left <= 0 or not poll.poll(left * 1000):
        raise PeerTimeoutError("it did not finish in time")
