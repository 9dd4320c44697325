"""What verifiers that ask a model share: they say which calls they want; somebody else makes them."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Any, ClassVar, TypeAlias

from effortctl._asking import Check
from effortctl._errors import EffortctlError, VerifierError
from effortctl._pricing import GenaiPriceBook, answered, unanswered
from effortctl._types import Answer, Arm, Ask, Reply, Stopped, Task, Verdict, Verify
from effortctl.catalog import resolve
from effortctl.protocols import AnyVerifier, Asking

AskingOnce: TypeAlias = Generator[Ask | AnyVerifier, Reply | Verdict, Reply]


class Asked(ABC):
    """A verifier that asks a model; see `protocols.AskingVerifier`.

    Called on its own, outside a controller, it asks its own backend: once, and under no budget. What
    that cost is in the verdict.
    """

    name: ClassVar[str]
    backend: Any

    @abstractmethod
    def arms(self, makers: Sequence[Arm]) -> Sequence[Arm]:
        """Every arm it may ask about answers of these arms."""

    @abstractmethod
    def ask(self, verify: Verify) -> Asking:
        """Judge an answer, yielding the requests that takes."""

    def __call__(self, task: Task, answer: Answer, /) -> Verdict:
        """Judge an answer through the verifier's own backend.

        Raises:
            VerifierError: It has none, or an async one.
        """
        check = Check(self, Verify(task, answer))
        step = check.advance(None)
        while isinstance(step, Ask):
            step = check.advance(self._reply(step))
        if isinstance(step, Stopped):
            raise step.error
        assert isinstance(step, Verdict)  # noqa: S101 - it asks no other verifier
        return step

    def _reply(self, ask: Ask) -> Reply:
        if ask.backend is None or inspect.iscoroutinefunction(ask.backend.complete):
            raise VerifierError(
                f"{self.name} cannot make a call on its own: run it in a Controller or an "
                "AsyncController, or give it a backend= that is not async",
                verifier=self.name,
            )
        prices = GenaiPriceBook()
        try:
            answer: Answer = ask.backend.complete(ask.call)
        except EffortctlError as error:
            return Reply(None, unanswered(prices, ask.call, error), error=error)
        return Reply(answer, answered(prices, ask.call, [answer]))


def reply_to(ask: Ask) -> AskingOnce:
    """Yield one request and return what became of it."""
    reply = yield ask
    assert isinstance(reply, Reply)  # noqa: S101 - the driver's side of the contract
    return reply


def as_arm(arm: Arm | str) -> Arm:
    """An arm, or the one that `model@effort` names.

    Raises:
        ConfigError: Nothing is known under that name.
    """
    return resolve(arm) if isinstance(arm, str) else arm


def text_of(answer: Answer) -> str:
    """What is judged: the text, or behind a decorated function the value it returned."""
    return answer.text if answer.value is None else str(answer.value)


def why(error: EffortctlError | None) -> str:
    """The fault behind a call without an answer, for `Verdict.error`."""
    return f"{type(error).__name__}: {error}"[:2000]
