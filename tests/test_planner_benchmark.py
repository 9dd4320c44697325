"""The benchmark of the planner: fair rivals, folds that leak nothing, and words that fit the numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "evals" / "planner"


@pytest.fixture(scope="module", autouse=True)
def scripts():
    """The modules of the benchmark, found by name as when it runs."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def part(tasks=400, *, seed=0, arms=3):
    """Tasks that every arm was tried on, dearer arms being better; forecasts know the truth."""
    from _parts import OURS, Part

    rng = np.random.default_rng(seed)
    difficulty = rng.normal(size=(tasks, 1))
    p = 1 / (1 + np.exp(2 * (difficulty - np.linspace(-0.5, 1.0, arms))))
    cost = np.broadcast_to(0.001 * 3.0 ** np.arange(arms), p.shape)
    score = (rng.random(p.shape) < p).astype(float)
    return Part({OURS: (p, cost)}, score, cost, score > 0.5)


@pytest.mark.parametrize(
    ("cost", "quality", "word"),
    [
        ([0.5, 0.4, 0.6], [0.0, -0.02, 0.02], "wins"),
        ([1.0, 0.9, 1.1], [0.05, 0.01, 0.09], "wins"),
        ([0.5, 0.4, 0.6], [-0.02, -0.05, 0.01], "trades"),
        ([1.5, 1.4, 1.6], [0.05, 0.01, 0.09], "trades"),
        ([1.5, 1.4, 1.6], [0.0, -0.02, 0.02], "loses"),
        ([1.0, 0.9, 1.1], [-0.05, -0.09, -0.01], "loses"),
        ([1.08, 0.97, 1.2], [0.03, 0.01, 0.06], "trades"),
        ([0.99, 0.985, 0.995], [0.0, -0.001, 0.001], "ties"),
        ([0.9, 0.7, 1.1], [0.0, -0.02, 0.02], "ties"),
    ],
)
def test_a_win_is_cheaper_and_no_worse(cost, quality, word):
    from _report import word as said

    assert said(cost, quality) == word


def test_mixed_ladders_hold_every_ladder_of_the_hull_and_what_lies_between():
    from _methods import _climb, _ladder_front, _mixed_ladders

    train = part()
    front = _ladder_front(train, longest=3)
    mixed = _mixed_ladders(train, front)
    (low, high, _), *_ = mixed.dial
    ends = [_climb(train, ladder) for ladder in (low, high)]
    middle = mixed.run(train, (low, high, 0.5))
    for side in (0, 1):
        assert mixed.run(train, (low, high, 0.0))[side] == pytest.approx(ends[0][side])
        assert middle[side] == pytest.approx((ends[0][side] + ends[1][side]) / 2)


def test_no_dial_setting_of_a_ladder_is_dearer_and_worse_than_another():
    from _methods import _climb, _ladder_front

    train = part()
    means = [[side.mean() for side in _climb(train, x)] for x in _ladder_front(train, longest=3)]
    assert means == sorted(means)
    assert [quality for _, quality in means] == sorted(quality for _, quality in means)


def test_between_two_settings_of_a_smooth_dial_a_coin_is_tossed():
    from _judge import _note
    from _methods import Method

    runs = [(np.full(4, usd), np.full(4, quality)) for usd, quality in ((1.0, 0.2), (3.0, 0.6))]
    rival = np.full(4, 2.5), np.full(4, 0.5)
    for smooth, cost in ((True, 2.5), (False, 3.0)):
        taken, reached = [], []
        method = Method("any", range(2), lambda part, setting: part.alone(setting), smooth=smooth)
        _note(method, runs, rival, (taken, reached))
        assert reached == [True]
        assert taken[0][0] == pytest.approx(cost)


def test_the_plan_beats_one_arm_where_its_forecasts_are_true():
    from _judge import Court, verdicts
    from _methods import methods
    from _sets import EXACT

    from effortctl.policies import BeliefModel

    train, test = part(), part(seed=1)
    court = Court(clusters=[tuple(map(str, range(len(test.score))))])
    model = BeliefModel(rho=0.0, stop_on_pass=True)
    court.hear(methods(train, EXACT, model, longest=3), train=train, test=test)
    rows = {row["method"]: row for row in verdicts(court)}
    plan, arm = rows["our plan"]["tuned_on_train"], rows["best fixed arm"]["tuned_on_train"]
    assert plan["cost_vs_arm"][2] < 1.0
    assert arm["quality_vs_mixing"] == [0.0, 0.0, 0.0]
    assert rows["oracle"]["tuned_on_train"]["quality_vs_arm"][0] >= 0.0
    json.dumps(list(rows.values()))


def test_agreement_needs_two_answers():
    from _parts import _passed
    from _sets import AGREEMENT

    from effortctl.stores import outcome_matrix

    rows = [
        {"query_id": task, "arm": arm, "score": 1.0, "cost_usd": 0.1, "answer": answer}
        for task, answers in (("q0", ["A", " a"]), ("q1", [None, None]))
        for arm, answer in zip(("x", "y"), answers, strict=True)
    ]
    matrix = outcome_matrix(rows)
    agree = _passed(matrix, matrix.score, AGREEMENT, rng=np.random.default_rng(0))
    assert agree[0].all()
    assert not agree[1].any()


def test_folds_hold_whole_groups_out():
    from prediction import folds

    groups = [f"g{i % 13}" for i in range(100)]
    parts = folds(groups, seed=0)
    assert np.sum(parts, axis=0).tolist() == [1] * 100
    inside = [{g for g, held in zip(groups, part, strict=True) if held} for part in parts]
    assert sum(map(len, inside)) == 13


def test_results_that_are_committed_name_their_command_seeds_and_versions():
    for path in sorted(FOLDER.glob("results/*.json")):
        record = json.loads(path.read_text("utf-8"))
        assert record.keys() >= {"command", "seeds", "date", "versions"}, path.name
        assert "--data /" not in record["command"], "a path of somebody's machine"
