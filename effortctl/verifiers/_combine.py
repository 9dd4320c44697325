"""Several verifiers as one, and the boundary behind which a crash becomes a verdict."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from effortctl._asking import arms_asked, asks
from effortctl._errors import ConfigError, EffortctlWarning
from effortctl._types import Answer, Arm, Task, Verdict, VerdictStatus, Verify, total_usd
from effortctl.protocols import AnyVerifier, Asking
from effortctl.verifiers._base import UnreadableVerdictError, check, is_async, to_verdict

Mode = Literal["all_of", "any_of"]


# --- the boundary ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guarded:
    """A verifier that never raises; made by `guarded`."""

    verifier: AnyVerifier
    fail_closed: bool = False
    clock: Callable[[], float] = time.perf_counter

    @property
    def name(self) -> str:
        """The name of the verifier inside."""
        return name_of(self.verifier)

    def __call__(self, task: Task, answer: Answer, /) -> Verdict:
        """Return the verdict, or abstain (fail, when fail-closed) with the exception in `error`."""
        started = self.clock()
        try:
            verdict = to_verdict(self.verifier(task, answer), self.name)
        except Exception as error:  # noqa: BLE001 - a verifier is foreign code: the one boundary
            verdict = self._crashed(error)
        return self._finish(verdict, started)

    def _crashed(self, error: Exception) -> Verdict:
        # What the error says may quote the prompt or the answer, so only its type is told.
        kind = type(error).__name__
        what = f"The check {self.name} raised {kind} and could not tell"
        if not isinstance(error, UnreadableVerdictError | EffortctlWarning):
            fix = "an answer that no check can judge is accepted unless fail_closed=True"
            warnings.warn(f"{what}; {fix}", EffortctlWarning, stacklevel=2)
        text = f"{kind}: {_said(error)}"[:2000]
        return Verdict(status="abstain", verifier=self.name, feedback=f"{what}.", error=text)

    def _finish(self, verdict: Verdict, started: float) -> Verdict:
        update: dict[str, Any] = {}
        if not verdict.latency_s:
            update["latency_s"] = max(0.0, self.clock() - started)
        if self.fail_closed and verdict.error is not None and verdict.status == "abstain":
            update["status"] = "fail"
        return verdict.model_copy(update=update) if update else verdict

    def __repr__(self) -> str:
        closed = ", fail_closed=True" if self.fail_closed else ""
        return f"guarded({self.verifier!r}{closed})"


def _said(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - foreign code, too: an error need not be able to say what it is
        return "(it cannot say what)"


class AsyncGuarded(Guarded):
    """`Guarded` for an async verifier."""

    async def __call__(  # type: ignore[override]  # the same contract, awaited
        self, task: Task, answer: Answer, /
    ) -> Verdict:
        """As `Guarded.__call__`, awaited."""
        started = self.clock()
        try:
            pending: Any = self.verifier(task, answer)
            verdict = to_verdict(await pending, self.name)
        except Exception as error:  # noqa: BLE001 - a verifier is foreign code: the one boundary
            verdict = self._crashed(error)
        return self._finish(verdict, started)


class _AskingGuard(Guarded):
    """What `Guarded` needs for a verifier that asks a model."""

    def arms(self, makers: Sequence[Arm]) -> Sequence[Arm]:
        """See `AskingVerifier.arms`."""
        return arms_asked(self.verifier, makers)

    def ask(self, verify: Verify) -> Asking:
        """See `AskingVerifier.ask`; as guarded as a call."""
        started = self.clock()
        asking: Any = self.verifier
        try:
            verdict = to_verdict((yield from asking.ask(verify)), self.name)
        except Exception as error:  # noqa: BLE001 - a verifier is foreign code: the one boundary
            verdict = self._crashed(error)
        return self._finish(verdict, started)


class AskingGuarded(_AskingGuard):
    """`Guarded` for a verifier that asks a model."""


class AsyncAskingGuarded(_AskingGuard, AsyncGuarded):
    """`Guarded` for a verifier that asks a model, async outside a controller."""


def guarded(
    verifier: AnyVerifier,
    *,
    fail_closed: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> AnyVerifier:
    """Wrap a verifier so that a crash is a warning and a verdict: abstain, with the exception in `error`.

    Args:
        verifier: Any verifier, sync or async.
        fail_closed: Give `fail` instead of `abstain` when it crashes.
        clock: Seconds that only move forward; times the check.
    """
    if isinstance(verifier, Guarded) and verifier.fail_closed == fail_closed:
        return verifier
    kind = _GUARDS[asks(verifier), is_async(verifier)]
    return kind(verifier, fail_closed, clock)


_GUARDS = {
    (False, False): Guarded,
    (False, True): AsyncGuarded,
    (True, False): AskingGuarded,
    (True, True): AsyncAskingGuarded,
}


def name_of(verifier: AnyVerifier) -> str:
    """The verifier's `name`, or the name of its function or class."""
    name = getattr(verifier, "name", None) or getattr(verifier, "__name__", None)
    return name if isinstance(name, str) else type(verifier).__name__


# --- combinations ----------------------------------------------------------------------------------


@dataclass
class _Tally:
    """Adds up verdicts until the outcome is certain."""

    mode: Mode
    name: str
    seen: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> bool:
        """Keep a verdict; return True when no further one can change the outcome."""
        self.seen.append(verdict)
        return verdict.status == self._decisive

    @property
    def _decisive(self) -> Literal["pass", "fail"]:
        return "fail" if self.mode == "all_of" else "pass"

    def result(self) -> Verdict:
        """Combine what was seen: the decisive status, else abstain, else the other one."""
        statuses = {verdict.status for verdict in self.seen}
        status: VerdictStatus = "pass" if self._decisive == "fail" else "fail"
        for stronger in ("abstain", self._decisive):
            if stronger in statuses:
                status = "abstain" if stronger == "abstain" else self._decisive
        return Verdict(
            status=status,
            verifier=self.name,
            feedback=self._feedback(status),
            score=self._score(),
            cost_usd=total_usd(verdict.cost_usd for verdict in self.seen),
            calls=sum(verdict.calls for verdict in self.seen),
            latency_s=sum(verdict.latency_s for verdict in self.seen),
            error=_joined(verdict.error or "" for verdict in self.seen) or None,
        )

    def _feedback(self, status: VerdictStatus) -> str:
        """What is wrong; why some could tell nothing only where that is the result."""
        told = [verdict for verdict in self.seen if status in ("abstain", verdict.status)]
        return "" if status == "pass" else _joined(verdict.feedback for verdict in told)

    def _score(self) -> float | None:
        scores = [verdict.score for verdict in self.seen if verdict.score is not None]
        if not scores:
            return None
        return min(scores) if self.mode == "all_of" else max(scores)


def _joined(texts: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(text for text in texts if text))


@dataclass(frozen=True)
class Combined:
    """Several verifiers as one; made by `all_of` and `any_of`."""

    mode: Mode
    members: tuple[AnyVerifier, ...]

    @property
    def name(self) -> str:
        """`all_of(regex, number)`."""
        return f"{self.mode}({', '.join(name_of(member) for member in self.members)})"

    def __call__(self, task: Task, answer: Answer, /) -> Verdict:
        """Ask the members in order until the outcome is certain."""
        tally = _Tally(self.mode, self.name)
        for member in self.members:
            verdict: Any = guarded(member)(task, answer)
            if tally.add(verdict):
                break
        return tally.result()

    def __repr__(self) -> str:
        return f"{self.mode}({', '.join(map(repr, self.members))})"


class AsyncCombined(Combined):
    """`Combined` with at least one async member."""

    async def __call__(  # type: ignore[override]  # the same contract, awaited
        self, task: Task, answer: Answer, /
    ) -> Verdict:
        """As `Combined.__call__`; sync members run in a thread, so they do not block the loop."""
        tally = _Tally(self.mode, self.name)
        for member in self.members:
            safe: Any = guarded(member)
            pending = (
                safe(task, answer) if is_async(safe) else asyncio.to_thread(safe, task, answer)
            )
            if tally.add(await pending):
                break
        return tally.result()


class _AskingMembers(Combined):
    """What `Combined` needs when a member asks a model: the others are asked for by name."""

    def arms(self, makers: Sequence[Arm]) -> Sequence[Arm]:
        """See `AskingVerifier.arms`."""
        return [arm for member in self.members for arm in arms_asked(member, makers)]

    def ask(self, verify: Verify) -> Asking:
        """See `AskingVerifier.ask`."""
        tally = _Tally(self.mode, self.name)
        for member in self.members:
            safe: Any = guarded(member)
            verdict: Any = (yield from safe.ask(verify)) if asks(safe) else (yield safe)
            if tally.add(verdict):
                break
        return tally.result()


class AskingCombined(_AskingMembers):
    """`Combined` with a member that asks a model."""


class AsyncAskingCombined(_AskingMembers, AsyncCombined):
    """`Combined` with a member that asks a model and an async one."""


_COMBINATIONS = {
    (False, False): Combined,
    (False, True): AsyncCombined,
    (True, False): AskingCombined,
    (True, True): AsyncAskingCombined,
}


def all_of(*verifiers: AnyVerifier | Callable[..., Any]) -> AnyVerifier:
    """Pass when every verifier passes; stop at the first that fails.

    Fail if any fails, else abstain if any abstains (or crashes), else pass. Costs and latencies add
    up. One async member makes the combination async.

    Raises:
        ConfigError: No verifier was given.
    """
    return _combine("all_of", verifiers)


def any_of(*verifiers: AnyVerifier | Callable[..., Any]) -> AnyVerifier:
    """Pass when one verifier passes; stop there.

    Pass if any passes, else abstain if any abstains (or crashes), else fail. Costs and latencies
    add up. One async member makes the combination async.

    Raises:
        ConfigError: No verifier was given.
    """
    return _combine("any_of", verifiers)


def _combine(mode: Mode, verifiers: Sequence[Any]) -> AnyVerifier:
    if not verifiers:
        raise ConfigError(f"{mode}() needs at least one verifier")
    members: list[Any] = []
    for item in verifiers:
        verifier: Any = item if getattr(item, "name", None) else check(item)
        nested = isinstance(verifier, Combined) and verifier.mode == mode
        members.extend(verifier.members if nested else (verifier,))
    if len(members) == 1:
        only: AnyVerifier = members[0]
        return only
    kind = _COMBINATIONS[any(map(asks, members)), any(map(is_async, members))]
    return kind(mode, tuple(members))
