"""What travels between the engine and its driver. Plain dataclasses: none of it is written to disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from effortctl._errors import EffortctlError
from effortctl._types._arm import Arm
from effortctl._types._task import Message, Task
from effortctl._types._trace import Answer, Attempt, Cost, Estimate, Verdict


@dataclass(frozen=True, slots=True)
class Call:
    """One request to make, chosen by the engine. Backends receive it unchanged.

    Attributes:
        task: What is asked.
        arm: Who is asked.
        messages: The turns to send: the task's own, plus the failed answer and its feedback.
        sample_index: Which sample of this arm on this task; part of the cache key.
        max_output_tokens: Cap on generated tokens, reasoning included.
        timeout_s: Seconds the whole call may take, retries included. None: no limit.
    """

    task: Task
    arm: Arm
    messages: tuple[Message, ...]
    sample_index: int
    max_output_tokens: int
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a `Call`: an answer or a fault, and what it cost either way.

    Attributes:
        answer: The answer. None: every try failed.
        cost: Dollars of all tries.
        calls: Wire requests made.
        cached: True when no request was needed.
        error: Why there is no answer: the last fault, or the budget or deadline that forbade the call.
        arm: The arm that was really called; differs from the one asked for when the endpoint rejected
            its effort and another was resolved. None: as asked.
    """

    answer: Answer | None
    cost: Cost
    calls: int = 1
    cached: bool = False
    error: EffortctlError | None = None
    arm: Arm | None = None


@dataclass(frozen=True, slots=True)
class Verify:
    """A request to check an answer, chosen by the engine.

    Attributes:
        task: What was asked.
        answer: What came back.
        timeout_s: Seconds the check may take. None: no limit.
        call: The request that got the answer, with the arm that was really called. None: not known.
    """

    task: Task
    answer: Answer
    timeout_s: float | None = None
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that a verifier wants made. Its driver makes it, and charges the task for it.

    Attributes:
        call: The request.
        backend: Whom to ask. None: the backend of the arm's endpoint.
        as_maker: True to ask through the backend that gave the answer, where the task has its own.
    """

    call: Call
    backend: Any = None
    as_maker: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """A check that cannot go on, and neither can its task: the budget forbids, or a mistake.

    Attributes:
        verdict: An abstention, with what the check has cost so far.
        error: Why: no money left, no price known, a mistake in the configuration.
    """

    verdict: Verdict
    error: EffortctlError


@dataclass(frozen=True, slots=True)
class Situation:
    """All a policy may look at when it chooses the next arm.

    Attributes:
        task: What is asked.
        arms: Arms that may still be tried, in ladder order.
        attempts: What was tried so far, in order.
        estimates: By arm name; empty when nothing was estimated.
        usd_left: Dollars left for this task. None: no limit.
        seconds_left: Seconds left for this task. None: no limit.
    """

    task: Task
    arms: Sequence[Arm]
    attempts: Sequence[Attempt]
    estimates: Mapping[str, Estimate]
    usd_left: Decimal | None = None
    seconds_left: float | None = None
