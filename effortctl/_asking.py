"""One check by a verifier that asks a model, without any I/O: what it wants next, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeGuard

from effortctl._errors import BackendError, EffortctlError, UsageError
from effortctl._types import Arm, Ask, Reply, Stopped, Verdict, Verify
from effortctl.protocols import AnyVerifier, Asking, AskingVerifier


def asks(verifier: object) -> TypeGuard[AskingVerifier]:
    """True when the verifier asks a model, so that its calls must be made and paid for."""
    # Checking against the protocol itself takes 26 microseconds, and this is asked for every answer.
    kind = type(verifier)
    return all(callable(getattr(kind, method, None)) for method in ("ask", "arms"))


def arms_asked(verifier: object, makers: Sequence[Arm]) -> Sequence[Arm]:
    """Every arm a verifier may ask about answers of these arms.

    Raises:
        ConfigError: It cannot judge what these arms answer.
    """
    return verifier.arms(makers) if asks(verifier) else ()


@dataclass(slots=True)
class Check:
    """A check on its way through a driver, which does what `advance` returns until it is a verdict.

    Attributes:
        verifier: Who checks.
        verify: What.
        usd: Dollars spent so far.
        calls: Wire requests made so far.
    """

    verifier: AskingVerifier
    verify: Verify
    usd: Decimal = Decimal(0)
    calls: int = 0
    _flow: Asking = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._flow = self.verifier.ask(self.verify)

    def advance(self, result: Reply | Verdict | None) -> Ask | AnyVerifier | Verdict | Stopped:
        """Hand a result to the verifier; return its next wish, or how the check ended."""
        if result is not None:
            self._count(result)
        if isinstance(result, Reply) and _ends_the_task(result.error):
            return self._stop(result.error)
        try:
            return self._flow.send(result)  # type: ignore[arg-type]  # a generator starts with None
        except StopIteration as stop:
            verdict: Verdict = stop.value
        return verdict.model_copy(update={"cost_usd": self.usd, "calls": self.calls})

    def _count(self, result: Reply | Verdict) -> None:
        self.usd += result.cost.usd if isinstance(result, Reply) else result.cost_usd
        self.calls += result.calls

    def _stop(self, error: EffortctlError) -> Stopped:
        self._flow.close()
        verdict = Verdict(
            status="abstain",
            verifier=self.verifier.name,
            error=f"{type(error).__name__}: {error}"[:2000],
            cost_usd=self.usd,
            calls=self.calls,
        )
        return Stopped(verdict, error)


def _ends_the_task(error: EffortctlError | None) -> TypeGuard[EffortctlError]:
    """A fault of the endpoint says nothing about the answer; anything else nobody may ignore."""
    return error is not None and not isinstance(error, BackendError | UsageError)
