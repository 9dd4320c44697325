"""How the guests talk to us: plain data as tagged JSON, in frames over two file descriptors.

Also runs in the guests' processes, where only the text of this module is present, so it imports
nothing of this package and as little of the standard library as it can.
"""

from __future__ import annotations

import json
import os
import re
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost start-up time for every answer
    from typing import Any

MOST_ITEMS = 1_000_000
MOST_BYTES = 8 * 2**20
SHOWN = 200
"""Characters of a value or a message that feedback shows."""


class MalformedError(Exception):
    """Bytes that no honest process sends."""


# --- values ----------------------------------------------------------------------------------------
# The text between the two markers is also fed to Monty, so it keeps to the Python that Monty knows.
# <encode>


def effortctl_encode(value: Any, depth: int = 0) -> Any:  # noqa: C901, PLR0911 - one flat table
    """Plain data as JSON with tags; raises ValueError naming the type of anything else."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if depth > 200:
        raise ValueError("data nested too deeply")
    if kind is int:
        return value if -(2**53) < value < 2**53 else ["i", hex(value)]
    if kind is float:
        return value if value - value == 0 else ["f", str(value)]
    if kind is list:
        return ["l", [effortctl_encode(item, depth + 1) for item in value]]
    if kind is tuple:
        return ["t", [effortctl_encode(item, depth + 1) for item in value]]
    if kind is dict:
        pairs = list(value.items())
        return [
            "d",
            [[effortctl_encode(k, depth + 1), effortctl_encode(v, depth + 1)] for k, v in pairs],
        ]
    if kind is set:
        return ["s", [effortctl_encode(item, depth + 1) for item in value]]
    if kind is frozenset:
        return ["z", [effortctl_encode(item, depth + 1) for item in value]]
    if kind is bytes:
        return ["b", value.hex()]
    if kind is complex:
        return ["c", effortctl_encode(value.real), effortctl_encode(value.imag)]
    if kind is range:
        return ["r", value.start, value.stop, value.step]
    raise ValueError(kind.__name__ + " is not plain data")


# </encode>


def encode_any(value: Any) -> Any:
    """`effortctl_encode`, after reducing subclasses and iterators to the built-in types they stand for."""
    for base, exact in _EXACT:
        if type(value) is bool or type(value) is base:
            break
        if isinstance(value, base):
            value = exact(value)
            break
    if hasattr(value, "__next__"):
        return ["n", [encode_any(item) for item in _some(value)]]
    if type(value) in (list, tuple, set, frozenset):
        items = [encode_any(item) for item in value]
        return [_TAGS[type(value)], items]
    if type(value) is dict:
        return ["d", [[encode_any(k), encode_any(v)] for k, v in value.items()]]
    if type(value).__name__ in {"Decimal", "Fraction"}:
        return [type(value).__name__[0], str(value)]
    return effortctl_encode(value)


# Reading through the base class ignores whatever a subclass overrides.
_EXACT: tuple[tuple[Any, Any], ...] = (
    (int, int.__index__), (float, float.__float__), (str, str.__str__),
    (list, lambda v: list(list.__iter__(v))), (tuple, lambda v: tuple(tuple.__iter__(v))),
    (dict, lambda v: dict(dict.items(v))), (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))), (bytes, lambda v: bytes.__getitem__(v, slice(None))),
)  # fmt: skip
_TAGS: dict[type, str] = {list: "l", tuple: "t", set: "s", frozenset: "z"}


def _some(iterator: Any) -> list[Any]:
    items = []
    for item in iterator:
        items.append(item)
        if len(items) > MOST_ITEMS:
            raise ValueError("an iterator without an end")
    return items


def decode(node: Any) -> Any:
    """Rebuild a value from tagged JSON, as exact built-in types.

    Raises:
        MalformedError: It is not what `encode_any` writes.
    """
    if node is None or type(node) in (bool, int, float, str):
        return node
    try:
        tag, *rest = node
        return _DECODERS[tag](*rest)
    except (TypeError, ValueError, KeyError, ArithmeticError, RecursionError) as error:
        raise MalformedError(str(error)[:SHOWN]) from error


def _list_of(nodes: Any) -> list[Any]:
    if type(nodes) is not list:
        raise MalformedError("a list is missing")
    return [decode(node) for node in nodes]


def _dict_of(pairs: Any) -> dict[Any, Any]:
    return {decode(key): decode(value) for key, value in pairs}


def _int_of(text: str) -> int:
    return int(text, 16)


def _decimal(text: str) -> object:
    from decimal import Decimal  # noqa: PLC0415 - rarely needed, and start-up time counts

    return Decimal(text)


def _fraction(text: str) -> object:
    from fractions import Fraction  # noqa: PLC0415 - rarely needed, and start-up time counts

    if not re.fullmatch(r"-?\d+(/\d+)?", text):
        raise MalformedError("not a fraction")
    return Fraction(text)


_DECODERS: dict[str, Any] = {
    "i": _int_of,
    "f": float,
    "l": _list_of,
    "t": lambda nodes: tuple(_list_of(nodes)),
    "s": lambda nodes: set(_list_of(nodes)),
    "z": lambda nodes: frozenset(_list_of(nodes)),
    "d": _dict_of,
    "b": bytes.fromhex,
    "c": lambda real, imag: complex(decode(real), decode(imag)),
    "r": range,
    "n": lambda nodes: iter(_list_of(nodes)),
    "D": _decimal,
    "F": _fraction,
}


def loads(payload: bytes) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        MalformedError: It is not one.
    """
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError, MemoryError) as error:
        raise MalformedError("not JSON") from error
    if type(message) is not dict:
        raise MalformedError("not an object")
    return message


# --- messages --------------------------------------------------------------------------------------


class Line:
    """Frames over two file descriptors: four bytes of length, then JSON."""

    def __init__(self) -> None:
        # The program's own prints must not mix with messages, and it reads no input.
        self._in, self._out = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.close(null)

    def send(self, message: dict[str, Any]) -> None:
        """Write one message."""
        payload = json.dumps(message).encode("ascii")
        frame = memoryview(struct.pack(">I", len(payload)) + payload)
        while frame:
            frame = frame[os.write(self._out, frame) :]

    def receive(self) -> dict[str, Any]:
        """Read one message; leave when the other side is gone."""
        (length,) = struct.unpack(">I", self._exactly(4))
        return loads(self._exactly(length))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = os.read(self._in, min(size - len(data), 2**20))
            if not part:
                os._exit(0)
            data += part
        return data


def limit(limits: dict[str, int]) -> None:
    """Apply resource limits by name; a name this system lacks is skipped."""
    import resource  # noqa: PLC0415 - does not exist on every system

    for name, value in limits.items():
        which = getattr(resource, name, None)
        if which is not None:
            hard = resource.getrlimit(which)[1]
            if hard != resource.RLIM_INFINITY:
                value = min(value, hard)  # noqa: PLW2901 - clamped to what is allowed
            resource.setrlimit(which, (value, value))


def clipped(value: object) -> str:
    """A text of bearable length, whatever was sent in its place."""
    return value[:SHOWN] if type(value) is str else "something"


def describe_error(reply: dict[str, Any]) -> str:
    """`ValueError: bad input (line 3 of the program)`."""
    names = reply.get("raised")
    name = clipped(names[0]) if type(names) is list and names else "an exception"
    message, line = clipped(reply.get("message", "")), reply.get("line")
    place = f" (line {line} of the program)" if type(line) is int else ""
    return f"{name}: {message}{place}" if message else f"{name}{place}"
