"""Recorded tasks that every arm was tried on, and what plans and ladders would have done with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from effortctl._errors import ConfigError
from effortctl.estimators import FittedModel, Reliability
from effortctl.policies import (
    BeliefModel,
    Forecast,
    Recorded,
    Replay,
    Terms,
    draw_verdicts,
    replay_plan,
)
from effortctl.stores._matrix import MISSING, PASS, OutcomeMatrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl._types import Task

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Rows = NDArray[np.intp]

VerifierChoice: TypeAlias = Literal["exact", "none", "recorded"] | tuple[float, float]
"""What checks answers at run time: `exact` is never wrong; `none` lets everything pass; `recorded` is as
good as its recorded verdicts show; two numbers are P(pass | correct) and P(pass | wrong)."""

_CORRECT = 0.5


def reliability_of(verifier: VerifierChoice, *, arms: int) -> Reliability | None:
    """What a verdict of this verifier is worth; None: to be measured on recorded verdicts.

    Raises:
        ConfigError: It is none of the choices.
    """
    if verifier == "recorded":
        return None
    if verifier == "exact":
        return Reliability.exact(arms)
    if verifier == "none":
        return Reliability.none(arms)
    if isinstance(verifier, tuple):
        return Reliability.assumed(arms, tpr=verifier[0], fpr=verifier[1])
    raise ConfigError(
        f"verifier is {verifier!r}; expected 'exact', 'none', 'recorded' or (tpr, fpr)"
    )


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """T tasks, each tried by all of K arms.

    Attributes:
        matrix: Scores without a hole.
        passed: [T, K] does the check pass the answer?
        cost_usd: [T, K] dollars; an amount that was not recorded is the arm's mean.
    """

    matrix: OutcomeMatrix
    passed: Bools
    cost_usd: Floats

    @classmethod
    def of(
        cls,
        matrix: OutcomeMatrix,
        reliability: Reliability | None,
        *,
        mean_cost_usd: Floats,
        seed: int,
    ) -> HeldOut:
        """Ask the check about every answer of a matrix without holes.

        Args:
            matrix: See `complete`.
            reliability: Of the check; None: its verdicts are in the matrix.
            mean_cost_usd: [K] stands in for amounts that are missing.
            seed: Of the verdicts that are drawn where only the rates of the check are known.
        """
        cost = np.where(np.isnan(matrix.cost_usd), mean_cost_usd, matrix.cost_usd)
        return cls(matrix, _passed(matrix, reliability, seed), cost)

    def __len__(self) -> int:
        return len(self.matrix)

    def rows(self, chosen: Rows) -> HeldOut:
        """The tasks at these positions."""
        return HeldOut(self.matrix.select_tasks(chosen), self.passed[chosen], self.cost_usd[chosen])

    def arms(self, names: Sequence[str]) -> HeldOut:
        """Only these arms, in this order."""
        columns = [self.matrix.arm_index(name) for name in names]
        return HeldOut(
            self.matrix.select_arms(names), self.passed[:, columns], self.cost_usd[:, columns]
        )

    def replay(self, model: FittedModel, terms: Terms) -> Replay:
        """Run the model's plan of every task, with what it really would have cost and scored."""
        known = self.arms(model.arm_names)
        recorded = Recorded(known.matrix.score, known.passed, known.cost_usd)
        tasks = known.matrix.tasks()
        return replay_plan(forecast_of(model, tasks), belief_of(model), terms, recorded=recorded)


def complete(matrix: OutcomeMatrix, *, with_verdicts: bool) -> Bools:
    """[T] was every arm tried (and its answer checked)?"""
    whole = ~np.isnan(matrix.score).any(axis=1)
    if with_verdicts:
        whole &= (matrix.verdict != MISSING).all(axis=1)
    return np.asarray(whole)


def mean_costs(matrix: OutcomeMatrix) -> Floats:
    """[K] mean recorded dollars of a call.

    Raises:
        ConfigError: An arm has none, so nobody can say what it would cost.
    """
    known = ~np.isnan(matrix.cost_usd)
    for arm, count in zip(matrix.arms, known.sum(axis=0), strict=True):
        if not count:
            raise ConfigError(
                f"no cost_usd is recorded for arm {arm!r}; add it to the outcomes, or name the other"
                " arms in arms="
            )
    return np.asarray(np.nansum(matrix.cost_usd, axis=0) / known.sum(axis=0))


def forecast_of(model: FittedModel, tasks: Sequence[Task]) -> Forecast:
    """What the model expects of every arm on every task."""
    expected = model.estimates(tasks)
    return Forecast(p_correct=expected.p, cost_usd=expected.cost_usd, arms=model.arm_names)


def belief_of(model: FittedModel) -> BeliefModel:
    """How failures hang together; a pass ends the task, as it does in a controller."""
    return BeliefModel(rho=model.rho, tpr=model.tpr, fpr=model.fpr, stop_on_pass=True)


def _passed(matrix: OutcomeMatrix, reliability: Reliability | None, seed: int) -> Bools:
    if reliability is None or reliability.kind == "recorded":
        return np.asarray(matrix.verdict == PASS)
    correct = np.asarray(matrix.score > _CORRECT)
    rng = np.random.default_rng(seed)
    return draw_verdicts(correct, reliability.tpr, reliability.fpr, rng=rng)
