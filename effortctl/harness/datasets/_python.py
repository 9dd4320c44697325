"""`module.py:function`: cases from the user's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from effortctl._errors import ConfigError
from effortctl.verifiers._spec import import_file


def names_python(source: str) -> bool:
    """Whether a dataset is named as a function in a Python file."""
    path, colon, function = source.rpartition(":")
    return bool(colon) and path.endswith(".py") and function.isidentifier()


def call_factory(source: str) -> Any:
    """Import the file, call the function without arguments, and return what it gives.

    Raises:
        ConfigError: The file or the function is missing, or fails.
    """
    name, _, function = source.rpartition(":")
    path = Path(name).expanduser()
    factory = getattr(import_file(path, package="effortctl_dataset"), function, None)
    if not callable(factory):
        raise ConfigError(f"{str(path)!r} has no function {function!r}")
    try:
        cases = factory()
        iter(cases)
    except Exception as error:
        raise ConfigError(
            f"{source} did not give cases ({type(error).__name__}: {error}); it must take no arguments and "
            "return a list of Case or dict"
        ) from error
    return cases
