"""Certificates: rarely false, granted when deserved, and a fallback otherwise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from plan_worlds import draw_world

from effortctl import ConfigError
from effortctl._types import Arm, Situation, Task
from effortctl.policies import (
    BeliefModel,
    Certificate,
    Contender,
    Criteria,
    FixedLadder,
    Forecast,
    Guarded,
    PlanPolicy,
    Recorded,
    Terms,
    all_ladders,
    certify,
    draw_verdicts,
    replay_plan,
    run_ladder,
)

COSTS = np.array([0.002, 0.01, 0.04])


def pair(rng, *, tasks, worse, better, cost_ratio):
    """A policy and a baseline with given chances that only one of them is right."""
    kind = rng.choice(3, p=[worse, better, 1 - worse - better], size=tasks)
    both = rng.random(tasks) < 0.8
    policy = np.where(kind == 0, False, np.where(kind == 1, True, both))
    base = np.where(kind == 0, True, np.where(kind == 1, False, both))
    base_cost = rng.gamma(2.0, 0.01, size=tasks)
    cost = rng.gamma(2.0, 0.01 * cost_ratio, size=tasks)
    return Contender("plan", cost, policy), Contender("arm", base_cost, base, ("high",))


@pytest.mark.parametrize(
    ("worse", "better", "cost_ratio"),
    [
        (0.06, 0.04, 0.4),  # cheaper, but worse by exactly epsilon
        (0.03, 0.08, 1.02),  # better, but dearer by exactly the slack
        (0.05, 0.05, 1.0),  # nothing gained
        (0.06, 0.04, 1.0),  # nothing right at all
    ],
)
def test_certificates_are_seldom_false_at_the_edge_of_what_is_claimed(worse, better, cost_ratio):
    rng = np.random.default_rng(20)
    criteria = Criteria(epsilon=0.02)
    false = 0
    for run in range(300):
        policy, base = pair(rng, tasks=300, worse=worse, better=better, cost_ratio=cost_ratio)
        false += certify([policy], [base], criteria=criteria, seed=run).certified
    assert false / 300 <= criteria.alpha + 0.02


def test_a_grid_of_lambdas_does_not_raise_the_chance_of_a_false_certificate():
    rng = np.random.default_rng(21)
    for order in ("fixed", "any"):
        criteria = Criteria(epsilon=0.02, order=order)
        false = 0
        for run in range(200):
            grid, base = [], None
            for _ in range(5):
                policy, base = pair(rng, tasks=200, worse=0.06, better=0.04, cost_ratio=0.4)
                grid.append(policy)
            false += certify(grid, [base], criteria=criteria, seed=run).certified
        assert false / 200 <= criteria.alpha + 0.02


def test_a_policy_that_deserves_it_is_certified():
    rng = np.random.default_rng(22)
    granted = 0
    for run in range(20):
        policy, base = pair(rng, tasks=400, worse=0.01, better=0.05, cost_ratio=0.4)
        granted += certify([policy], [base], seed=run).certified
    assert granted >= 18


def test_each_claim_has_its_own_margins():
    rng = np.random.default_rng(23)
    policy, base = pair(rng, tasks=800, worse=0.02, better=0.12, cost_ratio=0.98)
    only_better = certify([policy], [base], criteria=Criteria(claims=("better",), cost_slack=0.2))
    only_cheaper = certify([policy], [base], criteria=Criteria(claims=("cheaper",)))
    assert (only_better.certified, only_better.claim) == (True, "better")
    assert not only_cheaper.certified


def test_a_policy_must_beat_every_baseline():
    rng = np.random.default_rng(24)
    policy, arm = pair(rng, tasks=500, worse=0.01, better=0.05, cost_ratio=0.4)
    twin = Contender("ladder", policy.cost_usd, policy.quality, ("low", "high"))
    assert certify([policy], [arm]).certified
    refused = certify([policy], [arm, twin])
    assert not refused.certified
    assert refused.fallback == ("low", "high")
    assert refused.n_needed is None
    assert refused.reason.startswith("do not route:")
    assert [c.baseline for c in refused.comparisons] == ["arm", "ladder"]


def test_each_baseline_may_be_beaten_under_its_own_claim():
    rng = np.random.default_rng(28)
    policy, arm = pair(rng, tasks=2000, worse=0.01, better=0.05, cost_ratio=0.4)
    same_quality = Contender("ladder", np.asarray(policy.cost_usd) * 1.5, policy.quality, ("low",))
    weak = Contender("weak arm", np.asarray(policy.cost_usd), np.asarray(arm.quality) * 0, ("low",))
    found = certify([policy], [weak, same_quality])
    assert (found.certified, found.claim) == (True, "mixed")
    assert [each.claim for each in found.comparisons] == ["better", "cheaper"]
    assert "cheaper" in found.reason
    assert "better" in found.reason


def test_certificates_cover_the_truth_under_any_claim():
    """False certificates against two baselines, each at the edge of one claim: 250 draws."""
    rng = np.random.default_rng(29)
    false = 0
    for run in range(250):
        policy, arm = pair(rng, tasks=200, worse=0.05, better=0.05, cost_ratio=1.02)
        ladder = Contender("ladder", policy.cost_usd, policy.quality, ("low",))
        false += certify([policy], [arm, ladder], seed=run).certified
        edge, base = pair(rng, tasks=200, worse=0.06, better=0.05, cost_ratio=0.4)
        false += certify([edge], [base], seed=run).certified
    assert false / 500 <= 0.05 + 0.02


def test_too_few_tasks_say_how_many_would_do():
    rng = np.random.default_rng(25)
    policy, base = pair(rng, tasks=60, worse=0.02, better=0.08, cost_ratio=0.4)
    early = certify([policy], [base])
    assert not early.certified
    assert early.n_needed is not None
    assert early.n_needed > 60
    assert str(early.n_needed) in early.reason
    granted = 0
    for run in range(20):
        more = pair(rng, tasks=2 * early.n_needed, worse=0.02, better=0.08, cost_ratio=0.4)
        granted += certify([more[0]], [more[1]], seed=run).certified
    assert granted >= 14


def test_of_several_certified_candidates_the_cheapest_is_taken():
    rng = np.random.default_rng(26)
    good, base = pair(rng, tasks=600, worse=0.005, better=0.06, cost_ratio=0.5)
    cheap = Contender("cheap plan", good.cost_usd / 2, good.quality)
    bad = Contender("bad plan", good.cost_usd / 9, np.zeros(600))
    found = certify([good, cheap, bad], [base])
    assert (found.certified, found.candidate) == (True, "cheap plan")


def test_clusters_count_as_one_observation_each():
    rng = np.random.default_rng(27)
    policy, base = pair(rng, tasks=400, worse=0.01, better=0.05, cost_ratio=0.4)
    assert certify([policy], [base], clusters=np.arange(400)).certified
    few = certify([policy], [base], clusters=np.arange(400) % 8)
    assert few.n == 8
    assert not few.certified


def shuffled_certificate(seed, *, tpr, fpr, shuffle):
    """The whole way: choose baselines on one half, certify the plan on the other."""
    p, correct = draw_world(1000, rho=0.5, seed=seed, spread=1.5)
    rng = np.random.default_rng(seed)
    if shuffle:
        p = p[rng.permutation(len(p))]
    verdicts = draw_verdicts(correct, tpr, fpr, rng=rng)
    cost = np.broadcast_to(COSTS, p.shape)
    first, second = slice(0, 500), slice(500, 1000)
    score, terms = correct.astype(float), Terms(0.25)
    table = all_ladders(score[first], verdicts[first], cost[first])
    baselines = []
    for longest in (1, None):
        ladder = table.best(value_usd=terms.value_usd, longest=longest)
        run = run_ladder(ladder, score[second], verdicts[second], cost_usd=cost[second])
        baselines.append(Contender("fixed", *run, tuple("abc"[j] for j in ladder)))
    plan = replay_plan(
        Forecast(p_correct=p[second], cost_usd=cost[second]),
        BeliefModel(rho=0.5, tpr=tpr, fpr=fpr),
        terms,
        recorded=Recorded(score=score[second], verdicts=verdicts[second]),
    )
    policy = Contender("plan", plan.cost_usd, plan.quality)
    return certify([policy], baselines, criteria=Criteria(epsilon=0.01), seed=seed)


@pytest.mark.parametrize(("tpr", "fpr"), [(1.0, 0.0), (0.9, 0.2), (0.5, 0.5)])
def test_on_shuffled_prompts_the_guard_falls_back(tpr, fpr):
    runs = [shuffled_certificate(s, tpr=tpr, fpr=fpr, shuffle=True) for s in range(24)]
    assert sum(run.certified for run in runs) <= 0.05 * len(runs)
    assert all(run.fallback for run in runs)


def test_a_useless_check_is_not_certified_to_beat_a_single_arm_that_is_best_everywhere():
    runs = [shuffled_certificate(s, tpr=0.5, fpr=0.5, shuffle=False) for s in range(20)]
    assert sum(run.certified for run in runs) <= 1


def situation():
    arms = [Arm(name=name, model="m") for name in ("low", "high")]
    return Situation(Task(input="q", id="t"), arms, [], {})


class Stubborn:
    name = "stubborn"

    def choose(self, situation):
        return situation.arms[0]


def certificate(*, certified):
    return Certificate(
        certified=certified,
        candidate="plan",
        claim="cheaper",
        fallback=("high", "low"),
        n=10,
        n_needed=None,
        alpha=0.05,
        epsilon=0.01,
        p_value=1.0,
        reason="because",
        comparisons=(),
    )


def test_a_guarded_policy_is_the_policy_only_when_it_is_certified():
    trusted = Guarded(Stubborn(), certificate(certified=True))
    guarded = Guarded(Stubborn(), certificate(certified=False))
    assert (trusted.name, guarded.name) == ("guarded:stubborn", "guarded:ladder:high>low")
    assert trusted.choose(situation()).name == "low"
    assert guarded.choose(situation()).name == "high"


def test_a_fixed_ladder_climbs_in_its_own_order():
    ladder = FixedLadder(("high", "low", "gone"))
    now = situation()
    assert ladder.choose(now).name == "high"
    after = Situation(now.task, [a for a in now.arms if a.name == "low"], [], {})
    assert ladder.choose(after).name == "low"
    assert ladder.choose(Situation(now.task, [], [], {})) is None


def test_a_plan_can_be_guarded():
    assert Guarded(PlanPolicy(value_usd=1.0), certificate(certified=True)).name == "guarded:plan"


def test_a_certificate_is_plain_data():
    rng = np.random.default_rng(28)
    policy, base = pair(rng, tasks=50, worse=0.0, better=0.2, cost_ratio=0.4)
    data = json.loads(json.dumps(certify([policy], [base]).to_dict()))
    assert data["comparisons"][0]["baseline"] == "arm"


@pytest.mark.parametrize("arms", [(), ("a", "a")])
def test_a_ladder_nobody_can_climb_is_refused(arms):
    with pytest.raises(ConfigError, match="one arm or more"):
        FixedLadder(arms)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda one, two: certify([], [two]),
        lambda one, two: certify([one], []),
        lambda one, two: certify([one], [Contender("short", [1.0], [1.0])]),
        lambda one, two: certify([one], [two], clusters=["a"]),
        lambda one, two: certify([Contender("odd", one.cost_usd, one.quality + 1.0)], [two]),
        lambda one, two: Criteria(alpha=0.0),
        lambda one, two: Criteria(claims=()),
        lambda one, two: Criteria(epsilon=-0.1),
    ],
)
def test_sides_that_do_not_match_are_refused(wrong):
    sides = pair(np.random.default_rng(0), tasks=10, worse=0.1, better=0.1, cost_ratio=1.0)
    with pytest.raises(ConfigError):
        wrong(*sides)
