"""Arms that are only asked after a failure are not taken for worse than they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.special import ndtr

from effortctl.estimators import Reliability, fit_model
from effortctl.estimators._escalated import _Joint
from effortctl.policies._belief_grid import grid, right_given_theta
from effortctl.stores import OutcomeRow, outcome_matrix

ARMS = {"small": 0.35, "middle": 0.9, "big": 1.6}
PROMPTS = ("Say hello to {}", "Translate sentence {} into French", "Prove theorem {} of algebra")
HARDER = np.array([-0.8, 0.0, 0.9])
TASKS = 1500


def world(rho, *, seed=1, asked_all=0.0):
    """What a ladder of three arms leaves behind, and what every arm would have done.

    Args:
        rho: How much the failures of the arms have in common.
        seed: Of everything.
        asked_all: Share of the tasks that every arm answered.
    """
    rng = np.random.default_rng(seed)
    look = rng.integers(0, 3, TASKS)
    probit = np.array(list(ARMS.values())) - HARDER[look][:, None]
    theta, noise = rng.normal(size=(TASKS, 1)), rng.normal(size=(TASKS, 3))
    right = rho * theta + np.sqrt(1 - rho**2) * noise < probit
    everyone = rng.random(TASKS) < asked_all
    rows = [
        OutcomeRow(
            query_id=f"q{i}",
            query=PROMPTS[look[i]].format(i),
            arm=arm,
            score=float(right[i, j]),
            cost_usd=0.001 * 4**j,
            escalated=bool(j and not everyone[i]),
        )
        for i in range(TASKS)
        for j, arm in enumerate(ARMS)
        if everyone[i] or not right[i, :j].any()
    ]
    return outcome_matrix(rows), right, ndtr(probit).mean(axis=0)


def learned(matrix):
    """Mean P(correct) of every arm, and P(the last is correct | the others failed)."""
    model = fit_model(matrix, reliability=Reliability.exact(len(ARMS)))
    p = model.estimates(matrix.tasks()).p
    right, nodes = right_given_theta(p, model.rho), grid()[1]
    failed = nodes * np.prod(1 - right[:, :2], axis=1)
    return p.mean(axis=0), float((failed * right[:, 2]).sum() / failed.sum())


@pytest.mark.parametrize("rho", [0.4, 0.9])
def test_with_some_tasks_that_all_arms_answered_nothing_of_the_bias_is_left(rho):
    matrix, right, truth = world(rho, asked_all=0.2)
    p, after = learned(matrix)
    assert np.abs(p - truth).max() < 0.04
    assert after == pytest.approx(right[~right[:, :2].any(axis=1), 2].mean(), abs=0.06)


@pytest.mark.parametrize("rho", [0.4, 0.9])
def test_from_a_ladder_alone_the_dear_arm_is_known_after_failures_and_better_than_it_looks(rho):
    matrix, right, truth = world(rho)
    p, after = learned(matrix)
    seen = np.nanmean(matrix.score[:, 2])
    assert seen < p[2] < truth[2] + 0.03
    assert abs(p[2] - truth[2]) < 0.6 * abs(seen - truth[2])
    assert after == pytest.approx(right[~right[:, :2].any(axis=1), 2].mean(), abs=0.06)


def test_the_report_is_about_tasks_that_were_not_chosen_by_a_failure():
    matrix, _, _ = world(0.7)
    report = fit_model(matrix, reliability=Reliability.exact(3)).report
    assert [each.arm for each in report.arms] == ["small"]
    assert report.arms[0].count == TASKS


def test_the_gradient_is_the_derivative_of_the_value():
    matrix, _, _ = world(0.6, asked_all=0.1)
    some = matrix.score[:60]
    away = np.random.default_rng(0).normal(size=some.shape)
    joint = _Joint(
        away, some, shifted=np.array([1, 2]), centre=np.array([0.1, 0.4, 0.9]), usual=0.9
    )
    at = np.array([0.3, 0.9, 1.2, -0.4, 0.7, 0.2, -0.3])
    gradient = joint.penalised(at)[1]
    wrong = check_grad(lambda x: joint.penalised(x)[0], lambda x: joint.penalised(x)[1], at)
    assert wrong < 1e-4 * np.linalg.norm(gradient)
