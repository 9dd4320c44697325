"""From outcomes to a model that travels as JSON and estimates without scikit-learn."""

import copy
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from estimator_data import ARMS, outcomes

from effortctl import Arm, ConfigError, StoreError, Task
from effortctl.estimators import (
    CurvePrior,
    DifficultyModel,
    FittedModel,
    ModelEstimator,
    Reliability,
    fit_model,
)
from effortctl.protocols import Estimator


@pytest.fixture(scope="module")
def matrix():
    return outcomes(400, missing=0.2, verdicts=True)


@pytest.fixture(scope="module")
def model(matrix):
    return fit_model(matrix, groups=matrix.task_ids)


@pytest.fixture(scope="module")
def record(model):
    return json.loads(json.dumps(model.to_json(), allow_nan=False))


def test_it_predicts_unseen_tasks_better_than_constants(model):
    report = model.calibration(outcomes(400, seed=9))
    assert report.log_loss < report.baseline_log_loss - 0.01
    assert report.auc > 0.65
    assert report.ece < 0.1


def test_its_own_report_is_held_out_and_agrees_with_fresh_data(model):
    fresh = model.calibration(outcomes(400, seed=9))
    assert model.report.log_loss == pytest.approx(fresh.log_loss, abs=0.06)


def test_stronger_arms_are_likelier_to_be_right_and_hard_tasks_cost_more(model):
    found = model.estimates([Task(input="hello 1"), Task(input="permutation " + "7 " * 9)])
    assert found.difficulty[1] > found.difficulty[0]
    assert (found.p[0] > found.p[1]).all()
    assert (found.cost_usd[1] > found.cost_usd[0]).all()
    low, high, big = (model.arm_names.index(name) for name in ARMS)
    assert (found.p[:, low] < found.p[:, high]).all()
    assert (found.p[:, high] < found.p[:, big]).all()


def test_recorded_verdicts_give_their_reliability(model):
    assert model.verifier == "recorded"
    assert model.tpr == pytest.approx(np.ones(3), abs=0.05)
    assert model.fpr == pytest.approx(np.full(3, 0.2), abs=0.1)
    assert ((model.rho > 0) & (model.rho < 1)).all()


def test_json_gives_back_the_same_model(model, record):
    back = FittedModel.from_json(record)
    tasks = outcomes(50, seed=5).tasks()
    one, two = model.estimates(tasks), back.estimates(tasks)
    np.testing.assert_allclose(one.p, two.p, rtol=0, atol=1e-12)
    np.testing.assert_allclose(one.cost_usd, two.cost_usd, rtol=1e-12)
    assert one.labels == two.labels
    assert back.arms == model.arms
    assert back.report == model.report
    assert back.to_json() == record


def test_every_part_survives_json():
    matrix = outcomes(320)
    model = fit_model(matrix, groups=matrix.task_ids)
    workshop = DifficultyModel()._workshop(
        matrix.tasks(), np.random.default_rng(0).normal(size=320), np.ones(320)
    )
    parts = {
        name: (0.25, workshop.part(name, np.arange(320)))
        for name in ("linear", "boosted", "words", "category")
    }
    scorer = model.scorer.__class__(
        parts,
        0.0,
        low=-9.0,
        high=9.0,
        bands=(-1.0, 0.0, 0.5, 1.0),
        residual_sd=1.0,
        feature_hash=model.scorer.feature_hash,
    )
    full = FittedModel(scorer, model.arms)
    back = FittedModel.from_json(json.loads(json.dumps(full.to_json())))
    np.testing.assert_array_equal(
        full.scorer.predict(matrix.tasks()), back.scorer.predict(matrix.tasks())
    )


def test_json_holds_no_prompt(matrix):
    text = json.dumps(fit_model(matrix, groups=matrix.task_ids).to_json())
    assert "permutation" not in text
    assert "hello" not in text


def broken(record, path, value):
    changed = copy.deepcopy(record)
    *way, last = path
    target = changed
    for step in way:
        target = target[step]
    if value is KeyError:
        del target[last]
    else:
        target[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("format",), "something else"),
        (("arms",), []),
        (("arms",), KeyError),
        (("arms", 0, "rho"), float("nan")),
        (("arms", 0, "rho"), 1.5),
        (("arms", 0, "tpr"), "high"),
        (("arms", 0, "curve", "slope"), float("inf")),
        (("arms", 0, "curve", "knots"), [[0.5, 0.2], [0.4, 0.3]]),
        (("arms", 0, "curve", "knots"), [[0.5, 0.2], [0.6]]),
        (("arms", 0, "cost", "scale_usd"), -1),
        (("arms", 0, "cost", "difficulty_range"), [1, 0]),
        (("arms", 1, "name"), "s@low"),
        (("verifier",), "perfect"),
        (("provenance",), {"tasks": [1]}),
        (("difficulty", "bands"), [1, 0, 2, 3]),
        (("difficulty", "feature_hash"), "0" * 16),
        (("difficulty", "residual_sd"), True),
        (("difficulty", "parts"), {"oracle": {"weight": 1}}),
        (("difficulty", "parts"), {"words": {"weight": 1, "coef": [0, 0, 0], "intercept": 0}}),
        (("difficulty", "parts"), {"linear": {"weight": 1, "mean": [0]}}),
    ],
)
def test_damaged_records_are_refused(record, path, value):
    names = [arm["name"] for arm in record["arms"]]
    if path == ("arms", 1, "name"):
        value = names[0]
    with pytest.raises(StoreError):
        FittedModel.from_json(broken(record, path, value))


def test_trees_that_point_nowhere_are_refused(record):
    nodes = {name: [0] for name in ("roots", "feature", "threshold", "left", "right", "value")}
    part = {"weight": 1, "baseline": 0, "depth": 1, **nodes}
    good = broken(record, ("difficulty", "parts"), {"boosted": part})
    FittedModel.from_json(good).estimates([Task(input="x")])
    for changed in ({"left": [1]}, {"feature": [10_000]}, {"depth": 1000}, {"roots": [-1]}):
        bad = broken(record, ("difficulty", "parts"), {"boosted": part | changed})
        with pytest.raises(StoreError):
            FittedModel.from_json(bad)


def test_a_model_of_own_features_needs_them_back():
    def count(task):
        return {"numbers": float(sum(map(str.isdigit, task.text.split())))}

    matrix = outcomes(100)
    record = fit_model(matrix, features=count).to_json()
    with pytest.raises(StoreError, match="other features"):
        FittedModel.from_json(record)
    assert FittedModel.from_json(record, features=count).estimates(matrix.tasks()).p.shape == (
        100,
        3,
    )


def test_estimating_loads_no_scikit_learn(record, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(record))
    script = (
        "import json, sys; from effortctl import Task; from effortctl.estimators import FittedModel;"
        f"m = FittedModel.from_json(json.load(open({str(path)!r})));"
        "assert m.estimates([Task(input='permutation 1 2')]).p.shape == (1, 3);"
        "sys.exit('sklearn' in sys.modules or 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert done.returncode == 0


def test_the_estimator_gives_one_estimate_per_known_arm(model):
    estimator: Estimator = ModelEstimator(model)
    arms = [Arm(name=name, model="x") for name in ("big", "s@low", "unknown")]
    found = estimator.estimate(Task(input="hello"), arms)
    assert list(found) == ["big", "s@low"]
    assert 0 < found["s@low"].p_correct < found["big"].p_correct < 1
    assert found["big"].cost_usd > 0


def test_an_arm_whose_cost_nobody_recorded_has_none():
    rows = outcomes(60)
    unpriced = replace(rows.select_arms(["big"]), cost_usd=np.full((60, 1), np.nan))
    model = fit_model(unpriced)
    assert np.isnan(model.estimates([Task(input="x")]).cost_usd).all()
    assert ModelEstimator(model).estimate(Task(input="x"), [Arm(name="big", model="x")]) == {}
    assert FittedModel.from_json(model.to_json()).arms[0].cost is None


def test_another_verifier_and_fewer_arms_can_be_chosen(model):
    exact = model.with_verifier(Reliability.exact(3))
    assert (exact.verifier, exact.tpr.tolist(), exact.fpr.tolist()) == ("exact", [1] * 3, [0] * 3)
    part = model.select_arms(["big", "s@low"])
    assert part.arm_names == ("big", "s@low")
    with pytest.raises(ConfigError, match="knows no arm 'x'"):
        model.select_arms(["x"])
    with pytest.raises(ConfigError, match="one per arm"):
        model.with_verifier(Reliability.exact(2))


def test_fitting_is_repeatable_and_tells_its_progress(matrix):
    steps = []
    one = fit_model(matrix, progress=lambda step, done: steps.append((step, done)))
    assert one.to_json() == fit_model(matrix).to_json()
    assert steps[0] == ("difficulty", 0.0)
    assert [done for _, done in steps] == sorted(done for _, done in steps)


def test_an_arm_without_outcomes_is_refused(matrix):
    some = matrix.select_tasks(range(5)).select_arms(["big"])
    holes = replace(some, score=np.full((5, 1), np.nan))
    with pytest.raises(ConfigError, match="'big' has no outcome"):
        fit_model(holes)


def test_priors_hold_where_outcomes_are_few():
    few = outcomes(3)
    prior = {"big": CurvePrior(intercept=3.0, intercept_sd=0.1)}
    model = fit_model(few, curve_priors=prior)
    big = model.arms[model.arm_names.index("big")]
    assert big.curve.intercept == pytest.approx(3, abs=0.2)
    with pytest.raises(ConfigError, match="no outcomes of arm"):
        fit_model(few, curve_priors={"x": CurvePrior()})


def test_isotonic_correction_can_be_asked_for(matrix):
    model = fit_model(matrix, groups=matrix.task_ids, isotonic=True)
    assert any(arm.curve.knots for arm in model.arms)
    back = FittedModel.from_json(json.loads(json.dumps(model.to_json())))
    tasks = matrix.tasks()
    np.testing.assert_allclose(model.estimates(tasks).p, back.estimates(tasks).p, atol=1e-12)


def test_one_task_is_enough_to_get_constants():
    model = fit_model(outcomes(1))
    assert model.provenance["parts"] == "none"
    assert np.isfinite(model.estimates([Task(input="x")]).p).all()
