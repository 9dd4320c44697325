"""Reading a judge's reply. It is a verdict in exactly the form asked for, or it is none."""

from __future__ import annotations

import json
import math
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

_KEYS = {"token", "feedback", "verdict", "score"}
_LONGEST_REPLY = 20_000
_LONGEST_FEEDBACK = 500
_BLANKS = " \t\r\n"


class UnclearError(Exception):
    """The reply is no verdict; the message says why, without quoting it."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a judge said.

    Attributes:
        says: Its verdict.
        score: Probability that the answer meets the rubric.
        feedback: What is wrong, on one line.
    """

    says: Literal["pass", "fail", "unsure"]
    score: float
    feedback: str = ""


def read_verdict(text: str, *, token: str) -> Opinion:
    """Read the reply of a judge that writes its verdict.

    Nothing is repaired and nothing is searched for: a verdict that stands beside other text, in a
    code block, or twice, may have been put there by the answer. So may one without the call's token.

    Raises:
        UnclearError: It is not exactly one JSON object of the form asked for.
    """
    found = _object(text)
    if set(found) != _KEYS:
        raise UnclearError("it does not have exactly the keys asked for")
    if found["token"] != token:
        raise UnclearError("it does not carry the token of this call")
    says, feedback = found["verdict"], found["feedback"]
    if says not in ("pass", "fail", "unsure") or not isinstance(feedback, str):
        raise UnclearError("its verdict or feedback is not of the form asked for")
    return Opinion(says, _probability(found["score"]), _one_line(feedback))


def read_decision(text: str) -> Opinion:
    """Read the answer of a `decisions` arm; the caller's threshold makes it a verdict.

    Raises:
        UnclearError: It is no probability.
    """
    found = _object(text)
    if set(found) != {"probability"}:
        raise UnclearError("it is no probability")
    return Opinion("pass", _probability(found["probability"]))


def _object(text: str) -> dict[str, Any]:
    if len(text) > _LONGEST_REPLY:
        raise UnclearError(f"it is longer than {_LONGEST_REPLY} characters")
    try:
        found = json.loads(
            text.strip(_BLANKS), object_pairs_hook=_without_repeats, parse_constant=_no_number
        )
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnclearError("it is not one JSON object and nothing else")
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key is repeated")
    return dict(pairs)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnclearError("its score is not a number")
    if not 0 <= value <= 1 or not math.isfinite(value):
        raise UnclearError("its score is not within 0..1")
    return float(value)


def _one_line(text: str) -> str:
    """The feedback as the next attempt may see it: short, printable, without line breaks."""
    words = " ".join(text.split())
    kept = "".join(c for c in words if unicodedata.category(c)[0] != "C")
    return kept if len(kept) <= _LONGEST_FEEDBACK else kept[: _LONGEST_FEEDBACK - 1] + "…"
