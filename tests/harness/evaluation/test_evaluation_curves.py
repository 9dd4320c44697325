"""Metrics equal straightforward implementations of the published formulas."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import interp1d

from effortctl.harness.evaluation import _curves

SEEDS = range(40)
EXACT = {"rel": 1e-9, "abs": 1e-9}


def points(seed, count=8):
    rng = np.random.default_rng(seed)
    return np.sort(rng.random(count)) + 0.05, rng.random(count)


def majorant(at, cost, quality):
    """The least non-decreasing concave majorant by trying every pair of points."""
    best = max((q for c, q in zip(cost, quality, strict=True) if c <= at), default=0.0)
    for c1, q1 in zip(cost, quality, strict=True):
        for c2, q2 in zip(cost, quality, strict=True):
            if c1 < at < c2:
                best = max(best, q1 + (q2 - q1) * (at - c1) / (c2 - c1))
    return best


@pytest.mark.parametrize("seed", SEEDS)
def test_the_hull_is_the_best_any_pair_of_points_can_do(seed):
    cost, quality = points(seed)
    for at in np.linspace(cost[0], 1.2, 30):
        found = _curves.hull_quality(np.array([at]), cost, quality)[0]
        assert found == pytest.approx(majorant(at, cost, quality), **EXACT)


def test_the_hull_of_a_single_point_is_that_point():
    assert _curves.hull(np.array([0.1]), np.array([0.5])) == [0]


def test_of_equally_dear_points_the_hull_keeps_the_better_one():
    assert _curves.hull(np.array([1.0, 1.0, 2.0]), np.array([0.2, 0.4, 0.4])) == [1]


@pytest.mark.parametrize("seed", SEEDS)
def test_aiq_has_both_published_forms(seed):
    cost, quality = points(seed)
    high = float(cost[-1])
    corners = _curves.hull(cost, quality)
    x, y = [*cost[corners], high], [*quality[corners], quality[corners][-1]]
    total = sum((b - a) * (f + g) / 2 for (a, f), (b, g) in pairwise(zip(x, y, strict=True)))
    low = float(cost[corners[0]])
    assert _curves.aiq(cost, quality, low=low, high=high) == pytest.approx(
        total / (high - low), **EXACT
    )
    assert _curves.aiq_by_code(cost, quality, high=high) == pytest.approx(total / high, **EXACT)


def test_the_two_point_toy_scores_what_the_published_code_and_the_formula_say():
    cost, quality = np.array([1.0, 2.0]), np.array([0.5, 0.8])
    assert _curves.aiq_by_code(cost, quality, high=2.0) == pytest.approx(0.325)
    assert _curves.aiq(cost, quality, low=1.0, high=2.0) == pytest.approx(0.65)


@pytest.mark.parametrize("seed", SEEDS)
def test_apgr_is_that_of_routellm(seed):
    rng = np.random.default_rng(seed)
    share = np.array([0.0, *np.sort(rng.random(8)), 1.0])
    accuracy = rng.random(10)
    weak, strong = 0.3, 0.9
    auc = np.trapezoid(accuracy, share)
    weak_auc = np.trapezoid(np.full(10, weak), share)
    strong_auc = np.trapezoid(np.full(10, strong), share)
    published = (auc - weak_auc) / (strong_auc - weak_auc)
    recovered = _curves.gap_recovered(accuracy, weak=weak, strong=strong)
    assert _curves.area(share, recovered, 0.0, 1.0) == pytest.approx(published, **EXACT)


def test_random_mixing_recovers_half_of_the_gap():
    share = np.linspace(0, 1, 11)
    assert _curves.area(share, share, 0.0, 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_cpt_is_that_of_routellm_where_accuracy_rises(seed):
    rng = np.random.default_rng(seed)
    share = np.array([0.0, *np.sort(rng.random(8)), 1.0])
    recovered = np.array([0.0, *np.sort(rng.random(8)), 1.0])
    for wanted in (0.2, 0.5, 0.8):
        published = float(np.interp(wanted, recovered, share))
        found = _curves.call_performance(share, recovered, wanted)
        assert found == pytest.approx(published, abs=1e-6)


def test_cpt_takes_the_first_place_where_the_gap_was_closed_so_far():
    share, recovered = np.array([0.0, 0.4, 0.6, 1.0]), np.array([0.0, 0.8, 0.2, 1.0])
    assert _curves.call_performance(share, recovered, 0.8) == pytest.approx(0.4)
    assert _curves.call_performance(share, recovered * 0.5, 0.8) is None


def published_area(y, x, x_min, x_max, *, floor):
    """Area under a deferral curve: linear between points, flat on the right, `floor` on the left."""
    inside = interp1d(x, y, kind="linear")
    grid = sorted({x_min, x_max, *(v for v in x if x_min < v < x_max)})

    def height(at):
        if at < x[0]:
            return floor
        return y[-1] if at > x[-1] else float(inside(at))

    return np.trapezoid([height(at) for at in grid], grid) / (x_max - x_min)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_deferral_area_is_that_of_cascade_routing(seed):
    cost, quality = points(seed)
    rng = np.random.default_rng(seed)
    low, high = np.sort(rng.random(2) * 1.2)
    found = _curves.deferral_area(cost, quality, low=low, high=high, floor=0.1)
    assert found == pytest.approx(published_area(quality, cost, low, high, floor=0.1), **EXACT)


@pytest.mark.parametrize(("accuracy", "cost"), [(0.6, 0.001), (0.72, 0.0004), (0.9, 0.02)])
def test_the_router_arena_score_is_that_of_its_formula(accuracy, cost):
    c = 1000 * cost
    normal = (np.log2(200) - np.log2(c)) / (np.log2(200) - np.log2(0.0044))
    score = (1 + 0.1) * accuracy * normal / (0.1 * accuracy + normal)
    assert _curves.router_arena(accuracy, cost) == pytest.approx(score, **EXACT)
    assert _curves.router_arena(accuracy, 0.0) is None


@given(
    st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1)), min_size=2, max_size=8),
    st.floats(0, 1),
)
def test_the_cost_to_reach_a_quality_is_the_cheapest_point_of_the_path(curve, wanted):
    cost, quality = (np.array(side) for side in zip(*curve, strict=True))
    found = _curves.cost_to_reach(np.array([wanted]), cost[None], quality[None])[0]
    fine = np.linspace(0, 1, 2001)
    at = [
        c1 + share * (c2 - c1)
        for (c1, q1), (c2, q2) in pairwise(curve)
        for share in fine
        if q1 + share * (q2 - q1) >= wanted - 1e-9
    ]
    if not at:
        assert not np.isfinite(found) or abs(quality.max() - wanted) < 1e-3
    else:
        assert found <= min(at) + 1e-9
        assert found >= min(at) - 1e-3
