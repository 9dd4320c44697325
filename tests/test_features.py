"""Structural features: finite, stable, cheap, and blind to what they must not see."""

import hashlib
import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from effortctl._features import (
    FEATURE_NAMES,
    FEATURES_HASH,
    FEATURES_VERSION,
    WINDOW,
    approximate_tokens,
    features,
    features_hash,
)
from effortctl._types import Message, Task

SAMPLE = """Given an array of n integers, find the maximum sum of a subarray.
- 1 <= n <= 10^5, you must not use recursion
```python
def solve(a: list[int]) -> int:
    return max(a)
```
Example: {"input": [1, -2, 3.5]} gives "3". See https://example.org. Why?"""


def of(text):
    return features(Task(input=text))


@settings(deadline=None)
@given(st.text(max_size=400))
def test_every_number_is_finite_and_every_name_is_stable(text):
    numbers = of(text)
    assert tuple(numbers) == FEATURE_NAMES
    assert all(math.isfinite(value) for value in numbers.values())


@settings(deadline=None)
@given(st.text(max_size=300))
def test_shares_stay_between_zero_and_one(text):
    shares = [value for name, value in of(text).items() if name.endswith("_share")]
    assert all(0 <= share <= 1 for share in shares)


def test_there_are_about_fifty():
    assert 45 <= len(FEATURE_NAMES) <= 65


def test_a_changed_definition_needs_a_new_version():
    rounded = {name: round(value, 9) for name, value in of(SAMPLE).items()}
    digest = hashlib.sha256(json.dumps(rounded).encode()).hexdigest()[:12]
    assert (FEATURES_VERSION, digest) == (1, "1191ae9638ab"), "raise FEATURES_VERSION with this pin"


def test_the_hash_depends_on_names_and_version():
    assert features_hash(FEATURE_NAMES, version=FEATURES_VERSION) == FEATURES_HASH
    assert features_hash(FEATURE_NAMES[1:], version=FEATURES_VERSION) != FEATURES_HASH
    assert features_hash(FEATURE_NAMES, version=FEATURES_VERSION + 1) != FEATURES_HASH


def test_code_math_lists_and_questions_are_seen():
    seen = of(SAMPLE)
    for name in (
        "code_fences",
        "log_code_lines",
        "log_list_items",
        "log_json_keys",
        "log_quotes",
        "urls",
        "log_powers",
        "decimals",
        "ends_with_question",
        "words_limit",
        "words_structure",
    ):
        assert seen[name] > 0, name
    assert seen["cjk_share"] == 0


def test_latex_tables_and_choices_are_seen():
    seen = of("Compute \\frac{1}{2}.\n| a | b |\n| 1 | 2 |\nA. one\nB. two")
    assert seen["log_latex"] > 0
    assert seen["log_table_rows"] > 0
    assert seen["log_choices"] == math.log1p(2)


def test_other_scripts_are_told_apart():
    assert of("证明这个定理")["cjk_share"] == 1
    assert of("докажите")["other_script_share"] == 1
    assert of("\u2200\u2203")["symbol_share"] == 1


def test_a_conversation_counts_turns_tools_and_attachments():
    image = ({"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "look"})
    task = Task(
        input=(Message(role="user", content=image), Message(role="tool", content="42")),
        instructions="Be brief.",
        response_schema={"type": "object"},
    )
    seen = features(task)
    assert seen["attachments"] == math.log1p(1)
    assert seen["log_turns"] == math.log1p(2)
    assert seen["log_tool_turns"] == math.log1p(1)
    assert seen["has_instructions"] == seen["has_schema"] == 1


def test_the_category_is_not_a_feature():
    assert features(Task(input=SAMPLE, category="a")) == features(Task(input=SAMPLE))


def test_a_long_prompt_is_looked_at_through_a_window():
    long = "x = 1\n" * WINDOW
    assert of(long)["log_chars"] == math.log1p(len(long))
    assert of(long)["log_lines"] <= math.log1p(2 * WINDOW)
    middle = "a" * WINDOW + "1" * 50 + "b" * WINDOW
    assert of(middle)["log_numbers"] == 0


def test_tokens_are_guessed_from_length():
    assert approximate_tokens(Task(input="x" * 400)) == 100
