"""From an answer to a program: find the code, complete it, and know what can go wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(
    r"^[ \t]*```[ \t]*(?P<language>[\w+#.-]*)[^\n]*\n(?P<body>.*?)(?:^[ \t]*```|\Z)",
    re.MULTILINE | re.DOTALL,
)
_PYTHON = {"", "python", "python3", "py", "py3"}
_LONGEST = 200_000


class UnsupportedProgramError(Exception):
    """A sandbox cannot run the program, which says nothing about the program."""


class LoadError(Exception):
    """The program itself does not run; the message says why."""


@dataclass(frozen=True)
class Program:
    """Untrusted source that compiles.

    Attributes:
        source: The whole program.
        entry_point: Name of the function to call.
        lazy: True when a lazy iterator may leave the expression that made it.
    """

    source: str
    entry_point: str
    lazy: bool = False


def find_code(text: str, entry_point: str) -> str:
    """The Python in an answer: the last fenced block that defines the entry point.

    Without one, the last Python block; without any block, the whole text. An unclosed last fence
    counts as closed at the end.
    """
    blocks = [
        match["body"] for match in _FENCE.finditer(text) if match["language"].lower() in _PYTHON
    ]
    if not blocks:
        return text
    defining = [block for block in blocks if _mentions(block, entry_point)]
    return (defining or blocks)[-1]


def _mentions(source: str, name: str) -> bool:
    pattern = rf"^(?:(?:async\s+)?def|class)\s+{re.escape(name)}\b|^{re.escape(name)}\s*="
    return re.search(pattern, source, re.MULTILINE) is not None


def readings(text: str, *, entry_point: str, prefix: str) -> tuple[str, ...]:
    """Whole programs that an answer may stand for, likeliest first; the first that compiles counts.

    An answer that defines the entry point gets what stands before the entry point in `prefix`
    (imports, helper functions). Any other answer is a completion and goes behind all of `prefix`.
    Nothing is parsed here: reading what a model wrote is left to a process of its own.

    Raises:
        LoadError: There is no code, or too much.
    """
    code = find_code(text, entry_point)
    if not code.strip():
        raise LoadError("The answer contains no program.")
    if len(code) > _LONGEST:
        raise LoadError(f"The program is longer than {_LONGEST} characters.")
    if _mentions(code, entry_point):
        header = _header(prefix, entry_point)
        return (header + code, code) if header else (code,)
    if not prefix:
        return (code,)
    # Chat models and trimming often lose the indentation of the first line of a body.
    body = code.strip("\n")
    head = prefix.rstrip()
    return (prefix + code, f"{head}\n    {body.lstrip()}\n", f"{head}\n{body}\n")


def _header(prefix: str, entry_point: str) -> str:
    match = re.search(
        rf"^(?:@.*\n)*(?:async\s+)?def\s+{re.escape(entry_point)}\b", prefix, re.MULTILINE
    )
    return prefix[: match.start()] if match else ""
