"""Intervals cover, p-values are valid, and both agree with references where there are any."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from effortctl import ConfigError
from effortctl._stats import (
    betting_p,
    binomial_p,
    bonferroni,
    clopper_pearson,
    fixed_sequence,
    hoeffding_bentkus_p,
    mcnemar_exact,
    minimum_detectable_effect,
    paired_bootstrap,
    paired_margin_p,
    tasks_needed,
    wilson_interval,
)


@st.composite
def counts(draw):
    trials = draw(st.integers(1, 300))
    return draw(st.integers(0, trials)), trials


@settings(max_examples=40, deadline=None)
@given(counts(), st.sampled_from([0.8, 0.95, 0.99]))
def test_intervals_agree_with_scipy(count, level):
    successes, trials = count
    reference = stats.binomtest(successes, trials)
    for ours, method in ((wilson_interval, "wilson"), (clopper_pearson, "exact")):
        interval = ours(successes, trials, level=level)
        theirs = reference.proportion_ci(confidence_level=level, method=method)
        assert [interval.low, interval.high] == pytest.approx([theirs.low, theirs.high], abs=1e-9)
        assert interval.low <= interval.estimate <= interval.high


@settings(max_examples=40, deadline=None)
@given(counts(), st.floats(0.01, 0.99), st.booleans())
def test_binomial_tails_agree_with_scipy(count, share, more):
    successes, trials = count
    side = "greater" if more else "less"
    expected = stats.binomtest(successes, trials, share, alternative=side).pvalue
    assert binomial_p(successes, trials, share=share, more=more) == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_agrees_with_scipy(first, second):
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar_exact(first, second) == pytest.approx(expected)


def test_the_difference_of_two_measured_models_is_beyond_doubt():
    assert mcnemar_exact(94, 382) == pytest.approx(3e-42, rel=0.5)


def test_fifty_nine_of_fifty_nine_show_ninety_five_percent():
    assert binomial_p(0, 59, share=0.05, more=False) <= 0.05
    assert binomial_p(0, 58, share=0.05, more=False) > 0.05


@pytest.mark.parametrize(("tasks", "risk"), [(30, 0.1), (100, 0.05), (100, 0.3)])
def test_hoeffding_bentkus_is_valid_for_the_worst_loss(tasks, risk):
    losses = np.arange(tasks + 1)
    chances = stats.binom.pmf(losses, tasks, risk)
    p = np.array([hoeffding_bentkus_p(k / tasks, tasks, risk=risk) for k in losses])
    for alpha in (0.01, 0.05, 0.2):
        assert chances[p <= alpha].sum() <= alpha
    assert (np.diff(p) >= -1e-12).all()


def test_hoeffding_bentkus_finds_a_small_risk():
    assert hoeffding_bentkus_p(0.01, 500, risk=0.05) < 0.01
    assert hoeffding_bentkus_p(0.05, 500, risk=0.05) == 1.0
    assert hoeffding_bentkus_p(0.0, 500, risk=1.0) == pytest.approx(0.0)


@pytest.mark.parametrize("shape", ["coin", "paired", "skewed"])
def test_betting_is_valid_at_the_edge_of_its_hypothesis(shape):
    rng = np.random.default_rng(11)

    def draw():
        if shape == "coin":
            return rng.random(150) < 0.5, 0.5, (0.0, 1.0)
        if shape == "paired":
            return rng.choice([-1, 0, 1], p=[0.06, 0.9, 0.04], size=150), -0.02, (-1.0, 1.0)
        return rng.exponential(0.02, size=150).clip(0, 1), 0.02, (0.0, 1.0)

    runs = []
    for _ in range(400):
        values, mean, (low, high) = draw()
        runs.append(betting_p(values, mean, low=low, high=high) <= 0.05)
    assert np.mean(runs) <= 0.05 + 0.02


def test_betting_profits_from_a_small_variance_where_hoeffding_cannot():
    rng = np.random.default_rng(0)
    gain = rng.choice([-1, 0, 1], p=[0.02, 0.93, 0.05], size=1000)
    hoeffding = hoeffding_bentkus_p(float((1 - gain.mean()) / 2), 1000, risk=0.5)
    assert betting_p(gain, 0.0, low=-1.0, high=1.0) < 0.01 < hoeffding


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 0.99))
def test_p_values_are_probabilities(values, mean):
    assert 0.0 <= betting_p(values, mean, low=0.0, high=1.0) <= 1.0
    average = min(1.0, math.fsum(values) / len(values))
    assert 0.0 <= hoeffding_bentkus_p(average, len(values), risk=mean) <= 1.0


@pytest.mark.parametrize(("trials", "margin"), [(40, 0.05), (80, 0.02)])
def test_the_exact_margin_test_is_valid_for_every_share_of_differing_pairs(trials, margin):
    p = {}
    for differ in range(trials + 1):
        for won in range(differ + 1):
            # Only outcomes near or beyond rejection matter; the others have no small p-value.
            if 2 * won - differ > -margin * trials + math.sqrt(differ):
                p[won, differ] = paired_margin_p(won, differ - won, trials, margin=margin)
    small = {key: value for key, value in p.items() if value <= 0.05}
    won, differ = (np.array(side) for side in zip(*small, strict=True))
    value = np.array(list(small.values()))
    for share in (margin, 1.1 * margin, 0.07, 0.13, 0.3, 0.6, 1.0):
        wins = (share - margin) / (2 * share)
        chance = stats.binom.pmf(differ, trials, share) * stats.binom.pmf(won, differ, wins)
        for alpha in (0.01, 0.025, 0.05):
            assert chance[value <= alpha].sum() <= alpha


def test_the_exact_margin_test_needs_fewer_tasks_than_betting():
    rng = np.random.default_rng(4)
    exact = betting = 0
    for _ in range(60):
        gain = rng.choice([-1, 0, 1], p=[0.02, 0.94, 0.04], size=400)
        won, lost = int((gain > 0).sum()), int((gain < 0).sum())
        exact += paired_margin_p(won, lost, 400, margin=0.01) <= 0.025
        betting += betting_p(gain, -0.01, low=-1.0, high=1.0) <= 0.025
    assert exact >= betting + 5


def test_the_exact_margin_test_moves_with_the_evidence():
    p = [paired_margin_p(won, 10, 500, margin=0.02) for won in range(0, 40, 4)]
    assert p[0] == 1.0
    assert (np.diff(p) <= 0).all()
    assert paired_margin_p(0, 0, 2000, margin=0.02) < 0.01


@pytest.mark.parametrize("statistic", ["difference", "ratio"])
def test_bootstrap_intervals_cover(statistic):
    rng = np.random.default_rng(7)
    truth = {"difference": 0.5, "ratio": 1.5}[statistic]
    hits = []
    for run in range(300):
        base = rng.gamma(4.0, 0.25, size=120)
        other = base * 0.5 + rng.gamma(4.0, 0.25, size=120)
        interval = paired_bootstrap(other, base, statistic=statistic, draws=300, seed=run)
        hits.append(interval.low <= truth <= interval.high)
    assert np.mean(hits) >= 0.95 - 0.02


def test_clusters_widen_a_bootstrap_interval():
    rng = np.random.default_rng(1)
    shared = np.repeat(rng.normal(size=20), 50)
    first, second = shared + rng.normal(size=1000), rng.normal(size=1000)
    alone = paired_bootstrap(first, second, draws=300)
    together = paired_bootstrap(first, second, clusters=np.repeat(np.arange(20), 50), draws=300)
    assert together.estimate == pytest.approx(alone.estimate)
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_bootstrap_is_reproducible():
    rng = np.random.default_rng(2)
    sides = rng.random(40), rng.random(40)
    assert paired_bootstrap(*sides, draws=50) == paired_bootstrap(*sides, draws=50)
    assert paired_bootstrap(*sides, draws=50) != paired_bootstrap(*sides, draws=50, seed=1)


def test_a_fixed_sequence_stops_at_the_first_failure():
    p = [0.01, 0.04, 0.06, 0.001]
    assert fixed_sequence(p, alpha=0.05) == [0, 1]
    assert bonferroni(p, alpha=0.05) == [0, 3]


def test_tasks_needed_and_detectable_effect_are_inverse():
    needed = tasks_needed(0.464, 0.02)
    assert needed is not None
    assert minimum_detectable_effect(0.464, needed) == pytest.approx(0.02, rel=1e-3)
    # Two-sided at 5 % is one-sided at 2.5 %: about 4,200 items for 2 points.
    assert tasks_needed(0.464, 0.02, alpha=0.025) == pytest.approx(4224, abs=5)
    assert tasks_needed(0.4, 0.0) is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: wilson_interval(3, 2),
        lambda: clopper_pearson(0, 0),
        lambda: wilson_interval(1, 2, level=95),
        lambda: binomial_p(-1, 2, share=0.5),
        lambda: hoeffding_bentkus_p(1.5, 10, risk=0.1),
        lambda: paired_margin_p(3, 3, 5, margin=0.1),
        lambda: paired_margin_p(1, 1, 5, margin=0.0),
        lambda: betting_p([0.5, 2.0], 0.5, low=0.0, high=1.0),
        lambda: betting_p([0.5], 1.0, low=0.0, high=1.0),
        lambda: betting_p([], 0.5, low=0.0, high=1.0),
        lambda: paired_bootstrap([1.0, 2.0], [1.0]),
        lambda: paired_bootstrap([1.0, float("nan")], [1.0, 1.0]),
    ],
)
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        wrong()
