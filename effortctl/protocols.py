"""Every seam of effortctl on one page. Implement one method and pass the object in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from decimal import Decimal
from typing import Protocol, TypeAlias, runtime_checkable

from effortctl._types import (
    Answer,
    Arm,
    Ask,
    Budget,
    Call,
    Cost,
    Estimate,
    Reply,
    Situation,
    Task,
    Trace,
    Verdict,
    Verify,
)


@runtime_checkable
class Backend(Protocol):
    """Makes one call, once. No retry, no cache, no accounting: its driver does those."""

    def complete(self, call: Call) -> Answer:
        """Return what the arm replied.

        Raises:
            TransientBackendError: The same call may work later.
            BackendError: Repeating the call is pointless.
        """
        ...


@runtime_checkable
class AsyncBackend(Protocol):
    """`Backend` for asyncio."""

    async def complete(self, call: Call) -> Answer:
        """As `Backend.complete`."""
        ...


class Verifier(Protocol):
    """Decides whether an answer is good enough, without knowing the reference answer.

    Any function of this shape is a verifier; one that returns bool is turned into one with
    `effortctl.verifiers.check`.
    """

    def __call__(self, task: Task, answer: Answer, /) -> Verdict:
        """Return the verdict. Raising means abstain, not fail."""
        ...


class AsyncVerifier(Protocol):
    """`Verifier` for asyncio."""

    async def __call__(self, task: Task, answer: Answer, /) -> Verdict:
        """As `Verifier.__call__`."""
        ...


AnyVerifier: TypeAlias = Verifier | AsyncVerifier


Asking: TypeAlias = Generator[Ask | AnyVerifier, Reply | Verdict, Verdict]
"""One check, as a generator of what it wants done next."""


@runtime_checkable
class AskingVerifier(Protocol):
    """A verifier that asks a model. Inside a controller it makes no call itself.

    It says which calls it wants, and the controller makes them like its own: reserved under the
    budget before, booked after, retried, within the deadline, visible in the trace.
    """

    @property
    def name(self) -> str:
        """Short name, written into every verdict."""
        ...

    def arms(self, makers: Sequence[Arm]) -> Sequence[Arm]:
        """Every arm it may ask about answers of these arms; known before the first dollar is spent.

        Raises:
            ConfigError: It cannot judge what these arms answer.
        """
        ...

    def ask(self, verify: Verify) -> Asking:
        """Judge an answer: yield a request (send back the `Reply`) or another verifier (the `Verdict`).

        The verdict it returns need not say what it cost; whoever makes the calls knows.
        """
        ...


VerifierLike: TypeAlias = Callable[..., "Verdict | bool | Awaitable[Verdict | bool]"]
"""What `verify=` accepts: a Verifier, or any function of (answer text) or (task, answer)."""


class Estimator(Protocol):
    """Predicts quality and cost of each arm on a task, before any call."""

    def estimate(self, task: Task, arms: Sequence[Arm]) -> Mapping[str, Estimate]:
        """Return one estimate per arm name; arms it knows nothing about may be missing."""
        ...


class Policy(Protocol):
    """Chooses the next arm, or stops."""

    @property
    def name(self) -> str:
        """Short name, written into every trace."""
        ...

    def choose(self, situation: Situation) -> Arm | None:
        """Return one of `situation.arms`, or None to stop."""
        ...


@runtime_checkable
class WeighingPolicy(Policy, Protocol):
    """A policy that can also tell which of the answers seen is most likely correct.

    Optional: the loop asks a policy for this only if it has both members.
    """

    @property
    def compares(self) -> bool:
        """Is a complete answer that nothing checks evidence, rather than the end of the task?

        If so, the policy is asked again after each of them.
        """
        ...

    def best(self, situation: Situation) -> str | None:
        """Name the arm whose answer to return when no check passed one; None: no opinion."""
        ...


class PriceBook(Protocol):
    """Knows what calls cost."""

    def cost(self, arm: Arm, answer: Answer) -> Cost:
        """Dollars of an answer.

        Raises:
            UnknownPriceError: The model's price is not known.
            UsageError: The token counts make no sense.
        """
        ...

    def worst_case(self, call: Call) -> Cost:
        """Upper bound of what a call can cost.

        Raises:
            UnknownPriceError: The model's price is not known.
        """
        ...


class Ledger(Protocol):
    """Keeps money: reserves the worst case before a call, settles the real cost after it."""

    def reserve(
        self,
        needed: Decimal,
        *,
        budgets: Sequence[Budget],
        trace_id: str,
        wait_s: float | None = None,
    ) -> str:
        """Set dollars aside under every budget, atomically; return a reservation id.

        May wait for other callers' settlements, but no longer than `wait_s`.

        Raises:
            BudgetExceededError: Some budget cannot hold it.
            StoreError: The ledger cannot be read or written; no call must be made.
        """
        ...

    async def areserve(
        self,
        needed: Decimal,
        *,
        budgets: Sequence[Budget],
        trace_id: str,
        wait_s: float | None = None,
    ) -> str:
        """`reserve` for asyncio, without blocking the event loop."""
        ...

    def settle(self, reservation: str, cost: Cost, *, row: Mapping[str, object]) -> None:
        """Replace a reservation by what was really spent; `row` is kept for the record."""
        ...


class Cache(Protocol):
    """Keeps complete, accepted answers."""

    def get(self, key: str) -> Answer | None:
        """Return the stored answer, or None. Never raises for a damaged store: that is a miss."""
        ...

    def set(self, key: str, answer: Answer) -> None:
        """Store an answer. A failure is a warning, never an error."""
        ...


class TraceSink(Protocol):
    """Receives finished traces."""

    def write(self, trace: Trace) -> None:
        """Keep one trace."""
        ...
