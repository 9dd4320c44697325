"""Checks on the text itself: its form, its words, and how it ended."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from effortctl._errors import ConfigError
from effortctl._types import Answer
from effortctl.verifiers._base import BuiltIn, final_answer

_WRAPPERS = (
    ("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("`", "`"), ('"', '"'), ("'", "'"),
    ("\u201c", "\u201d"), ("\u2018", "\u2019"), ("\u00ab", "\u00bb"), ("$", "$"), ("(", ")"),
)  # fmt: skip
_REFUSAL = re.compile(
    r"^\W*(?:(?:i['\u2019]?m|i am)\s+(?:(?:very|so|really|truly)\s+)?sorry|sorry|i apologi[sz]e"
    r"|unfortunately|as an ai)\b[^.!?\n]{0,120}"
    r"\b(?:can['\u2019]?t|can ?not|unable|won['\u2019]?t|not able)\b"
    r"|^\W*i\s+(?:can['\u2019]?t|can ?not|won['\u2019]?t|am unable to|am not able to)\s+"
    r"(?:help|assist|comply|provide|fulfil|do that|answer|support|continue)",
    re.IGNORECASE,
)
# What is left of a pattern once everything that only describes a form is taken away: a pattern with
# letters or digits left names (part of) the answer and must not be shown.
_FORM_ONLY = re.compile(
    r"\\[dDwWsSbBAZ]|\[\^?[^\]]*\w-\w[^\]]*\]|\{\d*,?\d*\}|\(\?(?:[aimsux]+\)|[:=!]|<[=!])|\\[^\w]"
)


def normalise(text: str) -> str:
    """Text without what a model adds around it: markup, quotes, a final period, extra spaces."""
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    while text != (shorter := _unwrap(text)):
        text = shorter
    return text


def _unwrap(text: str) -> str:
    text = text.strip()
    if text.endswith((".", "\u3002")) and not text.endswith(".."):
        return text[:-1]
    for left, right in _WRAPPERS:
        inner = text[len(left) : -len(right)]
        if inner and text.startswith(left) and text.endswith(right) and left not in inner:
            return inner
    return text


# --- words -----------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Regex(BuiltIn):
    """See `regex`."""

    name = "regex"
    pattern: str
    flags: int = 0
    hint: str = ""

    def problem(self, answer: Answer) -> str | None:
        """Search the stripped text."""
        if re.search(self.pattern, answer.text.strip(), self.flags):
            return None
        told = self.hint
        if not told and not re.search(r"\w", _FORM_ONLY.sub("", self.pattern)):
            told = f"It must match the regular expression {self.pattern}"
        return f"The answer does not have the required form. {told}".strip()


def regex(pattern: str, *, flags: int = 0, hint: str = "") -> Regex:
    """Pass when the pattern is found in the answer, surrounding white space removed.

    A pattern that only describes a form, such as `^[A-Z]{3}-[0-9]+$`, is shown to the model when it
    fails. One that spells out letters or digits of an answer is not: give a `hint` instead.

    Args:
        pattern: Python regular expression; anchor it with `^` and `$` to match the whole answer.
        flags: Flags of `re`, e.g. `re.IGNORECASE`.
        hint: What a failing answer should look like, in words the next attempt may read.

    Raises:
        ConfigError: The pattern is not a regular expression.
    """
    try:
        re.compile(pattern, flags)
    except (re.error, TypeError, ValueError) as error:
        raise ConfigError(f"{pattern!r} is not a regular expression: {error}") from error
    return Regex(pattern, int(flags), hint)


@dataclass(frozen=True, repr=False)
class Contains(BuiltIn):
    """See `contains`."""

    name = "contains"
    text: str
    ignore_case: bool = False
    hint: str = ""

    def problem(self, answer: Answer) -> str | None:
        """Look for the text."""
        fold = str.casefold if self.ignore_case else str
        if fold(self.text) in fold(answer.text):
            return None
        return f"The answer lacks something that it must contain. {self.hint}".strip()


def contains(text: str, *, ignore_case: bool = False, hint: str = "") -> Contains:
    """Pass when the answer contains the text.

    Raises:
        ConfigError: The text is empty, so everything would contain it.
    """
    if not text:
        raise ConfigError("contains() needs a text that is not empty")
    return Contains(text, ignore_case, hint)


@dataclass(frozen=True, repr=False)
class Equals(BuiltIn):
    """See `equals`."""

    name = "equals"
    text: str
    ignore_case: bool = True

    def problem(self, answer: Answer) -> str | None:
        """Compare the whole answer, then what follows its last `Answer:`."""
        fold = str.casefold if self.ignore_case else str
        wanted = fold(normalise(self.text))
        if wanted in {fold(normalise(part)) for part in (answer.text, final_answer(answer.text))}:
            return None
        return "The answer is not the right one, or is surrounded by other text."


def equals(text: str, *, ignore_case: bool = True) -> Equals:
    """Pass when the answer, or what follows its last `Answer:`, is this text.

    White space, a final period, and surrounding quotes or markdown do not count.

    Raises:
        ConfigError: The text is empty.
    """
    if not normalise(text):
        raise ConfigError("equals() needs a text that is not empty")
    return Equals(text, ignore_case)


@dataclass(frozen=True, repr=False)
class Choice(BuiltIn):
    """See `choice`."""

    name = "choice"
    options: tuple[str, ...]

    def problem(self, answer: Answer) -> str | None:
        """Count the options that the final answer names."""
        listed = ", ".join(self.options)
        named = self._named(final_answer(answer.text))
        if len(named) == 1:
            return None
        if not named:
            return f"The answer names none of the options. Answer with exactly one of: {listed}."
        return f"The answer names more than one option. Answer with exactly one of: {listed}."

    def _named(self, text: str) -> set[str]:
        folded = {normalise(option).casefold(): option for option in self.options}
        whole = folded.get(normalise(text).casefold())
        if whole is not None:
            return {whole}
        # Longest first, so that "very good" is not also counted as "good".
        longest = sorted(folded, key=len, reverse=True)
        pattern = rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)"
        plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        return {folded[found] for found in re.findall(pattern, plain)}


def choice(options: Sequence[str]) -> Choice:
    """Pass when the answer names exactly one of the options, whatever else it says.

    Only what follows the last `Answer:` counts, where there is one. Case does not matter.

    Raises:
        ConfigError: There are fewer than two different options, or one is empty.
    """
    if isinstance(options, str):
        raise ConfigError(f"choice() needs a list of options, got the text {options!r}")
    names = tuple(options)
    if len({normalise(name).casefold() for name in names} - {""}) != len(names) or len(names) < 2:
        raise ConfigError(f"choice() needs two or more different options, got {list(names)}")
    return Choice(names)


# --- how it ended ----------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class NotEmpty(BuiltIn):
    """See `not_empty`."""

    name = "not_empty"

    def problem(self, answer: Answer) -> str | None:
        """Look for anything that is not white space."""
        return None if answer.text.strip() or answer.value is not None else "The answer is empty."


@dataclass(frozen=True, repr=False)
class NotTruncated(BuiltIn):
    """See `not_truncated`."""

    name = "not_truncated"

    def problem(self, answer: Answer) -> str | None:
        """Look at how the answer ended."""
        if answer.finish not in {"truncated", "context_exceeded"}:
            return None
        return "The answer was cut off before its end. Be briefer."


@dataclass(frozen=True, repr=False)
class NotRefused(BuiltIn):
    """See `not_refused`."""

    name = "not_refused"

    def problem(self, answer: Answer) -> str | None:
        """Look at how the answer ended, then at how it begins."""
        refused = answer.finish in {"refused", "filtered"}
        if refused or _REFUSAL.search(answer.text.strip()[:400]):
            return "The answer is a refusal."
        return None


def not_empty() -> NotEmpty:
    """Pass when there is an answer at all."""
    return NotEmpty()


def not_truncated() -> NotTruncated:
    """Pass when the answer was not cut off by a token cap or a full context."""
    return NotTruncated()


def not_refused() -> NotRefused:
    """Pass when neither the endpoint nor the first words of the answer refuse the task."""
    return NotRefused()
