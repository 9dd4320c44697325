"""What became of a call: found again from the response, its copies, or the finished stream."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from effortctl._errors import ConfigError
from effortctl._types import Attempt, Effort, Trace
from effortctl._types._trace import RecordFeedback

KEEP_IDS: Final = 4096
"""So many responses are found again by their id, the latest ones; objects that live always are."""


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What one call of a wrapped client cost, and how its answer came about.

    Attributes:
        trace: Every attempt with its verdict and cost.
        managed: True when effortctl chose model or effort; False for a call that was passed through.
        record_feedback: Keeps feedback beside the traces; None: there is no store that could.
    """

    trace: Trace
    managed: bool
    record_feedback: RecordFeedback | None = field(default=None, repr=False, compare=False)

    @property
    def decision_id(self) -> str:
        """Id of the trace; joins ledger rows and later feedback."""
        return self.trace.id

    @property
    def cost_usd(self) -> Decimal:
        """Dollars of every wire request and every check."""
        return self.trace.cost_usd

    @property
    def attempts(self) -> int:
        """Arms and samples that were tried."""
        return len(self.trace.attempts)

    @property
    def arm(self) -> str | None:
        """Name of the arm that gave the answer. None: there is none."""
        return None if self._best is None else self._best.arm

    @property
    def model(self) -> str | None:
        """Model that was asked for it."""
        return None if self._best is None else self._best.model

    @property
    def effort(self) -> Effort | None:
        """Effort that was really sent for it."""
        return None if self._best is None else self._best.effective_effort

    @property
    def accepted(self) -> bool:
        """True when the answer passed its check, or nothing objected to it."""
        return self.trace.outcome == "accepted"

    @property
    def verified(self) -> bool:
        """True when a check looked at the answer and passed it."""
        return self._best is not None and self._best.passed

    @property
    def estimated(self) -> bool:
        """True when a part of the cost is a worst case, because no usage was reported."""
        return any(attempt.cost.source == "worst_case" for attempt in self.trace.attempts)

    def feedback(self, score: float, note: str | None = None) -> None:
        """Say how good the answer turned out to be; kept beside the traces, to learn from.

        Hours later, or in another process, `effortctl feedback` does the same with the `decision_id`.

        Args:
            score: 0 (wrong) to 1 (right).
            note: Why, for people. It is written as it is.

        Raises:
            ConfigError: The score is not within 0..1, or the client keeps no traces.
            StoreError: The file cannot be written.

        Example:
            ```python
            client = effortctl.wrap(OpenAI(), traces=TraceStore("traces.jsonl"))
            reply = client.responses.create(model="auto", input="What is 17*24?")
            effortctl.info(reply).feedback(1.0)
            ```
        """
        if self.record_feedback is None:
            raise ConfigError(
                "there is nowhere to keep feedback; give wrap() traces=TraceStore(path)"
            )
        self.record_feedback(self.trace.id, score, note)

    @property
    def _best(self) -> Attempt | None:
        return self.trace.best


class _Registry:
    """Finds a `CallInfo` by the object it belongs to, else by the response's own id.

    Objects are held weakly and by identity: pydantic models compare by value and cannot be hashed.
    """

    def __init__(self, *, keep_ids: int) -> None:
        self._keep_ids = keep_ids
        self._lock = threading.RLock()  # a weak reference may die while the lock is held
        self._by_object: dict[int, tuple[weakref.ref[Any], CallInfo]] = {}
        self._by_id: OrderedDict[str, CallInfo] = OrderedDict()

    def put(self, thing: object, info: CallInfo) -> None:
        key, name = id(thing), _id_of(thing)
        with self._lock:
            # A dict or text cannot be referred to weakly; its id may still be known.
            with contextlib.suppress(TypeError):
                self._by_object[key] = (weakref.ref(thing, lambda _: self._forget(key)), info)
            if name is not None:
                self._by_id[name] = info
                self._by_id.move_to_end(name)
                while len(self._by_id) > self._keep_ids:
                    self._by_id.popitem(last=False)

    def get(self, thing: object) -> CallInfo | None:
        with self._lock:
            found = self._by_object.get(id(thing))
            if found is not None and found[0]() is thing:
                return found[1]
            name = _id_of(thing)
            return None if name is None else self._by_id.get(name)

    def _forget(self, key: int) -> None:
        with self._lock:
            found = self._by_object.get(key)
            if found is not None and found[0]() is None:
                del self._by_object[key]


_REGISTRY = _Registry(keep_ids=KEEP_IDS)


def remember(thing: object, info: CallInfo) -> None:
    """Let `info` find this from a response, stream or exception."""
    _REGISTRY.put(thing, info)


def info(response: object) -> CallInfo:
    """What a call of a wrapped client cost, and how its answer came about.

    A copy is found by the id of its response, so with a server that repeats its ids the latest is found.

    Args:
        response: What the call returned, or a copy or dump of it; for a stream the stream itself once it
            is over, any of its chunks, or its final response; for a failed call the exception.

    Raises:
        ConfigError: It does not come from a wrapped client, its stream is not over, or it is a copy of
            a response that thousands have followed.

    Example:
        ```python
        client = effortctl.wrap(OpenAI(), verify="number:408")
        reply = client.responses.create(model="auto", input="What is 17*24?")
        print(effortctl.info(reply).cost_usd)
        ```
    """
    found = _REGISTRY.get(response)
    if found is None:
        raise ConfigError(
            f"nothing is known of this {type(response).__name__}; pass what a client made by "
            "effortctl.wrap returned, and a stream only once it is over"
        )
    return found


def _id_of(thing: object) -> str | None:
    if isinstance(thing, Mapping):
        name = thing.get("id") or _id_of(thing.get("response"))
    else:
        name = getattr(thing, "id", None) or getattr(getattr(thing, "response", None), "id", None)
    return name if isinstance(name, str) and name else None
