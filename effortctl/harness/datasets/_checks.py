"""What a `verify` column or argument may say, turned into verifiers.

A dataset is data: unless its user vouches for it, it must not name Python to run, neither a file nor
unit tests (those of `code_tests` run outside the sandbox, which holds only the model's program).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from effortctl._errors import ConfigError
from effortctl._types import Case
from effortctl.harness._task_checks import verifier_for
from effortctl.protocols import AnyVerifier
from effortctl.verifiers import all_of, as_verifier

_RUNS_CODE: Final = ("python", "code-tests", "code_tests")


def parse_check(value: Any) -> Any:
    """Read a cell: JSON where it starts like JSON, else a spec such as `number:408`.

    Raises:
        ConfigError: It starts like JSON and is none.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] not in {"{", "["}:
        return text or None
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"it starts like JSON and is none ({error})") from None


def build_check(spec: Any, case: Case) -> AnyVerifier:
    """The verifier of a spec: text, an object with `kind`, a list (all must pass), or a function.

    Raises:
        ConfigError: It is none of these, or a part is missing.
    """
    if isinstance(spec, list | tuple):
        if not spec:
            raise ConfigError("the list of checks is empty; name at least one")
        return all_of(*(build_check(item, case) for item in spec))
    if isinstance(spec, Mapping):
        try:
            return verifier_for(case.model_copy(update={"reference": spec}))
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"the check of kind {spec.get('kind')!r} lacks {error}") from None
    verifier = as_verifier(spec)
    if verifier is None:
        raise ConfigError("the check is empty; write one such as number:408")
    return verifier


def runs_code(spec: Any) -> bool:
    """Whether building or running the check executes Python that the spec names or contains."""
    if isinstance(spec, str):
        return spec.partition(":")[0].strip().lower() in _RUNS_CODE
    if isinstance(spec, Mapping):
        return spec.get("kind") == "code_tests"
    return isinstance(spec, list | tuple) and any(map(runs_code, spec))
