"""Policies that follow a list: one arm, or a ladder of arms from first to last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from effortctl._types import Arm, Situation


@dataclass(frozen=True, slots=True)
class Fixed:
    """Try one arm, then stop: the baseline every adaptive policy has to beat.

    Attributes:
        arm: Name of the arm. None: the first of the ladder.
    """

    arm: str | None = None

    @property
    def name(self) -> str:
        """Name written into traces."""
        return f"fixed:{self.arm}" if self.arm else "fixed"

    def choose(self, situation: Situation) -> Arm | None:
        """Return the arm while nothing was tried."""
        if situation.attempts:
            return None
        wanted = (a for a in situation.arms if self.arm is None or a.name == self.arm)
        return next(wanted, None)


@dataclass(frozen=True, slots=True)
class LadderPolicy:
    """Climb the arms in the order of the ladder until an answer is accepted."""

    @property
    def name(self) -> str:
        """Name written into traces."""
        return "ladder"

    def choose(self, situation: Situation) -> Arm | None:
        """Return the first arm that was not tried."""
        return next(iter(situation.arms), None)
