"""Calibration figures agree with scikit-learn's and with arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from effortctl.estimators import calibration
from effortctl.estimators._calibration import auc, reliability_table


def test_figures_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=(500, 1)).round(2)
    score = (rng.random((500, 1)) < p).astype(float)
    arm = calibration(p, score, baseline=np.array([score.mean()]), arms=("a",)).arms[0]
    assert arm.log_loss == pytest.approx(metrics.log_loss(score, np.clip(p, 1e-12, 1 - 1e-12)))
    assert arm.brier == pytest.approx(metrics.brier_score_loss(score, p))
    assert arm.auc == pytest.approx(metrics.roc_auc_score(score, p))
    assert arm.ece < 0.1
    assert arm.log_loss < arm.baseline_log_loss


def test_true_probabilities_are_calibrated_and_boasts_are_not():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.2, 0.8, (20_000, 1))
    score = (rng.random(p.shape) < p).astype(float)
    boast = np.where(p > 0.5, 0.99, 0.01)
    honest, loud = (
        calibration(each, score, baseline=np.array([0.5]), arms=("a",)).ece for each in (p, boast)
    )
    assert honest < 0.02
    assert loud > 0.2


def test_unknown_outcomes_and_empty_arms_are_left_out():
    score = np.array([[1.0, np.nan], [0.0, np.nan], [np.nan, np.nan]])
    report = calibration(np.full((3, 2), 0.5), score, baseline=np.full(2, 0.5), arms=("a", "b"))
    assert [(arm.arm, arm.count) for arm in report.arms] == [("a", 2)]
    assert report.auc == 0.5
    assert report.log_loss == pytest.approx(np.log(2))


def test_one_kind_of_outcome_has_no_auc():
    assert auc(np.array([0.2, 0.9]), np.ones(2)) is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), min_size=1, max_size=60))
def test_the_table_counts_everything_once_in_rising_order(pairs):
    p, score = map(np.array, zip(*pairs, strict=True))
    table = reliability_table(p, score)
    assert sum(row.count for row in table) == len(pairs)
    predicted = [row.predicted for row in table]
    assert predicted == sorted(predicted)
