"""Difficulty is read off the outcomes fairly, whatever arms happened to try a task."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from effortctl.estimators._ability import observed_difficulty


def simulated(tasks=800, seed=0):
    rng = np.random.default_rng(seed)
    truth, ease = 1.5 * rng.normal(size=tasks), np.array([-1.0, 0.0, 1.0, 2.0, 3.0])
    score = (ease - truth[:, None] + rng.logistic(size=(tasks, 5)) > 0).astype(float)
    return truth, ease, score


def test_difficulty_and_ease_are_recovered():
    truth, ease, score = simulated()
    found = observed_difficulty(score)
    assert np.corrcoef(found.difficulty, truth)[0, 1] > 0.75
    assert np.abs(found.ease - found.ease.mean() - (ease - ease.mean())).max() < 0.6
    assert (np.diff(found.ease) > 0.4).all()
    assert found.spread > 0.9


def test_a_task_only_the_weakest_arm_failed_is_not_called_hard():
    _, _, score = simulated()
    score[0] = [0, np.nan, np.nan, np.nan, np.nan]
    score[1] = [np.nan, np.nan, np.nan, np.nan, 0]
    found = observed_difficulty(score).difficulty
    assert found[1] > found[0] + 0.5


def test_more_outcomes_weigh_more():
    score = np.array([[1.0, 0.0, 1.0], [np.nan, 0.0, np.nan], [np.nan] * 3])
    found = observed_difficulty(score)
    assert found.weight[0] > found.weight[1] > found.weight[2] == 0


@settings(deadline=None)
@given(
    hnp.arrays(
        float,
        st.tuples(st.integers(1, 8), st.integers(1, 4)),
        elements=st.sampled_from([0.0, 0.5, 1]),
    )
)
def test_any_scores_give_finite_difficulties(score):
    found = observed_difficulty(score)
    assert np.isfinite(found.difficulty).all()
    assert np.isfinite(found.ease).all()
