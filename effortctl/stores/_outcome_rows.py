"""One row of an outcome file: one arm's result on one task, checked field by field."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from effortctl._errors import ConfigError
from effortctl._types import EFFORTS


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRow:
    """What one arm did on one task.

    Attributes:
        query_id: The task.
        arm: The arm, e.g. `gpt-6-luna@low`.
        score: Share of its answers that were correct, 0..1.
        query: The prompt. May be left out of a file that must not hold prompts.
        category: The task's kind.
        cluster: Tasks of one cluster are not independent (same document, same template).
        date: ISO date of the task, for splits by time.
        model: Model id. None: the arm's name up to its last `@`.
        effort: Effort. None: what follows the last `@` of the arm's name, else `default`.
        verdict: What the run-time check said: `pass`, `fail` or `abstain`.
        cost_usd: Billed dollars.
        input_tokens: All input tokens.
        output_tokens: All output tokens, reasoning included.
        reasoning_tokens: Part of the output spent on reasoning.
        cached_tokens: Part of the input that was read from the provider's cache.
        latency_s: Seconds of the call.
        propensity: Probability with which the policy chose this arm, in (0, 1].
        escalated: The arm was only tried because of what an earlier one had answered. Such tasks are
            harder than most, and what was learned from them is corrected for that.
        n_samples: Answers the score is the mean of.
        answer: What the arm answered.
    """

    query_id: str
    arm: str
    score: float
    query: str | None = None
    category: str | None = None
    cluster: str | None = None
    date: str | None = None
    model: str | None = None
    effort: str | None = None
    verdict: str | None = None
    cost_usd: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    reasoning_tokens: float | None = None
    cached_tokens: float | None = None
    latency_s: float | None = None
    propensity: float | None = None
    escalated: bool = False
    n_samples: int = 1
    answer: str | None = None

    def __post_init__(self) -> None:
        """Check and normalise every field.

        Raises:
            ConfigError: A field is missing or makes no sense; the message names it.
        """
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))
        model, _, effort = self.arm.rpartition("@")
        named = bool(model) and effort in EFFORTS
        if self.model is None:
            object.__setattr__(self, "model", model if named else self.arm)
        if self.effort is None:
            object.__setattr__(self, "effort", effort if named else "default")


def parse_row(record: Mapping[str, Any]) -> OutcomeRow:
    """Read one record of a file; columns it does not know are ignored, empty ones are unknown.

    Raises:
        ConfigError: A field is missing or makes no sense.
    """
    known = {
        name: value for name in FIELDS if (value := record.get(name)) is not None and value != ""
    }
    for name in ("query_id", "arm", "score"):
        if name not in known:
            raise ConfigError(f"{name} is missing; every row needs query_id, arm and score")
    return OutcomeRow(**known)


def _text(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ConfigError(f"{name} is {type(value).__name__}, expected text")


def _required_text(name: str, value: Any) -> str:
    text = _text(name, value)
    if not text:
        raise ConfigError(f"{name} is empty, expected a name")
    return text


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) and name == "score":
        return float(value)
    if isinstance(value, str):
        value = _from_text(name, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} is {value!r}, expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(f"{name} is {value}, expected a finite number; leave unknown values out")
    return number


def _from_text(name: str, value: str) -> float:
    if name == "score" and value.lower() in {"true", "false"}:
        return float(value.lower() == "true")
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"{name} is {value[:40]!r}, expected a number") from None


def _score(name: str, value: Any) -> float:
    number = _number(name, value)
    if not 0 <= number <= 1:
        raise ConfigError(f"{name} is {number:g}, expected 0..1")
    return number


def _amount(name: str, value: Any) -> float | None:
    if value is None:
        return None
    number = _number(name, value)
    if number < 0:
        raise ConfigError(f"{name} is {number:g}, expected 0 or more")
    return number


def _propensity(name: str, value: Any) -> float | None:
    if value is None:
        return None
    number = _number(name, value)
    if not 0 < number <= 1:
        raise ConfigError(f"{name} is {number:g}, expected above 0 and at most 1")
    return number


def _flag(name: str, value: Any) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    flag = words.get(str(value).lower()) if isinstance(value, bool | int | str) else None
    if flag is None:
        raise ConfigError(f"{name} is {value!r}, expected true or false")
    return flag


def _samples(name: str, value: Any) -> int:
    number = _number(name, value)
    if number < 1 or number != int(number):
        raise ConfigError(f"{name} is {number:g}, expected a whole number of 1 or more")
    return int(number)


def _verdict(name: str, value: Any) -> str | None:
    if value not in (None, "pass", "fail", "abstain"):
        raise ConfigError(f"{name} is {value!r}, expected pass, fail, abstain or nothing")
    return None if value is None else str(value)


_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "query_id": _required_text,
    "arm": _required_text,
    "score": _score,
    **dict.fromkeys(("query", "category", "cluster", "date", "model", "effort", "answer"), _text),
    "verdict": _verdict,
    **dict.fromkeys(
        (
            "cost_usd",
            "input_tokens",
            "output_tokens",
            "reasoning_tokens",
            "cached_tokens",
            "latency_s",
        ),
        _amount,
    ),
    "propensity": _propensity,
    "escalated": _flag,
    "n_samples": _samples,
}
FIELDS: Final[tuple[str, ...]] = tuple(field.name for field in fields(OutcomeRow))
