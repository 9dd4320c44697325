"""The trusted side: executes the caller's tests, with a stand-in for the function they test.

Each call of the stand-in goes to the untrusted program and comes back as exact built-in types, so no
comparison in a test ever runs code of the program. Runs in a plain process, from its text alone.
"""

from __future__ import annotations

import sys
import types

from effortctl.verifiers._wire import (
    SHOWN,
    Line,
    MalformedError,
    clipped,
    decode,
    describe_error,
    encode_any,
    limit,
)

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost start-up time for every answer
    from collections.abc import Callable
    from typing import Any


class ProgramError(Exception):
    """The program raised something that is not a built-in Exception."""


class Tests:
    """The tests, and the stand-in for the function they test."""

    def __init__(self, line: Line, start: dict[str, Any]) -> None:
        self._line = line
        self._start = start
        self.calls = 0
        self._shown = ""
        self._result = ""
        self._error: Exception | None = None
        self._broken: str | None = None
        self._untestable: str | None = None

    def report(self) -> dict[str, str]:
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

    def _run(self) -> None:
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

    def _stand_in(self) -> Callable[..., Any]:
        def candidate(*args: Any, **kwargs: Any) -> Any:
            return self._call(args, kwargs)

        candidate.__name__ = candidate.__qualname__ = self._start["entry_point"]
        return candidate

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            message = {"args": encode_any(list(args)), "kwargs": encode_any(kwargs)}
        except ValueError as error:
            self._untestable = f"they pass an argument that is not plain data ({error})"
            raise
        self.calls += 1
        self._shown = self._show_call(args, kwargs)
        self._line.send({"call": message, "shown": self._shown})
        try:
            return self._read(self._line.receive())
        except MalformedError:
            self._broken = self._broken or f"{self._shown} did not return plain data."
            raise

    def _show_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        parts = [_short(arg) for arg in args]
        parts += [f"{name}={_short(value)}" for name, value in kwargs.items()]
        return f"{self._start['entry_point']}({', '.join(parts)})"

    def _read(self, reply: dict[str, Any]) -> Any:
        self._error = None
        if "value" in reply:
            value = decode(reply["value"])
            self._result = f"{self._shown} returned {_short(value)}"
            return value
        if "unsupported" in reply:
            self._broken = (
                f"{self._shown} returned {clipped(reply['unsupported'])}, which is not plain data "
                "(numbers, strings, lists, tuples, dicts, sets)."
            )
            raise MalformedError("unsupported")
        self._error = rebuild_error(reply)
        self._result = f"{self._shown} raised {describe_error(reply)}"
        raise self._error

    def _failed(self, error: BaseException) -> dict[str, str]:
        if self._untestable is not None:
            return {"status": "broken", "feedback": self._untestable}
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


def _short(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"<{type(value).__name__}>"
    return text if len(text) <= SHOWN else text[: SHOWN - 20] + " ... " + text[-15:]


def rebuild_error(reply: dict[str, Any]) -> Exception:
    """The built-in exception nearest to the one the program raised."""
    import builtins  # noqa: PLC0415 - only on this path

    names = reply.get("raised")
    if type(names) is not list:
        raise MalformedError("neither a value nor an exception")
    for name in names:
        kind = getattr(builtins, name, None) if type(name) is str else None
        if isinstance(kind, type) and issubclass(kind, Exception) and kind is not Exception:
            try:
                return kind(clipped(reply.get("message", "")))
            except TypeError:
                break
    return ProgramError(describe_error(reply))


def run_tests() -> None:
    """Execute the tests and send one report."""
    line = Line()
    line.send({"ready": True})
    start = line.receive()
    limit(start["limits"])
    line.send({"done": Tests(line, start).report()})


if __name__ == "__main__":
    run_tests()
