"""Is this answer good enough? Checks that see the task and the answer, never the reference.

Every factory here returns a verifier: an object with a `name`, called with `(task, answer)`, that
returns a `Verdict` of pass, fail or abstain. Feedback tells the next attempt what is wrong without
giving the right answer away.

`judge`, `decisions_judge` and `agreement` ask a model; a controller makes their calls and charges for them.
"""

from effortctl.verifiers._agreement import agreement
from effortctl.verifiers._base import check, final_answer, is_async
from effortctl.verifiers._code import code_tests
from effortctl.verifiers._combine import all_of, any_of, guarded
from effortctl.verifiers._judge import decisions_judge, judge
from effortctl.verifiers._math import math_equal
from effortctl.verifiers._number import number
from effortctl.verifiers._schema import json_fields, json_schema, pydantic_model
from effortctl.verifiers._spec import SPEC_KINDS, as_verifier, parse_spec
from effortctl.verifiers._text import (
    choice,
    contains,
    equals,
    not_empty,
    not_refused,
    not_truncated,
    regex,
)

__all__ = [
    "SPEC_KINDS",
    "agreement",
    "all_of",
    "any_of",
    "as_verifier",
    "check",
    "choice",
    "code_tests",
    "contains",
    "decisions_judge",
    "equals",
    "final_answer",
    "guarded",
    "is_async",
    "json_fields",
    "json_schema",
    "judge",
    "math_equal",
    "not_empty",
    "not_refused",
    "not_truncated",
    "number",
    "parse_spec",
    "pydantic_model",
    "regex",
]
