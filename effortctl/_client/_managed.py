"""Calls whose model or effort is ours to choose: run the loop, return what the SDK would return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from effortctl._client._backends import AsyncWireBackend, Wire, WireBackend
from effortctl._client._bridge import Bridge
from effortctl._client._checks import RequestChecks
from effortctl._client._info import CallInfo, remember
from effortctl._client._live import (
    AsyncChannel,
    AsyncPlayed,
    Channel,
    Known,
    ManagedAsyncStream,
    ManagedStream,
    Over,
    Played,
)
from effortctl._client._raw import raw_reply, raw_stream
from effortctl._client._request import SdkRequest, SdkTask
from effortctl._client._settings import Settings
from effortctl._client._verify import RequestVerifier
from effortctl._controller import AsyncController, Controller
from effortctl._errors import EffortctlError, NotAcceptedError
from effortctl._types import Arm, Outcome, Trace

ErrorT = TypeVar("ErrorT", bound=BaseException | None)


@dataclass(slots=True)
class Job:
    """One managed call: who may answer it, how it is checked, and what comes of it."""

    settings: Settings
    request: SdkRequest
    wire: Wire
    arms: tuple[Arm, ...]
    task: SdkTask
    verifier: RequestVerifier | None
    deadline_s: float | None

    @property
    def commits(self) -> bool:
        """True when the caller sees events while they come."""
        return self.request.stream and self.settings.stream == "commit_first"

    def controller(self, kind: type[Any]) -> Any:
        """Who runs it."""
        return self.settings.controller_for(
            self.arms,
            commits=self.commits,
            kind=kind,
            max_calls=self.settings.max_calls(self.request),
        )

    def run(self, kind: type[Any], backend: Any) -> Callable[[], Any]:
        """What runs it with a backend over its wire."""
        return partial(
            self.controller(kind).run_with,
            backend(self.wire),
            self.task,
            verify=self.verifier,
            deadline_s=self.deadline_s,
            at_endpoint=True,
        )

    def info(self, trace: Trace) -> CallInfo:
        """What `info` returns of it."""
        return CallInfo(trace, managed=True, record_feedback=self.settings.record_feedback)

    def follow(self, channel: Channel | AsyncChannel) -> None:
        """Show events to the caller as soon as they may be seen."""
        self.wire.show = channel.show
        self.wire.is_closed = channel.closed.is_set
        self.wire.was_shown = channel.shown.is_set
        if isinstance(channel, AsyncChannel):
            channel.is_calling = self.wire.is_calling.is_set
        self.task = self.task.model_copy(update={"shown": channel.shown})

    def response(self, outcome: Outcome[Any]) -> Any:
        """What the SDK would have returned.

        Raises:
            NotAcceptedError: No answer passed, and `wrap` was told to raise then.
        """
        self.noted(outcome)
        kept = self._kept(outcome)
        if kept is None or not self._may_return(outcome):
            raise not_accepted(outcome.trace)
        raw: Any = kept.raw
        info = self.info(outcome.trace)
        remember(raw, info)
        if self.request.raw is not None:
            _, response = self.wire.events(kept.answer)
            return raw_reply(self.request, response, info=info, parsed=raw)
        if self.request.parser is None:
            return raw
        parsed = self.request.parser(raw)
        if hasattr(raw, "_request_id"):
            parsed._request_id = raw._request_id  # noqa: SLF001 - where the SDK keeps it
        remember(parsed, info)
        return parsed

    def played(self, outcome: Outcome[Any], *, is_async: bool = False) -> Any:
        """A stream of the events that were held back.

        Raises:
            NotAcceptedError: As `response`.
        """
        best = outcome.trace.best
        events: list[Any] = []
        response: Any = None
        if best is not None and best.answer is not None:
            events, response = self.wire.events(best.answer) or (events, response)
        if not events or not self._may_return(outcome):
            self.noted(outcome)
            raise not_accepted(outcome.trace)
        first, rest = (events[0], response), events[1:]
        kind, play = (ManagedAsyncStream, AsyncPlayed) if is_async else (ManagedStream, Played)
        over: Any = play(rest, response=response, over=Over(outcome))
        return self.handed(kind(first, over, self.ended_held), outcome.trace)

    def handed(self, stream: Any, trace: Trace | None = None) -> Any:
        """A managed stream as the caller wants it: as it is, or raw."""
        return stream if self.request.raw is None else raw_stream(self.request, stream, trace)

    def ended_held(self, over: Over) -> Known:
        """A stream that was held back has been shown to its end."""
        if over.outcome is not None:
            self.noted(over.outcome)
        return over.error, self._info_of(over)

    def ended_live(self, over: Over) -> Known:
        """A stream that was shown as it ran has ended; one that was cut off is an error."""
        info = self._info_of(over)
        if over.outcome is None:
            return self.recorded(over.error), info
        self.noted(over.outcome)
        best = over.outcome.trace.best
        cut = best is None or best.answer is None or best.answer.finish in _CUT
        return self.recorded(not_accepted(over.outcome.trace)) if cut else None, info

    def _info_of(self, over: Over) -> CallInfo | None:
        trace = over.outcome.trace if over.outcome else getattr(over.error, "trace", None)
        return None if trace is None else self.info(trace)

    def noted(self, outcome: Outcome[Any]) -> None:
        """Remember the answer for `info` and for what follows in the conversation."""
        kept, best = self._kept(outcome), outcome.trace.best
        if kept is None or best is None:
            return
        remember(kept.document, self.info(outcome.trace))
        arm = next(arm for arm in self.arms if arm.name == best.arm)
        self.settings.conversations.note(self.request, kept.document, arm=arm, answer=kept.answer)

    def failure(self, over: Over) -> BaseException:
        """Why there is nothing to show."""
        return self.recorded(over.error or RuntimeError("the loop ended without an outcome"))

    def recorded(self, error: ErrorT) -> ErrorT:
        """The error, for `info` to know."""
        trace = getattr(error, "trace", None)
        if trace is not None:
            remember(error, self.info(trace))
        return error

    def _kept(self, outcome: Outcome[Any]) -> Any:
        best = outcome.trace.best
        return None if best is None or best.answer is None else self.wire.find(best.answer)

    def _may_return(self, outcome: Outcome[Any]) -> bool:
        ok = outcome.accepted or outcome.trace.outcome == "refused"
        return ok or self.settings.on_not_accepted == "return"


_CUT = frozenset({"truncated", "context_exceeded"})


def job(
    settings: Settings,
    request: SdkRequest,
    *,
    send: partial[Any],
    responses: partial[Any],
) -> Job:
    """Make a managed call ready; `responses` sends to that API, `send` to the one that was called.

    Raises:
        ConfigError: The request holds what cannot be managed, or no arm may answer it.
    """
    request.check_managed()
    arms = settings.arms_for(request)
    task = settings.conversations.begin(request)
    task = task.model_copy(update={"ladder": tuple(arm.name for arm in arms)})
    wire = Wire(
        request=request,
        send=send,
        bridge=_bridge(settings, request, responses),
        clients=settings.clients,
        clock=settings.clock,
        now=settings.now,
        leave_out=settings.left_out(request),
        saw=settings.limits.saw,
    )
    checks = RequestChecks(request)
    wanted = checks.any or settings.verifier is not None
    verifier = RequestVerifier(checks, settings.verifier, wire.find) if wanted else None
    return Job(settings, request, wire, arms, task, verifier, settings.deadline_s())


def _bridge(settings: Settings, request: SdkRequest, send: partial[Any]) -> Bridge | None:
    if request.api != "chat" or not request.body.get("tools"):
        return None
    return Bridge(send, settings.cards.refuses_chat_tools)


def manage(made: Job) -> Any:
    """Run a managed call.

    Raises:
        NotAcceptedError: No answer passed its check.
        EffortctlError: As `Controller.run`.
    """
    if made.commits:
        return _stream(made)
    try:
        outcome = made.run(Controller, WireBackend)()
        return made.played(outcome) if made.request.stream else made.response(outcome)
    except EffortctlError as error:
        made.recorded(error)
        raise


async def amanage(made: Job) -> Any:
    """`manage` for asyncio."""
    if made.commits:
        return await _astream(made)
    try:
        outcome = await made.run(AsyncController, AsyncWireBackend)()
        if made.request.stream:
            return made.played(outcome, is_async=True)
        return made.response(outcome)
    except EffortctlError as error:
        made.recorded(error)
        raise


def _stream(made: Job) -> Any:
    channel = Channel()
    made.follow(channel)
    channel.start(made.run(Controller, WireBackend))
    first = channel.get()
    if not isinstance(first, Over):
        return made.handed(ManagedStream(first, channel, made.ended_live))
    if first.outcome is None:
        raise made.failure(first)
    return made.played(first.outcome)


async def _astream(made: Job) -> Any:
    channel = AsyncChannel()
    made.follow(channel)
    channel.start(made.run(AsyncController, AsyncWireBackend))
    try:
        first = await channel.get()
    except BaseException:
        channel.abandon()
        raise
    if not isinstance(first, Over):
        return made.handed(ManagedAsyncStream(first, channel, made.ended_live))
    if first.outcome is None:
        raise made.failure(first)
    return made.played(first.outcome, is_async=True)


def not_accepted(trace: Trace) -> NotAcceptedError:
    """The error of a call that got no answer worth returning."""
    best = trace.best
    if best is not None and best.answer is not None and best.answer.finish in _CUT:
        why = f"the answer was cut off at {best.max_output_tokens} tokens; allow more, or ask for less"
    else:
        why = (best.verdict.feedback if best and best.verdict else "") or "nothing was said why"
    return NotAcceptedError(
        f"no answer was accepted ({trace.outcome}) after {len(trace.attempts)} attempts and "
        f"${trace.cost_usd}: {why}",
        best=best,
        trace=trace,
    )
