"""When two answers are the same: what agreement between arms, and between samples, compares."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from decimal import Decimal
from typing import Literal, TypeAlias

from effortctl._errors import ConfigError

AnswerKey: TypeAlias = Callable[[str], Hashable]
"""Text of an answer → what is compared. None: nothing in it can be compared."""

SameAnswer: TypeAlias = Literal["text", "choice", "number"] | AnswerKey
"""When two answers are the same; see `answer_key`."""

_LABEL = re.compile(r"(?:\banswer\b[*_`]{0,3}\s*(?:[:=]|is\b:?)|####)", re.IGNORECASE)
_OPENING = r"[\s(\[{*_`$\"']*(?:\\boxed\{)?"
# A letter followed by a word is most likely the word "a" or "I", except as a capital behind a label.
_LETTER = re.compile(_OPENING + r"(?P<letter>[A-Za-z])(?=\s*(?:$|[)\]}.:,;*_`$\"'\n]))")
_CAPITAL = re.compile(_OPENING + r"(?P<letter>[A-Z])(?![A-Za-z0-9'])")
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+)?(?<=\d)")


def answer_key(same_answer: SameAnswer) -> AnswerKey:
    """Return the function that turns an answer's text into what is compared.

    - `text`: the whole text, but for case and surrounding blanks. For arms told to give a bare answer.
    - `choice`: the letter of a multiple-choice answer: what follows the last `Answer:`, `answer is` or
      `####`, else how the text begins (`B`, `(b)`, `B. Because …`).
    - `number`: the last number behind the last such label, else of the whole text; `1,250.0` and `1250`
      are the same.

    Args:
        same_answer: One of these names, or a function of the text that returns something hashable.

    Raises:
        ConfigError: It is neither.
    """
    if callable(same_answer):
        return same_answer
    try:
        return _KEYS[same_answer]
    except (KeyError, TypeError):
        raise ConfigError(
            f"same_answer is {same_answer!r}; expected {', '.join(map(repr, _KEYS))}, or a function "
            "of the answer's text"
        ) from None


def _text(text: str) -> str | None:
    return text.strip().casefold() or None


def _choice(text: str) -> str | None:
    part = _labelled(text)
    found = _LETTER.match(part) or (_CAPITAL.match(part) if part != text else None)
    return found["letter"].upper() if found else None


def _number(text: str) -> Decimal | None:
    found = _NUMBER.findall(_labelled(text).replace("\u2212", "-").replace("$", ""))
    return Decimal(found[-1].replace(",", "")) if found else None


def _labelled(text: str) -> str:
    """What follows the last label; a label with nothing behind it is none."""
    for label in reversed(list(_LABEL.finditer(text))):
        if text[label.end() :].strip():
            return text[label.end() :]
    return text


_KEYS: dict[str, AnswerKey] = {"text": _text, "choice": _choice, "number": _number}
