"""From an answer to a program."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl.verifiers._guest_tests import choose_reading, lets_lazy_out
from effortctl.verifiers._program import LoadError, find_code, readings

PROMPT = 'import math\n\ndef helper(x):\n    return x\n\ndef f(x):\n    """Double x."""\n'


def assemble(text, prefix=""):
    sources = readings(text, entry_point="f", prefix=prefix)
    choice = choose_reading(sources)
    if "invalid" in choice:
        raise LoadError(choice["invalid"])
    return sources[choice["program"]]


def run(text, prefix=""):
    names = {}
    exec(assemble(text, prefix), names)
    return names["f"](3)


@pytest.mark.parametrize(
    "text",
    [
        "def f(x): return x * 2",
        "```python\ndef f(x): return x * 2\n```",
        "Sure:\n```py\ndef f(x): return x * 2\n```\nUse it like this:\n```python\nf(2)\n```",
        "```\ndef f(x): return x * 2\n```",
        "```python\ndef f(x): return 0\n```\nNo:\n```python\ndef f(x): return x * 2\n```",
        "```bash\npip install f\n```\n```Python\nf = lambda x: x * 2\n```\n```json\n{}\n```",
        "```python\ndef f(x):\n    return x * 2\n",
        "  ```python\ndef f(x): return x * 2\n  ```",
    ],
)
def test_the_program_is_found_in_the_answer(text):
    assert run(text) == 6


@pytest.mark.parametrize(
    "text",
    [
        "    return x * 2\n",
        "return x * 2",
        "\n    y = x * 2\n    return y",
        "y = x * 2\n    return y",
        "```python\n    return helper(x) * 2\n```",
        "def f(x):\n    return helper(x) * int(math.sqrt(4))",
        "from __future__ import annotations\ndef f(x: Unknown): return x * 2",
    ],
)
def test_a_completion_is_joined_to_its_prompt(text):
    assert run(text, PROMPT) == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no program"),
        ("```python\n```", "no program"),
        ("def f(:", "not valid Python"),
        ("def f(x):\n  return (\n", "line"),
        ("I do not know.", "not valid Python"),
        ("x = '\x00'", "not valid Python"),
        ("(" * 5000, "not valid Python"),
        ("-" * 100_000 + "1", "not valid Python"),
        ("x = 1\n" * 100_000, "longer than"),
    ],
)
def test_what_is_no_program_says_why(text, said):
    with pytest.raises(LoadError, match=said):
        assemble(text)


@given(st.text())
def test_any_text_gives_code_or_a_load_error(text):
    assert isinstance(find_code(text, "f"), str)
    with contextlib.suppress(LoadError):
        assert assemble(text, PROMPT)


@pytest.mark.parametrize(
    ("source", "lazy"),
    [
        ("x = sum(i for i in [1])", False),
        ("for a, b in zip([1], [2]): pass", False),
        ("x = [*map(int, '1')]", False),
        ("x = [a for a in reversed([1])]", False),
        ("x = (i for i in [1])", True),
        ("def f(): return map(int, '1')", True),
        ("x = zip([1], [2])", True),
    ],
)
def test_lazy_iterators_that_get_away_are_noticed(source, lazy):
    assert lets_lazy_out(source) is lazy
