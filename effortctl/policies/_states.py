"""The states of a plan: which arms were tried and what their checks said, as plain integers.

Each arm is a digit: 0 untried, 1 failed its check, 2 passed it. Where a pass ends the task, a state in
which somebody goes on after a pass cannot occur, and two digits suffice. The tables depend only on the
number of arms, so they are built once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNTRIED, FAILED, PASSED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Level:
    """All states in which the same number of arms was tried.

    Attributes:
        states: Their numbers; shape (n,).
        arms: The arms still untried in each; shape (arms left, n).
        after_fail: The state each of these arms leads to when its check fails; same shape.
        after_pass: The same for a pass; empty where a pass ends the task.
    """

    states: NDArray[np.intp]
    arms: NDArray[np.intp]
    after_fail: NDArray[np.intp]
    after_pass: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class States:
    """Every state of a plan with so many arms.

    Attributes:
        digits: Values a digit can take: 3, or 2 where a pass ends the task.
        first: Arms in the first half; their digits are the most significant ones.
        strides: What one step of each arm's digit adds to the state's number; shape (arms,).
        digit: Digit of every arm in every state; shape (arms, states).
        levels: From the states with one untried arm down to the start. States in which every arm was
            tried need no decision and are left out.
    """

    digits: int
    first: int
    strides: NDArray[np.intp]
    digit: NDArray[np.int8]
    levels: tuple[Level, ...]

    @property
    def count(self) -> int:
        """Number of states."""
        return int(self.digit.shape[1])


@lru_cache(maxsize=32)
def states_of(arms: int, digits: int) -> States:
    """Return the state tables for a number of arms.

    Args:
        arms: Number of arms, 0 included (nothing is left to decide).
        digits: 3, or 2 where a pass ends the task.
    """
    first = (arms + 1) // 2
    second = arms - first
    powers = [digits ** (second + j) for j in range(first)]
    powers += [digits**j for j in range(second)]
    strides = np.array(powers, dtype=np.intp)
    numbers = np.arange(digits**arms, dtype=np.intp)
    digit = ((numbers[None, :] // strides[:, None]) % digits).astype(np.int8)
    tried = (digit != UNTRIED).sum(axis=0)
    levels = tuple(
        _level(numbers[tried == n], digit, strides=strides, digits=digits)
        for n in range(arms - 1, -1, -1)
    )
    return States(digits, first, strides, digit, levels)


def _level(
    states: NDArray[np.intp],
    digit: NDArray[np.int8],
    *,
    strides: NDArray[np.intp],
    digits: int,
) -> Level:
    untried = digit[:, states] == UNTRIED
    left = int(untried[:, 0].sum())
    # nonzero of the transpose lists the untried arms state by state, equally many for each.
    arms = np.ascontiguousarray(np.nonzero(untried.T)[1].reshape(len(states), left).T)
    steps = strides[arms]
    after_pass = states + PASSED * steps if digits > PASSED else np.empty((0, 0), dtype=np.intp)
    return Level(states, arms, states + FAILED * steps, after_pass)
