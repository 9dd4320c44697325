"""Runs in its own process: compares mathematical expressions with math-verify.

A process of its own, because the library stops long computations with signals (main thread only) and
evaluates text that a model wrote with sympy, which can use any amount of time and memory.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from typing import Any, BinaryIO

_MEMORY_BYTES = 3 * 2**30
_SECONDS = 5


def main() -> None:
    """Answer requests until the other side is gone."""
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    _limit_memory()
    import math_verify  # noqa: PLC0415 - after the streams are safe and memory is limited

    with os.fdopen(source, "rb") as requests, os.fdopen(sink, "wb") as replies:
        _reply(replies, "ready")
        while head := requests.read(4):
            request = json.loads(requests.read(struct.unpack(">I", head)[0]))
            _reply(replies, _compare(math_verify, request["expected"], request["given"]))


def _limit_memory() -> None:
    try:
        import resource  # noqa: PLC0415 - does not exist on every system

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    except (ImportError, ValueError, OSError):
        return


def _reply(stream: BinaryIO, result: str) -> None:
    payload = json.dumps(result).encode("ascii")
    stream.write(struct.pack(">I", len(payload)) + payload)
    stream.flush()


def _compare(library: Any, expected: str, given: str) -> str:
    # Without dollar signs the library would take just a number out of `x^2 + 2x + 1`.
    marked = expected if "$" in expected or "\\boxed" in expected else f"${expected}$"
    wanted = library.parse(marked, parsing_timeout=_SECONDS)
    if not wanted:
        return "bad_expected"
    found = library.parse(given, parsing_timeout=_SECONDS)
    if not found:
        return "nothing"
    return "same" if library.verify(wanted, found, timeout_seconds=_SECONDS) else "different"


if __name__ == "__main__":
    main()
    sys.exit(0)
