"""The difficulty model: honest out-of-fold predictions, and the same numbers without scikit-learn."""

import re
import zlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from estimator_data import outcomes
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge, RidgeCV

from effortctl import ConfigError, Task
from effortctl.estimators import DifficultyModel
from effortctl.estimators._difficulty import _word_matrix, _Workshop
from effortctl.estimators._folds import folds_of, gain_and_error, group_names
from effortctl.estimators._scorer import standardise
from effortctl.estimators._trees import export_trees
from effortctl.estimators._words import WordsPart, hashed_words


def fitted(matrix, **options):
    groups = options.pop("groups", None)
    model = DifficultyModel(**options)
    return model.fit(matrix.tasks(), matrix.score, groups=groups)


def test_it_learns_what_makes_prompts_hard():
    matrix = outcomes(400)
    model = fitted(matrix)
    assert model.selected_
    assert np.corrcoef(model.oof_difficulty_, model.target_)[0, 1] > 0.4
    easy, hard = model.predict([Task(input="hello 1"), Task(input="permutation 1 2 3 4 5 6 7 8")])
    assert hard > easy + 0.5


def test_labels_go_from_trivial_to_extreme_with_difficulty():
    scorer = fitted(outcomes(400)).scorer_
    found = scorer.labels(np.linspace(scorer.low, scorer.high, 50))
    assert tuple(dict.fromkeys(found)) == ("trivial", "easy", "medium", "hard", "extreme")


def test_noise_teaches_nothing_and_every_task_is_average():
    rejected = 0
    for seed in range(8):
        matrix = outcomes(150, seed=seed, signal=0.0)
        model = fitted(matrix, seed=seed)
        rejected += not model.selected_
        if not model.selected_:
            assert set(model.scorer_.labels(model.predict(matrix.tasks()))) == {"medium"}
    assert rejected >= 5


def test_predictions_stay_within_what_held_out_tasks_showed():
    model = fitted(outcomes(300))
    wild = [Task(input="permutation " * 3000 + "9 " * 5000), Task(input="")]
    assert (model.predict(wild) >= model.scorer_.low).all()
    assert (model.predict(wild) <= model.scorer_.high).all()


def test_it_can_be_cloned_and_configured_like_any_estimator():
    model = clone(DifficultyModel(word_bits=10, seed=3)).set_params(n_splits=4)
    assert model.get_params()["word_bits"] == 10
    assert fitted(outcomes(60), n_splits=4).folds_[3][1].size == 15


def test_it_is_repeatable():
    matrix = outcomes(320)
    one, two = fitted(matrix, seed=1), fitted(matrix, seed=1)
    np.testing.assert_array_equal(one.oof_difficulty_, two.oof_difficulty_)


def test_few_tasks_are_never_boosted():
    model = fitted(outcomes(250))
    assert "boosted" not in model.selected_


def test_a_handful_of_tasks_or_no_text_means_no_model():
    assert fitted(outcomes(10)).selected_ == ()
    matrix = outcomes(60)
    blank = [Task(input="", id=task.id) for task in matrix.tasks()]
    assert DifficultyModel().fit(blank, matrix.score).selected_ == ()


def test_users_bring_their_own_features():
    def count(task):
        return {"numbers": float(sum(map(str.isdigit, task.text.split())))}

    model = fitted(outcomes(300), features=count, word_bits=0)
    assert model.scorer_.feature_names == ("numbers",)
    assert "linear" in model.selected_ or "boosted" in model.selected_


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(value):
    with pytest.raises(ConfigError, match="'x' is not a finite number"):
        fitted(outcomes(30), features=lambda _: {"x": value})


def test_features_that_change_their_names_are_refused():
    with pytest.raises(ConfigError, match="the same names"):
        fitted(outcomes(30), features=lambda task: {task.id: 1.0})


def test_categories_are_learned_when_they_recur_in_other_groups():
    rng = np.random.default_rng(0)
    tasks = [Task(input="same words", category="ab"[i % 2]) for i in range(200)]
    score = (rng.random((200, 3)) < [[0.9], [0.2]] * 100).astype(float)
    model = DifficultyModel().fit(tasks, score)
    assert model.selected_ == ("category",)
    a, b, new = model.predict([*tasks[:2], Task(input="same words", category="z")])
    assert a < new < b
    by_category = [task.category for task in tasks]
    assert DifficultyModel().fit(tasks, score, groups=by_category).selected_ == ()


def workshop(matrix):
    texts = list(matrix.texts)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(matrix), 6)).round(1)
    return _Workshop(
        x=x,
        names=tuple("abcdef"),
        words=_word_matrix(texts, 10),
        categories=("",) * len(matrix),
        target=x[:, 0] ** 2 + rng.normal(size=len(matrix)),
        weight=rng.uniform(0.3, 0.8, len(matrix)),
        seed=0,
    )


def test_exported_trees_predict_what_scikit_learn_predicts():
    made = workshop(outcomes(500))
    model = HistGradientBoostingRegressor(
        max_iter=60, max_leaf_nodes=9, early_stopping=False, random_state=0
    ).fit(made.x, made.target)
    fresh = np.random.default_rng(1).normal(size=(5000, 6)).round(1)
    trees = export_trees(model)
    np.testing.assert_allclose(trees.predict(fresh), model.predict(fresh), rtol=0, atol=1e-9)
    np.testing.assert_allclose(trees.predict(fresh[:1]), model.predict(fresh[:1]), atol=1e-9)


def test_the_linear_part_predicts_what_scikit_learn_predicts():
    made = workshop(outcomes(200))
    rows = np.arange(200)
    part = made.part("linear", rows)
    x = standardise(made.x, made.x.mean(axis=0), made.x.std(axis=0))
    model = RidgeCV(alphas=(10.0, 30.0, 100.0, 300.0, 1000.0)).fit(x, made.target, made.weight)
    np.testing.assert_allclose(part.predict(made.x), model.predict(x), atol=1e-9)


def test_the_words_part_predicts_what_scikit_learn_predicts():
    matrix = outcomes(200)
    made = workshop(matrix)
    part = made.part("words", np.arange(200))
    assert isinstance(part, WordsPart)
    model = Ridge(alpha=1.0, solver="sparse_cg", tol=1e-5)
    model.fit(made.words, made.target, made.weight)
    assert np.abs(part.coef - model.coef_).max() <= 5e-8
    model.coef_ = part.coef
    np.testing.assert_allclose(part.predict(matrix.texts), model.predict(made.words), atol=1e-9)


def test_hashed_words_have_length_one_and_ignore_case():
    buckets, weights = hashed_words("The quick brown fox, the QUICK fox", bits=12)
    assert weights @ weights == pytest.approx(1)
    again = hashed_words("the QUICK brown fox; The quick fox", bits=12)
    assert (buckets.tolist(), weights.tolist()) == tuple(side.tolist() for side in again)
    assert (np.diff(buckets) > 0).all()
    assert buckets.max() < 4096
    assert [side.size for side in hashed_words("", bits=12)] == [0, 0]


def test_word_buckets_are_the_same_everywhere():
    assert hashed_words("prime numbers", bits=13)[0].tolist() == [2809, 3927, 6799, 7864]


@given(st.text(alphabet="aZ09 _-.\n\u00e9\u4e2d\u0130", max_size=60))
def test_words_are_runs_of_letters_and_digits_two_bytes_long_or_more(text):
    words = re.findall(rb"[a-z0-9\x80-\xff]{2,}", text.lower().encode())
    before = [b"\n", *words]
    each = [zlib.crc32(word) for word in words]
    each += [
        zlib.crc32(word, zlib.crc32(first)) for first, word in zip(before, words, strict=False)
    ]
    counts = Counter(value & 8191 for value in each)
    buckets, weights = hashed_words(text, bits=13)
    assert buckets.tolist() == sorted(counts)
    expected = 1 + np.log([counts[bucket] for bucket in sorted(counts)])
    np.testing.assert_allclose(weights, expected / max(np.linalg.norm(expected), 1e-9))


def test_groups_are_never_parted():
    groups = [f"g{i % 9}" for i in range(100)]
    folds = folds_of(groups, n_splits=4, seed=0)
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(100))
    for train, held_out in folds:
        assert not {groups[i] for i in train} & {groups[i] for i in held_out}


def test_groups_come_from_the_caller_else_categories_else_tasks():
    matrix = outcomes(70)
    assert group_names(matrix)[0] == "category"
    assert group_names(matrix, ["x"] * 70)[0] == "given"
    assert group_names(matrix.select_tasks(range(0, 70, 7)))[0] == "task"
    with pytest.raises(ConfigError, match="one per task"):
        group_names(matrix, ["x"])


def test_a_label_may_be_named_whose_tasks_are_held_out_together():
    matrix = outcomes(70)
    assert group_names(matrix, "cluster") == ("task", matrix.task_ids)
    few = replace(matrix, categories=tuple("ab"[i % 2] for i in range(70)))
    assert group_names(few)[0] == "task", "two kinds say nothing of a third"
    name, groups = group_names(few, "category")
    assert (name, set(groups)) == ("category", {"category:a", "category:b"})
    with pytest.raises(ConfigError, match="expected 'cluster', 'category'"):
        group_names(few, "colour")


def test_a_gain_is_less_certain_when_tasks_come_in_groups():
    rng = np.random.default_rng(0)
    after = np.repeat(rng.normal(size=20), 10)[:, None]
    before = after + np.repeat(rng.normal(1, 1, size=20), 10)[:, None]
    alone = gain_and_error(before, after, list(map(str, range(200))))
    together = gain_and_error(before, after, [str(i // 10) for i in range(200)])
    assert alone[0] == together[0]
    assert together[1] > 2 * alone[1]
