"""Where routing cannot pay, `route` is printed in at most one run of twenty."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_worlds import matrix_of, prepared

from effortctl.harness.evaluation import _contenders
from effortctl.harness.evaluation._assemble import judge, verdict_on

RUNS = 200
PRICES = np.array([0.001, 0.004, 0.015])


def one_run(seed, *, p, prices, verifier, shared=False, tasks=120, target=None):
    """Junk forecasts; the arms fail by chance, independently or all together."""
    rng = np.random.default_rng(seed)
    sides = []
    for name in ("learn", "test"):
        u = rng.random((tasks, 1 if shared else len(p)))
        score = (u < np.asarray(p)).astype(float)
        cost = prices * np.exp(0.5 * rng.normal(size=(tasks, 1)))
        sides.append(matrix_of(score, cost, prefix=name))
    mean = sides[0].score.mean(axis=0)
    junk = [np.clip(mean + 0.15 * rng.normal(size=(tasks, len(p))), 0.01, 0.99) for _ in sides]
    done = prepared(
        *sides,
        verifier=verifier,
        forecasts=junk,
        seed=seed,
        rho=0.95 if shared else 0.3,
        target=target,
    )
    judged, _ = judge(done, lambda _step, _share: None)
    return verdict_on(judged, done.bench())


WORLDS = {
    "identical arms": {"p": [0.7] * 3, "prices": np.full(3, 0.004), "verifier": "none"},
    "equally good arms at different prices": {"p": [0.7] * 3, "prices": PRICES, "verifier": "none"},
    "different arms, useless prompts": {
        "p": [0.6, 0.75, 0.85],
        "prices": PRICES,
        "verifier": "none",
    },
    "useless prompts within a budget": {
        "p": [0.6, 0.75, 0.85],
        "prices": PRICES,
        "verifier": "none",
        "target": {"max_cost_usd": 0.008},
    },
    "useless prompts above a quality": {
        "p": [0.6, 0.75, 0.85],
        "prices": PRICES,
        "verifier": (0.5, 0.5),
        "target": {"min_quality": 0.7},
    },
    "useless prompts and an answer's worth": {
        "p": [0.6, 0.75, 0.85],
        "prices": PRICES,
        "verifier": (0.5, 0.5),
        "target": {"value_usd": 0.05},
    },
    "a verifier that tosses a coin": {
        "p": [0.6, 0.75, 0.85],
        "prices": PRICES,
        "verifier": (0.5, 0.5),
    },
    "an exact verifier of arms that fail on the same tasks": {
        "p": [0.7] * 3,
        "prices": np.full(3, 0.004),
        "verifier": "exact",
        "shared": True,
    },
}


@pytest.fixture(autouse=True)
def _fewer_settings(monkeypatch):
    monkeypatch.setattr(_contenders, "SETTINGS", 20)  # the rule is the same, and it is faster


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("world", WORLDS)
def test_route_is_printed_in_at_most_5_percent_of_null_runs(world):
    verdicts = [one_run(seed, **WORLDS[world]) for seed in range(RUNS)]
    routed = [v for v in verdicts if v.decision == "route"]
    assert len(routed) <= 0.05 * RUNS, [v.reason for v in routed]


def test_keeping_names_the_cheapest_of_equally_good_arms():
    score = np.tile(np.arange(100) % 4 > 0, (3, 1)).T.astype(float)
    sides = [matrix_of(score, PRICES, prefix=name) for name in ("learn", "test")]
    flat = [np.full(score.shape, 0.75)] * 2
    done = prepared(*sides, verifier="none", forecasts=flat)
    judged, _ = judge(done, lambda _step, _share: None)
    verdict = verdict_on(judged, done.bench())
    assert (verdict.decision, verdict.policy) == ("keep_fixed", "arm0")
