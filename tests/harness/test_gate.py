"""The gate passes what is shown, fails what is shown, and knows the difference to neither."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from harness.gate_results import result_of
from hypothesis import given, settings
from hypothesis import strategies as st

from effortctl import ConfigError, StoreError
from effortctl.harness._ratio import cost_ratio
from effortctl.harness.evaluation._intervals import Sample
from effortctl.harness.gate import Limits, gate, junit_xml, markdown, sentence
from effortctl.harness.gate import _judge as judging
from effortctl.harness.gate._judge import Judge, exact_drop_bound

DRAWS = 300
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BOTH = Limits(max_quality_drop=0.01, max_cost_increase=0.05)


@pytest.fixture
def remembered(monkeypatch):
    """Exact bounds of outcomes that come again are looked up; a simulation then takes a second."""
    monkeypatch.setattr(judging, "exact_drop_bound", lru_cache(None)(exact_drop_bound))
    monkeypatch.setattr(judging, "_HALVINGS", 2)


def share(statuses, wanted):
    return sum(status == wanted for status in statuses) / len(statuses)


def binary_pairs(rng, tasks, *, lose, win):
    """Right/wrong outcomes of run and baseline."""
    luck = rng.random(tasks)
    base = (rng.random(tasks) < 0.7).astype(float)
    run = base.copy()
    lost, won = luck < lose, (luck >= lose) & (luck < lose + win)
    base[lost], run[lost] = 1.0, 0.0
    base[won], run[won] = 0.0, 1.0
    return run, base


# --- error rates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tasks", [100, 500])
@pytest.mark.parametrize("limit", [0.0, 0.01])
def test_without_a_difference_it_rarely_fails(remembered, tasks, limit):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(DRAWS):
        run, base = binary_pairs(rng, tasks, lose=0.08, win=0.08)
        costs = rng.lognormal(0, 1, tasks)
        made = {"cost_usd": costs * rng.lognormal(-0.08, 0.4, tasks)}
        one = result_of(quality=run, **made)
        other = result_of(quality=base, cost_usd=costs)
        limits = Limits(max_quality_drop=limit, max_cost_increase=5 * limit)
        found.append(gate(one, limits, baseline=other, policy="p").status)
    assert share(found, "fail") <= 0.05


@pytest.mark.parametrize(
    ("lose", "win"), [(0.02, 0.0), (0.06, 0.04), (0.15, 0.13)], ids=["rare", "some", "many"]
)
@pytest.mark.parametrize("tasks", [150, 600])
def test_a_true_drop_beyond_the_margin_rarely_passes(remembered, lose, win, tasks):
    rng = np.random.default_rng(2)
    judge = Judge(Sample(None, tasks), 0.05, 1)
    pairs = (binary_pairs(rng, tasks, lose=lose, win=win) for _ in range(DRAWS))
    found = [judge.quality_drop(run, base, limit=0.0199).status for run, base in pairs]
    assert share(found, "pass") <= 0.075  # two standard errors of 300 draws above 5 %


@pytest.mark.parametrize("together", [False, True])
def test_a_true_drop_in_clusters_rarely_passes(together):
    rng = np.random.default_rng(3)
    clusters, size = 60, 10
    names = np.repeat(np.arange(clusters), size)
    judge = Judge(Sample(names.tolist(), names.size), 0.05, 1)
    found = []
    for _ in range(DRAWS):
        luck = rng.random(clusters)[names] if together else rng.random(names.size)
        run = np.where(luck < 0.07, 0.0, 1.0)
        base = np.where((luck >= 0.07) & (luck < 0.12), 0.0, 1.0)
        found.append(judge.quality_drop(run, base, limit=0.0199).status)
    assert share(found, "pass") <= 0.075


@pytest.mark.parametrize("spread", [0.5, 1.0, 1.5])
def test_a_true_rise_of_skewed_dollars_rarely_passes(spread):
    rng = np.random.default_rng(4)
    tasks = 200
    judge = Judge(Sample(None, tasks), 0.05, 1)
    found = []
    for _ in range(DRAWS):
        base = rng.lognormal(0, spread, tasks)
        run = 1.0501 * base * rng.lognormal(-(spread**2) / 8, spread / 2, tasks)
        found.append(judge.cost_increase(run, base, limit=0.05).status)
    assert share(found, "pass") <= 0.075


def test_enough_tasks_without_a_difference_pass(remembered):
    rng = np.random.default_rng(5)
    judge = Judge(Sample(None, 2000), 0.05, 1)
    pairs = (binary_pairs(rng, 2000, lose=0.01, win=0.01) for _ in range(50))
    found = [judge.quality_drop(run, base, limit=0.01).status for run, base in pairs]
    assert share(found, "pass") >= 0.8


# --- rules -----------------------------------------------------------------------------------------


def test_a_clear_drop_fails_and_is_named():
    rng = np.random.default_rng(6)
    run, base = binary_pairs(rng, 800, lose=0.12, win=0.01)
    report = gate(result_of(quality=run), BOTH, baseline=result_of(quality=base), policy="p")
    assert report.status == "fail"
    assert [each.status for each in report.criteria] == ["fail", "pass"]
    assert sentence(report).startswith("FAIL: p of run against run")


def test_few_tasks_are_inconclusive_and_the_number_needed_would_decide():
    right = np.ones(100)
    report = gate(result_of(quality=right), BOTH, baseline=result_of(quality=right), policy="p")
    assert report.status == "inconclusive"
    assert report.n_needed == 310  # the rule of three at a margin of one point, rounded up
    more = np.ones(report.n_needed)
    again = gate(result_of(quality=more), BOTH, baseline=result_of(quality=more), policy="p")
    assert again.status == "pass"


@settings(max_examples=40, deadline=None)
@given(
    won=st.integers(0, 12),
    lost=st.integers(0, 12),
    same=st.integers(30, 400),
    limit=st.sampled_from([0.0, 0.005, 0.02, 0.1]),
)
def test_the_status_says_what_the_bounds_say(won, lost, same, limit):
    run = np.array([1.0] * won + [0.0] * lost + [1.0] * same)
    base = np.array([0.0] * won + [1.0] * lost + [1.0] * same)
    found = Judge(Sample(None, run.size), 0.05, 2).quality_drop(run, base, limit=limit)
    assert found.low <= found.seen + 1e-9
    assert found.seen <= found.high + 1e-9
    assert (found.status == "pass") == (found.high <= limit + 1e-8)
    assert (found.status == "fail") == (found.low > limit + 1e-8)


def test_every_task_counts_only_if_both_have_it():
    run = result_of(quality=np.ones(400), ids=[f"t{i}" for i in range(400)])
    base = result_of(quality=np.ones(500), ids=[f"t{i}" for i in range(100, 600)])
    report = gate(run, BOTH, baseline=base, policy="p")
    assert (report.n_tasks, report.only_run, report.only_baseline) == (300, 100, 200)
    assert "100 tasks of the run, 200 of the baseline" in report.notes[0]


def test_pairs_are_matched_by_id_not_by_place():
    quality = (np.arange(400) % 2).astype(float)
    ids = [f"t{i}" for i in range(400)]
    run = result_of(quality=quality, ids=ids)
    base = result_of(quality=quality[::-1], ids=ids[::-1])
    drop = gate(run, BOTH, baseline=base, policy="p").criteria[0]
    assert (drop.seen, drop.status) == (0.0, "pass")


def test_rare_losses_spread_over_clusters_rarely_pass():
    rng = np.random.default_rng(12)
    names = np.repeat(np.arange(60), 10)
    judge = Judge(Sample(names.tolist(), names.size), 0.05, 1)
    found = []
    for _ in range(DRAWS):
        run = np.where(rng.random(names.size) < 0.01, 0.0, 1.0)
        found.append(judge.quality_drop(run, np.ones(names.size), limit=0.0099).status)
    assert share(found, "pass") <= 0.075


def test_clusters_widen_what_is_not_independent():
    rng = np.random.default_rng(7)
    run, base = binary_pairs(rng, 600, lose=0.03, win=0.03)
    names = [f"c{i % 20}" for i in range(600)]
    loose = gate(result_of(quality=run), BOTH, baseline=result_of(quality=base), policy="p")
    tight = gate(
        result_of(quality=run, clusters=names), BOTH, baseline=result_of(quality=base), policy="p"
    )
    assert tight.n_clusters == 20
    assert tight.criteria[0].high > loose.criteria[0].high


def test_a_single_cluster_shows_nothing():
    names = ["one"] * 50
    report = gate(
        result_of(quality=np.zeros(50), clusters=names),
        Limits(max_quality_drop=0.01, max_cost_increase=0.05, min_quality=0.5, max_cost_usd=9),
        baseline=result_of(quality=np.ones(50), clusters=names),
        policy="p",
    )
    assert {each.status for each in report.criteria} == {"inconclusive"}
    assert report.to_json()["criteria"][1]["bounds"][1] is None


def test_absolute_limits_need_no_baseline():
    quality = np.r_[np.ones(950), np.zeros(50)]
    run = result_of(quality=quality, cost_usd=np.full(1000, 0.002))
    kept = gate(run, Limits(min_quality=0.9, max_cost_usd=0.003), policy="p")
    assert kept.status == "pass"
    broken = gate(run, Limits(min_quality=0.99, max_cost_usd=0.001), policy="p")
    assert [each.status for each in broken.criteria] == ["fail", "fail"]
    assert gate(run, Limits(min_quality=0.95), policy="p").status == "inconclusive"


def test_a_saving_can_be_demanded():
    rng = np.random.default_rng(8)
    base = rng.lognormal(0, 0.5, 400)
    limits = Limits(max_cost_increase=-0.2)
    for factor, status in ((0.6, "pass"), (1.0, "fail")):
        run = result_of(quality=np.ones(400), cost_usd=factor * base)
        other = result_of(quality=np.ones(400), cost_usd=base)
        assert gate(run, limits, baseline=other, policy="p").status == status


def test_a_free_baseline_is_broken_by_any_dollar():
    free = result_of(quality=np.ones(400), cost_usd=np.zeros(400))
    paid = result_of(quality=np.ones(400), cost_usd=np.full(400, 0.01))
    assert gate(free, BOTH, baseline=free, policy="p").status == "pass"
    report = gate(paid, BOTH, baseline=free, policy="p")
    assert report.criteria[1].status == "fail"
    assert report.criteria[1].to_json()["seen"] is None


def test_arms_and_other_policies_can_be_held_against_each_other():
    run = result_of(quality=np.ones(400), arm=np.ones(400))
    report = gate(run, BOTH, policy="p", baseline=run, baseline_policy="fixed:arm")
    assert (report.policy, report.baseline_policy) == ("p", "fixed:arm")
    assert "(fixed:arm)" in sentence(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": "nope"}, "no policy or arm 'nope'"),
        ({"baseline": None}, "needs a baseline"),
        ({"alpha": 0.7}, "alpha is 0.7"),
        ({"baseline": result_of(quality=np.ones(5), ids="abcde")}, "share no task"),
        (
            {"baseline": result_of(quality=np.ones(5)).model_copy(update={"tasks": None})},
            "without its tasks",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(change, message):
    run = result_of(quality=np.ones(5))
    with pytest.raises(ConfigError, match=message):
        gate(run, BOTH, **{"baseline": run, "policy": "p"} | change)


def test_damaged_tasks_are_refused():
    run = result_of(quality=np.ones(5))
    table = run.tasks.model_copy(update={"ids": ("a", "a", "b", "c", "d")})
    with pytest.raises(StoreError, match="names a task twice"):
        gate(run.model_copy(update={"tasks": table}), BOTH, baseline=run, policy="p")
    table = run.tasks.model_copy(update={"ids": ("a",)})
    with pytest.raises(StoreError, match="is damaged"):
        gate(run.model_copy(update={"tasks": table}), BOTH, baseline=run, policy="p")


@pytest.mark.parametrize(
    "limits",
    [{}, {"max_quality_drop": 2.0}, {"min_quality": -0.1}, {"max_cost_usd": math.nan}],
)
def test_senseless_limits_are_refused(limits):
    with pytest.raises(ConfigError):
        Limits(**limits)


# --- ratios ----------------------------------------------------------------------------------------


def test_a_ratio_of_constant_dollars_is_certain():
    base = np.random.default_rng(9).lognormal(0, 1, 50)
    found = cost_ratio(Sample(None, 50), 2 * base, base)
    assert (found.low, found.value, found.high) == pytest.approx((2, 2, 2))


def test_a_ratio_to_nothing_is_none_and_to_nearly_nothing_unbounded():
    few = np.zeros(50)
    assert cost_ratio(Sample(None, 50), np.ones(50), few) is None
    few[0] = 1.0
    assert cost_ratio(Sample(None, 50), np.ones(50), few).high == math.inf


@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_of_a_ratio_cover_the_truth(clustered):
    rng = np.random.default_rng(10)
    names = (np.arange(200) // 4).tolist() if clustered else None
    hits = 0
    for _ in range(400):
        group = np.repeat(rng.lognormal(0, 0.5, 50), 4)
        first = 0.6 * group * rng.lognormal(0, 0.4, 200)
        second = group * rng.lognormal(0, 0.4, 200)
        found = cost_ratio(Sample(names, 200), first, second)
        hits += found.low <= 0.6 <= found.high
    assert 0.92 <= hits / 400 <= 0.99


# --- texts -----------------------------------------------------------------------------------------


@pytest.fixture
def mixed():
    """One criterion of every status, and names that try to break out."""
    quality = np.r_[np.ones(360), np.zeros(40)]
    run = result_of(quality=quality, name="<b>|\x00`x`</b>", cost_usd=np.full(400, 0.01))
    base = result_of(quality=np.ones(400), cost_usd=np.full(400, 0.01))
    limits = Limits(max_quality_drop=0.01, max_cost_increase=0.05, min_quality=0.9)
    return gate(run, limits, baseline=base, policy="p")


def test_junit_has_a_case_per_criterion(mixed):
    root = ET.fromstring(junit_xml(mixed, at=NOON).encode())
    suite = root.find("testsuite")
    assert root.tag == "testsuites"
    counts = [suite.get(key) for key in ("tests", "failures", "errors", "skipped")]
    assert counts == ["3", "1", "0", "1"]
    assert suite.get("timestamp") == "2026-01-02T12:00:00"
    cases = suite.findall("testcase")
    assert [[child.tag for child in case] for case in cases] == [["failure"], [], ["skipped"]]
    assert "shown not to be at most 1.00 points" in cases[0].find("failure").get("message")
    assert cases[2].find("skipped").get("message").startswith("inconclusive: quality")
    assert [child.tag for child in suite][-2:] == ["system-out", "system-err"]


def test_markdown_is_a_table_that_names_cannot_break(mixed):
    text = markdown(mixed)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert {row.count("|") for row in rows} == {6}
    assert r"\<b\>\|" in text
    assert "<b>" not in text


@pytest.mark.parametrize(("tasks", "status"), [(40, "inconclusive"), (100, "pass")])
def test_a_few_tasks_without_a_dearer_one_do_not_show_that_dollars_stay(tasks, status):
    same = result_of(quality=np.ones(tasks), cost_usd=np.full(tasks, 0.01))
    found = gate(same, Limits(max_cost_increase=0.05), policy="p", baseline=same)
    assert found.status == status
    assert found.n_needed == (None if status == "pass" else 61)


@pytest.mark.slow
def test_rare_doublings_of_the_dollars_are_seldom_waved_through():
    rng = np.random.default_rng(3)
    passed = 0
    for _ in range(600):
        base = rng.lognormal(0, 1, 40)
        run = base * np.where(rng.random(40) < 0.05, 2.0, 1.0)  # 5 % more on average
        judge = Judge(Sample(None, 40), 0.05, 2)
        passed += judge.cost_increase(run, base, limit=0.049).status == "pass"
    assert passed <= 0.05 * 600
