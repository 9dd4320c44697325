"""From the prior to one's own outcomes: a slide, not a switch."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from estimator_data import outcomes
from hypothesis import given, settings
from hypothesis import strategies as st

from effortctl import Arm, ConfigError, Price, Task
from effortctl.estimators import (
    CurvePrior,
    DifficultyModel,
    FittedModel,
    fit_model,
    load_prior,
)
from effortctl.estimators._curves import fit_curves
from effortctl.estimators._links import log_loss, sigmoid
from effortctl.estimators._prior_costs import CostPrior, listed_curve, shrink_costs
from effortctl.stores import outcome_matrix, read_outcomes

DATA = Path(__file__).parents[3] / "shared" / "data"
SIZES = (0, 5, 30, 300, 3000)
PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(8))
ARMS = [Arm(name=name, model="m", effort=name, price=PRICE) for name in ("low", "high")]


def world(tasks, *, right, usd=0.002, seed=0):
    """Every arm is right on the given share of the tasks, in a random order, for about these dollars."""
    rng = np.random.default_rng(seed)
    rows = []
    for name in ("low", "high"):
        score = (np.arange(tasks) < round(right * tasks))[rng.permutation(tasks)]
        rows += [
            {
                "query_id": f"q{i}",
                "query": f"Say {i}.",
                "arm": name,
                "model": "m",
                "effort": name,
                "score": float(score[i]),
                "cost_usd": usd * float(np.exp(0.1 * rng.normal() - 0.005)),
            }
            for i in range(tasks)
        ]
    return outcome_matrix(rows)


def empty():
    return world(1, right=1).select_tasks(np.arange(0))


def learned(tasks, **facts):
    matrix = world(tasks, **facts) if tasks else empty()
    return fit_model(
        matrix,
        groups=matrix.task_ids,
        difficulty_model=quick(load_prior()),
        prior=load_prior(),
        arms=ARMS,
    )


def quick(prior=None):
    return DifficultyModel(
        prior=prior and prior.difficulty, boosting_from=10**9, word_bits=0, use_category=False
    )


def means(model: FittedModel, matrix):
    found = model.estimates(matrix.tasks())
    return found.p.mean(axis=0), found.cost_usd.mean(axis=0)


@pytest.mark.parametrize("right", [0.1, 0.95])
def test_accuracy_and_dollars_slide_from_the_prior_to_the_data(right):
    judged = world(50, right=0.5)
    usd = 0.5
    steps = [means(learned(n, right=right, usd=usd), judged) for n in SIZES]
    p = np.array([step[0] for step in steps])
    cost = np.array([step[1] for step in steps])
    away = np.abs(p - right)
    assert (np.diff(away, axis=0) < 0.005).all()
    assert (away[0] > 0.2).all()
    assert (away[-1] < 0.02).all()
    far = np.abs(np.log(cost / usd))
    assert (np.diff(far, axis=0) < 0.02).all()
    assert (far[0] > 1).all()
    assert (far[-1] < 0.05).all()


def test_no_task_gives_the_prior_itself():
    judged = world(20, right=0.5)
    model = learned(0)
    np.testing.assert_allclose(means(model, judged)[0], means(load_prior().model(ARMS), judged)[0])
    np.testing.assert_allclose(means(model, judged)[1], means(load_prior().model(ARMS), judged)[1])
    assert [each.outcomes for each in model.arms] == [0, 0]


def test_one_task_moves_it_a_little():
    judged = world(20, right=0.5)
    before = means(learned(0), judged)[0]
    won, lost = (means(learned(1, right=right), judged)[0] for right in (1.0, 0.0))
    assert (lost < before).all()
    assert (before < won).all()
    assert (np.abs(won - before) < 0.25).all()


def test_thousands_of_outcomes_outweigh_the_prior():
    matrix = outcomes(3000, seed=3)
    options = {"groups": matrix.task_ids, "isotonic": False}
    plain = fit_model(matrix, difficulty_model=quick(), **options)
    shaped = fit_model(matrix, difficulty_model=quick(load_prior()), prior=load_prior(), **options)
    judged = outcomes(300, seed=4)
    one, two = plain.estimates(judged.tasks()), shaped.estimates(judged.tasks())
    assert np.abs(one.p - two.p).mean() < 0.02
    assert np.abs(np.log(one.cost_usd / two.cost_usd)).mean() < 0.05


def test_what_one_arm_shows_moves_an_arm_nobody_tried():
    matrix = world(40, right=0.1)
    only_low = outcome_matrix(
        [
            {
                "query_id": f"q{i}",
                "query": "Say it.",
                "arm": name,
                "model": "m",
                "effort": name,
                **({"score": 0.0, "cost_usd": 0.5} if name == "low" else {"score": 1.0}),
            }
            for i in range(40)
            for name in (("low", "high") if i == 0 else ("low",))
        ]
    ).select_tasks(np.arange(1, 40))
    model = fit_model(only_low, groups=only_low.task_ids, prior=load_prior(), arms=ARMS)
    before = means(load_prior().model(ARMS), matrix)
    after = means(model, matrix)
    assert model.arms[1].outcomes == 0
    assert after[0][1] < before[0][1] - 0.1
    assert after[1][1] > before[1][1] * 2


def test_without_a_prior_an_arm_without_outcomes_is_still_refused():
    with pytest.raises(ConfigError, match="no outcome"):
        fit_model(
            outcome_matrix(
                [
                    {"query_id": "a", "query": "x", "arm": "low", "score": 1.0},
                    {"query_id": "b", "query": "y", "arm": "high", "score": 1.0},
                ]
            ).select_tasks([0])
        )


def test_what_the_user_knows_of_an_arm_overrules_the_prior():
    known = {"high": CurvePrior(intercept=3.0, intercept_sd=0.05)}
    matrix = world(5, right=0.4)
    model = fit_model(
        matrix, groups=matrix.task_ids, prior=load_prior(), arms=ARMS, curve_priors=known
    )
    assert model.arms[1].curve.intercept == pytest.approx(3.0, abs=0.3)


def test_a_useless_scorer_loses_its_weight_and_a_useful_one_keeps_it():
    prior = load_prior().difficulty
    tasks = [Task(input="Add 3 to n in the grid.\n" * (1 + i % 40)) for i in range(600)]
    says = prior.scorer.predict(tasks)
    rng = np.random.default_rng(0)
    noise = rng.random((600, 4)) < 0.5
    follows = rng.random((600, 4)) < sigmoid(-6 * (says - says.mean()))[:, None]
    weights = []
    for score in (noise, follows):
        fitted = quick(load_prior()).fit(tasks, score.astype(float))
        parts = fitted.scorer_.parts
        weights.append(parts["prior"][0] if "prior" in parts else 0.0)
    assert weights[0] < 1.0 < weights[1]


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(0, 60),
    right=st.floats(0, 1),
    spread=st.floats(0.2, 3),
    together=st.floats(0, 0.9),
)
def test_curves_lie_between_prior_and_data(n, right, spread, together):
    """Of two like arms, whatever is believed of them."""
    score = np.repeat((np.arange(n) < round(right * n)).astype(float)[:, None], 2, axis=1)
    covariance = spread**2 * (np.eye(2) * (1 - together) + together)
    curves = fit_curves(
        np.zeros(n),
        score,
        models=("a", "b"),
        efforts=("low", "low"),
        priors=dict.fromkeys((0, 1), CurvePrior(1.0, spread, 1.0)),
        covariance=covariance,
    )
    ends = [0.5, float(sigmoid(1.0)), *([score.mean()] if n else [])]
    for curve in curves:
        assert min(ends) - 1e-6 <= float(curve.predict(0.0)) <= max(ends) + 1e-6


@settings(max_examples=25, deadline=None)
@given(bills=st.lists(st.floats(1e-6, 10), max_size=30), sd=st.floats(0.1, 2))
def test_expected_dollars_lie_between_list_price_and_bills(bills, sd):
    listed = listed_curve(usd_per_input=1e-6, usd_per_output=8e-6, output_tokens=1000)
    prior = CostPrior((listed,), np.array([[sd**2]]), task_sd=0.9)
    n = len(bills)
    usd = np.array(bills).reshape(n, 1)
    curve = shrink_costs(np.zeros(n), np.full(n, 100.0), usd, prior=prior)[0]
    expected = float(listed.predict(0.0, 100.0))
    ends = [expected, *([float(np.mean(bills))] if n else [])]
    assert min(ends) * 0.999 <= float(curve.predict(0.0, 100.0)) <= max(ends) * 1.001


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not DATA.is_dir(), reason="recorded outcomes of the maintainers are absent")
@pytest.mark.parametrize(
    "name",
    [
        "livecodebench",
        "routellm_gsm8k",
        pytest.param(
            "firstpass_mbpp_974_opus",
            marks=pytest.mark.xfail(reason="costs .006 nats: see the model card", strict=True),
        ),
    ],
)
def test_forty_real_tasks_teach_no_less_with_the_prior(name):
    matrix = read_outcomes(DATA / f"{name}.jsonl.gz")
    gains = []
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(matrix))
        train, judged = matrix.select_tasks(order[:40]), matrix.select_tasks(order[40:600])
        losses = [
            np.nanmean(log_loss(judged.score, model.estimates(judged.tasks()).p))
            for model in (
                fit_model(train, groups=train.task_ids),
                fit_model(train, groups=train.task_ids, prior=load_prior()),
            )
        ]
        gains.append(losses[0] - losses[1])
    assert np.mean(gains) > -0.003
