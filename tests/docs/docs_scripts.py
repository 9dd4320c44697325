"""Loads the scripts in docs/, which are no package."""

from __future__ import annotations

import importlib.util

from docs_pages import DOCS


def load(name):
    """The module docs/NAME.py."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
