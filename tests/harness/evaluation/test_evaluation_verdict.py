"""The verdict says what was shown, and nothing else."""

from __future__ import annotations

import re

import numpy as np
import pytest
from evaluation_worlds import matrix_of, prepared

from effortctl.harness._result import Verdict
from effortctl.harness.evaluation import _contenders
from effortctl.harness.evaluation._assemble import judge, verdict_on
from effortctl.harness.evaluation._intervals import Sample
from effortctl.harness.evaluation._verdict import paying

PRICES = np.array([0.001, 0.02])


@pytest.fixture(autouse=True)
def _fewer_settings(monkeypatch):
    monkeypatch.setattr(_contenders, "SETTINGS", 24)


def verdict_of(*, tasks=200, skill, verifier="exact", target=None, seed=0, weak=0.6):
    """A cheap arm that is right on `weak` of the tasks, and a dear one right on 95 %.

    Args:
        tasks: On each side.
        skill: 1: forecasts know where the cheap arm is right; 0: they know nothing.
        verifier: As for `evaluate`.
        target: Keyword arguments of `target_of`.
        seed: Of the world.
        weak: Quality of the cheap arm.
    """
    rng = np.random.default_rng(seed)
    sides, forecasts = [], []
    for name in ("learn", "test"):
        easy = rng.random(tasks) < weak
        score = np.stack([easy, rng.random(tasks) < 0.95], axis=1).astype(float)
        cost = PRICES * np.exp(0.2 * rng.normal(size=(tasks, 1)))
        sides.append(matrix_of(score, cost, prefix=name))
        known = skill * easy + (1 - skill) * weak
        forecasts.append(np.stack([np.clip(known, 0.02, 0.98), np.full(tasks, 0.95)], axis=1))
    done = prepared(*sides, verifier=verifier, forecasts=forecasts, target=target, rho=0.1)
    judged, _ = judge(done, lambda _step, _share: None)
    return verdict_on(judged, done.bench())


def test_where_only_escalation_pays_the_ladder_is_named_and_prediction_is_not():
    verdict = verdict_of(skill=0)
    assert (verdict.decision, verdict.policy, verdict.baseline) == ("route", "fixed_ladder", "arm1")
    assert "prediction adds nothing beyond noise to a fixed ladder" in verdict.reason
    assert 0.3 < verdict.ci95[0] < verdict.saving < verdict.ci95[1] < 0.8


def test_where_prediction_pays_without_a_check_routing_is_named():
    verdict = verdict_of(skill=1, verifier="none")
    assert verdict.decision == "route"
    assert verdict.policy in ("routing_only", "plan")
    assert "beats arm1 and every mixture of fixed arms beyond noise" in verdict.reason


def test_where_nothing_helps_the_arm_is_kept():
    verdict = verdict_of(skill=0, verifier="none")
    assert (verdict.decision, verdict.policy) == ("keep_fixed", "arm1")
    assert verdict.sentence == "KEEP arm1: no policy beats it beyond noise"


def test_an_arm_that_is_kept_saves_nothing_and_the_reason_tells_what_came_closest():
    verdict = verdict_of(tasks=100, skill=0.05, verifier=(0.9, 0.3), seed=2)
    assert verdict.decision == "keep_fixed"
    assert (verdict.saving, verdict.ci95) == (0.0, (0.0, 0.0))
    assert (verdict.quality_difference, verdict.quality_ci95) == (0.0, (0.0, 0.0))
    assert re.search(
        r"came closest, at \d+ % less \[\d+, \d+\] and -\d.\d points \[.+\]\.$", verdict.reason
    )


def test_more_quality_for_no_dollars_at_all_pays():
    rng = np.random.default_rng(0)
    sides = []
    for name in ("learn", "test"):
        score = (rng.random((200, 2)) < [0.6, 0.7]).astype(float)
        sides.append(matrix_of(score, np.zeros(2), prefix=name))
    flat = [np.tile([0.6, 0.7], (200, 1))] * 2
    done = prepared(*sides, verifier="exact", forecasts=flat, rho=0.1)
    judged, _ = judge(done, lambda _step, _share: None)
    verdict = verdict_on(judged, done.bench())
    assert (verdict.decision, verdict.saving) == ("route", 0.0)
    assert verdict.kind_of_quality == "better"


def test_a_lack_of_wild_bills_among_few_tasks_seldom_shows_that_a_policy_is_cheaper():
    rng = np.random.default_rng(0)
    wrong, tasks = {"mean": 0, "dollars": 0}, 60
    for _ in range(2000):
        base = np.exp(rng.normal(size=tasks) - 0.5)
        spent = np.exp(1.6 * rng.normal(size=tasks) - 1.28)  # as much on average, in wilder bills
        sample = Sample(None, tasks)
        for name in wrong:
            wrong[name] += getattr(sample, name)(base - spent).p_above(0.0) <= 0.025
    assert wrong["dollars"] <= 0.05 * 2000 < 0.08 * 2000 < wrong["mean"]


def test_a_promising_policy_on_few_tasks_is_inconclusive_and_says_how_many_would_do():
    found = [verdict_of(tasks=60, skill=0, verifier=(0.95, 0.05), seed=s) for s in range(6)]
    undecided = [v for v in found if v.decision == "inconclusive"]
    assert undecided
    for verdict in undecided:
        assert 60 < verdict.n_needed <= 1000
        assert verdict.sentence == f"INCONCLUSIVE: need about {verdict.n_needed:,} tasks"
        assert f"of 60 tasks; if what was seen is true, about {verdict.n_needed:,} tasks would" in (
            verdict.reason
        )


def test_where_tasks_come_in_clusters_the_reason_counts_those_too():
    rng = np.random.default_rng(2)
    sides, names = [], [f"c{i // 10}" for i in range(60)]
    for name in ("learn", "test"):
        score = (rng.random((60, 2)) < [0.6, 0.9]).astype(float)
        sides.append(matrix_of(score, PRICES, prefix=name, clusters=names))
    flat = [np.tile([0.6, 0.9], (60, 1))] * 2
    done = prepared(*sides, verifier=(0.95, 0.05), forecasts=flat, rho=0.1)
    judged, _ = judge(done, lambda _step, _share: None)
    verdict = verdict_on(judged, done.bench())
    assert verdict.decision == "inconclusive"
    clusters = -(-verdict.n_needed // 10)
    assert "noise of 60 tasks in 6 clusters" in verdict.reason
    assert (
        f"about {verdict.n_needed:,} tasks in {clusters} clusters would show it" in verdict.reason
    )


def test_where_a_correct_answer_has_a_price_policies_are_held_against_every_arm():
    verdict = verdict_of(skill=0, target={"value_usd": 1.0})
    assert (verdict.decision, verdict.baseline) == ("route", "arm1")
    worthless = verdict_of(skill=0, target={"value_usd": 0.0001})
    assert worthless.decision != "route" or worthless.saving > 0


@pytest.mark.parametrize("target", [{"min_quality": 0.9}, {"max_cost_usd": 0.012}])
def test_targets_in_quality_and_dollars_are_judged_like_the_default(target):
    verdict = verdict_of(skill=0.5, target=target)
    assert verdict.decision in ("route", "keep_fixed", "inconclusive")
    assert verdict.baseline == ("arm1" if "min_quality" in target else "arm0")


def test_within_the_users_dollars_better_is_enough():
    verdict = verdict_of(tasks=60, skill=0, target={"max_cost_usd": 0.012})
    assert (verdict.decision, verdict.baseline, verdict.kind_of_quality) == (
        "route",
        "arm0",
        "better",
    )
    assert verdict.saving < 0
    assert re.search(r"Wanted: at most \$0.012 per task; seen: \$0.0\d+\.$", verdict.reason)
    dearer = verdict_of(tasks=60, skill=0, verifier="none", target={"max_cost_usd": 0.012})
    assert dearer.decision == "keep_fixed"


def test_above_the_users_quality_cheaper_is_enough():
    verdict = verdict_of(skill=1, verifier="none", weak=0.8, target={"min_quality": 0.85})
    assert (verdict.decision, verdict.baseline) == ("route", "arm1")
    assert verdict.ci95[0] > 0
    assert re.search(r"Wanted: 85.0% quality; seen: \d\d.\d%\.$", verdict.reason)


def line(**changes):
    usual = {
        "decision": "route",
        "policy": "plan",
        "baseline": "big",
        "saving": 0.61,
        "ci95": (0.55, 0.66),
        "quality_difference": -0.002,
        "quality_ci95": (-0.009, 0.005),
        "reason": "So.",
    }
    return Verdict(**(usual | changes)).sentence


def test_the_sentence_has_saving_and_quality_with_their_intervals():
    assert line() == "ROUTE: plan saves 61 % [55, 66] at equal quality (-0.2 pts [-0.9, +0.5])"
    better = line(
        saving=-0.01, ci95=(-0.02, 0.0), quality_difference=0.05, quality_ci95=(0.03, 0.07)
    )
    assert better == "ROUTE: plan costs 1 % [0, 2] more at better quality (+5.0 pts [+3.0, +7.0])"
    assert "at lower quality" in line(quality_ci95=(-0.009, -0.001))
    assert line(quality_ci95=(-0.12, 0.11)).endswith(" % [55, 66], quality -0.2 pts [-12.0, +11.0]")
    assert line(decision="inconclusive", n_needed=1400) == "INCONCLUSIVE: need about 1,400 tasks"
    assert line(decision="inconclusive") == "INCONCLUSIVE: need more tasks"


class P:
    """A stand-in with a p-value."""

    def __init__(self, p):
        self.p = p


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        ([0.001, 0.02, 0.024], 3),
        ([0.02, 0.02, 0.02], 0),
        ([0.01, 0.03], 1),
        ([0.03], 0),
        ([0.02], 1),
    ],
)
def test_several_policies_share_the_level_and_none_is_let_in_beyond_one_tail(p, shown):
    assert len(paying([P(each) for each in p], level=0.95)) == shown
