"""Offline scoring: an answer and the reference in, a number in 0..1 out.

A metric knows the right answer, so it measures; a verifier does not, so it can run in production. The
metrics by name are built on the verifiers, given the reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from effortctl._errors import ConfigError, EffortctlError, VerifierError
from effortctl._types import Answer, Case, Task, Verdict
from effortctl.protocols import AnyVerifier
from effortctl.verifiers import (
    any_of,
    check,
    code_tests,
    contains,
    equals,
    final_answer,
    guarded,
    is_async,
    json_fields,
    math_equal,
    number,
)

_LETTERS: Final = tuple("ABCDEFGH")
_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text\s*\{)?([^{}]*)\}")
_WRAPPING = " \t\n*_`()[].:\"'"


class Metric(Protocol):
    """Scores an answer with the help of the reference."""

    @property
    def name(self) -> str:
        """Short name, written into results."""
        ...

    def __call__(self, answer_text: str, case: Case, /) -> float:
        """Return a score in 0..1.

        Raises:
            ConfigError: The case has no reference of the kind this metric needs.
            VerifierError: The check crashed or could not decide, so there is no score.
        """
        ...

    def refuse(self, case: Case, /) -> None:
        """Raise what scoring the case would raise whatever the answer, before any call is paid for.

        Raises:
            ConfigError: The case has no reference of the kind this metric needs.
        """
        ...


@dataclass(frozen=True)
class CheckMetric:
    """1 where a check that knows the reference passes, else 0.

    Attributes:
        name: Short name.
        check_of: Builds the check from a case.
        runs_code: The check executes code that stands in the reference.
    """

    name: str
    check_of: Callable[[Case], AnyVerifier]
    runs_code: bool = False

    def __call__(self, answer_text: str, case: Case, /) -> float:
        """See `Metric`."""
        return score_by(self.check_of(case), answer_text, case)

    def refuse(self, case: Case, /) -> None:
        """See `Metric.refuse`."""
        self.check_of(case)


@dataclass(frozen=True)
class FunctionMetric:
    """A user's function of (answer text, case) that returns a bool or a number in 0..1."""

    name: str
    function: Callable[[str, Case], Any]

    def __call__(self, answer_text: str, case: Case, /) -> float:
        """See `Metric`."""
        try:
            value = self.function(answer_text, case)
        except EffortctlError:
            raise
        except Exception as error:
            raise VerifierError(
                f"the metric {self.name} crashed on case {case.task.id!r}: {type(error).__name__}: {error}",
                verifier=self.name,
            ) from error
        if isinstance(value, bool | int | float) and 0 <= value <= 1:
            return float(value)
        raise VerifierError(
            f"the metric {self.name} returned {value!r} for case {case.task.id!r}; return a bool or a "
            "number in 0..1",
            verifier=self.name,
        )

    def refuse(self, case: Case, /) -> None:
        """See `Metric.refuse`; nobody knows what a function needs."""


def metric_named(name: str | Metric | Callable[[str, Case], Any]) -> Metric:
    """Find a metric.

    Args:
        name: One of `METRIC_NAMES`, a metric, or a function of (answer text, case).

    Raises:
        ConfigError: There is no such metric.
    """
    if isinstance(name, str):
        found = _METRICS.get(name.strip().lower().replace("-", "_"))
        if found is None:
            raise ConfigError(f"unknown metric {name!r}; choose from {', '.join(METRIC_NAMES)}")
        return found
    if hasattr(name, "refuse"):
        return cast("Metric", name)
    if callable(name):
        return FunctionMetric(getattr(name, "__name__", type(name).__name__), name)
    raise ConfigError(
        f"a metric is one of {', '.join(METRIC_NAMES)}, or a function of (answer text, case), got {name!r}"
    )


def score_by(verifier: AnyVerifier, answer_text: str, case: Case) -> float:
    """1 when the verifier passes the answer, else 0.

    Raises:
        ConfigError: The verifier is async; scoring is not.
        VerifierError: It crashed or abstained, which says nothing about the answer.
    """
    if is_async(verifier):
        raise ConfigError(
            f"the check {verifier!r} is async, which a metric cannot be; use a plain one"
        )
    verdict = guarded(verifier)(case.task, Answer(text=answer_text))
    if not isinstance(verdict, Verdict) or verdict.status == "abstain":
        reason = getattr(verdict, "error", None) or "it abstained"
        raise VerifierError(
            f"case {case.task.id!r} cannot be scored: {reason}",
            verifier=getattr(verdict, "verifier", ""),
        )
    return float(verdict.passed)


# --- references ------------------------------------------------------------------------------------


def reference_text(value: Any) -> str:
    """A reference as a model would write it: JSON's `true`, no `.0` on whole numbers."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, default=str)


def _expected(case: Case) -> Any:
    reference = case.reference
    if isinstance(reference, Mapping) and "expected" in reference:
        reference = reference["expected"]
    if reference is None or reference in ("", []):
        raise ConfigError(
            f"case {case.task.id!r} has no target, which its metric compares answers with; fill in the "
            "column `target`, or choose the metric `verifier`"
        )
    return reference


def _any(build: Callable[[str], AnyVerifier]) -> Callable[[Case], AnyVerifier]:
    """The check for one right answer, or for a list of them."""

    def check_of(case: Case) -> AnyVerifier:
        expected = _expected(case)
        several = expected if isinstance(expected, list | tuple) else [expected]
        try:
            checks = [build(reference_text(item)) for item in several]
        except ConfigError as error:
            raise ConfigError(f"case {case.task.id!r}: its target does not fit: {error}") from None
        return checks[0] if len(checks) == 1 else any_of(*checks)

    return check_of


def _exactly(text: str) -> AnyVerifier:
    return check(lambda answer: answer.strip() == text.strip(), name="exact")


def _json(case: Case) -> AnyVerifier:
    expected = _expected(case)
    if isinstance(expected, str):
        try:
            expected = json.loads(expected)
        except ValueError:
            expected = None
    if not isinstance(expected, Mapping) or not expected:
        raise ConfigError(
            f"case {case.task.id!r}: the metric json needs a target that is a JSON object of fields and "
            'their right values, such as {"name": "Ada"}'
        )
    return json_fields(expected)


def _code(case: Case) -> AnyVerifier:
    spec = case.reference
    if not isinstance(spec, Mapping) or not {"tests", "entry_point"} <= set(spec):
        raise ConfigError(
            f"case {case.task.id!r}: the metric code_tests needs a target that is a JSON object with "
            "tests (Python code), entry_point (a function's name) and, if wanted, prompt"
        )
    return code_tests(
        str(spec["tests"]),
        entry_point=str(spec["entry_point"]),
        prompt_prefix=str(spec.get("prompt", "")),
    )


def _choice(case: Case) -> AnyVerifier:
    expected = reference_text(_expected(case)).strip()
    given = case.reference.get("options") if isinstance(case.reference, Mapping) else None
    options = tuple(str(option) for option in given or _LETTERS)
    if expected.casefold() not in {option.casefold() for option in options}:
        raise ConfigError(
            f"case {case.task.id!r}: the target {expected!r} is none of the choices "
            f"{', '.join(options)}"
        )

    def right_choice(task: Task, answer: Answer) -> bool:  # noqa: ARG001 - the shape of a check
        return chosen_option(answer.text, options) == expected.casefold()

    return check(right_choice, name="choice")


def chosen_option(text: str, options: tuple[str, ...] = _LETTERS) -> str | None:
    """The one option an answer settles on, in lower case; None when it names none or several.

    Looks into the last box, then behind the last `Answer:`. What is nothing but the option counts in
    any case; within a sentence it must be spelled as the option is.
    """
    boxed: list[str] = _BOXED.findall(text)
    for part in (*boxed[-1:], final_answer(text)):
        if part.strip(_WRAPPING).casefold() in {option.casefold() for option in options}:
            return part.strip(_WRAPPING).casefold()
    pattern = "|".join(re.escape(option) for option in sorted(options, key=len, reverse=True))
    named = {
        str(found) for found in re.findall(rf"(?<!\w)({pattern})(?!\w|'\w)", final_answer(text))
    }
    return named.pop().casefold() if len(named) == 1 else None


_METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (
        CheckMetric("exact", _any(_exactly)),
        CheckMetric("text", _any(equals)),
        CheckMetric("number", _any(number)),
        CheckMetric("contains", _any(lambda text: contains(text, ignore_case=True))),
        CheckMetric("choice", _choice),
        CheckMetric("math", _any(math_equal)),
        CheckMetric("json", _json),
        CheckMetric("code_tests", _code, runs_code=True),
    )
}
METRIC_NAMES: Final = (*_METRICS, "verifier")
"""Names `metric_named` knows, and `verifier`: the case's own run-time check decides."""
