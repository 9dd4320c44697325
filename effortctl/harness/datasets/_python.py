"""`module.py:function`: cases from the user's own code."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from effortctl._errors import ConfigError


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
    factory = getattr(_import_file(path), function, None)
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


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise ConfigError(f"there is no Python file {str(path)!r}")
    module_name = f"effortctl_dataset_{path.stem}"
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
