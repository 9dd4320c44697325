"""The live part of the demo: a very small model on this machine, on the few things it can do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from effortctl._controller import Controller
from effortctl._errors import DeadlineExceededError
from effortctl._types import Arm, Attempt, Price, Task, Trace
from effortctl.catalog import load_ladder
from effortctl.protocols import AnyVerifier, Backend
from effortctl.verifiers import any_of, equals, json_fields, regex

LADDER = "local-live"
OUTPUT_TOKENS = 160
"""Cap of every answer; this model never recovers from a longer ramble."""

DEADLINE_S = 60.0

_PEOPLE: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Maria Lopez, 34, lives in Madrid and works as a nurse.",
        {"name": "Maria Lopez", "city": "Madrid", "age": 34},
    ),
    (
        "My name is Paul Novak, I am 52 and I moved from Prague to Vienna last year.",
        {"name": "Paul Novak", "city": "Vienna", "age": 52},
    ),
    (
        "After ten years in Oslo, 45-year-old Ingrid Dahl now lives in Bergen.",
        {"name": "Ingrid Dahl", "city": "Bergen", "age": 45},
    ),
)
_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "city": {"type": "string"},
        "age": {"type": "integer"},
    },
    "required": ["name", "city", "age"],
    "additionalProperties": False,
}
_CAPITALS = (
    ("Canada", "Ottawa"),
    ("Turkey", "Ankara"),
    ("Poland", "Warsaw"),
    ("Switzerland", "Bern"),
)


@dataclass(frozen=True, slots=True)
class LiveTask:
    """One thing to try.

    Attributes:
        title: What it shows.
        task: What is asked.
        verify: What accepts an answer.
        climb: True to climb the whole ladder, False for its first arm alone.
    """

    title: str
    task: Task
    verify: AnyVerifier
    climb: bool


LiveEvent: TypeAlias = LiveTask | Trace


def live_tasks() -> Iterator[LiveTask]:
    """JSON from a sentence, free and held to a schema; then capitals up the ladder of efforts."""
    for sentence, fields in _PEOPLE:
        prompt = f"{sentence}\nGive the name, the city and the age as JSON."
        for how, schema in (("free", None), ("held to a schema", _SCHEMA)):
            task = Task(input=prompt, category="extraction", response_schema=schema)
            yield LiveTask(f"JSON, {how}: {sentence}", task, json_fields(fields), climb=False)
    for country, capital in _CAPITALS:
        task = Task(
            input=f"What is the capital of {country}? Reply with the name of the city only.",
            category="facts",
        )
        named = any_of(equals(capital), regex(rf"\bis {capital}\b"))
        yield LiveTask(f"The capital of {country}", task, named, climb=True)


def run_live(
    backend: Backend,
    *,
    usd_per_hour: Decimal,
    on_attempt: Callable[[Attempt], object] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[LiveEvent]:
    """Try the live tasks until they are done or a minute is over.

    Args:
        backend: Runs the model.
        usd_per_hour: What an hour of the machine costs.
        on_attempt: Told of each attempt as it happens.
        clock: Monotonic seconds.

    Yields:
        Each `LiveTask` before it is tried, and its `Trace` after it.

    Raises:
        ConfigError: The model cannot be loaded.
        BackendError: It failed.
        DeadlineExceededError: Not even the first task was done within the minute.
    """
    arms = [_brief(arm, usd_per_hour) for arm in load_ladder(LADDER).arms]
    first = True
    ends_at = clock() + DEADLINE_S
    for item in live_tasks():
        left_s = ends_at - clock()
        if left_s <= 0:
            return
        yield item
        controller = Controller(
            arms if item.climb else arms[:1],
            verify=item.verify,
            backends={arm.endpoint.name: backend for arm in arms},
            deadline_s=left_s,
            carry="none",
            on_attempt=on_attempt,
            clock=clock,
        )
        try:
            yield controller.run(item.task).trace
        except DeadlineExceededError:
            if first:
                raise
            return
        first = False


def _brief(arm: Arm, usd_per_hour: Decimal) -> Arm:
    return arm.model_copy(
        update={
            "price": Price(usd_per_hour=usd_per_hour),
            "max_output_tokens": OUTPUT_TOKENS,
            "max_output_tokens_limit": OUTPUT_TOKENS,
            "temperature": 0.0,
        }
    )
