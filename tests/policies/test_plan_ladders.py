"""The search for the best fixed ladder, and tuning towards a target."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_worlds import draw_world, quick

from effortctl import ConfigError
from effortctl.policies import (
    BeliefModel,
    Forecast,
    LadderTable,
    Recorded,
    Terms,
    all_ladders,
    replay_plan,
    run_ladder,
    tune_lambda,
)


def climb(ladder, score, verdicts, cost_usd):
    """One task, one ladder, the plain way."""
    spent = quality = 0.0
    for arm in ladder:
        spent, quality = spent + cost_usd[arm], score[arm]
        if verdicts[arm]:
            break
    return spent, quality


@quick
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
def test_every_ladder_is_what_climbing_it_task_by_task_yields(seed, arms, longest):
    rng = np.random.default_rng(seed)
    score, cost = rng.random((7, arms)), rng.random((7, arms))
    verdicts = rng.random((7, arms)) < 0.5
    table = all_ladders(score, verdicts, cost, longest=longest)
    expected = {
        ladder: np.mean([climb(ladder, *row) for row in zip(score, verdicts, cost, strict=True)], 0)
        for length in range(1, min(longest, arms) + 1)
        for ladder in permutations(range(arms), length)
    }
    assert set(table.ladders) == set(expected)
    for ladder, usd, quality in zip(table.ladders, table.cost_usd, table.quality, strict=True):
        assert [usd, quality] == pytest.approx(expected[ladder])
        one_by_one = run_ladder(ladder, score, verdicts, cost_usd=cost)
        assert [side.mean() for side in one_by_one] == pytest.approx(expected[ladder])


TABLE = LadderTable(
    ladders=((0,), (1,), (0, 1), (1, 0)),
    cost_usd=np.array([1.0, 4.0, 2.0, 4.5]),
    quality=np.array([0.5, 0.8, 0.85, 0.85]),
)


def test_the_best_ladder_depends_on_the_target():
    assert TABLE.best(value_usd=1.0) == (0,)
    assert TABLE.best(value_usd=100.0) == (0, 1)
    assert TABLE.best(min_quality=0.7) == (0, 1)
    assert TABLE.best(min_quality=0.7, longest=1) == (1,)
    assert TABLE.best(max_cost_usd=1.5) == (0,)
    assert TABLE.best(max_cost_usd=9.0) == (0, 1)


def test_a_target_out_of_reach_gives_the_nearest_ladder():
    assert TABLE.best(min_quality=0.99) == (0, 1)
    assert TABLE.best(max_cost_usd=0.1) == (0,)


@pytest.mark.parametrize("targets", [{}, {"value_usd": 1.0, "min_quality": 0.5}])
def test_exactly_one_target_is_given(targets):
    with pytest.raises(ConfigError, match="exactly one"):
        TABLE.best(**targets)
    with pytest.raises(ConfigError, match="exactly one"):
        tune_lambda(lambda _value: (0.0, 0.0), **targets)


def test_too_many_ladders_are_refused():
    wide = np.zeros((1, 30))
    with pytest.raises(ConfigError, match="offer fewer arms"):
        all_ladders(wide, wide > 0, wide, longest=4)


def replayed():
    p, correct = draw_world(400, rho=0.6, seed=5)
    forecast = Forecast(p_correct=p, cost_usd=np.broadcast_to([0.002, 0.01, 0.04], p.shape))
    recorded = Recorded(score=correct)

    def evaluate(value_usd):
        run = replay_plan(forecast, BeliefModel(rho=0.6), Terms(value_usd), recorded=recorded)
        return float(run.cost_usd.mean()), float(run.quality.mean())

    return evaluate


def test_tuning_meets_a_target_with_nothing_to_spare():
    evaluate = replayed()
    dearest = evaluate(1e4)
    capped = tune_lambda(evaluate, max_cost_usd=0.6 * dearest[0])
    assert capped.cost_usd <= 0.6 * dearest[0]
    assert (capped.cost_usd, capped.quality) == evaluate(capped.value_usd)
    good = tune_lambda(evaluate, min_quality=0.95 * dearest[1])
    assert good.quality >= 0.95 * dearest[1]
    assert good.cost_usd < dearest[0]
    assert capped.lambda_ == pytest.approx(1 / capped.value_usd)
    barely = evaluate(good.value_usd / 1.05)
    assert barely[1] < 0.95 * dearest[1] or barely[0] >= good.cost_usd


def test_a_value_given_directly_is_only_evaluated():
    asked = []
    tuned = tune_lambda(lambda v: (asked.append(v), (0.1, 0.9))[1], value_usd=0.25)
    assert (tuned.value_usd, tuned.cost_usd, tuned.quality) == (0.25, 0.1, 0.9)
    assert asked == [0.25]


def test_a_target_out_of_reach_names_the_nearest_one_in_reach():
    def evaluate(value_usd):
        share = value_usd / (1 + value_usd)
        return 0.01 + share, 0.3 + 0.5 * share

    with pytest.raises(ConfigError, match=r"nearest feasible target is min_quality=0\.8 "):
        tune_lambda(evaluate, min_quality=0.95)
    with pytest.raises(ConfigError, match=r"nearest feasible target is max_cost_usd=0\.0100"):
        tune_lambda(evaluate, max_cost_usd=0.001)
    generous = tune_lambda(evaluate, max_cost_usd=5.0)
    assert generous.quality == pytest.approx(0.8, abs=1e-3)
    easy = tune_lambda(evaluate, min_quality=0.2)
    assert easy.cost_usd == pytest.approx(0.01, abs=1e-3)
