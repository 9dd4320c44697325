"""A function the user wrote, as a backend: what it is given, what it did, and what that cost."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from effortctl._errors import ConfigError, EffortctlError, TransientBackendError
from effortctl._pricing import total_usage
from effortctl._types import Answer, Call, Effort
from effortctl.backends import answer_from, fault_from

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
    def timeout_s(self) -> float | None:
        """Seconds left for this call, for the client's `timeout`; None without a deadline."""
        return self.call.timeout_s

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


class _Call:
    """One call of the user's function: what it is given, and what it turned out to be."""

    def __init__(self, call: Call) -> None:
        self._began = time.monotonic()
        self._started_at = datetime.now(UTC)
        self._time_s: float | None = None
        self._recorded: list[Answer] = []
        self.arm = ChosenArm(call, self._recorded)

    def answer(self, value: object) -> Answer:
        """The function's result, with the usage of everything it recorded.

        Raises:
            ConfigError: It is a coroutine, so the function has not done its work yet.
        """
        if inspect.iscoroutine(value):
            value.close()
            raise ConfigError(
                "the decorated function returned a coroutine, which nobody would check or pay for; "
                "decorate an `async def` function"
            )
        last = self._recorded[-1] if self._recorded else None
        return Answer(
            text=value if isinstance(value, str) else "",
            value=None if type(value) is str else value,
            finish=last.finish if last else "complete",
            usage=total_usage(self._recorded),
            latency_s=self._took_s(),
            started_at=self._started_at,
            model=last.model if last else None,
            service_tier=last.service_tier if last else None,
            request_id=last.request_id if last else None,
        )

    def requests(self) -> tuple[Answer, ...]:
        """Each recorded response on its own; the last has the time of the whole call."""
        if not self._recorded:
            return ()
        *others, last = (
            answer.model_copy(update={"started_at": self._started_at}) for answer in self._recorded
        )
        return (*others, last.model_copy(update={"latency_s": self._took_s()}))

    def _took_s(self) -> float:
        if self._time_s is None:
            self._time_s = time.monotonic() - self._began
        return self._time_s


class _Reporting:
    """What both backends around a user's function share: the requests of the last call, for the books."""

    _requests: tuple[Answer, ...] = ()

    def take_reported(self) -> tuple[Answer, ...]:
        """What the function recorded in its last call; only once."""
        taken, self._requests = self._requests, ()
        return taken


class FunctionBackend(_Reporting):
    """A backend that answers by calling the user's function."""

    def __init__(self, fn: Callable[[ChosenArm], Any]) -> None:
        self._fn = fn

    def complete(self, call: Call) -> Answer:
        """Call the function; faults of the client it uses become ours, its own pass through."""
        this = _Call(call)
        try:
            value = self._fn(this.arm)
        except Exception as error:  # noqa: BLE001 - the boundary to the user's function; its own pass on
            meaning = _meaning(error, call)
        else:
            return this.answer(value)
        finally:
            self._requests = this.requests()
        return _answer_or_raise(meaning)


class AsyncFunctionBackend(_Reporting):
    """`FunctionBackend` for asyncio."""

    def __init__(self, fn: Callable[[ChosenArm], Awaitable[Any]]) -> None:
        self._fn = fn

    async def complete(self, call: Call) -> Answer:
        """As `FunctionBackend.complete`; the function is cancelled when the time for the call is over."""
        this = _Call(call)
        limit = asyncio.timeout(call.timeout_s)
        try:
            async with limit:
                value = await self._fn(this.arm)
        except Exception as error:  # noqa: BLE001 - the boundary to the user's function; its own pass on
            meaning = _too_late(call) if limit.expired() else _meaning(error, call)
        else:
            return this.answer(value)
        finally:
            self._requests = this.requests()
        return _answer_or_raise(meaning)


def _too_late(call: Call) -> TransientBackendError:
    return TransientBackendError(
        f"{call.arm.name}: the function did not finish within {call.timeout_s:.3g} s",
        arm=call.arm.name,
        kind="timeout",
        billed=True,
    )


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
