"""Small made-up worlds whose truth is known, without fitting a model."""

from __future__ import annotations

import numpy as np

from effortctl.harness.evaluation._check import Check
from effortctl.harness.evaluation._evaluated import Evaluated
from effortctl.harness.evaluation._field import Field
from effortctl.harness.evaluation._folds import Fold, Offered, Taught
from effortctl.harness.evaluation._intervals import Sample
from effortctl.harness.evaluation._ladders import search
from effortctl.harness.evaluation._lives import Expected
from effortctl.harness.evaluation._tuning import target_of
from effortctl.policies import BeliefModel
from effortctl.stores import OutcomeMatrix


def matrix_of(score, cost, *, arms=None, clusters=None, texts=None, verdict=None, prefix="t"):
    """An outcome matrix of arrays."""
    score, cost = np.asarray(score, float), np.asarray(cost, float)
    tasks, number = score.shape
    arms = tuple(arms or [f"arm{j}" for j in range(number)])
    empty = np.full(score.shape, np.nan)
    return OutcomeMatrix(
        task_ids=tuple(f"{prefix}{i}" for i in range(tasks)),
        texts=tuple(texts or ["" for _ in range(tasks)]),
        categories=(None,) * tasks,
        clusters=tuple(clusters or [None] * tasks),
        dates=(None,) * tasks,
        arms=arms,
        models=arms,
        efforts=("default",) * number,
        score=score,
        cost_usd=np.broadcast_to(cost, score.shape).copy(),
        verdict=np.full(score.shape, -1, np.int8) if verdict is None else verdict,
        input_tokens=empty,
        output_tokens=empty,
        reasoning_tokens=empty,
        cached_tokens=empty,
        latency_s=empty,
        propensity=empty,
        n_samples=np.ones(score.shape),
    )


def prepared(learn, test, *, verifier="exact", forecasts, target=None, seed=0, rho=0.5):
    """Everything an evaluation needs, with forecasts made by hand.

    Args:
        learn: Outcome matrix of the learning tasks.
        test: The same of the test tasks.
        verifier: As for `evaluate`.
        forecasts: [L, K] and [T, K] P(correct).
        target: Keyword arguments of `target_of`.
        seed: Of verdicts.
        rho: Loading of every arm.
    """
    check = Check.of(verifier)
    seen, lives = check.live(learn, seed=[seed, 1]), check.live(test, seed=[seed, 0])
    arms = len(test.arms)
    usual = np.broadcast_to(learn.cost_usd.mean(axis=0), learn.score.shape)
    rates = check.reliability(learn)
    belief = BeliefModel(rho=np.full(arms, rho), tpr=rates.tpr, fpr=rates.fpr, stop_on_pass=True)
    fold = Fold(
        rows=np.arange(len(test)),
        lives=lives,
        expected=Expected(forecasts[1], np.broadcast_to(usual[0], test.score.shape)),
        offered=Offered(np.arange(arms), belief.table(arms)),
        arm_cost=learn.cost_usd.mean(axis=0),
        arm_quality=learn.score.mean(axis=0),
        ladders=search(seen),
        difficulty=np.zeros(len(test)),
        taught=Taught(seen, Expected(forecasts[0], usual), Sample(None, len(learn))),
    )
    asked = {"value_usd": None, "max_cost_usd": None, "min_quality": None} | (target or {})
    return Evaluated(
        name="made up",
        field=Field(test, learn, tuple(test.clusters) if any(test.clusters) else None),
        folds=[fold],
        lives=lives,
        check=check,
        target=target_of(**asked),
        level=0.95,
        seed=seed,
        own_value=None,
        include_prompts=False,
        notes=(),
    )
