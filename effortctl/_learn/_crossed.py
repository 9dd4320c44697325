"""A model, and what it would have expected of its own tasks, had it not seen them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effortctl._errors import ConfigError
from effortctl._features import FeatureFunction
from effortctl._held_out import (
    HeldOut,
    Means,
    VerifierChoice,
    as_forecast,
    belief_of,
    complete,
    fit_agreement_tables,
    forecast_of,
    reliability_of,
)
from effortctl._policy_parts import Target
from effortctl.estimators import FittedModel, Prior, Reliability, fit_model_crossed
from effortctl.policies import (
    ArmMenu,
    BeliefModel,
    Forecast,
    Replay,
    SameAnswer,
    Terms,
    plan_batch,
    tune_lambda,
)
from effortctl.policies._tuning import Evaluate
from effortctl.stores._matrix import MISSING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl._types import Arm
    from effortctl.estimators._folds import GroupBy
    from effortctl.stores import OutcomeMatrix

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

Progress: TypeAlias = Callable[[str, float], None]
"""Called with the name of the step that begins and the share of the work done before it."""

_DEAREST = 1e4
"""Dollars for a correct answer at which the plan spares no arm."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Learned:
    """A model, and its own tasks as they looked to models that had not seen them.

    Attributes:
        model: Fitted on all these tasks.
        belief: How failures hang together and what verdicts are worth.
        expected: Out-of-fold forecast of every task, of the arms of the model.
        difficulty: [T] in logits, out of fold.
        replayable: Positions of the tasks in `tasks`.
        tasks: Those that every offered arm was tried on, with all offered arms.
        checks: What a verdict on each offered arm is worth; None: verdicts are recorded.
        means: Mean dollars and seconds of the offered arms.
        usd_per_second: Dollars a second of waiting costs.
        same_answer: How answers are compared under agreement; else None.
        cluster_by: Which tasks stand or fall together.
        seed: Of folds and drawn verdicts.
    """

    model: FittedModel
    belief: BeliefModel
    expected: Forecast
    difficulty: Floats
    replayable: Rows
    tasks: HeldOut
    checks: Reliability | None
    means: Means
    usd_per_second: float
    same_answer: SameAnswer | None
    cluster_by: GroupBy
    seed: int

    @property
    def forecast(self) -> Forecast:
        """Out-of-fold forecast of `tasks`."""
        return self.expected.rows(self.replayable)

    @property
    def latency_s(self) -> dict[str, float]:
        """Mean seconds by arm of the model, where seconds have a price."""
        seconds = self.means.seconds(priced=self.usd_per_second > 0)
        return {arm: seconds[arm] for arm in self.model.arm_names if arm in seconds}

    def terms(self, value_usd: float) -> Terms:
        """What a correct answer and a second are worth."""
        return Terms(value_usd, self.usd_per_second)

    def only(self, arms: Sequence[int]) -> Learned:
        """The same with only these arms in the model."""
        if tuple(arms) == tuple(range(len(self.model.arms))):
            return self
        names = [self.model.arm_names[j] for j in arms]
        return replace(
            self,
            model=self.model.select_arms(names),
            belief=self.belief.table(len(self.model.arms)).only(arms),
            expected=self.expected.only(arms),
        )

    def held_out(self, matrix: OutcomeMatrix) -> HeldOut:
        """Other tasks without a hole, under the same check."""
        return HeldOut.of(
            matrix,
            self.checks,
            same_answer=self.same_answer,
            usd_per_second=self.usd_per_second,
            means=self.means,
            seed=self.seed + 1,
        )

    def run_plan(self, tasks: HeldOut, value_usd: float) -> Replay:
        """The plan on tasks the model has not seen."""
        forecast = forecast_of(self.model, tasks.matrix.tasks(), self.latency_s)
        return tasks.replay(forecast, self.belief, self.terms(value_usd))


def cross_fit(  # noqa: PLR0913 - one keyword per decision, each with a default that works
    matrix: OutcomeMatrix,
    *,
    verifier: VerifierChoice = "exact",
    same_answer: SameAnswer = "text",
    usd_per_second: float = 0.0,
    cluster_by: GroupBy = "cluster",
    features: FeatureFunction | None = None,
    prior: Prior | None = None,
    arms: Sequence[Arm] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Learned:
    """Fit a model to outcomes, and forecast every task by models that did not see its fold.

    Args:
        matrix: To learn from; tasks that some arm was not tried on are fitted, but not replayed.
        verifier: What will check answers at run time.
        same_answer: How answers are compared where the verifier is `agreement`.
        usd_per_second: Dollars a second of waiting costs.
        cluster_by: Tasks of one cluster, or of one category, are held out together.
        features: Your own feature function.
        prior: What is believed of tasks and arms beforehand; it counts the less, the more outcomes.
        arms: The arms by name, for the prior: their prices say something of them.
        seed: Makes folds, fits and drawn verdicts repeatable.
        progress: Told of every step.

    Raises:
        ConfigError: An arm has no outcomes, or no dollars, verdicts, answers or seconds that are
            needed.
    """
    if verifier == "recorded" and not (matrix.verdict != MISSING).any():
        raise ConfigError(
            "verifier='recorded', and the outcomes hold no verdicts; record them, or say how good the "
            "check is: (P(pass | correct), P(pass | wrong))"
        )
    checks = reliability_of(verifier, arms=len(matrix.arms))
    means = Means.of(matrix)
    compared = same_answer if verifier == "agreement" else None
    agreement = None if compared is None else fit_agreement_tables(matrix, compared)
    crossed = fit_model_crossed(
        matrix,
        groups=cluster_by,
        reliability=checks,
        features=features,
        prior=prior,
        arms=arms,
        seed=seed,
        progress=progress,
    )
    seconds = means.seconds(priced=usd_per_second > 0)
    at = np.flatnonzero(complete(matrix, verifier))
    return Learned(
        model=crossed.model,
        belief=belief_of(crossed.model, agreement),
        expected=as_forecast(crossed.p, crossed.cost_usd, arms=matrix.arms, latency_s=seconds),
        difficulty=crossed.difficulty,
        replayable=at,
        tasks=HeldOut.of(
            matrix.select_tasks(at),
            checks,
            same_answer=compared,
            usd_per_second=usd_per_second,
            means=means,
            seed=seed,
        ),
        checks=checks,
        means=means,
        usd_per_second=usd_per_second,
        same_answer=compared,
        cluster_by=cluster_by,
        seed=seed,
    )


def tune(learned: Learned, wanted: Target | None) -> tuple[Learned, Target, float]:
    """Find what a correct answer must be worth, on out-of-fold forecasts.

    Args:
        learned: With any number of arms. Its replayable tasks are replayed, or, where there are none, the
            plan's own expectations of all tasks are believed.
        wanted: None: the quality of the best single arm.

    Returns:
        The same with as many arms as a plan can hold, the target with its amount, and value_usd.

    Raises:
        ConfigError: The target is out of reach; the message names the nearest one that is not.
    """
    arms = len(learned.model.arms)
    menu = ArmMenu(learned.expected, learned.belief.table(arms), learned.usd_per_second)

    def evaluate(value: float) -> tuple[float, float]:
        return _price_and_quality(learned.only(menu.at(value)), value)

    target, value = _tuned(learned, wanted, evaluate)
    return learned.only(menu.at(value)), target, value


def _tuned(learned: Learned, wanted: Target | None, evaluate: Evaluate) -> tuple[Target, float]:
    if wanted is not None:
        tuned = tune_lambda(
            evaluate,
            value_usd=wanted.only("value_usd"),
            max_cost_usd=wanted.only("max_cost_usd"),
            min_quality=wanted.only("min_quality"),
        )
        return wanted, tuned.value_usd
    score = learned.tasks.matrix.score
    quality = score.mean(axis=0) if len(score) else learned.expected.p_correct.mean(axis=0)
    # The plan may fall short of the arm by a task or two; that is no mistake of the user's, so what it
    # can reach will do, but for one task: the last one is often out of reach at any sensible price.
    wished = min(
        float(quality.max()), max(0.0, evaluate(_DEAREST)[1] - 1 / len(learned.difficulty))
    )
    tuned = tune_lambda(evaluate, min_quality=wished, bounds=(1e-6, _DEAREST))
    return Target("best_arm", wished), tuned.value_usd


def _price_and_quality(learned: Learned, value_usd: float) -> tuple[float, float]:
    """Mean price and quality of the plan on its own tasks, as if they were new."""
    terms = learned.terms(value_usd)
    if len(learned.tasks):
        replay = learned.tasks.replay(learned.forecast, learned.belief, terms)
        return float(replay.cost_usd.mean()), float(replay.quality.mean())
    table = plan_batch(learned.expected, learned.belief, terms)
    # What is not net is the price, of dollars and of waiting.
    price = value_usd * table.quality - table.net_usd
    return float(price.mean()), float(table.quality.mean())
