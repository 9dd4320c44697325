"""A request of the SDK as it is about to be sent: what it asks for, and what it becomes for an arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias, get_args

from pydantic import Field

from effortctl._errors import ConfigError
from effortctl._types import Arm, Call, Effort, Message, Task

Api: TypeAlias = Literal["responses", "chat"]

PATHS: Final[Mapping[str, Api]] = {"/responses": "responses", "/chat/completions": "chat"}
"""What is metered and may be managed, by path."""

AUTO: Final[Any] = "auto"
"""What to pass as `reasoning_effort`, or as the `effort` of `reasoning`, to hand the choice over.

It is the text `"auto"`, which works as well; type checkers accept only this.
"""

SAMPLING: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs")
_AUTO_MODELS = frozenset({AUTO, "effortctl/auto"})
_CAPS = ("max_output_tokens", "max_completion_tokens", "max_tokens")
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_EFFORTS = frozenset(get_args(Effort))
_RAW_HEADER = "x-stainless-raw-response"
_NOT_MANAGED = {
    "background": "run it with a model and an effort of your own",
    "conversation": "every attempt would be added to it; continue with previous_response_id= instead",
    "functions": "pass tools= instead",
    "function_call": "pass tools= and tool_choice= instead",
    "audio": "ask for text",
    "prompt": "pass the text of the prompt as instructions= and input=",
}
_UNSEEN = ("tools", "text", "response_format", "functions", "service_tier", "prompt")


class SdkTask(Task):
    """A task read from a request, with what only the client knows of it.

    Attributes:
        unseen: Parts of the request that cost input tokens and are no messages.
        history_tokens: Input tokens the endpoint adds from an earlier response.
        answers: Answers asked for at once (`n` of Chat Completions).
        warm_arm: Arm that gave the conversation's last answer, whose prompt cache is warm.
        ladder: Names of the arms that may answer, in order.
        follows: Text of the conversation, where the request itself holds only its last turn.
        shown: An event that is set once a token of a stream was shown; None: no stream.
    """

    unseen: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)
    history_tokens: int = Field(default=0, exclude=True)
    answers: int = Field(default=1, exclude=True)
    warm_arm: str | None = Field(default=None, exclude=True)
    ladder: tuple[str, ...] = Field(default=(), exclude=True)
    follows: str | None = Field(default=None, exclude=True, repr=False)
    shown: Any = Field(default=None, exclude=True, repr=False)


@dataclass(frozen=True)
class SdkRequest:
    """One call of `post` on its way to an API that generates.

    Attributes:
        api: Which API.
        given: The body the SDK made of the caller's arguments.
        options: Its request options: headers, timeout, parser, …
        stream: True when events are wanted.
        event_type: What the SDK reads the events as.
        cast_to: What the SDK reads the reply as.
        stream_cls: What it makes a stream of.
        client: The client that was called, for what its copies may change: timeout and retries.
    """

    api: Api
    given: Mapping[str, Any]
    options: Mapping[str, Any]
    stream: bool = False
    event_type: Any = None
    cast_to: Any = None
    stream_cls: Any = None
    client: Any = None

    @cached_property
    def body(self) -> dict[str, Any]:
        """The body with the caller's `extra_body`, which wins, as it does on the wire."""
        return {**self.given, **(self.options.get("extra_json") or {})}

    @property
    def model(self) -> str:
        """Model asked for."""
        return str(self.body.get("model") or "")

    @property
    def effort(self) -> str:
        """Effort asked for; `default` when none is."""
        if self.api == "chat":
            return str(self.body.get("reasoning_effort") or "default")
        reasoning = self.body.get("reasoning")
        effort = reasoning.get("effort") if isinstance(reasoning, Mapping) else None
        return str(effort or "default")

    @property
    def known_effort(self) -> Effort:
        """The effort as one of ours; `default` for a word we do not know."""
        return self.effort if self.effort in _EFFORTS else "default"  # type: ignore[return-value]  # checked

    @property
    def any_model(self) -> bool:
        """True when the choice of the model is ours."""
        return self.model in _AUTO_MODELS

    @property
    def is_managed(self) -> bool:
        """True when the choice of model or effort is ours."""
        return self.any_model or self.effort == AUTO

    @property
    def raw(self) -> str | None:
        """`true` or `stream` when the caller wants the response unread."""
        headers = self.options.get("headers") or {}
        found = [value for name, value in headers.items() if name.lower() == _RAW_HEADER]
        return str(found[0]) if found else None

    @property
    def cap(self) -> int | None:
        """Cap on the output that the caller set."""
        caps = (self.body.get(name) for name in _CAPS)
        return next((cap for cap in caps if isinstance(cap, int) and cap > 0), None)

    @property
    def wants_usage(self) -> bool:
        """Did the caller ask for the chunk with the usage?"""
        options = self.body.get("stream_options")
        return isinstance(options, Mapping) and options.get("include_usage") is True

    @property
    def parser(self) -> Any:
        """What `parse` does with the response. None: nothing."""
        return self.options.get("post_parser")

    @property
    def previous(self) -> str | None:
        """Id of the response this one continues."""
        found = self.body.get("previous_response_id")
        return found if isinstance(found, str) else None

    @property
    def turns(self) -> list[Any]:
        """The conversation as it is sent, one entry per turn."""
        turns = self.body.get("messages" if self.api == "chat" else "input")
        if isinstance(turns, str):
            return [{"role": "user", "content": turns}]
        return list(turns) if isinstance(turns, list) else []

    def check_managed(self) -> None:
        """Refuse what cannot be combined with a choice of ours.

        Raises:
            ConfigError: Names the argument and what to do instead.
        """
        for name, instead in _NOT_MANAGED.items():
            if self.body.get(name):
                raise ConfigError(f'{name}= does not work with "auto"; {instead}')
        if (self.body.get("n") or 1) != 1:
            raise ConfigError('n= does not work with "auto"; ask once, or name model and effort')
        if "text" not in (self.body.get("modalities") or ["text"]):
            raise ConfigError('modalities without text do not work with "auto"; ask for text')

    def task(self) -> SdkTask:
        """What is asked, for features, prices and the record."""
        instructions = self.body.get("instructions")
        return SdkTask(
            input=tuple(_message(turn) for turn in self.turns) or "",
            instructions=instructions if isinstance(instructions, str) else None,
            max_output_tokens=self.cap,
            unseen={name: self.body[name] for name in _UNSEEN if self.body.get(name)},
            answers=max(1, int(self.body.get("n") or 1)),
        )

    # --- on the wire ---

    def wire_body(self, call: Call, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
        """The body that puts an arm into effect: its model, effort and cap, and any correction."""
        ours = (*_CAPS, "reasoning_effort", "reasoning", *without)
        body: dict[str, Any] = {k: v for k, v in self.body.items() if k not in ours}
        turns = call.messages[len(call.task.messages) :]
        corrections = [{"role": turn.role, "content": turn.text} for turn in turns]
        if self.api == "chat":
            body |= call.arm.chat_kwargs()
            body[call.arm.endpoint.max_tokens_field] = call.max_output_tokens
            body["messages"] = [*self.turns, *corrections]
        else:
            body |= call.arm.responses_kwargs() | {"max_output_tokens": call.max_output_tokens}
            body |= self._reasoning(call.arm)
            if corrections:
                body["input"] = [*self.turns, *corrections]
        body.update(body.pop("extra_body", {}))
        if call.sample_index and call.arm.resample_temperature is not None:
            body["temperature"] = call.arm.resample_temperature
        return body

    def _reasoning(self, arm: Arm) -> dict[str, Any]:
        """The caller's other wishes about reasoning, with the arm's effort."""
        given = self.body.get("reasoning")
        wishes = dict(given) if isinstance(given, Mapping) else {}
        wishes.pop("effort", None)
        wishes |= arm.responses_kwargs().get("reasoning", {})
        return {"reasoning": wishes} if wishes else {}

    def wire_options(self, call: Call) -> dict[str, Any]:
        """Request options of a managed call: no retries of the SDK, and no longer than allowed."""
        ours = {"post_parser", "extra_json", "timeout"}
        options = {name: value for name, value in self.options.items() if name not in ours}
        if self.raw is not None:
            options["headers"] = self._wire_headers()
        if call.timeout_s is not None:
            options["timeout"] = shorter(self.timeout, call.timeout_s)
        elif "timeout" in self.options:
            options["timeout"] = self.options["timeout"]
        return options | {"max_retries": 0}

    def elsewhere(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The request options for an endpoint that is not the client's own.

        What the caller put into headers and query is meant for that one, and may well be a key.
        """
        kept = {name: value for name, value in options.items() if name not in ("headers", "params")}
        raw = self._wire_headers() if self.raw is not None else {}
        headers = {name: value for name, value in raw.items() if name.lower() == _RAW_HEADER}
        return kept | ({"headers": headers} if headers else {})

    @property
    def timeout(self) -> Any:
        """The timeout the SDK would use: seconds, an object of several, or None."""
        return self.options.get("timeout", getattr(self.client, "timeout", None))

    def _wire_headers(self) -> dict[str, Any]:
        """The caller's headers; a reply that is wanted raw is read by us before, a stream by its events."""
        headers = self.options["headers"].items()
        kept = {name: value for name, value in headers if name.lower() != _RAW_HEADER}
        return kept if self.stream else {**kept, _RAW_HEADER: "true"}

    def with_usage(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a stream, asking for its usage; Responses always report it."""
        if self.api != "chat" or not self.stream:
            return dict(body)
        asked = body.get("stream_options")
        options = dict(asked) if isinstance(asked, Mapping) else {}
        return {**body, "stream": True, "stream_options": options | {"include_usage": True}}


def shorter(timeout: Any, limit_s: float) -> Any:
    """A timeout as the SDK takes it, of which no part is longer than a limit."""
    if isinstance(timeout, int | float):
        return min(timeout, limit_s)
    parts = timeout.as_dict() if hasattr(timeout, "as_dict") else None
    if parts is None:
        return limit_s
    return type(timeout)(
        **{name: limit_s if s is None else min(s, limit_s) for name, s in parts.items()}
    )


def _message(turn: Any) -> Message:
    """A turn as a message. What is no text still counts towards the tokens it may cost."""
    if not isinstance(turn, Mapping):
        return Message(role="user", content=str(turn))
    role = turn.get("role")
    content = turn.get("content")
    extra = {
        k: v for k, v in turn.items() if k not in ("role", "content") and v not in ("message", None)
    }
    if role not in _ROLES:
        return Message(role="tool", content=(dict(turn),))
    if not extra and (content is None or isinstance(content, str)):
        return Message(role=role, content=content or "")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    kept = tuple(dict(part) for part in parts if isinstance(part, Mapping))
    return Message(role=role, content=(*kept, extra) if extra else kept)
