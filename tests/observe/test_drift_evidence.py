"""The test behind drift warnings: false alarms are as rare as stated, at any time; real shifts are found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl import ConfigError
from effortctl._drift import excess
from effortctl._drift._sequential import LARGEST_RATIO

WORLDS = 200


def alarms(draw, *, alpha, worlds=WORLDS):
    """Share of worlds with an alarm, and where they came."""
    found = []
    for seed in range(worlds):
        values, allowed = draw(np.random.default_rng(seed))
        evidence = excess(values.tolist(), allowed.tolist(), alpha=alpha)
        if evidence.alarm_at is not None:
            found.append(evidence.alarm_at)
    return len(found) / worlds, found


def coins(share, *, tasks=500, spread=0.1, after=0):
    """Failures with a probability that differs from the allowed one by `share` from some task on."""

    def draw(rng):
        allowed = np.clip(rng.normal(0.25, spread, tasks), 0.02, 0.95)
        p = allowed + np.where(np.arange(tasks) < after, 0.0, share)
        return (rng.random(tasks) < p).astype(float), allowed

    return draw


def bills(factor, *, tasks=500):
    """Heavy-tailed dollars with a mean of `factor` times what is allowed."""

    def draw(rng):
        allowed = rng.uniform(0.001, 0.02, tasks)
        return factor * allowed * np.exp(rng.normal(0, 1, tasks) - 0.5), allowed

    return draw


@pytest.mark.parametrize("draw", [coins(0.0), coins(0.0, spread=0.0), bills(1.0)])
def test_false_alarms_are_rarer_than_stated_though_one_looks_after_every_task(draw):
    rate, _ = alarms(draw, alpha=0.1)
    assert rate <= 0.1  # 200 worlds, and the bound is not tight


@pytest.mark.parametrize("draw", [coins(0.2), bills(2.0)])
def test_a_large_shift_is_always_found_within_some_hundred_tasks(draw):
    rate, when = alarms(draw, alpha=0.001, worlds=60)
    assert rate == 1
    assert np.median(when) < 250


def test_a_shift_that_comes_late_is_found_too():
    rate, when = alarms(coins(0.25, tasks=1200, after=600), alpha=0.001, worlds=40)
    assert rate == 1
    assert min(when) >= 600
    assert np.median(when) < 900


def test_one_wild_bill_is_no_trend():
    values = [1.0] * 50 + [1e6] + [1.0] * 50
    assert excess(values, [1.0] * 101, alpha=0.01).alarm_at is None


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.001, 100)), min_size=1, max_size=60))
def test_the_capital_never_goes_below_its_start_nor_the_p_value_above_one(pairs):
    values, allowed = (list(side) for side in zip(*pairs, strict=True))
    evidence = excess(values, allowed, alpha=0.05)
    assert evidence.capital >= 1
    assert 0 < evidence.p <= 1
    assert (evidence.alarm_at is not None) == (evidence.capital >= 20)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=40), st.floats(0.1, 5))
def test_larger_numbers_are_never_weaker_evidence(values, step):
    allowed = [1.0] * len(values)
    before = excess(values, allowed, alpha=0.05).capital
    larger = [min(value + step, LARGEST_RATIO) for value in values]
    assert excess(larger, allowed, alpha=0.05).capital >= before


@pytest.mark.parametrize(
    ("values", "allowed", "alpha"),
    [
        ([1.0], [1.0, 1.0], 0.05),
        ([-1.0], [1.0], 0.05),
        ([1.0], [0.0], 0.05),
        ([float("nan")], [1.0], 0.05),
        ([1.0], [1.0], 0.0),
    ],
)
def test_what_makes_no_sense_is_refused(values, allowed, alpha):
    with pytest.raises(ConfigError):
        excess(values, allowed, alpha=alpha)


def test_no_numbers_are_no_evidence():
    assert excess([], [], alpha=0.05).p == 1
