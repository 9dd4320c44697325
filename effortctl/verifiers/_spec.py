"""What `verify=` accepts, and how a check is written in one word on a command line."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from effortctl._errors import ConfigError
from effortctl.protocols import AnyVerifier, VerifierLike
from effortctl.verifiers._agreement import agreement
from effortctl.verifiers._base import check
from effortctl.verifiers._code import code_tests
from effortctl.verifiers._combine import all_of
from effortctl.verifiers._judge import judge
from effortctl.verifiers._math import math_equal
from effortctl.verifiers._number import number
from effortctl.verifiers._schema import json_schema
from effortctl.verifiers._text import (
    choice,
    contains,
    equals,
    not_empty,
    not_refused,
    not_truncated,
    regex,
)


def as_verifier(
    value: VerifierLike | AnyVerifier | str | Sequence[Any] | None,
) -> AnyVerifier | None:
    """Turn whatever `verify=` accepts into one verifier.

    Args:
        value: A verifier, any function (see `check`), a spec such as `number:408` (see
            `parse_spec`), a list of these (all must pass), or None.

    Raises:
        ConfigError: It is none of these.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return parse_spec(value)
    if isinstance(value, list | tuple):
        members = [verifier for item in value if (verifier := as_verifier(item)) is not None]
        return all_of(*members) if members else None
    if isinstance(getattr(value, "name", None), str) and callable(value):
        return cast("AnyVerifier", value)
    if callable(value):
        _refuse_maker(value)
        return check(value)
    raise ConfigError(f"verify= takes a function, a verifier, a spec or a list, got {value!r}")


def _refuse_maker(value: Callable[..., Any]) -> None:
    """Refuse `verify=json_schema`, which makes a check and is none."""
    if inspect.isfunction(value) and value.__module__.startswith("effortctl.verifiers."):
        raise ConfigError(
            f"{value.__name__} makes a check and is none; call it, as in verify={value.__name__}(...)"
        )


def parse_spec(text: str) -> AnyVerifier:
    """Build a verifier from one `kind:argument`, as in `number:408` or `regex:'^[A-Z]+$'`.

    The kinds are in `SPEC_KINDS`. Quotes around the argument are removed. To ask for several checks
    at once, pass a list of specs to `as_verifier`.

    Raises:
        ConfigError: The kind is unknown, or its argument is missing or wrong.
    """
    kind, colon, argument = text.strip().partition(":")
    kind = kind.strip().lower().replace("_", "-")
    argument = _unquote(argument)
    if kind in _PLAIN_KINDS:
        if argument:
            raise ConfigError(f"the check {kind!r} takes no argument, got {text!r}")
        return _PLAIN_KINDS[kind]()
    if kind not in _KINDS:
        raise ConfigError(f"unknown check {text!r}; write one of: {', '.join(SPEC_KINDS)}")
    if not colon or not argument:
        raise ConfigError(f"the check {kind!r} needs an argument: {_KINDS[kind][1]}")
    return _KINDS[kind][0](argument)


def _unquote(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def _read(path: str, what: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the {what} {path!r}: {error}") from error


def _schema_file(path: str) -> AnyVerifier:
    try:
        schema = json.loads(_read(path, "JSON Schema"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path!r} is not JSON: {error}") from error
    return json_schema(schema)


def _split_file(argument: str, example: str) -> tuple[str, str]:
    path, colon, name = argument.rpartition(":")
    if not colon or not path or not name.isidentifier():
        raise ConfigError(f"{argument!r} does not name a file and a function; write {example}")
    return path, name


def _python_file(argument: str) -> AnyVerifier:
    path, name = _split_file(argument, "python:path.py:function")
    function = getattr(import_file(Path(path).expanduser(), package="effortctl_user"), name, None)
    if not callable(function):
        raise ConfigError(f"{path!r} has no function {name!r}")
    return check(function)


def import_file(path: Path, *, package: str) -> Any:
    """Run a Python file of the user's and return its module, named after the file.

    Raises:
        ConfigError: There is no such file, or it cannot be imported.
    """
    if not path.is_file():
        raise ConfigError(f"there is no Python file {str(path)!r}")
    module_name = f"{package}_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{str(path)!r} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickling look their module up here.
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise ConfigError(
            f"{str(path)!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return module


def _tests_file(argument: str) -> AnyVerifier:
    path, name = _split_file(argument, "code-tests:tests.py:function_under_test")
    return code_tests(_read(path, "test file"), entry_point=name)


def _agreement(argument: str) -> AnyVerifier:
    return agreement(same_answer=cast("Any", argument))


def _judge(argument: str) -> AnyVerifier:
    arm, colon, rubric = argument.partition(":")
    if not colon or not arm.strip():
        raise ConfigError(f"{argument!r} does not name a judge; write {_KINDS['judge'][1]}")
    return judge(_unquote(rubric), arm=arm.strip())


_PLAIN_KINDS: dict[str, Callable[[], AnyVerifier]] = {
    "not-empty": not_empty,
    "not-truncated": not_truncated,
    "not-refused": not_refused,
}
_KINDS: dict[str, tuple[Callable[[str], AnyVerifier], str]] = {
    "regex": (regex, "regex:'^[0-9]+$'"),
    "number": (number, "number:408"),
    "contains": (contains, "contains:foo"),
    "equals": (equals, "equals:Paris"),
    "choice": (lambda text: choice([part.strip() for part in text.split(",")]), "choice:a,b,c"),
    "math": (math_equal, "math:1/2"),
    "json-schema": (_schema_file, "json-schema:path.json"),
    "python": (_python_file, "python:path.py:function"),
    "agreement": (_agreement, "agreement:number"),
    "judge": (_judge, "judge:gpt-6-luna@low:'Is it polite, and does it answer the question?'"),
    "code-tests": (_tests_file, "code-tests:tests.py:function_under_test"),
}
SPEC_KINDS: tuple[str, ...] = (*(example for _, example in _KINDS.values()), *_PLAIN_KINDS)
"""An example of every kind of check `parse_spec` understands."""
