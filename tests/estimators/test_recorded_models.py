"""Real outcomes of real models, where the data folder is at hand: gains where there are some, else no harm."""

from pathlib import Path

import numpy as np
import pytest

from effortctl.estimators import fit_model
from effortctl.stores import read_outcomes

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not DATA.is_dir(), reason="recorded outcomes of the maintainers are absent"),
]
CODERS = ["GPT-4O-mini-2024-07-18", "DeepSeek-V3", "O4-Mini@low", "O4-Mini@medium", "O4-Mini@high"]


def test_later_programming_problems_are_predicted_better_than_by_constants():
    matrix = read_outcomes(DATA / "livecodebench.jsonl.gz").select_arms(CODERS)
    order = np.argsort(matrix.dates, kind="stable")
    cut = int(0.7 * len(order))
    model = fit_model(matrix.select_tasks(order[:cut]))
    report = model.calibration(matrix.select_tasks(order[cut:]))
    assert report.log_loss < report.baseline_log_loss - 0.025
    assert report.auc > 0.68


def test_random_halves_of_programming_problems_reach_the_known_auc():
    matrix = read_outcomes(DATA / "livecodebench.jsonl.gz").select_arms(CODERS)
    reports = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(matrix))
        cut = int(0.7 * len(order))
        train = matrix.select_tasks(order[:cut])
        model = fit_model(train, groups=train.task_ids)
        reports.append(model.calibration(matrix.select_tasks(order[cut:])))
    assert np.mean([report.auc for report in reports]) > 0.75
    assert np.mean([report.log_loss - report.baseline_log_loss for report in reports]) < -0.06


@pytest.mark.parametrize("source", ["medmcqa", "mmlu-pro", "pubmedqa"])
def test_exam_questions_of_an_unseen_source_do_no_harm(source):
    matrix = read_outcomes(DATA / "medagents.jsonl.gz")
    unseen = np.array([category == source for category in matrix.categories])
    model = fit_model(matrix.select_tasks(~unseen))
    report = model.calibration(matrix.select_tasks(unseen))
    assert report.log_loss < report.baseline_log_loss + 0.005


def test_a_recorded_check_has_its_known_reliability():
    matrix = read_outcomes(DATA / "firstpass_mbpp_974_opus.jsonl.gz")
    model = fit_model(matrix)
    assert model.tpr == pytest.approx([1.0, 1.0], abs=0.01)
    assert model.fpr == pytest.approx([0.12, 0.27], abs=0.03)
