"""Mathematical equivalence of expressions, by math-verify in a process of its own."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from effortctl._errors import ConfigError, VerifierError
from effortctl._types import Answer
from effortctl.verifiers._base import BuiltIn, final_answer
from effortctl.verifiers._process import Peer, PeerError

_STARTUP_S = 60.0
_COMPARE_S = 20.0
_LONGEST_TAIL = 4_000


class _Worker:
    """The comparing process: started on first use, shared by threads, replaced when it dies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._peer: Peer | None = None
        self._pid: int | None = None

    def compare(self, expected: str, given: str) -> str:
        """One of `same`, `different`, `nothing`, `bad_expected`.

        Raises:
            PeerError: It died or took too long.
        """
        request = json.dumps({"expected": expected, "given": given}).encode("ascii")
        with self._lock:
            peer = self._started()
            try:
                deadline = time.monotonic() + _COMPARE_S
                peer.send(request, deadline=deadline)
                return str(json.loads(peer.receive(deadline=deadline)))
            except BaseException:
                # A late answer must never be taken for the answer to the next request.
                self._stop()
                raise

    def _started(self) -> Peer:
        if self._peer is None or self._pid != os.getpid():
            script = Path(__file__).with_name("_math_worker.py")
            peer = Peer([sys.executable, "-P", str(script)], env=_worker_env())
            self._peer, self._pid = peer, os.getpid()
            peer.receive(deadline=time.monotonic() + _STARTUP_S)
        return self._peer

    def _stop(self) -> None:
        if self._peer is not None and self._pid == os.getpid():
            self._peer.close()
        self._peer = None

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def after_fork(self) -> None:
        """In a child: a lock that another thread held during the fork would stay locked for ever."""
        self._lock = threading.Lock()


def _worker_env() -> dict[str, str]:
    """What Python needs to find its packages, and no secrets."""
    wanted = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "HOME", "LANG")
    return {name: os.environ[name] for name in wanted if name in os.environ}


_worker = _Worker()
atexit.register(_worker.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_worker.after_fork)


@dataclass(frozen=True, repr=False)
class MathEqual(BuiltIn):
    """See `math_equal`."""

    name = "math_equal"
    expected: str

    def problem(self, answer: Answer) -> str | None:
        """Compare the final expression of the answer."""
        given = final_answer(answer.text)[-_LONGEST_TAIL:]
        if not given:
            return "The answer is empty."
        try:
            result = _worker.compare(self.expected, given)
        except PeerError:
            return "The final expression could not be evaluated in time. Simplify it."
        if result == "bad_expected":
            raise VerifierError(
                "the expected expression is not one math-verify can read", verifier=self.name
            )
        if result == "same":
            return None
        if result == "nothing":
            return "No final expression was found. Put it in \\boxed{} at the end."
        return "The final expression is not right."


def math_equal(expected: str | float) -> MathEqual:
    r"""Pass when the final expression of the answer is mathematically equal to `expected`.

    Understands LaTeX and plain expressions: `1/2`, `\\frac{1}{2}` and `0.5` are equal. Works from any
    thread. Each comparison may take 20 seconds, after which the answer fails.

    Args:
        expected: The right expression, plain or LaTeX.

    Raises:
        ConfigError: `expected` is empty, or math-verify (extra `verify`) is missing.
    """
    text = str(expected).strip()
    if not text:
        raise ConfigError("math_equal() needs an expression that is not empty")
    if importlib.util.find_spec("math_verify") is None:
        raise ConfigError("math_equal() needs the math-verify library; install effortctl[verify]")
    return MathEqual(text)
