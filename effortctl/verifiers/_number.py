"""The final number of an answer, compared exactly or within a tolerance."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from effortctl._errors import ConfigError
from effortctl._types import Answer
from effortctl.verifiers._base import BuiltIn, final_answer

_CURRENCY = "$\u20ac\u00a3\u00a5"
_PLAIN = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+)?"
# The sign must touch the number (a list bullet does not) and must not follow a word or another
# number (then it is a hyphen or a subtraction).
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w.)])[-+])?[{_CURRENCY}]?(?P<sign2>(?<=[{_CURRENCY}])[-+])?"
    rf"(?=\.?\d)(?<![\w.])(?P<whole>{_PLAIN})(?P<exponent>[eE][-+]?\d{{1,3}}(?![\d.]))?"
    rf"(?:\s*/\s*(?P<below>\d+(?:\.\d+)?)(?![\d.]))?"
)
_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*([-+]?[\d.]+)\s*\}\s*\{\s*([-+]?[\d.]+)\s*\}")
_LONGEST_NUMBER = 1_000


def parse_number(text: str) -> Fraction | None:
    r"""The final number in a text, exactly; None when there is none.

    In order of preference: after the last `Answer:` or `####` (behind the last `=` of that line),
    in the last `\\boxed{}`, the last number of all. Understands thousands separators, currency and
    percent signs (both ignored), fractions, exponents, LaTeX spacing and the Unicode minus.
    """
    plain = _plain(text)
    labelled = final_answer(plain)
    if labelled != plain.strip():
        line = next((line for line in labelled.splitlines() if line.strip()), "")
        found = _boxed(line) or _numbers(line.rpartition("=")[2]) or _numbers(line)
        if found:
            return found[0]
    found = _boxed(plain) or _numbers(plain)
    return found[-1] if found else None


def _plain(text: str) -> str:
    text = text.replace("\u2212", "-").replace("\u2013", "-").replace("{,}", ",")
    text = re.sub(r"\\[,!;: ]|[\u00a0\u202f\u2009]", "", text)
    text = re.sub(r"\\([%$])", r"\1", text)
    return _FRACTION.sub(r"\1/\2", text)


def _boxed(text: str) -> list[Fraction]:
    contents = re.findall(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}", text)
    return _numbers(contents[-1].rpartition("=")[2]) if contents else []


def _numbers(text: str) -> list[Fraction]:
    values = (_value(match) for match in _NUMBER.finditer(text))
    return [value for value in values if value is not None]


def _value(match: re.Match[str]) -> Fraction | None:
    if len(match[0]) > _LONGEST_NUMBER:
        return None
    try:
        above = Fraction(Decimal(match["whole"].replace(",", "") + (match["exponent"] or "")))
        value = above / Fraction(match["below"] or 1)
    except (InvalidOperation, ZeroDivisionError):
        return None
    return -value if "-" in (match["sign"], match["sign2"]) else value


@dataclass(frozen=True, repr=False)
class Number(BuiltIn):
    """See `number`."""

    name = "number"
    expected: Fraction
    rel_tol: Fraction = Fraction(0)
    abs_tol: Fraction = Fraction(0)

    def problem(self, answer: Answer) -> str | None:
        """Compare the final number of the answer."""
        found = parse_number(answer.text)
        if found is None:
            return "No number was found. End the answer with a line `Answer: <number>`."
        allowed = max(self.rel_tol * abs(self.expected), self.abs_tol)
        if abs(found - self.expected) <= allowed:
            return None
        return f"The final number, {_show(found)}, is not right."

    def __repr__(self) -> str:
        tolerances = [
            f", {name}={_show(value)}"
            for name, value in (("rel_tol", self.rel_tol), ("abs_tol", self.abs_tol))
            if value
        ]
        return f"number({_show(self.expected)}{''.join(tolerances)})"


def number(
    expected: Decimal | Fraction | float | str,
    *,
    rel_tol: Decimal | float | str = 0,
    abs_tol: Decimal | float | str = 0,
) -> Number:
    r"""Pass when the final number of the answer equals `expected`.

    The final number stands after the last `Answer:`, else in the last `\\boxed{}`, else it is the
    last number of all. `$`, `%` and thousands separators are ignored, `1/2` and `0.5` are equal.
    The comparison is exact unless a tolerance is given.

    Args:
        expected: The right number; a text may be written as a model would write it.
        rel_tol: Allowed difference as a part of `expected`.
        abs_tol: Allowed difference.

    Raises:
        ConfigError: One of them is not a finite number, or a tolerance is negative.
    """
    tolerances = [
        _exact(value, what) for what, value in (("rel_tol", rel_tol), ("abs_tol", abs_tol))
    ]
    if min(tolerances) < 0:
        raise ConfigError(f"a tolerance cannot be negative: rel_tol={rel_tol}, abs_tol={abs_tol}")
    return Number(_exact(expected, "expected"), *tolerances)


def _exact(value: object, what: str) -> Fraction:
    if isinstance(value, str):
        found = _NUMBER.fullmatch(_plain(value).strip().rstrip("%").rstrip())
        exact = _value(found) if found else None
        if exact is not None:
            return exact
    elif isinstance(value, int | float | Decimal | Fraction) and not isinstance(value, bool):
        try:
            # repr gives the shortest decimal of a float: 0.1 means one tenth here.
            return Fraction(repr(value) if isinstance(value, float) else value)
        except (ValueError, OverflowError):
            pass
    raise ConfigError(
        f"{what} must be a finite number such as 408, '1/2' or '1,250.75', got {value!r}"
    )


def _show(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator) if abs(value) < 10**30 else f"{Decimal(value.numerator):.12e}"
    as_float = float(value) if abs(value) < 10**300 else 0.0
    return repr(as_float) if as_float and Fraction(repr(as_float)) == value else str(value)[:60]
