"""A model without one outcome: complete, sensible for every ladder that is shipped, and unsure."""

import json
from decimal import Decimal

import numpy as np
import pytest

from effortctl import Arm, ConfigError, Price, Task, UnknownPriceError
from effortctl._types import Endpoint
from effortctl.catalog import load_ladder, shipped_ladders
from effortctl.estimators import FittedModel, ModelEstimator, Reliability, load_prior

TASKS = [
    Task(input="What is the capital of France?"),
    Task(
        input="Count the paths in the grid. " + "Each of the n <= 100000 operations is 3 5 7. " * 20
    ),
]


def arm(effort="medium", *, usd="10", model="m", name=None, **fields):
    price = Price(input_usd_per_mtok=Decimal(usd) / 4, output_usd_per_mtok=Decimal(usd))
    return Arm(name=name or f"{model}@{effort}", model=model, effort=effort, price=price, **fields)


def p_of(*arms):
    return load_prior().model(arms).estimates(TASKS).p


def usd_of(*arms):
    return load_prior().model(arms).estimates(TASKS).cost_usd


@pytest.mark.parametrize("name", shipped_ladders())
def test_every_shipped_ladder_gets_sensible_estimates(name):
    arms = load_ladder(name).arms
    found = load_prior().model(arms).estimates(TASKS)
    assert ((found.p > 0.2) & (found.p < 0.95)).all()
    assert np.isfinite(found.cost_usd).all()
    assert (found.cost_usd >= 0).all()
    assert (found.cost_usd < 2).all()
    for model in {each.model for each in arms}:
        own = [j for j, each in enumerate(arms) if each.model == model]
        # Ladders list the efforts of one model in rising order.
        assert (np.diff(found.p[:, own], axis=1) > 0).all()
        assert (np.diff(found.cost_usd[:, own], axis=1) >= 0).all()


def test_effort_and_price_raise_accuracy_and_dollars():
    efforts = ("none", "low", "medium", "high", "xhigh", "max")
    ladder = [arm(effort, max_output_tokens=100_000) for effort in efforts]
    assert (np.diff(p_of(*ladder), axis=1) > 0).all()
    assert (np.diff(usd_of(*ladder), axis=1) > 0).all()
    cheap, dear = arm(usd="0.5", model="a"), arm(usd="30", model="b")
    assert (np.diff(p_of(cheap, dear), axis=1) > 0.05).all()


def test_tasks_that_look_harder_are_less_likely_solved():
    assert (np.diff(p_of(arm()), axis=0) < 0).all()


def test_what_is_not_known_draws_probabilities_to_one_half():
    prior = load_prior()
    model = prior.model([arm("max", usd="50")])
    mode = prior.about(_matrix_of("max"), [arm("max", usd="50", name="a")]).curve[0].intercept
    assert 0 < model.arms[0].curve.intercept < mode


def _matrix_of(effort):
    from effortctl.stores import outcome_matrix

    row = {"query_id": "q", "query": "x", "arm": "a", "model": "m", "effort": effort, "score": 1.0}
    return outcome_matrix([row])


def test_an_unknown_price_or_effort_widens_what_is_believed():
    prior, matrix = load_prior(), _matrix_of("medium")
    priced = prior.about(matrix, [arm(name="a")]).covariance[0, 0]
    blind = prior.about(matrix).covariance[0, 0]
    assert blind > priced
    lost = prior.about(_matrix_of("default")).covariance[0, 0]
    assert lost > blind


def test_arms_of_one_model_are_believed_to_be_more_alike_than_others():
    prior = load_prior()
    facts = prior.intercept
    from effortctl.estimators._prior_levels import ArmFacts

    same = [
        ArmFacts("a", "m", "low", 1.0),
        ArmFacts("b", "m", "high", 1.0),
        ArmFacts("c", "n", "high", 1.0),
    ]
    covariance = facts.covariance(same)
    assert covariance[0, 1] > covariance[0, 2] > 0
    assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_the_output_cap_bounds_the_dollars():
    short, long = arm("high", max_output_tokens=200), arm("high", max_output_tokens=100_000)
    assert usd_of(short)[0, 0] < 200 * 10e-6 * 1.1 < usd_of(long)[0, 0]


def test_a_machine_of_ones_own_costs_nothing_or_its_hours():
    home = Endpoint(name="home", self_hosted=True)
    free = Arm(name="free", model="m", endpoint=home)
    rented = Arm(name="rented", model="n", endpoint=home, price=Price(usd_per_hour=Decimal(2)))
    usd = usd_of(free, rented)
    assert (usd[:, 0] == 0).all()
    assert (usd[:, 1] > 0).all()


def test_an_arm_without_a_known_price_is_refused_with_the_way_out():
    nobody = Arm(name="x", model="no-such-model", endpoint=Endpoint(name="mine"))
    with pytest.raises(UnknownPriceError, match="input_usd_per_mtok"):
        load_prior().model([nobody])


@pytest.mark.parametrize("arms", [[], [arm(), arm()]])
def test_no_arm_or_one_twice_is_refused(arms):
    with pytest.raises(ConfigError):
        load_prior().model(arms)


def test_the_verifier_is_the_one_it_is_told():
    model = load_prior().model([arm(), arm("high")], reliability=Reliability.exact(2))
    assert model.verifier == "exact"
    assert model.fpr.tolist() == [0.0, 0.0]
    assert load_prior().model([arm()]).verifier == "none"


def test_it_travels_as_json_and_serves_the_estimator_protocol():
    arms = (arm("low"), arm("high"))
    model = load_prior().model(arms)
    back = FittedModel.from_json(json.loads(json.dumps(model.to_json(), allow_nan=False)))
    np.testing.assert_array_equal(back.estimates(TASKS).p, model.estimates(TASKS).p)
    assert back.to_json() == model.to_json()
    found = ModelEstimator(back).estimate(TASKS[0], arms)
    assert found["m@low"].p_correct < found["m@high"].p_correct
    assert model.provenance["outcomes"] == 0
    assert "2026" in str(model.provenance["prior"])
