"""The trusted side: executes the caller's tests, with a stand-in for the function they test.

Each call of the stand-in goes to the untrusted program and comes back as exact built-in types, so no
comparison in a test ever runs code of the program. Runs in a plain process, from its text alone.
"""

from __future__ import annotations

import ast
import sys
import types
import warnings

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


_LAZY = {"map", "filter", "zip", "reversed", "enumerate"}


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
            prefix = compile(self._start["prefix"], "<prompt>", "exec", dont_inherit=True)
        except SyntaxError:
            prefix = compile("", "<prompt>", "exec")
        exec(prefix, names)  # noqa: S102 - the caller's own prompt
        candidate = self._stand_in()
        names["candidate"] = names[self._start["entry_point"]] = candidate
        tests = compile(self._start["tests"], "<tests>", "exec", dont_inherit=True)
        exec(tests, names)  # noqa: S102 - the caller's own
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
            self._untestable = f"they pass an argument that cannot be copied: {error}"
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
                f"{self._shown} returned something else than numbers, strings, lists, tuples, dicts and "
                f"sets: {clipped(reply['unsupported'])}."
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
    if hasattr(value, "__next__"):
        return "an iterator"
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


def choose_reading(readings: list[str]) -> dict[str, Any]:
    """The first source that compiles, as its index; or why the first one does not."""
    failure = None
    for index, source in enumerate(readings):
        try:
            compile(source, "<answer>", "exec", dont_inherit=True)
            return {"program": index, "lazy": lets_lazy_out(source)}
        except SyntaxError as error:
            where = f" (line {error.lineno} of the program)" if error.lineno else ""
            failure = failure or f"{error.msg}{where}"
        except (ValueError, RecursionError, MemoryError):
            failure = failure or "it holds null bytes or is nested too deeply"
    return {"invalid": f"The program is not valid Python: {failure}."}


def lets_lazy_out(source: str) -> bool:
    """True when a generator expression, `map` and the like may leave the expression it is made in.

    A sandbox that makes a list of such things must not judge a program that returns them.
    """
    tree = ast.parse(source)
    used_up: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            used_up.update(map(id, node.args))
        elif isinstance(node, (ast.For, ast.comprehension)):
            used_up.add(id(node.iter))
        elif isinstance(node, ast.Starred):
            used_up.add(id(node.value))
    return any(_is_lazy(node) and id(node) not in used_up for node in ast.walk(tree))


def _is_lazy(node: ast.AST) -> bool:
    return isinstance(node, ast.GeneratorExp) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _LAZY
    )


def run_tests() -> None:
    """Choose a reading of the answer, wait until it is loaded, run the tests, send one report."""
    line = Line()
    line.send({"ready": True})
    start = line.receive()
    limit(start["limits"])
    # What a model wrote is compiled here, but never executed: warnings about it help nobody.
    warnings.simplefilter("ignore")
    line.send(choose_reading(start["readings"]))
    line.receive()
    line.send({"done": Tests(line, start).report()})


if __name__ == "__main__":
    run_tests()
