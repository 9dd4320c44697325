"""Replay on recorded outcomes, limits, lost prompt caches, many arms, and refused input."""

from __future__ import annotations

import numpy as np
import pytest
from plan_worlds import draw_world

from effortctl import ConfigError, EffortctlWarning
from effortctl.policies import (
    Agreement,
    ArmMenu,
    BeliefModel,
    Forecast,
    Recorded,
    Terms,
    draw_verdicts,
    pick_arms,
    plan_batch,
    plan_task,
    replay_plan,
)

COSTS = np.array([0.002, 0.01, 0.04])
CHECKS = {
    "exact": BeliefModel(rho=0.7),
    "noisy": BeliefModel(rho=0.7, tpr=0.9, fpr=0.2),
    "first pass ends": BeliefModel(rho=0.7, tpr=0.9, fpr=0.2, stop_on_pass=True),
}


def world(tasks=4000, seed=1):
    p, correct = draw_world(tasks, rho=0.7, seed=seed)
    return Forecast(p_correct=p, cost_usd=np.broadcast_to(COSTS, p.shape)), correct


@pytest.mark.parametrize("check", CHECKS)
def test_in_a_world_that_follows_the_model_a_replay_yields_what_was_expected(check):
    model, (forecast, correct) = CHECKS[check], world()
    rng = np.random.default_rng(2)
    verdicts = draw_verdicts(correct, model.tpr, model.fpr, rng=rng)
    recorded = Recorded(score=correct, verdicts=verdicts)
    expected = plan_batch(forecast, model, Terms(0.3))
    found = replay_plan(forecast, model, Terms(0.3), recorded=recorded)
    for real, hoped in ((found.quality, expected.quality), (found.cost_usd, expected.cost_usd)):
        error = (real - hoped).std() / np.sqrt(len(real))
        assert abs(real.mean() - hoped.mean()) < 4 * error
    reach = found.tried.mean(axis=0) - expected.p_reach.mean(axis=0)
    assert np.abs(reach).max() < 0.03


def test_agreement_in_a_world_that_follows_the_model():
    forecast, correct = world()
    rng = np.random.default_rng(3)
    lies = rng.integers(3, size=correct.shape)
    says = np.where(correct, -1, lies)
    model = BeliefModel(rho=0.7, agreement=Agreement(both_wrong=1 / 3))
    agree = says[:, :, None] == says[:, None, :]
    recorded = Recorded(score=correct, verdicts=agree)
    expected = plan_batch(forecast, model, Terms(1.0))
    found = replay_plan(forecast, model, Terms(1.0), recorded=recorded)
    error = (found.quality - expected.quality).std() / np.sqrt(len(correct))
    assert abs(found.quality.mean() - expected.quality.mean()) < 4 * error
    assert found.tried.sum(axis=1).max() > 1
    routed = plan_batch(forecast, BeliefModel(rho=0.7, tpr=0.5, fpr=0.5), Terms(1.0))
    assert expected.net_usd.mean() > routed.net_usd.mean()


def test_the_answer_returned_is_one_that_was_tried():
    forecast, correct = world(500)
    for model in CHECKS.values():
        verdicts = draw_verdicts(correct, 0.8, 0.3, rng=np.random.default_rng(4))
        recorded = Recorded(score=correct, verdicts=verdicts)
        found = replay_plan(forecast, model, Terms(0.2), recorded=recorded)
        rows = np.flatnonzero(found.answer >= 0)
        assert found.tried[rows, found.answer[rows]].all()
        assert (found.quality[found.answer < 0] == 0).all()
        assert found.cost_usd == pytest.approx((found.tried * COSTS).sum(axis=1))


def test_without_verdicts_the_score_itself_is_the_check():
    forecast, correct = world(300)
    model, terms = BeliefModel(rho=0.7), Terms(0.3)
    implied = replay_plan(forecast, model, terms, recorded=Recorded(score=correct))
    given = replay_plan(forecast, model, terms, recorded=Recorded(score=correct, verdicts=correct))
    assert (implied.tried == given.tried).all()


def test_real_costs_are_charged_not_the_forecast():
    forecast, correct = world(50)
    recorded = Recorded(score=correct, cost_usd=np.full(correct.shape, 0.5))
    found = replay_plan(forecast, BeliefModel(rho=0.7), Terms(0.3), recorded=recorded)
    assert found.cost_usd == pytest.approx(found.tried.sum(axis=1) * 0.5)


def test_a_plan_does_not_count_on_tries_that_do_not_fit_the_budget():
    base = {"p_correct": [[0.5, 0.6, 0.7]], "cost_usd": [[0.01, 0.02, 0.03]]}
    orders = {
        left: plan_task(Forecast(**base, usd_left=left), BeliefModel(rho=0.2), Terms(10.0)).order
        for left in (0.005, 0.01, 0.03, 0.06)
    }
    assert orders[0.005] == ()
    assert orders[0.01] == ("arm 0",)
    assert sum({"arm 0": 1, "arm 1": 2, "arm 2": 3}[arm] for arm in orders[0.03]) == 3
    assert len(orders[0.06]) == 3


def test_a_slow_arm_is_left_out_when_time_is_short_and_dear_when_time_costs_money():
    base = {"p_correct": [[0.5, 0.9]], "cost_usd": [[0.01, 0.01]], "latency_s": [[1.0, 60.0]]}
    model = BeliefModel(rho=0.2)
    assert plan_task(Forecast(**base), model, Terms(1.0)).first == "arm 1"
    assert plan_task(Forecast(**base, seconds_left=30), model, Terms(1.0)).order == ("arm 0",)
    slow = plan_task(Forecast(**base), model, Terms(1.0, usd_per_second=0.1))
    assert slow.order == ("arm 0",)
    assert slow.net_usd == pytest.approx(0.5 - 0.01 - 0.1)


def test_arms_that_are_not_allowed_are_not_used():
    forecast = Forecast(p_correct=[[0.5, 0.9]], cost_usd=[[0.01, 0.01]], allowed=[[True, False]])
    found = plan_task(forecast, BeliefModel(rho=0.2), Terms(1.0))
    assert found.order == ("arm 0",)
    assert set(found.alternatives) == {"arm 0"}


def test_leaving_a_warm_prompt_cache_counts_as_cost():
    base = {
        "p_correct": [[0.80, 0.82], [0.80, 0.82]],
        "cost_usd": 0.01,
        "switch_usd": 0.05,
    }
    forecast = Forecast(**base, warm_arm=[0, -1])
    table = plan_batch(forecast, BeliefModel(rho=0.9, tpr=0.5, fpr=0.5), Terms(1.0))
    assert table.first.tolist() == [0, 1]
    assert table.cost_usd.tolist() == pytest.approx([0.01, 0.06])


def test_nothing_is_tried_when_no_arm_is_worth_its_price():
    forecast = Forecast(p_correct=[[0.5, 0.9]], cost_usd=[[1.0, 2.0]])
    for model in (BeliefModel(rho=0.2), BeliefModel(rho=0.2, agreement=Agreement())):
        found = plan_task(forecast, model, Terms(0.1))
        assert (found.first, found.steps, found.net_usd) == (None, (), 0.0)
        table = plan_batch(forecast, model, Terms(0.1))
        assert table.first.tolist() == [-1]


def test_of_too_many_arms_the_most_promising_stay():
    p = np.linspace(0.3, 0.9, 10)[None]
    cost = np.array([[0.001] * 9 + [5.0]])
    with pytest.warns(EffortctlWarning, match="8 arms at most"):
        table = plan_batch(Forecast(p_correct=p, cost_usd=cost), BeliefModel(rho=0.5), Terms(1.0))
    assert table.p_reach.shape == (1, 10)
    assert table.p_reach[0, 0] == 0
    assert table.first[0] == 8


def test_replay_and_explanation_leave_the_same_arms_out():
    rng = np.random.default_rng(0)
    forecast = Forecast(p_correct=rng.random((5, 9)), cost_usd=rng.random((5, 9)) / 100)
    with pytest.warns(EffortctlWarning):
        found = replay_plan(
            forecast,
            BeliefModel(rho=0.5),
            Terms(1.0),
            recorded=Recorded(score=np.zeros((5, 9))),
        )
    assert found.tried.shape == (5, 9)
    assert (found.tried.any(axis=0)).sum() <= 8
    with pytest.warns(EffortctlWarning):
        plan = plan_task(forecast.rows(slice(0, 1)), BeliefModel(rho=0.5), Terms(1.0))
    assert len(plan.p_correct) == 8


def test_arms_that_are_good_together_are_picked_not_those_best_alone():
    strong = [[0.90, 0.91, 0.92, 0.5]]
    forecast = Forecast(p_correct=strong, cost_usd=[[0.10, 0.10, 0.10, 0.001]])
    model = BeliefModel(rho=[0.9, 0.9, 0.9, 0.5])
    assert set(pick_arms(forecast, model, Terms(1.0), most=2)) == {2, 3}
    assert pick_arms(forecast, model, Terms(0.001)) == ()
    assert len(pick_arms(forecast, BeliefModel(rho=0.0), Terms(10.0))) == 4
    with pytest.raises(ConfigError, match="most is 9"):
        pick_arms(forecast, model, Terms(1.0), most=9)


def test_a_menu_changes_with_what_an_answer_is_worth():
    p = np.array([[0.3, *[0.9] * 8, 0.99]])
    cost = np.array([[0.001, *[0.1] * 8, 5.0]])
    model = BeliefModel(rho=0.5).table(10)
    menu = ArmMenu(Forecast(p_correct=p, cost_usd=cost), model)
    cheap, usual, dear = (menu.at(value) for value in (0.01, 1.0, 1000.0))
    assert cheap == (0,)
    assert 9 not in usual
    assert 9 in dear
    assert len(dear) == 8
    assert menu.at(1.1) is usual, "values that are close share a pick"
    assert len(menu.at(1e-6)) == 1, "no arm is worth its price, but one has to be offered"
    few = ArmMenu(Forecast(p_correct=p[:, :8], cost_usd=cost[:, :8]), model.only(range(8)))
    assert few.at(0.01) == tuple(range(8))


def test_why_is_plain_data():
    import json

    forecast = Forecast(p_correct=[[0.4, 0.8]], cost_usd=[[0.001, 0.02]], arms=("low", "high"))
    plan = plan_task(forecast, BeliefModel(rho=0.5), Terms(0.5))
    why = json.loads(json.dumps(plan.why))
    assert why["first"] == "low"
    assert why["steps"][0]["on_fail"]["do"] == "try"
    assert why["steps"][1]["on_fail"]["do"] == "give_up"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"p_correct": [[1.2]], "cost_usd": [[1]]}, "p_correct contains 1.2"),
        ({"p_correct": [[float("nan")]], "cost_usd": [[1]]}, "p_correct contains nan"),
        ({"p_correct": [[0.5]], "cost_usd": [[-1]]}, "cost_usd contains -1"),
        ({"p_correct": [[0.5]], "cost_usd": [[float("inf")]]}, "cost_usd contains inf"),
        ({"p_correct": [[0.5, 0.5]], "cost_usd": [[1, 2, 3]]}, "cost_usd has shape"),
        ({"p_correct": [[]], "cost_usd": [[]]}, "one arm or more"),
        ({"p_correct": [[0.5]], "cost_usd": [[1]], "latency_s": [[-1]]}, "latency_s"),
        ({"p_correct": [[0.5]], "cost_usd": [[1]], "arms": ("a", "b")}, "arm names"),
    ],
)
def test_a_forecast_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Forecast(**fields)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_value_no_plan_can_be_made_of_is_refused(value):
    with pytest.raises(ConfigError, match="value_usd"):
        Terms(value)
    if value != 0.0:
        with pytest.raises(ConfigError, match="usd_per_second"):
            Terms(1.0, value)


def test_a_model_that_does_not_fit_the_arms_is_refused():
    forecast = Forecast(p_correct=[[0.5, 0.6]], cost_usd=0.01)
    for model in (
        BeliefModel(rho=[0.1, 0.2, 0.3]),
        BeliefModel(rho=2.0),
        BeliefModel(rho=0, tpr=2),
    ):
        with pytest.raises(ConfigError):
            plan_batch(forecast, model, Terms(1.0))


def test_recorded_outcomes_that_do_not_fit_are_refused():
    forecast = Forecast(p_correct=[[0.5, 0.6]], cost_usd=0.01)
    agreeing = BeliefModel(rho=0.5, agreement=Agreement())
    bad = [
        (BeliefModel(rho=0.5), Recorded(score=np.array([[1.0]]))),
        (BeliefModel(rho=0.5), Recorded(score=np.array([[1.0, np.nan]]))),
        (agreeing, Recorded(score=np.array([[1.0, 0.0]]))),
        (agreeing, Recorded(score=np.array([[1.0, 0.0]]), verdicts=np.array([[True, True]]))),
    ]
    for model, recorded in bad:
        with pytest.raises(ConfigError):
            replay_plan(forecast, model, Terms(1.0), recorded=recorded)


def test_plan_task_takes_one_task():
    with pytest.raises(ConfigError, match="plan_batch"):
        plan_task(
            Forecast(p_correct=[[0.5], [0.6]], cost_usd=0.1), BeliefModel(rho=0.5), Terms(1.0)
        )
