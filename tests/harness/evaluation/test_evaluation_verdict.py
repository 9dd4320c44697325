"""The verdict says what was shown, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_worlds import matrix_of, prepared

from effortctl.harness._result import Verdict
from effortctl.harness.evaluation import _contenders
from effortctl.harness.evaluation._assemble import judge, verdict_on
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


def test_a_promising_policy_on_few_tasks_is_inconclusive_and_says_how_many_would_do():
    found = [verdict_of(tasks=60, skill=0, verifier=(0.95, 0.05), seed=s) for s in range(6)]
    undecided = [v for v in found if v.decision == "inconclusive"]
    assert undecided
    for verdict in undecided:
        assert 60 < verdict.n_needed <= 1000
        assert verdict.sentence == f"INCONCLUSIVE: need about {verdict.n_needed:,} tasks"


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
