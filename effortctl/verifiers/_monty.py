"""Runs a program in Monty, an interpreter that has no I/O to begin with. Needs the extra `sandbox`.

Monty knows a part of Python, so its "this works" counts and its "this fails" is only a hint: what it
may simply not know is raised as `UnsupportedProgramError`.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydantic_monty

from effortctl.verifiers import _wire
from effortctl.verifiers._process import (
    PeerClosedError,
    PeerError,
    PeerFloodError,
    PeerTimeoutError,
)
from effortctl.verifiers._program import LoadError, Program, UnsupportedProgramError

_MEMORY_BYTES = 128 * 2**20
_LONGEST_RUN_S = 2.0
# What Monty raises for Python it does not know, and what an honest program rarely raises.
_DOUBTFUL = (
    NotImplementedError, ImportError, SyntaxError, AttributeError, NameError, TypeError, RuntimeError,
)  # fmt: skip


class _Pool:
    """Monty's workers, shared by all threads of this process and made anew after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._pool: pydantic_monty.Monty | None = None

    def get(self) -> pydantic_monty.Monty:
        with self._lock:
            if self._pool is None or self._pid != os.getpid():
                pool = pydantic_monty.Monty(request_timeout=_LONGEST_RUN_S + 5)
                pool.__enter__()
                self._pool, self._pid = pool, os.getpid()
            return self._pool

    def close(self) -> None:
        with self._lock:
            if self._pool is not None and self._pid == os.getpid():
                self._pool.__exit__(None, None, None)
            self._pool = None


_pool = _Pool()
atexit.register(_pool.close)


def works() -> bool:
    """True when a worker starts and computes."""
    try:
        with _pool.get().checkout() as session:
            return bool(session.feed_run("1 + 1") == 2)
    except (pydantic_monty.MontyError, OSError, RuntimeError):
        return False


def _encoder() -> str:
    text = Path(_wire.__file__).read_text(encoding="utf-8")
    return text.partition("# <encode>\n")[2].partition("# </encode>")[0]


_ENCODER = _encoder()


class MontySession:
    """A Monty worker, as a `Session`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._entry_point = ""

    def load(self, program: Program, *, deadline: float) -> None:
        """As `Session.load`."""
        if program.lazy:
            # Monty makes lists of lazy iterators, so a program could pass here and fail in Python.
            raise UnsupportedProgramError("it passes lazy iterators around")
        self._entry_point = program.entry_point
        try:
            for source in (_ENCODER, program.source, program.entry_point):
                self._feed(source, deadline=deadline)
        except pydantic_monty.MontyError as error:
            told = _wire.describe_error(_outcome(error))
            raise LoadError(f"Running the program raised {told}.") from error
        except PeerError as error:
            raise LoadError(f"The program could not be loaded: {error}.") from error

    def call(self, message: dict[str, Any], *, deadline: float) -> bytes:
        """As `Session.call`."""
        inputs = {
            "effortctl_args": _wire.decode(message["args"]),
            "effortctl_kwargs": _wire.decode(message["kwargs"]),
        }
        run = f"effortctl_encode({self._entry_point}(*effortctl_args, **effortctl_kwargs))"
        try:
            reply = {"value": self._feed(run, deadline=deadline, inputs=inputs)}
        except pydantic_monty.MontyError as error:
            reply = _outcome(error)
        try:
            payload = json.dumps(reply).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            raise UnsupportedProgramError("its result is not plain data") from error
        if len(payload) > _wire.MOST_BYTES:
            raise PeerFloodError("it wrote too much")
        return payload

    def _feed(self, code: str, *, deadline: float, inputs: dict[str, Any] | None = None) -> Any:
        if time.monotonic() >= deadline:
            raise PeerTimeoutError("it did not finish in time")
        try:
            return self._session.feed_run(code, inputs=inputs, print_callback=_ignore)
        except pydantic_monty.MontyCrashedError as error:
            raise PeerClosedError("it ended by itself") from error
        except pydantic_monty.MontyRuntimeError as error:
            inner = error.exception()
            if isinstance(inner, TimeoutError) and "limit exceeded" in str(inner):
                raise PeerTimeoutError("it did not finish in time") from error
            raise


def _ignore(_stream: str, _text: str) -> None:
    """Drop what the program prints."""


def _outcome(error: pydantic_monty.MontyError) -> dict[str, Any]:
    inner = error.exception()
    if isinstance(inner, _DOUBTFUL) and not isinstance(inner, RecursionError):
        raise UnsupportedProgramError(f"{type(inner).__name__}: {inner}"[:200]) from error
    if isinstance(inner, ValueError) and str(inner).endswith(" is not plain data"):
        raise UnsupportedProgramError(f"a result of type {inner}") from error
    names = [kind.__name__ for kind in type(inner).__mro__]
    return {"raised": names, "message": str(inner)[:200], "line": None}


@contextmanager
def open_session(timeout_s: float) -> Iterator[MontySession]:
    """A fresh session of a warm worker."""
    limits: Any = {
        "max_feed_duration_secs": min(timeout_s, _LONGEST_RUN_S),
        "max_memory": _MEMORY_BYTES,
    }
    policy: Any = {"sleep": "zero"}
    with _pool.get().checkout(limits=limits, os_policy=policy) as session:
        yield MontySession(session)
