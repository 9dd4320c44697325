"""What a task looks like before anyone has answered it, as about fifty plain numbers.

Nothing here knows what a task means; it counts. Counts are given as log(1 + n) and proportions as
shares in 0..1, so that a linear model can use them as they are. Long prompts are looked at through
their first and last `WINDOW` characters, which bounds the time; their length is exact.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from math import log1p
from typing import TypeAlias

from effortctl._types import Task

FeatureFunction: TypeAlias = Callable[[Task], Mapping[str, float]]
"""Anything that turns a task into named numbers, always with the same names."""

FEATURES_VERSION = 1
WINDOW = 4096
CHARS_PER_TOKEN = 4.0

_WORD = re.compile(r"[^\W\d_]+")
_ASCII_WORD = re.compile(r"[a-z]+")
"""The same for text that is ASCII and in lower case, in two thirds of the time."""
_LONG = 10

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_CODE_LINE = re.compile(r"^(?:\s{4,}|\t)\S", re.MULTILINE)
_LIST_ITEM = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s", re.MULTILINE)
_CHOICE = re.compile(r"^\s*\(?[A-Ja-j1-9][).:]\s", re.MULTILINE)
_TABLE_ROW = re.compile(r"^\s*\|.*\|\s*$", re.MULTILINE)
_JSON_KEY = re.compile(r'"[^"\n]{1,60}"\s*:')
_QUOTED = re.compile(r'"[^"\n]*"|“[^”\n]*”')
_LATEX = re.compile(r"\\[a-zA-Z]+")
_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f](?=\s|$)")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")

_QUESTION_STARTS = frozenset(
    {"what", "who", "whom", "whose", "when", "where", "which", "why", "how", "is", "are", "was"}
    | {"were", "do", "does", "did", "can", "could", "should"}
)

_WORD_LISTS = {
    "words_code": "def class return import function void int string const var let public static"
    " struct lambda null true false none self array list dict print assert stdin stdout sql select"
    " where bool",
    "words_code_task": "code program function algorithm implement debug bug refactor python java"
    " javascript rust regex query api script compile complexity runtime test tests",
    "words_math": "sum product integral derivative equation solve matrix vector probability prime"
    " divisible modulo triangle angle polynomial theorem integer integers ratio percent average area"
    " volume",
    "words_proof": "prove proof show explain why derive justify reason analyze evaluate compare",
    "words_writing": "write essay story poem email letter summarize summary translate rewrite"
    " paraphrase blog",
    "words_lookup": "what who when where which name list define",
    "words_limit": "must only exactly least most without never always should ensure constraint"
    " constraints limit maximum minimum avoid not no",
    "words_logic": "if then else unless otherwise when while until either both nor",
    "words_all": "all each every any some none following",
    "words_optimise": "maximum minimum minimize maximize optimal shortest longest largest smallest"
    " fewest",
    "words_step": "first second then next finally after before step steps",
    "words_example": "example examples sample input output explanation note",
    "words_except": "except incorrect false least unlikely",
    "words_structure": "graph tree node nodes edge edges vertex vertices path grid subarray substring"
    " subsequence permutation operation operations queries",
}


def _invert(lists: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, words in lists.items():
        for word in words.split():
            found[word] = (*found.get(word, ()), name)
    return found


_LISTS_OF_WORD = _invert(_WORD_LISTS)
_LISTED = frozenset(_LISTS_OF_WORD)


def features(task: Task) -> dict[str, float]:
    """Describe a task by numbers known before any call.

    Args:
        task: The task. Its category is not used: labels are the difficulty model's business.

    Returns:
        About fifty finite numbers under stable names, in the order of `FEATURE_NAMES`.
    """
    text = task.text
    seen = text if len(text) <= 2 * WINDOW else f"{text[:WINDOW]}\n{text[-WINDOW:]}"
    return {
        **_size(text, seen),
        **_vocabulary(seen),
        **_numbers(seen),
        **_symbols(seen),
        **_layout(seen),
        **_script(seen),
        **_conversation(task),
    }


def approximate_tokens(task: Task) -> float:
    """Guess the input tokens of a task from its length, the same way for learning and predicting."""
    return len(task.text) / CHARS_PER_TOKEN


def _size(text: str, seen: str) -> dict[str, float]:
    lines = seen.split("\n")
    longest = max(map(len, lines))
    filled = sum(1 for line in lines if line and not line.isspace())
    return {
        "log_chars": log1p(len(text)),
        "log_lines": log1p(filled),
        "blank_line_share": 1.0 - filled / len(lines),
        "log_longest_line": log1p(longest),
        "log_sentences": log1p(len(_SENTENCE_END.findall(seen))),
        "log_last_line": log1p(len(lines[-1])),
    }


def _vocabulary(seen: str) -> dict[str, float]:
    words = (_ASCII_WORD if seen.isascii() else _WORD).findall(seen.lower())
    distinct, lengths = set(words), list(map(len, words))
    total = len(words) or 1
    found = dict.fromkeys(_WORD_LISTS, 0)
    for word in distinct & _LISTED:
        for name in _LISTS_OF_WORD[word]:
            found[name] += 1
    return {
        "log_words": log1p(len(words)),
        "distinct_word_share": len(distinct) / total,
        "mean_word_length": log1p(sum(lengths) / total),
        "log_long_words": log1p(sum(map(_LONG.__le__, map(len, distinct)))),
        "one_letter_word_share": lengths.count(1) / total,
        "starts_as_question": float(bool(words) and words[0] in _QUESTION_STARTS),
        **{name: log1p(count) for name, count in found.items()},
    }


def _numbers(seen: str) -> dict[str, float]:
    numbers = _NUMBER.findall(seen)
    digits = sum(map(len, numbers))
    largest = max(map(len, numbers), default=0)
    return {
        "log_numbers": log1p(len(numbers)),
        "log_distinct_numbers": log1p(len(set(numbers))),
        "digit_share": digits / (len(seen) or 1),
        "largest_number_digits": log1p(largest),
        "decimals": log1p(sum(1 for number in numbers if "." in number)),
    }


def _symbols(seen: str) -> dict[str, float]:
    count = seen.count
    operators = sum(map(count, "+*/=<>^%\u2264\u2265\xd7\xf7"))
    brackets = count("(") + count("[") + count("{")
    return {
        "log_operators": log1p(operators),
        "log_brackets": log1p(brackets),
        "log_braces": log1p(count("{")),
        "log_dollars": log1p(count("$")),
        "log_latex": log1p(len(_LATEX.findall(seen)) if "\\" in seen else 0),
        "log_powers": log1p(count("^") + count("**")),
        "log_comparisons": log1p(sum(map(count, "<>\u2264\u2265")) + count("\\le") + count("\\ge")),
        "log_question_marks": log1p(count("?")),
        "ends_with_question": float(seen.rstrip().endswith("?")),
        "log_commas": log1p(count(",")),
        "log_colons": log1p(count(":")),
        "log_underscores": log1p(count("_")),
    }


def _layout(seen: str) -> dict[str, float]:
    count = seen.count
    return {
        "code_fences": log1p(count("```")),
        "log_code_lines": log1p(len(_CODE_LINE.findall(seen))),
        "log_semicolons": log1p(count(";")),
        "log_list_items": log1p(len(_LIST_ITEM.findall(seen))),
        "log_choices": log1p(len(_CHOICE.findall(seen))),
        "log_table_rows": log1p(len(_TABLE_ROW.findall(seen)) if "|" in seen else 0),
        "log_json_keys": log1p(len(_JSON_KEY.findall(seen)) if '":' in seen else 0),
        "log_quotes": log1p(len(_QUOTED.findall(seen)) if '"' in seen or "“" in seen else 0),
        "urls": log1p(count("://")),
    }


def _script(seen: str) -> dict[str, float]:
    foreign = "" if seen.isascii() else "".join(_NOT_ASCII.findall(seen))
    total = len(seen) or 1
    letters = [char for char in foreign if char.isalpha()]
    cjk = sum(1 for char in letters if "\u3040" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3")
    other_letters = len(letters) - cjk
    return {
        "cjk_share": cjk / total,
        "other_script_share": other_letters / total,
        "symbol_share": (len(foreign) - cjk - other_letters) / total,
    }


def _conversation(task: Task) -> dict[str, float]:
    turns = () if isinstance(task.input, str) else task.input
    parts = [part for turn in turns if not isinstance(turn.content, str) for part in turn.content]
    return {
        "log_turns": log1p(len(turns) or 1),
        "log_tool_turns": log1p(sum(1 for turn in turns if turn.role == "tool")),
        "attachments": log1p(sum(1 for part in parts if "text" not in part)),
        "has_instructions": float(task.instructions is not None),
        "has_schema": float(task.response_schema is not None),
    }


FEATURE_NAMES: tuple[str, ...] = tuple(features(Task(input="")))


def features_hash(names: tuple[str, ...], *, version: int) -> str:
    """Fingerprint of a feature list, so that a stored model is never fed other numbers."""
    return hashlib.sha256("\n".join((str(version), *names)).encode()).hexdigest()[:16]


FEATURES_HASH = features_hash(FEATURE_NAMES, version=FEATURES_VERSION)
