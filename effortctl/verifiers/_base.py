"""What every verifier shares: a name, a repr, a verdict; and how a plain function becomes one."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, TypeGuard

from effortctl._errors import ConfigError, EffortctlWarning, VerifierError
from effortctl._types import Answer, Task, Verdict
from effortctl.protocols import AnyVerifier, AsyncVerifier

# Markup may open before the label and close right behind it, or only at the end of the answer.
_LABEL = re.compile(
    r"(?P<open>[*`]{0,3}|_{0,3})(?:(?<![^\W_])answer[*_`]{0,3}\s*[:=](?:[*_`]{1,3}(?=\s))?|####)",
    re.IGNORECASE,
)


class BuiltIn(ABC):
    """A verifier whose check is one method that says what is wrong, or nothing.

    Subclasses are frozen dataclasses, so they compare, hash and pickle by their settings.
    """

    name: ClassVar[str]

    @abstractmethod
    def problem(self, answer: Answer) -> str | None:
        """Return what is wrong in words a model can use, never the reference; None when right."""

    def __call__(self, task: Task, answer: Answer, /) -> Verdict:  # noqa: ARG002 - part of the protocol
        """Return pass when there is no problem, otherwise fail with the problem as feedback."""
        feedback = self.problem(answer)
        if feedback is None:
            return Verdict(status="pass", verifier=self.name)
        return Verdict(status="fail", verifier=self.name, feedback=feedback)

    def __repr__(self) -> str:
        """Show the call that makes this verifier, leaving out settings at their default."""
        return f"{self.name}({', '.join(_shown_fields(self))})"


def _shown_fields(verifier: Any) -> list[str]:
    shown = []
    for field in dataclasses.fields(verifier):
        value = getattr(verifier, field.name)
        if field.repr and value != field.default:
            shown.append(f"{field.name}={value!r}")
    return shown


def final_answer(text: str) -> str:
    """The text after the last `Answer:` label (or `####`), or the whole text without one.

    A label at the very end, with nothing behind it, is no label.
    """
    for match in reversed(list(_LABEL.finditer(text))):
        tail = text[match.end() :].strip()
        opened = match["open"]
        if opened and tail.endswith(opened) and tail.count(opened) == 1:
            tail = tail.removesuffix(opened).rstrip()
        if tail:
            return tail
    return text.strip()


def is_async(verifier: object) -> TypeGuard[AsyncVerifier]:
    """True when calling the verifier gives an awaitable, so the caller must await it."""
    while isinstance(verifier, functools.partial):
        verifier = verifier.func
    return inspect.iscoroutinefunction(verifier) or inspect.iscoroutinefunction(
        getattr(type(verifier), "__call__", None)  # noqa: B004 - the method itself is inspected
    )


# --- functions -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FunctionVerifier:
    """A user's function as a verifier; made by `check`."""

    fn: Callable[..., Any]
    name: str
    takes_task: bool

    def __call__(self, task: Task, answer: Answer, /) -> Verdict:
        """Call the function and turn what it returns into a verdict."""
        return to_verdict(self._call(task, answer), self.name)

    def _call(self, task: Task, answer: Answer) -> Any:
        if self.takes_task:
            return self.fn(task, answer)
        return self.fn(answer.text if answer.value is None else answer.value)

    def __repr__(self) -> str:
        return f"check({self.name})"


class AsyncFunctionVerifier(FunctionVerifier):
    """A user's coroutine function as a verifier; made by `check`."""

    async def __call__(  # type: ignore[override]  # the same contract, awaited
        self, task: Task, answer: Answer, /
    ) -> Verdict:
        """As `FunctionVerifier.__call__`, awaited."""
        return to_verdict(await self._call(task, answer), self.name)


def check(fn: Callable[..., Any], *, name: str | None = None) -> AnyVerifier:
    """Turn any function into a verifier.

    Args:
        fn: Takes the answer, or the task and the answer. The answer comes as its text (or, behind a
            decorated function that does not return text, as the value that function returned) when
            it is the only required argument, and as an `Answer` after a `Task`. Returns a bool, a
            `Verdict`, or `(bool, feedback)`. May be `async`.
        name: Name in verdicts and traces. Default: the function's own.

    Raises:
        ConfigError: `fn` cannot be called with one or two positional arguments.
    """
    if not callable(fn):
        raise ConfigError(f"check() needs a function of (answer) or (task, answer), got {fn!r}")
    kind = AsyncFunctionVerifier if is_async(fn) else FunctionVerifier
    return kind(fn, name or _name_of(fn), _takes_task(fn))


def _name_of(fn: Callable[..., Any]) -> str:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return getattr(fn, "__name__", None) or type(fn).__name__


def _takes_task(fn: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(fn)
    except ValueError:
        # Some C functions have no signature; those that judge a value take just that value.
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = signature.parameters.values()
    required = sum(p.kind in positional and p.default is p.empty for p in parameters)
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    both = required >= 2 or (required == 0 and variadic)
    arguments = (None, None) if both else (None,)
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise ConfigError(
            f"a check must take (answer) or (task, answer); {_name_of(fn)}{signature} does not"
        ) from error
    return both


class UnreadableVerdictError(VerifierError):
    """What a check returned is no verdict; a warning has said so already."""


def to_verdict(value: Any, name: str) -> Verdict:
    """Read what a foreign check returned.

    Raises:
        UnreadableVerdictError: It is neither a bool, nor a Verdict, nor `(bool, feedback)`.

    Warns:
        EffortctlWarning: The same.
    """
    if isinstance(value, Verdict):
        return value if value.verifier else value.model_copy(update={"verifier": name})
    match _plain(value):  # an array without a dimension counts as a sequence, but has no length
        case (says, str() as feedback):
            passed = _plain(says)
        case passed:
            feedback = ""
    if isinstance(passed, bool):
        return Verdict(
            status="pass" if passed else "fail", verifier=name, feedback="" if passed else feedback
        )
    if asyncio.iscoroutine(value):
        _close(value)
        hint = "it returned a coroutine; write it as `async def`"
    else:
        hint = f"it returned {type(value).__name__}; return a bool, a Verdict or (bool, feedback)"
    what = f"the check {name} cannot be read: {hint}"
    # Not a crash that may never come back: it is like this for every answer that takes the same path.
    warnings.warn(f"{what}; until then it counts as unable to tell", EffortctlWarning, stacklevel=2)
    raise UnreadableVerdictError(what, verifier=name)


def _plain(value: Any) -> Any:
    """The value in the box, if it is a scalar of NumPy or another array library."""
    return value.item() if getattr(value, "shape", None) == () else value


def _close(coroutine: Coroutine[Any, Any, Any]) -> None:
    coroutine.close()
