"""A policy that decides only where a certificate allows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from effortctl._errors import ConfigError
from effortctl.protocols import WeighingPolicy

if TYPE_CHECKING:
    from effortctl._types import Arm, Situation
    from effortctl.policies._certify import Certificate
    from effortctl.protocols import Policy


@dataclass(frozen=True, slots=True)
class FixedLadder:
    """Climb named arms in their order, whatever the order of the ladder they come from.

    Attributes:
        arms: Names of the arms; a single one makes a fixed arm.
    """

    arms: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a ladder nobody can climb."""
        if not self.arms or len(set(self.arms)) != len(self.arms):
            raise ConfigError(f"a ladder needs one arm or more, each once, got {self.arms!r}")

    @property
    def name(self) -> str:
        """Name written into traces."""
        return "ladder:" + ">".join(self.arms)

    def choose(self, situation: Situation) -> Arm | None:
        """Return the first named arm that may still be tried."""
        tried = {attempt.arm for attempt in situation.attempts}
        open_arms = {arm.name: arm for arm in situation.arms if arm.name not in tried}
        return next((open_arms[name] for name in self.arms if name in open_arms), None)


@dataclass(frozen=True, slots=True)
class Guarded:
    """The policy if its certificate allows it, else the best fixed choice.

    Attributes:
        policy: What would be used.
        certificate: Says whether it may be, and what to use if not.
    """

    policy: Policy
    certificate: Certificate

    def __post_init__(self) -> None:
        """Refuse a certificate without a fallback to guard with."""
        FixedLadder(self.certificate.fallback)

    @property
    def acting(self) -> Policy:
        """The policy that really chooses."""
        if self.certificate.certified:
            return self.policy
        return FixedLadder(self.certificate.fallback)

    @property
    def name(self) -> str:
        """Name written into traces."""
        return f"guarded:{self.acting.name}"

    def choose(self, situation: Situation) -> Arm | None:
        """See `Policy.choose`."""
        return self.acting.choose(situation)

    @property
    def compares(self) -> bool:
        """See `WeighingPolicy.compares`."""
        return isinstance(self.acting, WeighingPolicy) and self.acting.compares

    def best(self, situation: Situation) -> str | None:
        """See `WeighingPolicy.best`."""
        acting = self.acting
        return acting.best(situation) if isinstance(acting, WeighingPolicy) else None
