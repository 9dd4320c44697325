"""Backward induction over the states of a plan, for many tasks at once.

Everything is kept *unnormalised*: the value of a state is multiplied by the probability of the evidence
that leads there. Then no division is needed, and the value after trying an arm is simply the sum of the
values of the two states it can lead to.

A belief is a product over arms, so the evidence of any state is one row of the first half of the arms
times one row of the second half: all masses together are a single matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl.policies._belief_grid import Evidence, half_table
from effortctl.policies._states import FAILED, PASSED, UNTRIED, States, states_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.policies._belief_grid import Floats

    Indices = NDArray[np.intp]

STOP = -1
"""No arm: the plan stops here."""

NEVER = 1e30
"""Price, in units of quality, of an arm that may not be used."""

EFFORT_OF_A_CALL = 1e-9
"""Price, in units of quality, of any call at all: of two plans equally good, the shorter one."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Something each try uses up: dollars or seconds.

    Attributes:
        used: What each arm uses; shape (tasks, arms).
        left: What there is; shape (tasks,).
    """

    used: Floats
    left: Floats


@dataclass(frozen=True, slots=True)
class Problem:
    """One decision problem per task, all with the same arms.

    Attributes:
        start: Belief on the grid before the first try (row 0), and for every answer already at hand the
            belief together with "it is correct" (further rows); shape (tasks, 1 + held, nodes).
        evidence: What the verdict on each arm will say.
        price: Price of each arm in units of quality; shape (tasks, arms).
        digits: 3, or 2 where a pass ends the task.
        limits: What a plan must not exceed in expectation of what each arm uses.
    """

    start: Floats
    evidence: Evidence
    price: Floats
    digits: int
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Solved:
    """Value of every state of every task.

    Attributes:
        states: The state tables.
        mass: P(evidence of the state); shape (tasks, states).
        value: Unnormalised value of the state under the best plan; same shape.
        right: P(evidence and the arm's answer is correct), 0 for untried arms; (tasks, arms, states).
        held: The same for answers at hand from the start; (tasks, held, states).
        now: P(evidence, the arm passes next and is correct); (tasks, arms, states), no arms if digits are 3.
        price: As in the problem.
        blocked: Arms a limit forbids in a state, or None; (tasks, arms, states).
    """

    states: States
    mass: Floats
    value: Floats
    right: Floats
    held: Floats
    now: Floats
    price: Floats
    blocked: NDArray[np.bool_] | None

    def gains(self, task: Indices, state: Indices) -> Floats:
        """Unnormalised value of trying each arm in some states; -inf for arms that may not be tried.

        Args:
            task: Task indices; shape (n,).
            state: State of each; shape (n,).

        Returns:
            Shape (n, arms).
        """
        tables = self.states
        untried = tables.digit[:, state].T == UNTRIED
        step = np.where(untried, tables.strides, 0)
        rows = task[:, None]
        gain = self.value[rows, state[:, None] + FAILED * step]
        if tables.digits > PASSED:
            gain = gain + self.value[rows, state[:, None] + PASSED * step]
        else:
            gain = gain + self.now[task, :, state]
        gain -= self.price[task] * self.mass[task, state][:, None]
        allowed = untried if self.blocked is None else untried & ~self.blocked[task, :, state]
        return np.where(allowed, gain, -np.inf)

    def answers(self, task: Indices, state: Indices) -> tuple[Indices, Floats]:
        """The answer to return when stopping in some states, and its unnormalised P(correct).

        Returns:
            The arm, or arms + i for the i-th held answer, or `STOP` for none; and P(correct, evidence).
        """
        known = np.concatenate([self.right[task, :, state], self.held[task, :, state]], axis=1)
        if not known.shape[1]:
            return np.full(len(task), STOP), np.zeros(len(task))
        best = known.argmax(axis=1)
        quality = known[np.arange(len(task)), best]
        return np.where(quality > 0.0, best, STOP), quality

    def choices(self, task: Indices, state: Indices) -> Indices:
        """The arm to try in some states, or `STOP`."""
        if not self.states.strides.size:
            return np.full(len(task), STOP)
        gains = self.gains(task, state)
        _, quality = self.answers(task, state)
        best = gains.argmax(axis=1)
        better = gains[np.arange(len(task)), best] > quality
        return np.where(better, best, STOP)


def solve(problem: Problem) -> Solved:
    """Find the value of every state by backward induction."""
    arms = problem.price.shape[1]
    states = states_of(arms, problem.digits)
    mass, held, right, now = _products(problem, states)
    blocked = _blocked(problem.limits, states)
    price = problem.price + EFFORT_OF_A_CALL
    stop = right.max(axis=1) if arms else np.zeros_like(mass)
    if held.shape[1]:
        stop = np.maximum(stop, held.max(axis=1))
    value = stop
    flat = now.reshape(len(now), -1)
    for level in states.levels:
        gain = value[:, level.after_fail]
        if problem.digits > PASSED:
            gain += value[:, level.after_pass]
        else:
            gain += flat[:, level.arms * states.count + level.states]
        gain -= price[:, level.arms] * mass[:, None, level.states]
        if blocked is not None:
            gain[blocked[:, level.arms, level.states]] = -np.inf
        value[:, level.states] = np.maximum(value[:, level.states], gain.max(axis=1))
    return Solved(states, mass, value, right, held, now, price, blocked)


def _products(problem: Problem, states: States) -> tuple[Floats, Floats, Floats, Floats]:
    """Masses and qualities of all states: (mass, held, right, now)."""
    tasks, rows, nodes = problem.start.shape
    count, arms = states.count, problem.price.shape[1]
    digits, split = problem.digits, states.first
    ones = np.ones((tasks, 1, nodes))
    one = half_table(problem.start, problem.evidence, arms=range(split), digits=digits)
    two = half_table(ones, problem.evidence, arms=range(split, arms), digits=digits)
    left = np.concatenate([one.mass, *(t[:, None] for t in (*one.right, *one.now))], axis=1)
    own = [two.mass[:, 0], *two.right, *two.now]
    size_one, size_two = one.mass.shape[2], two.mass.shape[2]
    crossed = left.reshape(tasks, -1, nodes) @ two.mass[:, 0].swapaxes(1, 2)
    by_one = crossed.reshape(tasks, -1, count)
    by_two = one.mass[:, 0] @ np.concatenate(own[1:], axis=1).swapaxes(1, 2) if own[1:] else None
    mass, held = by_one[:, 0], by_one[:, 1:rows]
    right, now = by_one[:, rows : rows + split], by_one[:, rows + split :]
    if by_two is not None:
        rest = by_two.reshape(tasks, size_one, -1, size_two).swapaxes(1, 2)
        second = rest.reshape(tasks, -1, count)
        right = np.concatenate([right, second[:, : arms - split]], axis=1)
        now = np.concatenate([now, second[:, arms - split :]], axis=1)
    return mass, held, right, now


def _blocked(limits: tuple[Limit, ...], states: States) -> NDArray[np.bool_] | None:
    """Arms that would exceed a limit, given what a state has used already."""
    blocked: NDArray[np.bool_] | None = None
    tried = (states.digit != UNTRIED).astype(float)
    for limit in limits:
        used = limit.used @ tried
        over = used[:, None, :] + limit.used[:, :, None] > limit.left[:, None, None] * (1 + 1e-9)
        blocked = over if blocked is None else blocked | over
    return blocked
