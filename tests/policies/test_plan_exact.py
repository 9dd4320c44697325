"""The planner against brute force: every joint outcome written out, every decision tried."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_worlds import cases, forecasts, loadings, probabilities, quick, values_usd

from effortctl.policies import Agreement, BeliefModel, Forecast, Terms, plan_batch, plan_task
from effortctl.policies._belief_grid import grid, right_given_theta


def joint(forecast, model):
    """P(every combination of correct answers), as {(bool, ...): probability}."""
    arms = len(forecast.arms)
    right = right_given_theta(forecast.p_correct, np.broadcast_to(model.rho, (arms,)))[0]
    _, weights = grid()
    return {
        z: float((weights * np.prod([r if ok else 1 - r for r, ok in zip(right, z, strict=True)],
                                    axis=0)).sum())
        for z in product([False, True], repeat=arms)
    }  # fmt: skip


def best_worth(table, prices, *, says, stop_on_pass):
    """Best unnormalised worth over all decision trees.

    Args:
        table: {correct answers: probability}, of what is still possible.
        prices: Of each arm, in units of quality.
        says: P(verdict of arm | correct answers, arms tried before, verdict).
        stop_on_pass: A pass ends the task.
    """

    def worth(weights, tried):
        mass = sum(weights.values())
        held = [sum(w for z, w in weights.items() if z[j]) for j in tried]
        options = [0.0, *held]
        for j in range(len(prices)):
            if j in tried:
                continue
            total = -prices[j] * mass
            for verdict in (False, True):
                after = {z: w * says(j, z, tried, verdict) for z, w in weights.items()}
                if verdict and stop_on_pass:
                    total += sum(w for z, w in after.items() if z[j])
                else:
                    total += worth(after, (*tried, j))
            options.append(total)
        return max(options)

    return worth(table, ())


@quick
@given(cases(most=3), values_usd)
def test_the_plan_is_the_best_of_all_decision_trees(case, value_usd):
    forecast, model = case
    tpr, fpr = (np.broadcast_to(x, (len(forecast.arms),)) for x in (model.tpr, model.fpr))

    def says(j, z, _tried, verdict):
        chance = tpr[j] if z[j] else fpr[j]
        return chance if verdict else 1 - chance

    prices = forecast.cost_usd[0] / value_usd
    worth = best_worth(joint(forecast, model), prices, says=says, stop_on_pass=model.stop_on_pass)
    found = plan_task(forecast, model, Terms(value_usd))
    assert found.net_usd / value_usd == pytest.approx(worth, abs=1e-7)


@quick
@given(forecasts(most=3), loadings, st.tuples(*[probabilities] * 3), values_usd)
def test_a_plan_on_agreement_is_the_best_of_all_decision_trees(forecast, rho, rates, value_usd):
    both, one, none = rates
    model = BeliefModel(
        rho=rho, agreement=Agreement(both_right=both, one_right=one, both_wrong=none)
    )

    def says(j, z, tried, verdict):
        if not tried:
            return 1.0 if verdict else 0.0
        chance = [none, one, both][int(z[j]) + int(z[tried[0]])]
        return chance if verdict else 1 - chance

    prices = forecast.cost_usd[0] / value_usd
    worth = best_worth(joint(forecast, model), prices, says=says, stop_on_pass=False)
    found = plan_task(forecast, model, Terms(value_usd))
    assert found.net_usd / value_usd == pytest.approx(worth, abs=1e-7)


@quick
@given(forecasts(), loadings, values_usd)
def test_an_exact_check_needs_only_two_digits(forecast, rho, value_usd):
    exact = BeliefModel(rho=rho)
    nearly = BeliefModel(rho=rho, tpr=1 - 1e-13)
    assert (exact.digits, nearly.digits) == (2, 3)
    two, three = (plan_batch(forecast, m, Terms(value_usd)) for m in (exact, nearly))
    assert two.net_usd[0] == pytest.approx(three.net_usd[0], abs=1e-7 * value_usd)


@quick
@given(st.lists(probabilities, min_size=1, max_size=5), st.floats(-1.0, 1.0))
def test_the_belief_keeps_every_marginal(p, rho):
    right = right_given_theta(np.array([p]), np.full(len(p), rho))
    assert ((right >= 0) & (right <= 1)).all()
    assert right[0] @ grid()[1] == pytest.approx(np.array(p), abs=1e-9)


def test_a_failed_check_lowers_the_belief_in_an_arm_that_fails_together():
    forecast = Forecast(p_correct=[[0.6, 0.7]], cost_usd=[[0.001, 0.002]])
    chances = {}
    for rho in (0.0, 0.5, 0.9):
        found = plan_task(forecast, BeliefModel(rho=rho), Terms(1.0))
        chances[rho] = found.steps[1].p_correct
    assert chances[0.0] == pytest.approx(0.7)
    assert chances[0.0] > chances[0.5] > chances[0.9]


def test_correlated_failures_make_it_skip_to_the_strongest_arm():
    forecast = Forecast(
        p_correct=[[0.5, 0.55, 0.95]], cost_usd=[[0.001, 0.02, 0.05]], arms=("low", "mid", "high")
    )
    alone = plan_task(forecast, BeliefModel(rho=0.0), Terms(1.0)).order
    together = plan_task(forecast, BeliefModel(rho=[0.9, 0.9, 0.1]), Terms(1.0)).order
    assert alone == ("low", "mid", "high")
    assert together == ("low", "high", "mid")
