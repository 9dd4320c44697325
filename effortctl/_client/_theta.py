"""The hidden difficulty of a run: a belief over theta that goes from one step to the next.

A learned policy predicts P(correct) of every arm from what a request looks like; theta is what cannot be
seen in it (see `policies`). Within a step, the plan learns theta from failed checks. Steps of one run
have much of it in common, so the belief is handed on:

    after a step     belief(theta)  ~  belief(theta) * product of P(verdict | theta, arm)
    before the next  belief(theta)  =  STAY * belief(theta) + (1 - STAY) * prior(theta)

and the next step's P(correct) of an arm is the mean of P(correct | theta, arm) over that belief.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from effortctl._client._carry import said
from effortctl._types import Arm, Estimate, Task, Trace
from effortctl.policies._belief_grid import grid, right_given_theta

if TYPE_CHECKING:
    from effortctl._fitted_policy import FittedPolicy
    from effortctl.policies._belief_grid import Floats

STAY: Final = 0.8
"""Probability that a step is as hard as the one before it; else it says nothing. After ten steps without
news a tenth of what was learned is left."""

_KEEP = 1024


class ThetaCarry:
    """The belief; also the estimator that predicts under it.

    Args:
        policy: What `learn` returned: its estimator, loadings and reliability of the check.
    """

    def __init__(self, policy: FittedPolicy) -> None:
        self._estimator = policy.estimator()
        self._arms = {arm.name: arm for arm in policy.model.arms}
        self._lock = threading.Lock()
        self._belief: Floats = grid()[1]
        # What was predicted without the belief, for steps under way; some never end in a trace.
        self._predicted: OrderedDict[str, dict[str, float]] = OrderedDict()

    @property
    def difficulty(self) -> float:
        """Probability that the run is harder than its requests look; 0.5 as long as nothing is known."""
        nodes = grid()[0]
        belief = self._belief
        return float(belief[nodes > 0].sum() + belief[np.abs(nodes) < _ZERO].sum() / 2)

    def estimate(self, task: Task, arms: Sequence[Arm]) -> Mapping[str, Estimate]:
        """As the policy's estimator, given how the run has gone so far."""
        estimates = self._estimator.estimate(task, arms)
        with self._lock:
            belief = self._belief
            self._predicted[task.id] = {n: e.p_correct for n, e in estimates.items()}
            while len(self._predicted) > _KEEP:
                self._predicted.popitem(last=False)
        return {
            name: each.model_copy(update={"p_correct": self._under(belief, each)})
            for name, each in estimates.items()
        }

    def learn_from(self, trace: Trace) -> None:
        """Take in the verdicts of a step."""
        with self._lock:
            predicted = self._predicted.pop(trace.task_id, {})
            belief = self._belief
            for attempt in trace.attempts:
                verdict = said(attempt)
                if verdict is not None and attempt.arm in predicted:
                    p = predicted[attempt.arm]
                    belief = belief * self._likelihood(attempt.arm, p, passed=verdict)
            total = belief.sum()
            if predicted and total > 0:
                self._belief = STAY * belief / total + (1 - STAY) * grid()[1]

    def _under(self, belief: Floats, estimate: Estimate) -> float:
        mean = float(self._right(estimate.arm, estimate.p_correct) @ belief)
        return min(1.0, max(0.0, mean))

    def _right(self, arm: str, p: float) -> Floats:
        rho = self._arms[arm].rho if arm in self._arms else 0.0
        right: Floats = right_given_theta(np.array([[p]]), np.array([rho]))[0, 0]
        return right

    def _likelihood(self, name: str, p: float, *, passed: bool) -> Floats:
        arm, right = self._arms.get(name), self._right(name, p)
        if arm is None:
            return np.ones_like(right)
        passes = arm.tpr * right + arm.fpr * (1.0 - right)
        return passes if passed else 1.0 - passes


_ZERO = 1e-9
