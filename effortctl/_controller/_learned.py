"""A learned policy, or the file it was saved to."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from effortctl._driver import LadderLike


class LearnedPolicy(Protocol):
    """What `from_policy` takes besides a file; `FittedPolicy` is one."""

    def controller_options(self, ladder: LadderLike) -> Mapping[str, Any]:
        """Options of a controller that follows the policy on this ladder."""
        ...


def learned(policy: LearnedPolicy | str | Path) -> LearnedPolicy:
    """Load the policy if it is a path."""
    if not isinstance(policy, str | Path):
        return policy
    # Above us, because it builds controllers; and NumPy is slow to load for those who have no policy.
    module = import_module("effortctl._fitted_policy")
    return cast("LearnedPolicy", module.FittedPolicy.load(policy))
