"""Which sandboxes work on this machine, as pytest marks."""

import importlib.util

import pytest

from effortctl.verifiers._bubblewrap import find_jail
from effortctl.verifiers._sandbox import _has_monty
from effortctl.verifiers._sandlock import find_confinement

HAS_JAIL = find_jail() is not None
HAS_SANDLOCK = find_confinement() is not None
HAS_MONTY = importlib.util.find_spec("pydantic_monty") is not None and _has_monty()

needs_jail = pytest.mark.skipif(
    not HAS_JAIL, reason="bubblewrap is missing here or cannot make namespaces"
)
needs_monty = pytest.mark.skipif(
    not HAS_MONTY, reason="pydantic-monty (extra `sandbox`) is missing here"
)
needs_sandlock = pytest.mark.skipif(
    not HAS_SANDLOCK,
    reason="sandlock (extra `sandlock`) is missing here, or the kernel lacks a protection it needs",
)
SANDBOXES = [
    pytest.param("auto", marks=needs_jail),
    pytest.param("bubblewrap", marks=needs_jail),
    pytest.param("monty", marks=needs_monty),
    pytest.param("sandlock", marks=needs_sandlock),
]
CPYTHONS = [
    pytest.param("bubblewrap", marks=needs_jail),
    pytest.param("sandlock", marks=needs_sandlock),
]
