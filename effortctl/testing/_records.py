"""What the mock server knows of a request, what it may be told to answer, and what it remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from effortctl._types import Finish, Usage

Api: TypeAlias = Literal["responses", "chat", "decisions"]


@dataclass(frozen=True, slots=True)
class RawRequest:
    """An HTTP request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MockRequest:
    """One request, parsed; responders receive it.

    Attributes:
        api: Which API it uses.
        path: Path of the request, e.g. `/v1/responses`.
        model: Model id without any `+fault=` suffix.
        effort: Reasoning effort it asks for; `default` when it names none.
        text: All readable text of the prompt, instructions first, one turn per line.
        stream: True when it wants server-sent events.
        body: The whole body.
        headers: Its headers, names in lower case. Not shown in `repr`: they hold the key.
        n: How many requests the server has received, this one included.
        repeat: How many times it has received exactly this body, this one included.
    """

    api: Api
    path: str
    model: str
    effort: str
    text: str
    stream: bool
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    n: int
    repeat: int

    @property
    def output_cap(self) -> int | None:
        """Most tokens the reply may have, reasoning included. None: not limited."""
        for name in ("max_output_tokens", "max_completion_tokens", "max_tokens"):
            cap = self.body.get(name)
            if isinstance(cap, int):
                return cap
        return None


@dataclass(frozen=True, slots=True)
class MockReply:
    """What to answer, when plain text does not say enough.

    Attributes:
        text: The visible answer, or the refusal.
        tool_calls: Functions to call: name and arguments, as the model wrote them.
        finish: How it ends. `context_exceeded` becomes the 400 that providers send.
        usage: Tokens to report. None: worked out from prompt, answer and effort.
        reasoning_tokens: Tokens of reasoning, when `usage` is None. None: grows with the effort.
        delay_s: Seconds before the first byte.
        service_tier: Tier the reply says was billed.
        fault: A fault spec applied to this reply, e.g. `"stream-cut"`.
    """

    text: str = ""
    tool_calls: tuple[tuple[str, str], ...] = ()
    finish: Finish = "complete"
    usage: Usage | None = None
    reasoning_tokens: int | None = None
    delay_s: float = 0.0
    service_tier: str = "default"
    fault: str | None = None


Responder: TypeAlias = Callable[[MockRequest], "str | MockReply"]
"""Decides what the pretend model says."""

Decider: TypeAlias = Callable[[MockRequest, Mapping[str, Any]], "float | Mapping[str, Any] | None"]
"""Answers one question of `/v1/decisions`: a probability (predicate), an expected level (score), a
whole answer object, or None for the default."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One request the server received and what it did with it: the ground truth.

    Attributes:
        path: Path of the request.
        model: Model id without any `+fault=` suffix; empty when the request named none.
        effort: Effort it asked for.
        fault: Fault spec that was applied, as it was written; None for an honest answer.
        status: HTTP status that was sent, or would have been, had the fault let it; 0 when the
            connection was dropped or left hanging before any status.
        would_bill_usage: Tokens a provider would have billed. None: nothing.
        stream: True when server-sent events were asked for.
        body: The request's body; empty when it was not a JSON object.
        headers: Its headers, names in lower case. Not shown in `repr`: they hold the key.
        n: Which request this was, from 1.
    """

    path: str
    model: str
    effort: str
    fault: str | None
    status: int
    would_bill_usage: Usage | None
    stream: bool
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    n: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What the pretend model generated for a request."""

    request: MockRequest
    text: str
    finish: Finish
    usage: Usage
    service_tier: str
    created: int
    answers: tuple[Mapping[str, Any], ...] = ()
    tool_calls: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        """Id of the reply, in the style of its API."""
        prefix = {"responses": "resp", "chat": "chatcmpl", "decisions": "dec"}[self.request.api]
        return f"{prefix}_mock{self.request.n:08d}"
