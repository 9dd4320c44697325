"""Fakes for the seams: backends that follow a script, a clock that never waits, a scripted verifier."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from effortctl._types import Answer, Call, Finish, Task, Usage, Verdict, VerdictStatus
from effortctl.testing._script import Script

DEFAULT_USAGE = Usage(input_tokens=100, output_tokens=20, reasoning_tokens=0)
"""Usage of scripted answers that name none: round numbers, so that costs are easy to check by hand."""

AnswerItem: TypeAlias = str | Answer | BaseException
"""One scripted answer: text, a whole Answer, or an exception to raise."""

AnswerScript: TypeAlias = (
    AnswerItem
    | Sequence[AnswerItem]
    | Mapping[str, AnswerItem]
    | Mapping[str, Sequence[AnswerItem]]
    | Mapping[str, AnswerItem | Sequence[AnswerItem]]
    | Callable[[Call], AnswerItem]
)

VerdictItem: TypeAlias = bool | str | Verdict | BaseException
"""One scripted verdict: True or False, a status, a whole Verdict, or an exception to raise."""

VerdictScript: TypeAlias = (
    VerdictItem
    | Sequence[VerdictItem]
    | Mapping[str, VerdictItem]
    | Callable[[Task, Answer], VerdictItem]
)


def answer(
    text: str,
    *,
    finish: Finish = "complete",
    usage: Usage | None = DEFAULT_USAGE,
    model: str | None = None,
    latency_s: float = 0.0,
) -> Answer:
    """Build an `Answer` with 100 input and 20 output tokens, unless told otherwise."""
    return Answer(text=text, finish=finish, usage=usage, model=model, latency_s=latency_s)


class FakeClock:
    """A clock that moves only when told to, and remembers every sleep.

    Pass `clock.monotonic`, `clock.sleep`, `clock.asleep` and `clock.now` where the real ones would go.

    Args:
        start_s: First reading of the monotonic clock, in seconds.
        now: First reading of the wall clock, in UTC.

    Attributes:
        sleeps: Seconds of every sleep, in order.
    """

    def __init__(self, start_s: float = 1000.0, *, now: datetime | None = None) -> None:
        self._start_s = start_s
        self._elapsed_s = 0.0
        self._now = now or datetime(2026, 1, 1, tzinfo=UTC)
        self._lock = threading.Lock()
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        """Seconds, like `time.monotonic`."""
        return self._start_s + self._elapsed_s

    __call__ = monotonic

    def now(self) -> datetime:
        """Wall-clock time in UTC; moves together with the monotonic clock."""
        return self._now + timedelta(seconds=self._elapsed_s)

    def time(self) -> float:
        """Seconds since the epoch, like `time.time`."""
        return self.now().timestamp()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if seconds < 0:
            raise ValueError(f"time cannot pass backwards: {seconds} s")
        with self._lock:
            self._elapsed_s += seconds

    def sleep(self, seconds: float) -> None:
        """Record the sleep and let its time pass at once."""
        self.advance(seconds)
        self.sleeps.append(seconds)

    async def asleep(self, seconds: float) -> None:
        """As `sleep`, for asyncio; other tasks get their turn."""
        self.sleep(seconds)
        await asyncio.sleep(0)


class _ScriptedAnswers:
    """What both fake backends share: the script, the record of calls and the pretended latency."""

    def __init__(
        self, script: AnswerScript, *, clock: FakeClock | None = None, latency_s: float = 0.0
    ) -> None:
        self._script: Script[AnswerItem] = Script(
            script, atoms=(str, Answer, BaseException), owner=type(self).__name__
        )
        self._clock = clock
        self._latency_s = latency_s
        self.calls: list[Call] = []

    def _play(self, call: Call) -> Answer:
        self.calls.append(call)
        item = self._script.next(call.arm.name, call)
        if self._clock is not None:
            self._clock.advance(self._latency_s)
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Answer):
            return item
        return answer(item, model=call.arm.model, latency_s=self._latency_s)


class FakeBackend(_ScriptedAnswers):
    """A `Backend` that answers from a script. Safe to share between threads.

    Args:
        script: One answer for every call; a sequence used in call order; a mapping from arm name to
            either; or a function of the `Call`. An answer is text, an `Answer`, or an exception to
            raise. A sequence that runs out raises AssertionError.
        clock: Advanced by `latency_s` on each call.
        latency_s: Seconds each call pretends to take.

    Attributes:
        calls: Every `Call` received, in order.

    Example:
        >>> backend = FakeBackend({"small": "41", "large": "42"})
    """

    def complete(self, call: Call) -> Answer:
        """Return or raise what the script says."""
        return self._play(call)


class AsyncFakeBackend(_ScriptedAnswers):
    """`FakeBackend` for asyncio; every call lets other tasks run once before it answers.

    Args:
        script: As for `FakeBackend`.
        clock: As for `FakeBackend`.
        latency_s: As for `FakeBackend`.

    Attributes:
        calls: Every `Call` received, in order.
    """

    async def complete(self, call: Call) -> Answer:
        """Return or raise what the script says."""
        await asyncio.sleep(0)
        return self._play(call)


class ScriptedVerifier:
    """A `Verifier` that says what its script says; made by `scripted_verifier`.

    Attributes:
        name: Written into its verdicts.
        calls: Every (task, answer) it was asked about, in order.
    """

    def __init__(self, script: VerdictScript, *, name: str = "scripted") -> None:
        self._script: Script[VerdictItem] = Script(
            script, atoms=(bool, str, Verdict, BaseException), owner=type(self).__name__
        )
        self.name = name
        self.calls: list[tuple[Task, Answer]] = []

    def __call__(self, task: Task, answer: Answer, /) -> Verdict:
        """Return or raise what the script says."""
        self.calls.append((task, answer))
        item = self._script.next(answer.text, task, answer)
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Verdict):
            return item
        return Verdict(status=_status(item), verifier=self.name)


def _status(item: bool | str) -> VerdictStatus:  # noqa: FBT001  # True and False are script items
    if isinstance(item, bool):
        return "pass" if item else "fail"
    if item in ("pass", "fail", "abstain"):
        return item  # type: ignore[return-value]  # just checked
    raise ValueError(f'{item!r} is not a verdict; write "pass", "fail", "abstain" or a bool')


def scripted_verifier(script: VerdictScript, *, name: str = "scripted") -> ScriptedVerifier:
    """Build a verifier that says what its script says.

    Args:
        script: One verdict for every answer; a sequence used in order; a mapping from answer text to
            verdict; or a function of (task, answer). A verdict is True, False, "pass", "fail",
            "abstain", a `Verdict`, or an exception to raise.
        name: Written into its verdicts.
    """
    return ScriptedVerifier(script, name=name)
