"""From the data of a suite case to the verifier that decides about its answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from effortctl._errors import ConfigError
from effortctl._types import Case, Verdict
from effortctl.protocols import AnyVerifier
from effortctl.verifiers import (
    all_of,
    any_of,
    check,
    choice,
    code_tests,
    equals,
    final_answer,
    json_fields,
    number,
)

CODE_TIMEOUT_S = 5.0
"""Seconds for the unit tests of one program; every right answer in the suite needs far less."""


def verifier_for(case: Case) -> AnyVerifier:
    """The exact check of a suite case, built from its reference.

    Raises:
        ConfigError: The reference is not the data of a check.
        SandboxUnavailableError: The check runs code, and no sandbox works on this machine.
    """
    spec = case.reference
    kind = spec.get("kind") if isinstance(spec, Mapping) else None
    build = _BUILDERS.get(str(kind))
    if build is None:
        raise ConfigError(
            f"case {case.task.id!r} has no check: its reference must be a table whose kind is one of "
            f"{', '.join(_BUILDERS)}"
        )
    return build(spec)


def _any_equals(spec: Mapping[str, Any]) -> AnyVerifier:
    names = [equals(name) for name in spec["expected"]]
    return names[0] if len(names) == 1 else any_of(*names)


def _right_choice(spec: Mapping[str, Any]) -> AnyVerifier:
    """`choice` alone would accept any of the options."""
    options: Sequence[str] = spec["options"]
    pattern = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, options))})(?!\w)", re.IGNORECASE)
    expected = spec["expected"].casefold()

    def right_option(text: str) -> Verdict:
        named = {found.casefold() for found in pattern.findall(final_answer(text))}
        if named == {expected}:
            return Verdict(status="pass")
        return Verdict(status="fail", feedback="That option is not the right one.")

    return all_of(choice(options), check(right_option, name="right_option"))


def _code_tests(spec: Mapping[str, Any]) -> AnyVerifier:
    return code_tests(
        spec["tests"],
        entry_point=spec["entry_point"],
        prompt_prefix=spec["prompt"],
        timeout_s=CODE_TIMEOUT_S,
    )


_BUILDERS: Mapping[str, Callable[[Mapping[str, Any]], AnyVerifier]] = {
    "number": lambda spec: number(spec["expected"]),
    "equals": lambda spec: equals(spec["expected"]),
    "any_equals": _any_equals,
    "choice": _right_choice,
    "json_fields": lambda spec: json_fields(spec["expected"]),
    "code_tests": _code_tests,
}
