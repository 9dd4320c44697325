"""What a verdict is worth."""

import numpy as np
import pytest

from effortctl import ConfigError
from effortctl.estimators import Reliability, fit_agreement, fit_reliability


def checks(rates, *, tasks=4000, seed=0):
    rng = np.random.default_rng(seed)
    score = (rng.random((tasks, len(rates))) < 0.6).astype(float)
    chance = np.where(score == 1, [tpr for tpr, _ in rates], [fpr for _, fpr in rates])
    return (rng.random(score.shape) < chance).astype(np.int8), score


def test_the_true_rates_are_recovered():
    found = fit_reliability(*checks([(0.95, 0.05), (0.9, 0.3)]), models=("a", "b"))
    assert found.kind == "recorded"
    assert found.tpr == pytest.approx([0.95, 0.9], abs=0.02)
    assert found.fpr == pytest.approx([0.05, 0.3], abs=0.02)
    assert found.checked.tolist() == [4000, 4000]


def test_efforts_of_one_model_share_their_rates():
    found = fit_reliability(*checks([(0.9, 0.1), (0.8, 0.2)]), models=("a", "a"))
    assert found.tpr[0] == found.tpr[1]


def test_a_model_never_checked_gets_the_rates_of_the_others():
    verdict, score = checks([(0.95, 0.1), (0.95, 0.1)])
    verdict[:, 1] = -1
    found = fit_reliability(verdict, score, models=("a", "b"))
    assert found.tpr[1] == pytest.approx(found.tpr[0], abs=0.02)
    assert found.checked[1] == 0


def test_nothing_checked_leaves_the_prior():
    found = fit_reliability(np.full((3, 1), -1, np.int8), np.ones((3, 1)), models=("a",))
    assert 0 < found.fpr[0] < found.tpr[0] < 1


def test_a_check_is_never_taken_to_prefer_wrong_answers():
    found = fit_reliability(*checks([(0.3, 0.8)]), models=("a",))
    assert found.fpr[0] == found.tpr[0]


def test_exact_and_no_check_are_the_extremes():
    assert (Reliability.exact(2).tpr - Reliability.exact(2).fpr).tolist() == [1, 1]
    assert (Reliability.none(2).tpr - Reliability.none(2).fpr).tolist() == [0, 0]
    with pytest.raises(ConfigError, match="fpr <= tpr"):
        Reliability.assumed(2, tpr=0.2, fpr=0.3)


def test_agreement_says_more_when_the_other_arm_is_right():
    answers = np.array([["a", " A "], ["b", "c"], ["d", "d"], ["e", None]] * 200, dtype=object)
    score = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]] * 200)
    tpr, fpr = fit_agreement(answers, score)
    assert tpr[1, 0] == pytest.approx(1.0, abs=0.01)
    assert fpr[1, 0] == pytest.approx(0.0, abs=0.01)
    assert tpr[0, 1] == pytest.approx(2 / 3, abs=0.01)
    assert tpr.diagonal().tolist() == [1, 1]
