"""What is remembered of conversations: how long they are, how hard they were, who answered last."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from effortctl._client._request import SdkRequest, SdkTask
from effortctl._types import Answer, Arm

KEEP: Final = 2048
"""So many conversations are remembered, the latest ones."""

SHORT_CHARS: Final = 200
"""A last turn up to this long says too little to judge it by: it goes on at the arm that answered."""

_LONGEST_TEXT = 8_000


@dataclass(frozen=True, slots=True)
class _State:
    """The last answer of a conversation."""

    arm: str
    endpoint: str
    text: str
    tokens: int


class Conversations:
    """Finds the conversation a request continues.

    A Responses request names the response it continues; a Chat request repeats the conversation, so it
    is found by the turns before the last answer.

    Args:
        keep: How many to remember.
    """

    def __init__(self, *, keep: int = KEEP) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._states: OrderedDict[str, _State] = OrderedDict()

    def begin(self, request: SdkRequest) -> SdkTask:
        """The task of a request, with what is known of its conversation."""
        task = request.task()
        state = self._state_before(request)
        if state is None:
            return task
        update: dict[str, Any] = {"warm_arm": state.arm}
        if request.previous is not None:
            update |= {"history_tokens": state.tokens, "follows": state.text}
        return task.model_copy(update=update)

    def endpoint_of(self, request: SdkRequest) -> str | None:
        """Name of the endpoint that keeps the response a request continues. None: nobody knows."""
        if request.previous is None:
            return None
        state = self._state_before(request)
        return None if state is None else state.endpoint

    def note(
        self, request: SdkRequest, document: Mapping[str, Any] | None, *, arm: Arm, answer: Answer
    ) -> None:
        """Remember an answer, under the keys a next request may bring."""
        in_chat = request.api == "chat"
        keys = [_turns_key(request.turns)] if in_chat else []
        if document is not None and isinstance(name := document.get("id"), str):
            keys.append(name)
        usage = answer.usage
        state = _State(
            arm=arm.name,
            endpoint=arm.endpoint.name,
            text="" if in_chat else self._text_with(request),  # a chat repeats its own text
            tokens=usage.input_tokens + usage.output_tokens if usage else 0,
        )
        with self._lock:
            for key in keys:
                self._states[key] = state
                self._states.move_to_end(key)
            while len(self._states) > self._keep:
                self._states.popitem(last=False)

    def _text_with(self, request: SdkRequest) -> str:
        """The conversation up to and with this request, its latest part."""
        before = self._state_before(request)
        earlier = "" if before is None else before.text + "\n"
        return (earlier + request.task().text)[-_LONGEST_TEXT:]

    def _state_before(self, request: SdkRequest) -> _State | None:
        key = request.previous
        if request.api == "chat":
            turns = request.turns
            last = max((i for i, turn in enumerate(turns) if _is_answer(turn)), default=None)
            key = None if last is None else _turns_key(turns[:last])
        if key is None:
            return None
        with self._lock:
            return self._states.get(key)


def is_short(task: SdkTask) -> bool:
    """True when the last turn alone says too little of how hard the task is."""
    turns = task.messages
    return bool(turns) and len(turns[-1].text) <= SHORT_CHARS


def _is_answer(turn: Any) -> bool:
    return isinstance(turn, Mapping) and turn.get("role") == "assistant"


def _turns_key(turns: list[Any]) -> str:
    text = json.dumps(turns, sort_keys=True, default=str)
    return "turns:" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
