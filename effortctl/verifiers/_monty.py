"""Runs a program in Monty, an interpreter that has no I/O to begin with. Needs the extra `sandbox`.

Monty knows a part of Python, so its "this works" counts and its "this fails" is only a hint: what it
may simply not know is raised as `UnsupportedProgramError`.
"""

from __future__ import annotations

import ast
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
from effortctl.verifiers._process import PeerClosedError, PeerFloodError, PeerTimeoutError
from effortctl.verifiers._program import LoadError, UnsupportedProgramError

_MEMORY_BYTES = 128 * 2**20
_LONGEST_RUN_S = 2.0
# What Monty raises for Python it does not know, and what an honest program rarely raises.
_DOUBTFUL = (
    NotImplementedError, ImportError, SyntaxError, AttributeError, NameError, TypeError, RuntimeError,
)  # fmt: skip
# Monty gives lists where Python gives something lazy, so a program that lets one of these out of the
# expression that uses it up could pass here and fail in Python.
_LAZY = {"map", "filter", "zip", "reversed", "enumerate"}


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
    """A program loaded into a Monty worker."""

    def __init__(self, session: Any, entry_point: str) -> None:
        self._session = session
        self._entry_point = entry_point

    def load(self, source: str) -> None:
        """Execute the program.

        Raises:
            UnsupportedProgramError: Monty may not know enough Python for it.
            LoadError: It raised something, ended, or hung.
        """
        try:
            self._feed(_ENCODER)
            self._feed(source)
            self._feed(self._entry_point)
        except pydantic_monty.MontyError as error:
            raise LoadError(
                f"Running the program raised {_wire.describe_error(_outcome(error))}."
            ) from error

    def call(self, message: dict[str, Any], *, deadline: float) -> bytes:
        """As `Session.call`."""
        if time.monotonic() >= deadline:
            raise PeerTimeoutError("it did not finish in time")
        inputs = {
            "effortctl_args": _wire.decode(message["args"]),
            "effortctl_kwargs": _wire.decode(message["kwargs"]),
        }
        run = f"effortctl_encode({self._entry_point}(*effortctl_args, **effortctl_kwargs))"
        try:
            reply = {"value": self._feed(run, inputs)}
        except pydantic_monty.MontyError as error:
            reply = _outcome(error)
        try:
            payload = json.dumps(reply).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            raise UnsupportedProgramError("its result is not plain data") from error
        if len(payload) > _wire.MOST_BYTES:
            raise PeerFloodError("it wrote too much")
        return payload

    def _feed(self, code: str, inputs: dict[str, Any] | None = None) -> Any:
        return self._session.feed_run(code, inputs=inputs, print_callback=_ignore)


def _ignore(_stream: str, _text: str) -> None:
    """Drop what the program prints."""


def _outcome(error: pydantic_monty.MontyError) -> dict[str, Any]:
    if isinstance(error, pydantic_monty.MontyCrashedError):
        raise PeerClosedError("it ended by itself") from error
    inner = error.exception()
    if isinstance(inner, TimeoutError) and "limit exceeded" in str(inner):
        raise PeerTimeoutError("it did not finish in time") from error
    if isinstance(inner, _DOUBTFUL) and not isinstance(inner, RecursionError):
        raise UnsupportedProgramError(f"{type(inner).__name__}: {inner}"[:200]) from error
    if isinstance(inner, ValueError) and str(inner).isidentifier():
        # effortctl_encode names the type of a value that is not plain data this way.
        raise UnsupportedProgramError(f"it returned {inner}") from error
    names = [kind.__name__ for kind in type(inner).__mro__]
    return {"raised": names, "message": str(inner)[:200], "line": None}


def _lets_lazy_out(source: str) -> bool:
    tree = ast.parse(source)
    used_up: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                used_up.update(map(id, node.args))
            case ast.For() | ast.comprehension():
                used_up.add(id(node.iter))
            case ast.Starred():
                used_up.add(id(node.value))
    return any(_is_lazy(node) and id(node) not in used_up for node in ast.walk(tree))


def _is_lazy(node: ast.AST) -> bool:
    return isinstance(node, ast.GeneratorExp) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _LAZY
    )


@contextmanager
def open_session(source: str, entry_point: str, timeout_s: float) -> Iterator[MontySession]:
    """Load a program into a fresh session of a warm worker.

    Raises:
        UnsupportedProgramError: Monty may not know enough Python for it.
        LoadError: The program does not run.
    """
    if _lets_lazy_out(source):
        raise UnsupportedProgramError("it uses lazy iterators")
    limits: Any = {
        "max_feed_duration_secs": min(timeout_s, _LONGEST_RUN_S),
        "max_memory": _MEMORY_BYTES,
    }
    policy: Any = {"sleep": "zero"}
    with _pool.get().checkout(limits=limits, os_policy=policy) as raw:
        session = MontySession(raw, entry_point)
        try:
            session.load(source)
        except (PeerClosedError, PeerTimeoutError) as error:
            raise LoadError(f"The program could not be loaded: {error}.") from error
        yield session
