"""Which sandboxes work on this machine, as pytest marks."""

import importlib.util

import pytest

from effortctl.verifiers._bubblewrap import find_jail
from effortctl.verifiers._sandbox import _has_monty

HAS_JAIL = find_jail() is not None
HAS_MONTY = importlib.util.find_spec("pydantic_monty") is not None and _has_monty()

needs_jail = pytest.mark.skipif(
    not HAS_JAIL, reason="bubblewrap is missing here or cannot make namespaces"
)
needs_monty = pytest.mark.skipif(
    not HAS_MONTY, reason="pydantic-monty (extra `sandbox`) is missing here"
)
SANDBOXES = [
    pytest.param("auto", marks=needs_jail),
    pytest.param("bubblewrap", marks=needs_jail),
    pytest.param("monty", marks=needs_monty),
]
