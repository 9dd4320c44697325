"""Follow solved plans: along every branch for expectations, along recorded verdicts for replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from effortctl.policies._belief_grid import grid as theta_grid
from effortctl.policies._belief_grid import verdict_evidence
from effortctl.policies._solve import STOP, Limit, Problem, Solved, solve
from effortctl.policies._states import FAILED, PASSED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.policies._belief_grid import Floats
    from effortctl.policies._inputs import BeliefModel

    Indices = NDArray[np.intp]
    Bools = NDArray[np.bool_]

TIE = 1e-10
"""Differences in units of quality that are rounding."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What plans are expected to do.

    Attributes:
        first: Arm to try first, or -1 to give up at once; shape (tasks,).
        reach: P(the arm is tried); shape (tasks, arms).
        quality: P(the answer returned is correct); shape (tasks,).
    """

    first: Indices
    reach: Floats
    quality: Floats


@dataclass(frozen=True, slots=True)
class Walked:
    """What plans did with recorded verdicts.

    Attributes:
        tried: Arms that were tried; shape (tasks, arms).
        answer: Arm whose answer was returned, or -1; shape (tasks,).
    """

    tried: Bools
    answer: Indices


class Walkable(Protocol):
    """Solved plans of a batch of tasks."""

    def expect(self) -> Expected:
        """Return what the plans are expected to do."""
        ...

    def walk(self, verdicts: Bools) -> Walked:
        """Follow the plans through recorded verdicts."""
        ...


@dataclass(frozen=True, slots=True)
class VerdictPlans:
    """Plans whose evidence is one verdict per arm, shape (tasks, arms)."""

    solved: Solved

    def expect(self) -> Expected:
        """See `Walkable.expect`."""
        tasks = np.arange(len(self.solved.mass))
        return expect(self.solved, tasks)

    def walk(self, verdicts: Bools) -> Walked:
        """See `Walkable.walk`."""
        tasks = np.arange(len(self.solved.mass))
        return walk(self.solved, tasks, verdicts=verdicts)


@dataclass(frozen=True, slots=True)
class AgreementPlans:
    """Plans whose evidence is agreement with the arm tried first, shape (tasks, arms, arms).

    Attributes:
        parts: For every arm as the first one, the plan over the others once it was tried.
        worth: Value of starting with each arm; shape (tasks, arms).
        first: The best first arm, or -1 to give up at once; shape (tasks,).
    """

    parts: tuple[Solved, ...]
    worth: Floats
    first: Indices

    def expect(self) -> Expected:
        """See `Walkable.expect`."""
        reach = np.zeros((len(self.first), len(self.parts)))
        quality = np.zeros(len(self.first))
        for anchor, part in enumerate(self.parts):
            rows = np.flatnonzero(self.first == anchor)
            expected = expect(part, rows)
            reach[rows, anchor] = 1.0
            reach[np.ix_(rows, _others(anchor, len(self.parts)))] = expected.reach
            quality[rows] = expected.quality
        return Expected(self.first, reach, quality)

    def walk(self, verdicts: Bools) -> Walked:
        """See `Walkable.walk`; `verdicts[t, i, j]` says whether arms i and j agree."""
        arms = len(self.parts)
        tried = np.zeros((len(self.first), arms), dtype=np.bool_)
        answer = np.full(len(self.first), STOP)
        for anchor, part in enumerate(self.parts):
            rows = np.flatnonzero(self.first == anchor)
            others = _others(anchor, arms)
            walked = walk(part, rows, verdicts=verdicts[:, anchor][rows][:, others])
            tried[rows, anchor] = True
            tried[np.ix_(rows, others)] = walked.tried
            # In a part, the answer at hand from the start (number arms - 1) is the anchor's own.
            answer[rows] = np.array([*others, anchor])[walked.answer]
        return Walked(tried, answer)


def plans(
    right: Floats, price: Floats, *, model: BeliefModel, limits: tuple[Limit, ...]
) -> Walkable:
    """Solve a batch of tasks.

    Args:
        right: P(correct | theta), see `right_given_theta`; shape (tasks, arms, nodes).
        price: Price of each arm in units of quality; shape (tasks, arms).
        model: What the evidence is worth.
        limits: See `Problem`.
    """
    if model.agreement is not None:
        return _agreement_plans(right, price, model=model, limits=limits)
    evidence = verdict_evidence(right, model.tpr[:, None], model.fpr[:, None])
    _, weights = theta_grid()
    start = np.broadcast_to(weights, (len(price), 1, len(weights)))
    return VerdictPlans(solve(Problem(start, evidence, price, model.digits, limits)))


def _others(anchor: int, arms: int) -> Indices:
    return np.delete(np.arange(arms), anchor)


def _agreement_plans(
    right: Floats, price: Floats, *, model: BeliefModel, limits: tuple[Limit, ...]
) -> AgreementPlans:
    """Solve one problem per first arm, on a grid over (theta, is the first arm's answer correct).

    Given both, agreements of the other arms with the first one are independent of each other, so the
    treatment is exact, however many arms are asked.
    """
    parts = [
        solve(anchored(anchor, right, price=price, model=model, limits=limits))
        for anchor in range(price.shape[1])
    ]
    worth = np.stack([part.value[:, 0] for part in parts], axis=1) - price
    for limit in limits:
        worth = np.where(limit.used > limit.left[:, None], -np.inf, worth)
    # Two arms that are both asked in any case may be asked in either order. The cheaper one goes first:
    # less is lost if a fault or a refusal ends the task there.
    tied = worth >= worth.max(axis=1, keepdims=True) - TIE
    best = np.where(tied, price, np.inf).argmin(axis=1)
    good = worth[np.arange(len(price)), best] > 0.0
    return AgreementPlans(tuple(parts), worth, np.where(good, best, STOP))


def anchored(
    anchor: int,
    right: Floats,
    *,
    price: Floats,
    model: BeliefModel,
    limits: tuple[Limit, ...],
) -> Problem:
    """State what is left to decide once an arm was tried first: the other arms, in their order.

    The answer at hand is that arm's. Nodes of the grid: theta and "it is correct", then theta and "it is
    wrong". Arguments as for `plans`, and the limits are those before the first try.
    """
    agreement = model.agreement
    assert agreement is not None  # noqa: S101 - narrowed by the caller
    others = _others(anchor, price.shape[1])
    _, weights = theta_grid()
    known_right = weights * right[:, anchor]
    known_wrong = weights * (1.0 - right[:, anchor])
    nothing = np.zeros_like(known_wrong)
    start = np.stack(
        [
            np.concatenate([known_right, known_wrong], axis=1),
            np.concatenate([known_right, nothing], axis=1),
        ],
        axis=1,
    )
    both, one, none = (
        table[anchor, others][:, None] * np.ones(len(weights))
        for table in (agreement.both_right, agreement.one_right, agreement.both_wrong)
    )
    evidence = verdict_evidence(
        np.tile(right[:, others], 2),
        np.concatenate([both, one], axis=1),
        np.concatenate([one, none], axis=1),
    )
    reduced = tuple(
        Limit(limit.used[:, others], limit.left - limit.used[:, anchor]) for limit in limits
    )
    return Problem(start, evidence, price[:, others], PASSED + 1, reduced)


def expect(solved: Solved, tasks: Indices) -> Expected:
    """Follow every branch of some tasks' plans, weighted by its probability."""
    arms = solved.price.shape[1]
    place = np.full(len(solved.mass), -1)
    place[tasks] = np.arange(len(tasks))
    reach = np.zeros((len(tasks), arms))
    quality = np.zeros(len(tasks))
    first: Indices | None = None
    task, state = tasks, np.zeros(len(tasks), dtype=np.intp)
    while len(task):
        choice = solved.choices(task, state)
        first = choice if first is None else first
        stops = choice == STOP
        _, correct = solved.answers(task[stops], state[stops])
        np.add.at(quality, place[task[stops]], correct)
        task, state, choice = task[~stops], state[~stops], choice[~stops]
        np.add.at(reach, (place[task], choice), solved.mass[task, state])
        if solved.states.digits == PASSED:
            np.add.at(quality, place[task], solved.now[task, choice, state])
        task, state = _branches(solved, task, state=state, choice=choice)
    return Expected(np.full(0, STOP) if first is None else first, reach, quality)


def _branches(
    solved: Solved, task: Indices, *, state: Indices, choice: Indices
) -> tuple[Indices, Indices]:
    step = solved.states.strides[choice] if len(choice) else choice
    digits = range(FAILED, solved.states.digits)
    tasks = np.concatenate([task for _ in digits])
    states = np.concatenate([state + digit * step for digit in digits])
    possible = solved.mass[tasks, states] > 0.0
    return tasks[possible], states[possible]


def walk(solved: Solved, tasks: Indices, *, verdicts: Bools) -> Walked:
    """Follow some tasks' plans through recorded verdicts, whose rows are these tasks'."""
    order, answer = follow(solved, tasks, verdicts=verdicts)
    tried = np.zeros(order.shape, dtype=np.bool_)
    rows, steps = np.nonzero(order != STOP)
    tried[rows, order[rows, steps]] = True
    return Walked(tried, answer)


def follow(solved: Solved, tasks: Indices, *, verdicts: Bools) -> tuple[Indices, Indices]:
    """Follow some tasks' plans through recorded verdicts; a task may come several times.

    Args:
        solved: The plans.
        tasks: Task indices; shape (n,).
        verdicts: What the check says of each arm's answer, row by row; shape (n, arms).

    Returns:
        Arms in the order they were tried, `STOP` behind the last, shape (n, arms); and the arm whose
        answer was returned, or `STOP`, shape (n,).
    """
    arms = solved.price.shape[1]
    order, answer = np.full((len(tasks), arms), STOP), np.full(len(tasks), STOP)
    row, state = np.arange(len(tasks)), np.zeros(len(tasks), dtype=np.intp)
    for step in range(arms + 1):
        choice = solved.choices(tasks[row], state)
        stops = choice == STOP
        answer[row[stops]], _ = solved.answers(tasks[row[stops]], state[stops])
        row, state, choice = row[~stops], state[~stops], choice[~stops]
        if not len(row):
            break
        order[row, step] = choice
        passed = verdicts[row, choice]
        if solved.states.digits == PASSED:
            answer[row[passed]] = choice[passed]
            row, state, choice = row[~passed], state[~passed], choice[~passed]
            passed = np.zeros(len(row), dtype=np.bool_)
        state = state + np.where(passed, PASSED, FAILED) * solved.states.strides[choice]
    return order, answer
