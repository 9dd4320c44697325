"""What holds of every plan, whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_worlds import cases, few, forecasts, loadings, probabilities, quick, values_usd

from effortctl.policies import Agreement, BeliefModel, Forecast, Terms, plan_batch, plan_task

CLOSE = 1e-6


def plan(case, value_usd):
    return plan_task(*case, Terms(value_usd))


@quick
@given(cases(), values_usd)
def test_a_plan_is_worth_at_least_what_the_best_single_arm_is(case, value_usd):
    forecast, _ = case
    single = value_usd * forecast.p_correct[0] - forecast.cost_usd[0]
    assert plan(case, value_usd).net_usd >= max(0.0, single.max()) - CLOSE * value_usd


@quick
@given(cases(), values_usd, st.floats(1.1, 100.0))
def test_a_higher_value_never_lowers_worth_spending_or_quality(case, value_usd, factor):
    low, high = plan(case, value_usd), plan(case, value_usd * factor)
    assert high.net_usd >= low.net_usd - CLOSE * high.value_usd
    assert high.quality >= low.quality - CLOSE
    assert high.cost_usd >= low.cost_usd - CLOSE * high.value_usd


@quick
@given(cases(), values_usd, st.randoms(use_true_random=False))
def test_the_order_of_the_arms_does_not_matter(case, value_usd, random):
    forecast, model = case
    order = list(range(len(forecast.arms)))
    random.shuffle(order)
    table = model.table(len(order))
    shuffled = forecast.only(order), table.only(order)
    assert plan(shuffled, value_usd).net_usd == pytest.approx(
        plan(case, value_usd).net_usd, abs=CLOSE * value_usd
    )


@quick
@given(cases(), values_usd)
def test_probabilities_are_probabilities(case, value_usd):
    found = plan(case, value_usd)
    numbers = [found.quality, *found.p_reach.values(), *found.p_correct.values()]
    for step in found.steps:
        numbers += [step.p_correct, step.p_pass, step.p_reach]
        numbers += [step.on_pass.p_correct, step.on_fail.p_correct]
    assert all(-1e-9 <= number <= 1 + 1e-9 for number in numbers)
    if found.first is not None:
        assert found.p_reach[found.first] == pytest.approx(1.0)


@quick
@given(cases(), values_usd)
def test_no_arm_is_repeated(case, value_usd):
    order = plan(case, value_usd).order
    assert len(set(order)) == len(order)


@quick
@given(cases(), values_usd)
def test_the_path_says_what_comes_next(case, value_usd):
    found = plan(case, value_usd)
    for step, after in zip(found.steps, found.order[1:], strict=False):
        assert (step.on_fail.do, step.on_fail.arm) == ("try", after)
    if found.steps:
        assert found.steps[-1].on_fail.do != "try"
        assert found.order[0] == found.first


@quick
@given(cases(), values_usd)
def test_the_best_alternative_is_what_the_plan_starts_with(case, value_usd):
    found = plan(case, value_usd)
    best = max(found.alternatives.values())
    assert max(0.0, best) == pytest.approx(found.net_usd, abs=CLOSE * value_usd)
    if found.first is not None:
        assert found.alternatives[found.first] == pytest.approx(best, abs=CLOSE * value_usd)


@quick
@given(forecasts(), st.tuples(loadings, probabilities, st.booleans()), values_usd)
def test_a_useless_check_leaves_plain_routing(forecast, check, value_usd):
    rho, share, stops = check
    model = BeliefModel(rho=rho, tpr=share, fpr=share, stop_on_pass=stops)
    found = plan_task(forecast, model, Terms(value_usd))
    single = value_usd * forecast.p_correct[0] - forecast.cost_usd[0]
    assert sum(found.p_reach.values()) <= 1 + 1e-9
    assert found.net_usd == pytest.approx(max(0.0, single.max()), abs=CLOSE * value_usd)


@quick
@given(forecasts(), loadings, values_usd)
def test_free_arms_are_not_tried_in_vain(forecast, rho, value_usd):
    free = Forecast(p_correct=forecast.p_correct, cost_usd=0.0)
    found = plan_task(free, BeliefModel(rho=rho, tpr=0.5, fpr=0.5), Terms(value_usd))
    assert sum(found.p_reach.values()) <= 1 + 1e-9


@quick
@given(cases(), values_usd)
def test_a_table_says_what_the_plan_of_each_task_says(case, value_usd):
    forecast, model = case
    found, table = plan(case, value_usd), plan_batch(forecast, model, Terms(value_usd))
    assert table.net_usd[0] == pytest.approx(found.net_usd)
    assert table.quality[0] == pytest.approx(found.quality)
    assert table.p_reach[0].tolist() == pytest.approx(list(found.p_reach.values()))


@quick
@given(forecasts(), st.tuples(probabilities, probabilities, loadings), values_usd)
def test_agreement_is_worth_something_or_nothing_but_never_less(forecast, numbers, value):
    both, wrong, rho = numbers
    model = BeliefModel(rho=rho, agreement=Agreement(both_right=both, both_wrong=wrong))
    found = plan_task(forecast, model, Terms(value))
    single = value * forecast.p_correct[0] - forecast.cost_usd[0]
    assert found.net_usd >= max(0.0, single.max()) - CLOSE * value
    assert 0.0 <= found.quality <= 1 + 1e-9
    assert len(set(found.order)) == len(found.order)


@few
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 1.0), st.floats(0.0, 0.5))
def test_chunks_do_not_change_a_plan(seed, tpr, fpr):
    rng = np.random.default_rng(seed)
    forecast = Forecast(p_correct=rng.random((300, 6)), cost_usd=rng.random((300, 6)) / 20)
    model = BeliefModel(rho=0.5, tpr=tpr, fpr=fpr)
    table = plan_batch(forecast, model, Terms(0.2))
    some = rng.integers(300, size=5)
    alone = [plan_batch(forecast.rows(slice(i, i + 1)), model, Terms(0.2)) for i in some]
    assert np.allclose(table.net_usd[some], [each.net_usd[0] for each in alone])
