"""What must never be found, and where to look for it."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from effortctl import EffortctlError

KEY = "sk-canary-Zq7vKx2mWp9sRt4uYb6nHd"
HEADER = "header-canary-5b1d7f"
PROMPT = "The prompt-canary sleeps in cell 8841 of the north wing; who guards it?"
MARKS = {
    "key": "Zq7vKx2mWp9sRt4uYb6nHd",
    "header": HEADER,
    "prompt": "sleeps in cell 8841 of the north wing",
}


def spellings(mark: str) -> Iterator[bytes]:
    """The ways in which a text may turn up in a file."""
    yield mark.encode()
    yield mark.encode("utf-16-le")
    yield json.dumps(mark)[1:-1].encode()
    yield quote(mark).encode()
    # Base64 of a text depends on where it starts; the middle part of each of three does not.
    for offset in range(3):
        yield base64.b64encode(b"x" * offset + mark.encode())[4:-4]


NEEDLES = {name: tuple(dict.fromkeys(spellings(mark))) for name, mark in MARKS.items()}


def leaks(data: bytes | str) -> list[str]:
    """Names of the canaries in some bytes."""
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    if raw.startswith(b"\x1f\x8b"):
        raw = gzip.decompress(raw)
    low = raw.lower()
    return [name for name, needles in NEEDLES.items() if any(n.lower() in low for n in needles)]


def leaking_files(folder: Path) -> dict[str, list[str]]:
    """Files under a folder whose name or content holds a canary."""
    found = {}
    for path in sorted(folder.rglob("*")):
        here = leaks(str(path.relative_to(folder)))
        if path.is_file():
            here += leaks(path.read_bytes())
        if here:
            found[str(path.relative_to(folder))] = sorted(set(here))
    return found


def shown(error: BaseException) -> Iterator[str]:
    """Every text that a program prints of an error: itself, its chain, and its pickle's."""
    copies = [pickle.loads(pickle.dumps(error))] if isinstance(error, EffortctlError) else []
    for each in (error, *copies):
        yield str(each)
        yield repr(each)
        yield repr(each.args)
        yield "".join(traceback.format_exception(each))
        yield repr(vars(each))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error with all its causes and contexts."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def error_leaks(error: BaseException) -> list[str]:
    """Canaries in anything an error shows or carries, its pickle and its chain included."""
    texts = [text for each in chain(error) for text in shown(each)]
    found = [name for text in texts for name in leaks(text)]
    return sorted({*found, *leaks(pickle.dumps(error))})


def value_leaks(value: Any) -> list[str]:
    """Canaries in a value's repr and pickle."""
    return sorted({*leaks(repr(value)), *leaks(pickle.dumps(value))})
