"""Functions and methods whose model and effort are chosen per call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

from effortctl._controller import AsyncController, Controller
from effortctl._decorator._function import AsyncFunctionBackend, ChosenArm, FunctionBackend
from effortctl._driver import LadderLike
from effortctl._errors import ConfigError, NotAcceptedError
from effortctl._types import Outcome, Task

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


class _Adapted(Generic[P, T]):
    """What sync and async adapted functions share."""

    def __init__(self, fn: Callable[..., Any], controller: Controller | AsyncController) -> None:
        functools.update_wrapper(cast("Any", self), fn)
        self.__signature__ = _without(inspect.signature(fn), 0)
        self._fn = fn
        self.controller = controller

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[ChosenArm], Any]:
        return lambda arm: self._fn(arm, *args, **kwargs)

    def _task(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task:
        """The texts among the arguments: all that is known of the task before the call."""
        texts = [value for value in (*args, *kwargs.values()) if isinstance(value, str)]
        return Task(input="\n".join(texts), category=getattr(self._fn, "__name__", None))


class Adaptive(_Adapted[P, T]):
    """A function whose model and effort are chosen per call. Made by `adaptive`.

    Attributes:
        controller: Runs the calls; shared by all bindings of a method.
    """

    controller: Controller

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function until its result is accepted; return the result.

        Raises:
            NotAcceptedError: No result was accepted; `.best` holds the closest attempt.
            EffortctlError: As `Controller.run`.
        """
        return _accepted(self.run(*args, **kwargs))

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
        """As calling it, but return the whole outcome, accepted or not."""
        backend = FunctionBackend(self._bind(args, kwargs))
        return self.controller.run_with(backend, self._task(args, kwargs))

    def with_options(self, **options: Any) -> Adaptive[P, T]:
        """A copy with some options of `adaptive` replaced, e.g. `with_options(budget="$1")`."""
        return Adaptive(self._fn, self.controller.with_options(**options))


class AsyncAdaptive(_Adapted[P, T]):
    """`Adaptive` for coroutine functions."""

    controller: AsyncController

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Adaptive.__call__`."""
        return _accepted(await self.run(*args, **kwargs))

    async def run(self, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
        """As `Adaptive.run`."""
        backend = AsyncFunctionBackend(self._bind(args, kwargs))
        return await self.controller.run_with(backend, self._task(args, kwargs))

    def with_options(self, **options: Any) -> AsyncAdaptive[P, T]:
        """As `Adaptive.with_options`."""
        return AsyncAdaptive(self._fn, self.controller.with_options(**options))


class AdaptiveMethod(Generic[S, P, T]):
    """A method whose model and effort are chosen per call; on an instance it is an `Adaptive`."""

    def __init__(self, fn: Callable[..., T], controller: Controller) -> None:
        functools.update_wrapper(cast("Any", self), fn)
        self.__signature__ = _without(inspect.signature(fn), 1)
        self._fn = fn
        self._controller = controller

    @overload
    def __get__(self, instance: None, owner: type[S]) -> Self: ...
    @overload
    def __get__(self, instance: S, owner: type[S] | None = None) -> Adaptive[P, T]: ...
    def __get__(self, instance: S | None, owner: type[S] | None = None) -> Self | Adaptive[P, T]:
        if instance is None:
            return self
        return Adaptive(_after_self(self._fn, instance), self._controller)

    def __call__(self, instance: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The method called on its class: `Base.ask(self, …)`."""
        return self.__get__(instance)(*args, **kwargs)


class AsyncAdaptiveMethod(Generic[S, P, T]):
    """`AdaptiveMethod` for coroutine functions."""

    def __init__(self, fn: Callable[..., Awaitable[T]], controller: AsyncController) -> None:
        functools.update_wrapper(cast("Any", self), fn)
        self.__signature__ = _without(inspect.signature(fn), 1)
        self._fn = fn
        self._controller = controller

    @overload
    def __get__(self, instance: None, owner: type[S]) -> Self: ...
    @overload
    def __get__(self, instance: S, owner: type[S] | None = None) -> AsyncAdaptive[P, T]: ...
    def __get__(
        self, instance: S | None, owner: type[S] | None = None
    ) -> Self | AsyncAdaptive[P, T]:
        if instance is None:
            return self
        return AsyncAdaptive(_after_self(self._fn, instance), self._controller)

    async def __call__(self, instance: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `AdaptiveMethod.__call__`."""
        return await self.__get__(instance)(*args, **kwargs)


def _after_self(fn: Callable[..., Any], instance: object) -> Callable[..., Any]:
    """The function with its instance filled in, so that the arm comes first."""

    @functools.wraps(fn)
    def bound(arm: ChosenArm, *args: Any, **kwargs: Any) -> Any:
        return fn(instance, arm, *args, **kwargs)

    cast("Any", bound).__signature__ = _without(inspect.signature(fn), 0)
    return bound


def _without(signature: inspect.Signature, index: int) -> inspect.Signature:
    """The signature as callers see it: without the arm, which frameworks would ask them for."""
    parameters = list(signature.parameters.values())
    if index < len(parameters) and parameters[index].kind is not inspect.Parameter.VAR_POSITIONAL:
        del parameters[index]
    return signature.replace(parameters=parameters)


def _accepted(outcome: Outcome[T]) -> T:
    if outcome.accepted:
        return cast("T", outcome.value)
    trace, best = outcome.trace, outcome.trace.best
    why = best.verdict.feedback if best and best.verdict else ""
    raise NotAcceptedError(
        f"no answer was accepted ({trace.outcome}) after {len(trace.attempts)} attempts and "
        f"${trace.cost_usd}; the last check said: {why or 'nothing'}",
        best=best,
        trace=trace,
    )


class _Adapter(Protocol):
    """What `adaptive(...)` returns: apply it to a function or a method, sync or async.

    The overloads overlap on paper, because a coroutine is also some `T`; the first that fits is meant.
    """

    @overload
    def __call__(  # type: ignore[overload-overlap]  # see the docstring
        self, fn: Callable[Concatenate[ChosenArm, P], Coroutine[Any, Any, T]], /
    ) -> AsyncAdaptive[P, T]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[ChosenArm, P], T], /) -> Adaptive[P, T]: ...  # type: ignore[overload-overlap]  # see the docstring
    @overload
    def __call__(  # type: ignore[overload-overlap]  # see the docstring
        self, fn: Callable[Concatenate[S, ChosenArm, P], Coroutine[Any, Any, T]], /
    ) -> AsyncAdaptiveMethod[S, P, T]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[S, ChosenArm, P], T], /
    ) -> AdaptiveMethod[S, P, T]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Any:
        """Adapt the function."""


def adaptive(ladder: LadderLike, **options: Any) -> _Adapter:
    """Let effortctl choose model and effort for each call of your own function.

    The function's first argument (after `self`) receives the chosen arm. Put it into the request with
    `arm.responses_kwargs()` or `arm.chat_kwargs()`, and report the reply with `arm.record(response)`, so
    that its exact cost is known.

    Args:
        ladder: Name of a ladder, path of a ladder file, or arms.
        **options: As for `Controller`: `verify`, `budget`, `deadline_s`, `policy`, `ledger`, ….

    Returns:
        A decorator. Calling the decorated function returns what the function returns, once a result is
        accepted; `.run(...)` returns the whole `Outcome`; `.with_options(...)` gives a variant.

    Raises:
        ConfigError: At decoration, when the ladder or an option makes no sense.

    Example:
        ```python
        @adaptive("openai", verify=is_valid_sql, budget="$0.05")
        def ask(arm: ChosenArm, question: str) -> str:
            reply = client.responses.create(input=question, **arm.responses_kwargs())
            return arm.record(reply).output_text
        ```
    """

    def adapt(fn: Callable[..., Any], /) -> Any:
        _refuse_generators(fn)
        is_method = _takes_self(fn)
        if inspect.iscoroutinefunction(fn):
            make: Any = AsyncAdaptiveMethod if is_method else AsyncAdaptive
            return make(fn, AsyncController(ladder, **options))
        make = AdaptiveMethod if is_method else Adaptive
        return make(fn, Controller(ladder, **options))

    return cast("_Adapter", adapt)


def _refuse_generators(fn: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise ConfigError(
            f"{getattr(fn, '__name__', fn)!r} is a generator: it returns before it has asked anybody, so "
            "there is nothing to check or to pay for; return the whole answer instead"
        )


def _takes_self(fn: Callable[..., Any]) -> bool:
    """True for a method: its first parameter is `self` or `cls`."""
    names = list(inspect.signature(fn).parameters)
    if not names:
        raise ConfigError(
            f"{getattr(fn, '__name__', fn)!r} takes no argument; its first one must be the chosen arm"
        )
    return names[0] in {"self", "cls"}
