"""`@adaptive`: the escalation loop around a function the user wrote.

The function's first argument (after `self`) is the chosen arm; what it returns is the answer. The rest
of its signature, and the types of its arguments and result, are kept.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

from effortctl._controller import AsyncController, Controller
from effortctl._driver import LadderLike
from effortctl._errors import ConfigError, EffortctlError, NotAcceptedError
from effortctl._types import Answer, Call, Effort, Finish, Outcome, Task, Usage
from effortctl.backends import answer_from, fault_from

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
ResponseT = TypeVar("ResponseT")


@dataclass(slots=True)
class ChosenArm:
    """The arm a decorated function is to use, and where it reports what the call cost.

    Attributes:
        call: The call the loop asks for.
    """

    call: Call
    _answers: list[Answer] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name of the arm."""
        return self.call.arm.name

    @property
    def model(self) -> str:
        """Model id to ask for."""
        return self.call.arm.model

    @property
    def effort(self) -> Effort:
        """Effort to ask for."""
        return self.call.arm.sent_effort

    @property
    def feedback(self) -> str | None:
        """Why the previous answer was not accepted, with a request to correct it; None at first."""
        extra = self.call.messages[len(self.call.task.messages) :]
        return extra[-1].text if extra else None

    def responses_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for `client.responses.create`: model, effort and output cap."""
        cap = {"max_output_tokens": self.call.max_output_tokens}
        return self.call.arm.responses_kwargs() | cap | self._resampling()

    def chat_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for `client.chat.completions.create`: model, effort and output cap."""
        cap = {self.call.arm.endpoint.max_tokens_field: self.call.max_output_tokens}
        return self.call.arm.chat_kwargs() | cap | self._resampling()

    def _resampling(self) -> dict[str, Any]:
        temperature = self.call.arm.resample_temperature
        if self.call.sample_index == 0 or temperature is None:
            return {}
        return {"temperature": temperature}

    def record(self, response: ResponseT) -> ResponseT:
        """Report a response, so that its exact cost is booked; returns it unchanged.

        Call it once for every response the function receives. A function that records nothing, or a
        response without usage, is charged at the worst case of one call.

        Raises:
            UsageError: It is not a response, or its token counts make no sense.
        """
        self._answers.append(answer_from(response, self.call, now=datetime.now(UTC)))
        return response

    def answer(self, value: object, *, latency_s: float, started_at: datetime) -> Answer:
        """The function's result, with the usage of everything it recorded."""
        known = [answer.usage for answer in self._answers if answer.usage is not None]
        complete = bool(known) and len(known) == len(self._answers)
        last = self._answers[-1] if self._answers else None
        return Answer(
            text=value if isinstance(value, str) else "",
            value=None if type(value) is str else value,
            finish=_finish(self._answers),
            usage=functools.reduce(Usage.__add__, known) if complete else None,
            latency_s=latency_s,
            started_at=started_at,
            model=last.model if last else None,
            service_tier=last.service_tier if last else None,
            request_id=last.request_id if last else None,
        )


def _finish(answers: list[Answer]) -> Finish:
    """How the last of the recorded responses ended; the function's result rests on it."""
    return answers[-1].finish if answers else "complete"


class _Function:
    """A backend that answers by calling the user's function."""

    def __init__(self, fn: Callable[[ChosenArm], Any]) -> None:
        self._fn = fn

    def complete(self, call: Call) -> Answer:
        """Call the function; faults of the client it uses become ours, its own pass through."""
        arm, began, started_at = ChosenArm(call), time.monotonic(), datetime.now(UTC)
        try:
            value = self._fn(arm)
        except Exception as error:  # noqa: BLE001 - the boundary to the user's function; its own pass on
            meaning = _meaning(error, call)
        else:
            return arm.answer(value, latency_s=time.monotonic() - began, started_at=started_at)
        return _answer_or_raise(meaning)


class _AsyncFunction:
    """`_Function` for asyncio."""

    def __init__(self, fn: Callable[[ChosenArm], Awaitable[Any]]) -> None:
        self._fn = fn

    async def complete(self, call: Call) -> Answer:
        """As `_Function.complete`."""
        arm, began, started_at = ChosenArm(call), time.monotonic(), datetime.now(UTC)
        try:
            value = await self._fn(arm)
        except Exception as error:  # noqa: BLE001 - the boundary to the user's function; its own pass on
            meaning = _meaning(error, call)
        else:
            return arm.answer(value, latency_s=time.monotonic() - began, started_at=started_at)
        return _answer_or_raise(meaning)


def _meaning(error: Exception, call: Call) -> Answer | EffortctlError:
    meaning = fault_from(error, call, now=datetime.now(UTC))
    if meaning is None:
        raise error
    return meaning


def _answer_or_raise(meaning: Answer | EffortctlError) -> Answer:
    # Raised outside the except block: the client's own error, which holds key and prompt, must not
    # travel along as the context of ours.
    if isinstance(meaning, Answer):
        return meaning
    raise meaning


class _Adapted(Generic[P, T]):
    """What sync and async adapted functions share."""

    def __init__(self, fn: Callable[..., Any], controller: Controller | AsyncController) -> None:
        functools.update_wrapper(cast("Any", self), fn)
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
        backend = _Function(self._bind(args, kwargs))
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
        backend = _AsyncFunction(self._bind(args, kwargs))
        return await self.controller.run_with(backend, self._task(args, kwargs))

    def with_options(self, **options: Any) -> AsyncAdaptive[P, T]:
        """As `Adaptive.with_options`."""
        return AsyncAdaptive(self._fn, self.controller.with_options(**options))


class AdaptiveMethod(Generic[S, P, T]):
    """A method whose model and effort are chosen per call; on an instance it is an `Adaptive`."""

    def __init__(self, fn: Callable[..., T], controller: Controller) -> None:
        functools.update_wrapper(cast("Any", self), fn)
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


class AsyncAdaptiveMethod(Generic[S, P, T]):
    """`AdaptiveMethod` for coroutine functions."""

    def __init__(self, fn: Callable[..., Awaitable[T]], controller: AsyncController) -> None:
        functools.update_wrapper(cast("Any", self), fn)
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


def _after_self(fn: Callable[..., Any], instance: object) -> Callable[..., Any]:
    """The function with its instance filled in, so that the arm comes first."""

    @functools.wraps(fn)
    def bound(arm: ChosenArm, *args: Any, **kwargs: Any) -> Any:
        return fn(instance, arm, *args, **kwargs)

    return bound


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
        is_method = _takes_self(fn)
        if inspect.iscoroutinefunction(fn):
            make: Any = AsyncAdaptiveMethod if is_method else AsyncAdaptive
            return make(fn, AsyncController(ladder, **options))
        make = AdaptiveMethod if is_method else Adaptive
        return make(fn, Controller(ladder, **options))

    return cast("_Adapter", adapt)


def _takes_self(fn: Callable[..., Any]) -> bool:
    """True for a method: its first parameter is `self` or `cls`."""
    names = list(inspect.signature(fn).parameters)
    if not names:
        raise ConfigError(
            f"{getattr(fn, '__name__', fn)!r} takes no argument; its first one must be the chosen arm"
        )
    return names[0] in {"self", "cls"}
