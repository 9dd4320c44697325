"""Fault specs: `name` or `name:option=value,option=value`, looked up in the registry of modes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from effortctl._errors import ConfigError
from effortctl.testing._efforts import EFFORT_WORDINGS
from effortctl.testing._plans import Plan, honest
from effortctl.testing._records import Completion

OK = "ok"
"""The spec that means: no fault."""

COMMON_OPTIONS = {
    "delay": "seconds before the first byte",
    "billed": "yes or no: does the provider bill this call",
}


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A parsed fault spec.

    Attributes:
        name: Name of the mode.
        options: Its options, as text.
        text: The spec as it was written.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    def number(self, option: str, default: float) -> float:
        """An option as a number."""
        return float(self.options.get(option, default))

    def word(self, option: str, default: str) -> str:
        """An option as text."""
        return self.options.get(option, default)


Build = Callable[[Completion, FaultSpec], Plan]


@dataclass(frozen=True, slots=True)
class FaultMode:
    """One way in which an endpoint can fail.

    Attributes:
        name: Its name in a spec.
        summary: What happens, in one line.
        options: Option names with a one-line meaning; `delay` and `billed` work everywhere.
        build: Makes the plan.
    """

    name: str
    summary: str
    build: Build = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)


FAULTS: dict[str, FaultMode] = {}
"""Every fault mode by name."""

NUMBER_OPTIONS = frozenset(
    {"delay", "retry-after", "retry-after-ms", "retry-after-date", "interval", "mb", "depth"}
)

CHOICES: dict[str, tuple[str, ...]] = {
    "billed": ("yes", "no"),
    "should-retry": ("true", "false"),
    "style": tuple(EFFORT_WORDINGS),
}
"""Allowed values of the options that are words."""


def mode(name: str, summary: str, **options: str) -> Callable[[Build], Build]:
    """Register the decorated function as a fault mode; `_` in option names stands for `-`."""

    def register(build: Build) -> Build:
        named = {key.replace("_", "-"): meaning for key, meaning in options.items()}
        FAULTS[name] = FaultMode(name, summary, build, named)
        return build

    return register


def parse_fault(text: str) -> FaultSpec:
    """Read a fault spec.

    Raises:
        ConfigError: No such fault, no such option, or an option value that is not a number.
    """
    name, _, tail = text.strip().partition(":")
    if name == OK:
        known: Mapping[str, str] = {}
    elif name in FAULTS:
        known = FAULTS[name].options
    else:
        raise ConfigError(f"there is no fault {name!r}; choose one of: ok, {', '.join(FAULTS)}")
    options: dict[str, str] = {}
    for pair in filter(None, tail.split(",")):
        key, _, value = pair.partition("=")
        options[key.strip()] = value.strip()
    for key, value in options.items():
        _check_option(name, key=key, value=value, known=known)
    return FaultSpec(name, options, text.strip())


def _check_option(name: str, *, key: str, value: str, known: Mapping[str, str]) -> None:
    allowed = {**known, **COMMON_OPTIONS}
    if key not in allowed:
        raise ConfigError(f"fault {name!r} has no option {key!r}; it takes: {', '.join(allowed)}")
    if key in NUMBER_OPTIONS and not _is_amount(value):
        raise ConfigError(f"fault {name!r}: {key} wants a number of at least 0, not {value!r}")
    if key in CHOICES and value not in CHOICES[key]:
        choices = ", ".join(CHOICES[key])
        raise ConfigError(f"fault {name!r}: {key} must be one of {choices}, not {value!r}")


def _is_amount(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False


def plan_fault(completion: Completion, spec: FaultSpec) -> Plan:
    """The plan for a completion under a fault."""
    plan = honest(completion) if spec.name == OK else FAULTS[spec.name].build(completion, spec)
    plan = replace(plan, delay_s=plan.delay_s + spec.number("delay", 0.0))
    billed = spec.options.get("billed")
    if billed == "no":
        return replace(plan, billed=None)
    if billed == "yes":
        return replace(plan, billed=completion.usage)
    return plan
