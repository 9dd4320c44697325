"""Cost curves: right in total, rising where the bill rises, careful outside the data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effortctl.estimators._costs import CostCurve, fit_costs, predict_costs


def bills(tasks=2000, seed=0):
    rng = np.random.default_rng(seed)
    d, tokens = rng.normal(size=tasks), rng.uniform(50, 2000, tasks)
    noise = np.exp(0.8 * rng.normal(size=tasks))
    return d, tokens, (0.001 * np.exp(0.5 * d) * (1 + tokens) ** 0.7 * noise)[:, None]


def test_the_slopes_of_the_bill_are_recovered():
    d, tokens, usd = bills()
    curve = fit_costs(d, tokens, usd)[0]
    assert curve.per_difficulty == pytest.approx(0.5, abs=0.06)
    assert curve.per_log_tokens == pytest.approx(0.7, abs=0.06)


def test_the_expected_total_is_the_billed_total():
    d, tokens, usd = bills()
    usd[::7] = 0
    curve = fit_costs(d, tokens, usd)[0]
    assert curve.predict(d, tokens).sum() == pytest.approx(usd.sum())


def test_few_bills_lean_on_the_other_arms():
    d, tokens, usd = bills()
    second = np.full(len(d), np.nan)
    second[:4] = 10 * usd[:4, 0]
    x = np.stack([np.ones(4), d[:4], np.log1p(tokens[:4])], axis=1)
    alone = np.linalg.lstsq(x, np.log(second[:4]), rcond=None)[0][1]
    pooled = fit_costs(d, tokens, np.stack([usd[:, 0], second], axis=1))[1]
    assert abs(pooled.per_difficulty - 0.5) < abs(alone - 0.5)


def test_an_arm_without_bills_has_no_curve_and_a_free_one_costs_nothing():
    none, free, once = fit_costs(
        np.arange(3.0), np.ones(3), np.array([[np.nan, 0, 3.0]] + [[np.nan, 0, np.nan]] * 2)
    )
    assert none is None
    assert free.predict(1.0, 1.0) == 0
    assert once.predict(9.0, 9.0) == 3.0


def test_outside_the_data_the_nearest_end_counts():
    curve = CostCurve(1.0, 1.0, 1.0, (-1.0, 1.0), (0.0, 2.0))
    assert curve.predict(50.0, 1e9) == curve.predict(1.0, np.expm1(2.0))


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=20), st.integers(0, 50))
def test_any_bills_give_finite_costs(bill, seed):
    rng = np.random.default_rng(seed)
    d, tokens = rng.normal(size=len(bill)), rng.uniform(0, 1e5, len(bill))
    curve = fit_costs(d, tokens, np.array(bill)[:, None])[0]
    usd = curve.predict(d, tokens)
    assert np.isfinite(usd).all()
    assert (usd >= 0).all()
    assert usd.sum() == pytest.approx(sum(bill), rel=1e-6, abs=1e-9)


def test_all_arms_at_once_cost_what_each_costs_alone():
    d, tokens, usd = bills(50)
    curves = [*fit_costs(d, tokens, np.concatenate([usd, 3 * usd**2], axis=1)), None]
    far = np.linspace(-9, 9, 50), np.geomspace(1, 1e6, 50)
    table = predict_costs(curves, *far)
    for j, curve in enumerate(curves[:2]):
        np.testing.assert_allclose(table[:, j], curve.predict(*far), rtol=1e-12)
    assert np.isnan(table[:, 2]).all()
