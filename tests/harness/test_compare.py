"""Comparisons are paired, exact where that is possible, and honest about how many there are."""

from __future__ import annotations

import json

import numpy as np
import pytest
from harness.gate_results import result_of
from harness.report.result_data import realistic
from scipy.stats import binomtest

from effortctl import ConfigError
from effortctl.harness._compare import compare, holm


def test_a_result_compared_with_itself_has_not_changed():
    report = compare(realistic(), realistic())
    assert {each.overall.quality_difference for each in report.series} == {0.0}
    assert {each.overall.cost_ratio for each in report.series} == {1.0}
    assert {each.p_holm for each in report.series} == {1.0}
    assert not report.unmatched
    assert not any(each.won or each.lost for each in report.series)


def test_won_and_lost_tasks_are_named_and_tested_exactly():
    was = np.r_[np.zeros(12), np.ones(3), np.ones(85)]
    now = np.r_[np.ones(12), np.zeros(3), np.ones(85)]
    (found,) = compare(result_of(quality=was), result_of(quality=now)).series
    assert found.won == tuple(f"t{i}" for i in range(12))
    assert found.lost == ("t12", "t13", "t14")
    assert found.test == "mcnemar"
    assert found.p == pytest.approx(binomtest(3, 15, 0.5).pvalue)
    assert found.overall.quality_difference == pytest.approx(0.09)


def test_clustered_or_graded_outcomes_are_tested_on_clusters():
    was, now = np.zeros(40), np.r_[np.ones(20), np.zeros(20)]
    names = [f"c{i // 20}" for i in range(40)]
    (clustered,) = compare(
        result_of(quality=was, clusters=names), result_of(quality=now, clusters=names)
    ).series
    assert clustered.test == "student"
    assert clustered.p > 0.3  # two clusters, of which one changed
    (graded,) = compare(result_of(quality=was), result_of(quality=now / 2)).series
    assert graded.test == "student"
    assert graded.p < 1e-4


def test_student_p_values_hold_their_level():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        was, now = rng.random(60), rng.random(60)
        found.append(compare(result_of(quality=was), result_of(quality=now)).series[0].p)
    assert 0.005 <= np.mean(np.array(found) <= 0.05) <= 0.085


def test_categories_add_up_to_the_whole():
    kinds = ["a"] * 30 + ["b"] * 70
    quality = np.r_[np.zeros(10), np.ones(90)]
    cost = np.linspace(1, 2, 100)
    was = result_of(quality=np.ones(100), cost_usd=cost, categories=kinds)
    now = result_of(quality=quality, cost_usd=2 * cost, categories=kinds)
    (found,) = compare(was, now).series
    assert {name: each.n_tasks for name, each in found.categories.items()} == {"a": 30, "b": 70}
    assert found.categories["a"].quality_difference == pytest.approx(-1 / 3)
    assert found.categories["b"].quality_difference == 0
    assert found.overall.cost_ratio == pytest.approx(2)
    assert found.overall.cost_ratio_ci == pytest.approx((2, 2))


def test_a_free_first_has_no_ratio():
    free = result_of(quality=np.ones(20), cost_usd=np.zeros(20))
    (found,) = compare(free, result_of(quality=np.ones(20))).series
    assert found.overall.cost_ratio is None
    assert found.overall.cost_ratio_ci is None


def test_what_only_one_of_them_has_is_reported():
    one = result_of(quality=np.ones(20), arm=np.ones(20))
    two = result_of(quality=np.ones(15), ids=[f"t{i}" for i in range(5, 20)])
    report = compare(one, two)
    assert (report.n_tasks, report.only_first, report.only_second) == (15, 5, 0)
    assert report.unmatched == ("arm",)


def test_policies_can_be_chosen_and_unknown_ones_are_refused():
    report = compare(realistic(), realistic(), policies=["plan", "fixed:terra-6@high"])
    assert [each.name for each in report.series] == ["plan", "fixed:terra-6@high"]
    with pytest.raises(ConfigError, match="no policy or arm 'nope'"):
        compare(realistic(), realistic(), policies=["nope"])


def test_json_caps_the_tasks_and_is_plain():
    was, now = np.zeros(50), np.ones(50)
    report = compare(result_of(quality=was), result_of(quality=now))
    document = json.loads(json.dumps(report.to_json(tasks=7), allow_nan=False))
    assert document["series"]["p"]["n_won"] == 50
    assert len(document["series"]["p"]["won"]) == 7


def test_holm_is_the_textbook_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
