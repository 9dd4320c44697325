"""Run policies on recorded tasks: plans, routing, ladders, single arms, hindsight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from effortctl.harness.evaluation._lives import Expected, Lives, Run, settle
from effortctl.policies._belief_grid import right_given_theta
from effortctl.policies._plan import CHUNK
from effortctl.policies._solve import STOP
from effortctl.policies._walk import AgreementPlans, VerdictPlans, Walkable, follow, plans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.policies import BeliefModel

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Rows = NDArray[np.intp]


def run_plan(lives: Lives, expected: Expected, belief: BeliefModel, *, value_usd: float) -> Run:
    """Run the exact plan of every task; it is solved once for all draws of the verdicts."""
    tasks, arms = lives.score.shape
    if not lives.agreeing and bool(np.all(belief.tpr == 1) and np.all(belief.fpr == 1)):
        return run_routing(lives, expected, value_usd=value_usd)  # the same, without the states
    states = belief.digits**arms * (arms if lives.agreeing else 1)
    size = max(1, CHUNK // states)
    order = np.full((len(lives.passed), tasks, arms), STOP)
    answer = np.full((len(lives.passed), tasks), STOP)
    for begin in range(0, tasks, size):
        rows = slice(begin, begin + size)
        solved = plans(
            right_given_theta(expected.p[rows], belief.rho),
            expected.cost_usd[rows] / value_usd,
            model=belief,
            limits=(),
        )
        order[:, rows], answer[:, rows] = _walk(solved, lives.passed[:, rows])
    return settle(lives, order, answer)


def _walk(solved: Walkable, passed: Bools) -> tuple[Rows, Rows]:
    """Follow plans through every draw: [D, T, K] arms in the order tried, and [D, T] answers."""
    draws, tasks, arms = passed.shape[:3]
    if isinstance(solved, VerdictPlans):
        every = np.tile(np.arange(tasks), draws)
        order, answer = follow(solved.solved, every, verdicts=passed.reshape(-1, arms))
        return order.reshape(draws, tasks, arms), answer.reshape(draws, tasks)
    assert isinstance(solved, AgreementPlans)  # noqa: S101 - there are two kinds
    order, answer = np.full((tasks, arms), STOP), np.full(tasks, STOP)
    for anchor, part in enumerate(solved.parts):
        rows = np.flatnonzero(solved.first == anchor)
        others = np.delete(np.arange(arms), anchor)
        # In a part, number -1 is "nothing", and number arms - 1 the anchor's own answer.
        names = np.array([*others, anchor, STOP])
        then, held = follow(part, rows, verdicts=passed[0, rows, anchor][:, others])
        order[rows, 0] = anchor
        order[rows, 1:] = names[then]
        answer[rows] = names[held]
    return order[None], answer[None]


def run_routing(lives: Lives, expected: Expected, *, value_usd: float) -> Run:
    """One call to the arm with the highest `value * P(correct) - dollars`; none if it is negative."""
    worth = value_usd * expected.p - expected.cost_usd
    arm = np.where(worth.max(axis=1) > 0, worth.argmax(axis=1), STOP)
    return run_single(lives, arm)


def run_single(lives: Lives, arm: Rows) -> Run:
    """One call per task, to a given arm or to none."""
    draws, (tasks, arms) = len(lives.passed), lives.score.shape
    order = np.full((draws, tasks, arms), STOP)
    order[:, :, 0] = arm
    return settle(lives, order, np.broadcast_to(arm, (draws, tasks)), blind=True)


def run_ladder(lives: Lives, ladder: Sequence[int]) -> Run:
    """Arms one after the other until a check passes; the last answer when none does.

    Under agreement a ladder of three asks two arms, returns the first one's answer when they agree, and
    asks the third otherwise.
    """
    draws, (tasks, arms) = len(lives.passed), lives.score.shape
    order, answer = np.full((draws, tasks, arms), STOP), np.full((draws, tasks), STOP)
    if lives.agreeing and len(ladder) > 1:
        first, second, third = ladder
        agree = lives.passed[0, :, first, second]
        order[0, :, 0], order[0, :, 1] = first, second
        order[0, :, 2] = np.where(agree, STOP, third)
        answer[0] = np.where(agree, first, third)
        return settle(lives, order, answer)
    left = np.ones((draws, tasks), dtype=np.bool_)
    for step, arm in enumerate(ladder):
        order[:, :, step] = np.where(left, arm, STOP)
        answer = np.where(left, arm, answer)
        if not lives.agreeing:
            left = left & ~lives.passed[:, :, arm]
    return settle(lives, order, answer)


def run_oracle(lives: Lives) -> Run:
    """Knows every outcome: the cheapest of the best answers, or the cheapest arm if all are worthless."""
    best = lives.score.max(axis=1, keepdims=True)
    priced = np.where(lives.score >= best, lives.cost_usd, np.inf)
    return run_single(lives, priced.argmin(axis=1))
