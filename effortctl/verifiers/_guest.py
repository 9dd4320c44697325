"""Runs in other processes, by its text alone: the untrusted program, or the trusted tests.

`python -c <this file> program` executes code a language model wrote. It knows no expected value and
can only answer with plain data, so there is nothing in its process worth attacking.
`python -c <this file> tests` executes the caller's tests. The function under test is a stand-in there:
each call goes to the other process and comes back as exact built-in types.

Only the standard library is imported, and only what both need: start-up time is paid per answer.
"""

import json
import os
import re
import struct
import sys
import types

MOST_ITEMS = 1_000_000
MOST_BYTES = 8 * 2**20
_SHOWN = 200


class Unsupported(Exception):  # noqa: N818 - a signal between the functions of this file
    """A value that is not plain data."""


class Malformed(Exception):  # noqa: N818 - a signal between the functions of this file
    """Bytes that no honest process sends."""


# --- values as tagged JSON -------------------------------------------------------------------------
# The text between the two markers is also fed to Monty, so it keeps to the Python that Monty knows.
# <encode>


def effortctl_encode(value, depth=0):  # noqa: ANN001, ANN201, C901, PLR0911, PLR0912 - one flat table; Monty lacks match
    """Plain data as JSON with tags; raises ValueError naming the type of anything else."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if depth > 200:
        raise ValueError("data nested too deeply")  # noqa: TRY003 - as the whole file
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
        return ["d", [[effortctl_encode(k, depth + 1), effortctl_encode(v, depth + 1)] for k, v in pairs]]
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
    raise ValueError(kind.__name__)


# </encode>


def encode_any(value):  # noqa: ANN001, ANN201 - see the head of the file
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
_EXACT = (
    (int, int.__index__), (float, float.__float__), (str, str.__str__),
    (list, lambda v: list(list.__iter__(v))), (tuple, lambda v: tuple(tuple.__iter__(v))),
    (dict, lambda v: dict(dict.items(v))), (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))), (bytes, lambda v: bytes.__getitem__(v, slice(None))),
)  # fmt: skip
_TAGS = {list: "l", tuple: "t", set: "s", frozenset: "z"}


def _some(iterator):  # noqa: ANN001, ANN202 - see the head of the file
    items = []
    for item in iterator:
        items.append(item)
        if len(items) > MOST_ITEMS:
            raise ValueError("an iterator without an end")
    return items


def decode(node):  # noqa: ANN001, ANN201 - see the head of the file
    """Rebuild a value from tagged JSON, as exact built-in types.

    Raises:
        Malformed: It is not what `encode_any` writes.
    """
    if node is None or type(node) in (bool, int, float, str):
        return node
    try:
        tag, *rest = node
        return _DECODERS[tag](*rest)
    except (TypeError, ValueError, KeyError, ArithmeticError, RecursionError) as error:
        raise Malformed(str(error)[:_SHOWN]) from error


def _list_of(nodes):  # noqa: ANN001, ANN202 - see the head of the file
    if type(nodes) is not list:
        raise Malformed("a list is missing")
    return [decode(node) for node in nodes]


def _dict_of(pairs):  # noqa: ANN001, ANN202 - see the head of the file
    return {decode(key): decode(value) for key, value in pairs}


def _int_of(text):  # noqa: ANN001, ANN202 - see the head of the file
    return int(text, 16)


def _decimal(text):  # noqa: ANN001, ANN202 - see the head of the file
    from decimal import Decimal  # noqa: PLC0415 - rarely needed, and start-up time counts

    return Decimal(text)


def _fraction(text):  # noqa: ANN001, ANN202 - see the head of the file
    from fractions import Fraction  # noqa: PLC0415 - rarely needed, and start-up time counts

    if not re.fullmatch(r"-?\d+(/\d+)?", text):
        raise Malformed("not a fraction")
    return Fraction(text)


_DECODERS = {
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


def loads(payload):  # noqa: ANN001, ANN201 - see the head of the file
    """Read one JSON object.

    Raises:
        Malformed: It is not one.
    """
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError, MemoryError) as error:
        raise Malformed("not JSON") from error
    if type(message) is not dict:
        raise Malformed("not an object")
    return message


# --- messages --------------------------------------------------------------------------------------


class Line:
    """Frames over two file descriptors: four bytes of length, then JSON."""

    def __init__(self):  # noqa: ANN204 - see the head of the file
        # The program's own prints must not mix with messages, and it reads no input.
        self._in, self._out = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.close(null)

    def send(self, message):  # noqa: ANN001, ANN201 - see the head of the file
        """Write one message."""
        payload = json.dumps(message).encode("ascii")
        frame = memoryview(struct.pack(">I", len(payload)) + payload)
        while frame:
            frame = frame[os.write(self._out, frame) :]

    def receive(self):  # noqa: ANN201 - see the head of the file
        """Read one message; leave when the other side is gone."""
        (length,) = struct.unpack(">I", self._exactly(4))
        return loads(self._exactly(length))

    def _exactly(self, size):  # noqa: ANN001, ANN202 - see the head of the file
        data = b""
        while len(data) < size:
            part = os.read(self._in, min(size - len(data), 2**20))
            if not part:
                os._exit(0)
            data += part
        return data


def limit(limits):  # noqa: ANN001, ANN201 - see the head of the file
    """Apply resource limits by name; a name this system lacks is skipped."""
    import resource  # noqa: PLC0415 - does not exist on every system

    for name, value in limits.items():
        which = getattr(resource, name, None)
        if which is not None:
            hard = resource.getrlimit(which)[1]
            if hard != resource.RLIM_INFINITY:
                value = min(value, hard)  # noqa: PLW2901 - clamped to what is allowed
            resource.setrlimit(which, (value, value))


# --- the untrusted program -------------------------------------------------------------------------


def run_program():  # noqa: ANN201 - see the head of the file
    """Execute a program, then answer calls of one of its functions until killed."""
    line = Line()
    line.send({"ready": True})
    start = line.receive()
    limit(start["limits"])
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    try:
        exec(compile(start["program"], "<answer>", "exec"), module.__dict__)  # noqa: S102 - our purpose
        function = module.__dict__[start["entry_point"]]
    except BaseException as error:  # noqa: BLE001 - whatever the program does is its result
        line.send(_raised(error))
        return
    line.send({"loaded": callable(function)})
    while True:
        call = line.receive()
        line.send(_outcome(function, call))


def _outcome(function, call):  # noqa: ANN001, ANN202 - see the head of the file
    try:
        result = function(*decode(call["args"]), **decode(call["kwargs"]))
    except BaseException as error:  # noqa: BLE001 - whatever the program does is its result
        return _raised(error)
    try:
        return {"value": encode_any(result)}
    except BaseException as error:  # noqa: BLE001 - the value's own methods may have run
        return {"unsupported": _describe(result, error)}


def _describe(result, error):  # noqa: ANN001, ANN202 - see the head of the file
    if isinstance(error, RecursionError):
        return "data nested too deeply"
    return str(error)[:_SHOWN] if type(error) is ValueError else type(result).__name__[:_SHOWN]


def _raised(error):  # noqa: ANN001, ANN202 - see the head of the file
    where, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<answer>":
            where = frame.tb_lineno
        frame = frame.tb_next
    if isinstance(error, SyntaxError):
        where = error.lineno
    names = [kind.__name__ for kind in type(error).__mro__]
    try:
        message = str(error)[:_SHOWN]
    except BaseException:  # noqa: BLE001 - a __str__ the program wrote
        message = ""
    return {"raised": names, "message": message, "line": where}


# --- the trusted tests -----------------------------------------------------------------------------


class ProgramError(Exception):
    """The program raised something that is not a built-in Exception."""


class Tests:
    """The tests, and the stand-in for the function they test."""

    def __init__(self, line, start):  # noqa: ANN001, ANN204 - see the head of the file
        self._line = line
        self._start = start
        self.calls = 0
        self._shown = ""
        self._result = ""
        self._error = None
        self._broken = None

    def report(self):  # noqa: ANN201 - see the head of the file
        """Run everything and say how it went, in words that name no expected value."""
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - tests may raise anything, even SystemExit
            return self._failed(error)
        if self._broken is not None:
            return {"status": "fail", "feedback": self._broken}
        if not self.calls:
            return {"status": "broken", "feedback": "the tests never call the function they test"}
        return {"status": "pass", "feedback": ""}

    def _run(self):  # noqa: ANN202 - see the head of the file
        module = types.ModuleType("tests")
        sys.modules["tests"] = module
        names = module.__dict__
        try:
            prefix = compile(self._start["prefix"], "<prompt>", "exec")
        except SyntaxError:
            prefix = compile("", "<prompt>", "exec")
        exec(prefix, names)  # noqa: S102 - the caller's own prompt
        candidate = self._stand_in()
        names["candidate"] = names[self._start["entry_point"]] = candidate
        exec(compile(self._start["tests"], "<tests>", "exec"), names)  # noqa: S102 - the caller's own
        for name, member in list(names.items()):
            if name == "check" and isinstance(member, types.FunctionType):
                member(candidate)
            elif name.startswith("test_") and isinstance(member, types.FunctionType):
                member()

    def _stand_in(self):  # noqa: ANN202 - see the head of the file
        def candidate(*args, **kwargs):  # noqa: ANN002, ANN003, ANN202 - stands for any function
            return self._call(args, kwargs)

        candidate.__name__ = candidate.__qualname__ = self._start["entry_point"]
        return candidate

    def _call(self, args, kwargs):  # noqa: ANN001, ANN202 - see the head of the file
        message = {"args": encode_any(list(args)), "kwargs": encode_any(kwargs)}
        self.calls += 1
        self._shown = self._show_call(args, kwargs)
        self._line.send({"call": message, "shown": self._shown})
        try:
            return self._read(self._line.receive())
        except Malformed:
            self._broken = self._broken or f"{self._shown} did not return plain data."
            raise

    def _show_call(self, args, kwargs):  # noqa: ANN001, ANN202 - see the head of the file
        parts = [_short(arg) for arg in args]
        parts += [f"{name}={_short(value)}" for name, value in kwargs.items()]
        return f"{self._start['entry_point']}({', '.join(parts)})"

    def _read(self, reply):  # noqa: ANN001, ANN202 - see the head of the file
        self._error = None
        if "value" in reply:
            value = decode(reply["value"])
            self._result = f"{self._shown} returned {_short(value)}"
            return value
        if "unsupported" in reply:
            self._broken = (
                f"{self._shown} returned {_text(reply['unsupported'])}, which is not plain data "
                "(numbers, strings, lists, tuples, dicts, sets)."
            )
            raise Malformed("unsupported")
        self._error = rebuild_error(reply)
        self._result = f"{self._shown} raised {describe_error(reply)}"
        raise self._error

    def _failed(self, error):  # noqa: ANN001, ANN202 - see the head of the file
        if self._broken is not None:
            return {"status": "fail", "feedback": self._broken}
        if not self.calls:
            return {"status": "broken", "feedback": f"{type(error).__name__}: {error}"[:500]}
        if error is self._error:
            text = f"{self._result}."
        elif isinstance(error, AssertionError):
            text = f"{self._result}: that is wrong."
        else:
            text = f"{self._result}: the check could not use that ({type(error).__name__})."
        return {"status": "fail", "feedback": text}


def _short(value):  # noqa: ANN001, ANN202 - see the head of the file
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 20] + " ... " + text[-15:]


def _text(value):  # noqa: ANN001, ANN202 - see the head of the file
    return value[:_SHOWN] if type(value) is str else "something"


def describe_error(reply):  # noqa: ANN001, ANN201 - see the head of the file
    """`ValueError: bad input (line 3 of the program)`."""
    names = reply.get("raised")
    name = _text(names[0]) if type(names) is list and names else "an exception"
    message, line = _text(reply.get("message", "")), reply.get("line")
    place = f" (line {line} of the program)" if type(line) is int else ""
    return f"{name}: {message}{place}" if message else f"{name}{place}"


def rebuild_error(reply):  # noqa: ANN001, ANN201 - see the head of the file
    """The built-in exception nearest to the one the program raised."""
    import builtins  # noqa: PLC0415 - only on this path

    names = reply.get("raised")
    if type(names) is not list:
        raise Malformed("neither a value nor an exception")
    for name in names:
        kind = getattr(builtins, name, None) if type(name) is str else None
        if isinstance(kind, type) and issubclass(kind, Exception) and kind is not Exception:
            try:
                return kind(_text(reply.get("message", "")))
            except TypeError:
                break
    return ProgramError(describe_error(reply))


def run_tests():  # noqa: ANN201 - see the head of the file
    """Execute the tests and send one report."""
    line = Line()
    line.send({"ready": True})
    start = line.receive()
    limit(start["limits"])
    line.send({"done": Tests(line, start).report()})


if __name__ == "__main__":
    {"program": run_program, "tests": run_tests}[sys.argv[1]]()
