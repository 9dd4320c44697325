"""Loadings on the hidden factor: recovered, tolerant of holes, quiet where nothing can be known."""

import numpy as np
import pytest
from scipy.special import ndtri

from effortctl.estimators import fit_rho
from effortctl.estimators._belief import RHO_LIMIT, _Likelihood


def simulate(rho, *, tasks=4000, seed=0):
    rng = np.random.default_rng(seed)
    rho = np.asarray(rho)
    p = rng.uniform(0.2, 0.9, (tasks, len(rho)))
    latent = rho * rng.normal(size=(tasks, 1))
    latent = latent + np.sqrt(1 - rho**2) * rng.normal(size=p.shape)
    return p, (latent < ndtri(p)).astype(float)


def test_the_true_loadings_are_recovered():
    p, score = simulate([0.3, 0.6, 0.8, 0.9])
    assert fit_rho(p, score) == pytest.approx([0.3, 0.6, 0.8, 0.9], abs=0.08)


def test_holes_do_no_harm():
    p, score = simulate([0.4, 0.6, 0.8], tasks=6000)
    score[np.random.default_rng(1).random(score.shape) < 0.4] = np.nan
    assert fit_rho(p, score) == pytest.approx([0.4, 0.6, 0.8], abs=0.12)


def test_independent_arms_get_loadings_whose_products_are_small():
    rho = fit_rho(*simulate([0.0, 0.0, 0.0, 0.0]))
    assert np.triu(np.outer(rho, rho), k=1).max() < 0.06


def test_two_arms_share_what_only_their_product_tells():
    p, score = simulate([0.7, 0.7])
    first, second = fit_rho(p, score)
    assert first * second == pytest.approx(0.49, abs=0.08)
    assert first == pytest.approx(second, abs=0.05)


def test_an_arm_alone_gets_the_common_value():
    p, score = simulate([0.8, 0.8, 0.8])
    score[:, 2] = np.nan
    first, second, third = fit_rho(p, score)
    assert third == pytest.approx((first + second) / 2, abs=0.08)
    assert 0 < fit_rho(p[:, :1], score[:, :1])[0] < RHO_LIMIT


def test_shares_of_correct_answers_are_accepted():
    p, score = simulate([0.6, 0.6, 0.6])
    score = np.where(score == 1, 0.9, 0.1)
    assert np.isfinite(fit_rho(p, score)).all()


def test_the_gradient_is_the_slope_of_the_likelihood():
    p, score = simulate([0.5, 0.7], tasks=50)
    score[0, 0] = np.nan
    likelihood = _Likelihood(p, score)
    at = np.array([0.4, 0.9])
    step = 1e-6 * np.eye(2)
    slopes = [
        (likelihood.penalised(at + s)[0] - likelihood.penalised(at - s)[0]) / 2e-6 for s in step
    ]
    assert likelihood.penalised(at)[1] == pytest.approx(slopes, rel=1e-5)
