"""Arm curves: pooled across efforts, rising with effort, shrunk when labels are few."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from effortctl.estimators import ArmCurve, CurvePrior
from effortctl.estimators._curves import constant_curves, fit_curves, predict_all
from effortctl.estimators._isotonic import isotonic_knots, pool_adjacent


def simulate(intercepts, slope, *, tasks=3000, seed=0):
    rng = np.random.default_rng(seed)
    d = rng.normal(size=tasks)
    shape = (tasks, len(intercepts))
    score = (np.asarray(intercepts) - slope * d[:, None] + rng.logistic(size=shape) > 0) * 1.0
    return d, score


EFFORTS = ("low", "medium", "high")


def test_the_true_curves_are_recovered():
    d, score = simulate([-0.5, 0.5, 1.5], 1.2)
    curves = fit_curves(d, score, models=("m",) * 3, efforts=EFFORTS)
    assert [curve.intercept for curve in curves] == pytest.approx([-0.5, 0.5, 1.5], abs=0.15)
    assert {round(curve.slope, 9) for curve in curves} == {round(curves[0].slope, 9)}
    assert curves[0].slope == pytest.approx(1.2, abs=0.1)


def test_models_have_slopes_of_their_own():
    d, flat = simulate([0.0], 0.4, seed=1)
    rng = np.random.default_rng(2)
    steep = ((0.0 - 2.0 * d + rng.logistic(size=d.size)) > 0) * 1.0
    score = np.stack([flat[:, 0], steep], axis=1)
    one, two = fit_curves(d, score, models=("a", "b"), efforts=("default",) * 2)
    assert one.slope < 0.7
    assert two.slope > 1.5


def test_an_accident_does_not_make_more_effort_worse():
    d, score = simulate([1.0, 1.0, 1.0], 1.0, tasks=200, seed=3)
    curves = fit_curves(d, score, models=("m",) * 3, efforts=("high", "low", "medium"))
    high, low, medium = (curve.intercept for curve in curves)
    assert low <= medium <= high


def test_data_that_clearly_say_that_more_effort_is_worse_are_believed():
    d, score = simulate([1.5, 0.0], 1.0)
    low, high = fit_curves(d, score, models=("m", "m"), efforts=("low", "high"))
    assert low.intercept > high.intercept + 1


def test_an_arm_with_few_labels_borrows_the_slope_of_its_model():
    d, score = simulate([0.0, 1.0], 1.5)
    score[5:, 1] = np.nan
    low, high = fit_curves(d, score, models=("m", "m"), efforts=("low", "high"))
    assert high.slope == low.slope == pytest.approx(1.5, abs=0.15)


def test_a_prior_holds_until_labels_arrive():
    d, score = simulate([-1.0], 1.0)
    prior = {0: CurvePrior(intercept=2.0, intercept_sd=0.3, slope=0.5, slope_sd=0.1)}
    options = {"models": ("m",), "efforts": ("low",), "priors": prior}
    few = fit_curves(d[:3], score[:3], **options)[0]
    many = fit_curves(d, score, **options)[0]
    assert few.intercept > 1
    assert many.intercept == pytest.approx(-1, abs=0.2)


def test_equal_difficulties_make_constants():
    score = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, np.nan]] * 40)
    curves = fit_curves(np.zeros(120), score, models=("a", "b"), efforts=("default",) * 2)
    assert [curve.slope for curve in curves] == pytest.approx([0, 0], abs=1e-5)
    assert curves[0].predict(0.0) == pytest.approx(2 / 3, abs=0.02)
    assert constant_curves(score)[1].predict(5.0) == pytest.approx(0.5, abs=0.01)


@settings(deadline=None)
@given(
    hnp.arrays(
        float, st.tuples(st.integers(2, 12), st.just(3)), elements=st.sampled_from([0.0, 1.0])
    ),
    st.integers(0, 100),
)
def test_any_scores_give_proper_probabilities(score, seed):
    d = np.random.default_rng(seed).normal(size=len(score))
    curves = fit_curves(d, score, models=("m", "m", "n"), efforts=("low", "high", "default"))
    p = predict_all(curves, np.array([-50.0, 0.0, 50.0]))
    assert ((p >= 0) & (p <= 1)).all()
    assert (np.diff(p, axis=0) <= 0).all()


def test_isotonic_correction_fixes_a_curve_of_the_wrong_shape():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=20_000)
    score = (rng.random(20_000) < np.where(p < 0.5, 0.2, 0.8)) * 1.0
    curve = ArmCurve(0.0, 1.0, isotonic_knots(p, score))
    d = -np.log([0.25 / 0.75, 0.9 / 0.1])
    assert curve.predict(d) == pytest.approx([0.2, 0.8], abs=0.05)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 5)), min_size=1, max_size=30))
def test_pooling_gives_the_closest_rising_sequence(pairs):
    values, weights = map(np.array, zip(*pairs, strict=True))
    pooled = pool_adjacent(values, weights)
    assert (np.diff(pooled) >= -1e-12).all()
    assert pooled @ weights == pytest.approx(values @ weights, abs=1e-9)
    if (np.diff(values) >= 0).all():
        np.testing.assert_allclose(pooled, values)
