"""Intervals cover what they claim to, also for clusters and ratios."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from effortctl._stats import tasks_needed
from effortctl.harness.evaluation._bench import Bench
from effortctl.harness.evaluation._intervals import Sample
from effortctl.harness.evaluation._lives import Lives
from effortctl.harness.evaluation._tuning import target_of

RUNS = 1500


def test_the_interval_of_a_mean_is_students():
    values = np.random.default_rng(0).random(40)
    low, high = Sample(None, 40).mean(values).interval(0.95)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_the_p_value_of_a_mean_is_that_of_the_one_sided_t_test():
    values = np.random.default_rng(1).random(25)
    found = Sample(None, 25).mean(values).p_above(0.45)
    assert found == pytest.approx(stats.ttest_1samp(values, 0.45, alternative="greater").pvalue)


def test_values_that_are_all_alike_leave_no_doubt_unless_caution_is_asked_for():
    sample = Sample(None, 30)
    assert sample.mean(np.full(30, 0.1)).error == 0
    assert sample.mean(np.zeros(30)).p_above(0.0) == 1
    assert sample.mean(np.zeros(30), caution=1.0).p_above(-0.01) > 0.3


def test_the_tasks_needed_are_those_of_the_normal_approximation():
    values = np.random.default_rng(3).normal(0.1, 1, size=50)
    found = Sample(None, 50).mean(values)
    deviation = values.std(ddof=1)
    assert found.needed(0.0, alpha=0.05) == tasks_needed(deviation, found.value)
    assert found.needed(0.5, alpha=0.05) is None


def test_where_no_difference_was_seen_about_300_tasks_show_that_it_is_below_a_point():
    found = Sample(None, 25).mean(np.zeros(25), caution=1.0)
    assert 200 <= found.needed(-0.01, alpha=0.05) <= 300


def test_one_cluster_says_nothing_about_others():
    sample = Sample(["a"] * 5, 5)
    assert sample.share_interval(np.array([0.0, 1, 1, 1, 0.5]), level=0.95) == (0.0, 1.0)
    assert sample.cost_interval(np.arange(5.0), level=0.95) == (0.0, 4.0)


def test_of_one_cluster_no_saving_and_no_ratio_is_known():
    cost = np.array([[1.0, 10.0], [2.0, 10.0], [3.0, 10.0]])
    bench = bench_of(cost, np.ones((3, 2)), ["a"] * 3)
    saving, interval = bench.saving_of(cost[:, 0])
    assert (saving, interval) == (pytest.approx(0.8), (pytest.approx(0.7), 1.0))
    equal = bench.equal_quality(cost[None, :, 0], np.ones((1, 3)), other=(cost[:, 1], np.ones(3)))
    assert equal.interval == (0.0, pytest.approx(1.0))
    assert equal.p == 1.0


@pytest.mark.parametrize("groups", [2, 4, 7, 40])
def test_a_saving_over_few_clusters_is_as_doubtful_as_students_interval(groups):
    rng = np.random.default_rng(groups)
    cost = np.stack([rng.uniform(0.4, 0.6, size=groups), np.ones(groups)], axis=1)
    bench = bench_of(cost, np.ones((groups, 2)), None)
    saving, (low, high) = bench.saving_of(cost[:, 0])
    student = stats.ttest_1samp(1 - cost[:, 0], 0).confidence_interval(0.95)
    assert low < saving < high
    assert saving - low >= 0.7 * (saving - student.low)
    assert bench.sample.cautious(0.5) == pytest.approx(0.5)
    assert bench.sample.cautious(0.0005) >= 0.0005


def test_the_interval_of_dollars_is_above_zero_and_leans_towards_what_was_not_seen():
    values = np.random.default_rng(6).lognormal(size=30)
    low, high = Sample(None, 30).cost_interval(values, level=0.95)
    assert 0 < values.mean() - low < high - values.mean()
    assert Sample(None, 3).cost_interval(np.zeros(3), level=0.95) == (0.0, 0.0)
    assert Sample(None, 3).cost_interval(np.full(3, 2.0), level=0.95) == (2.0, 2.0)


def test_only_dollars_that_carry_the_spread_count_as_evidence():
    values = np.r_[np.ones(99), 100.0]
    found = Sample(None, 100).dollars(values)
    assert (found.error, found.freedom) == (Sample(None, 100).mean(values).error, 4.0)
    even = np.tile([1.0, 2.0], 50)
    assert Sample(None, 100).dollars(even).freedom == pytest.approx(50)


def test_what_is_worth_its_dollars_is_as_sure_as_its_less_sure_part():
    rng = np.random.default_rng(8)
    sample, gained = Sample(None, 200), rng.integers(0, 2, size=200).astype(float)
    wild, tame = rng.lognormal(0, 2, size=200), np.full(200, 0.1)
    assert sample.worth(gained, tame, caution=1.0).freedom == 199
    mostly = sample.worth(0.001 * gained, wild, caution=0.0)
    assert mostly.freedom == pytest.approx(sample.dollars(wild).freedom, rel=0.01)
    assert mostly.error == pytest.approx(sample.mean(0.001 * gained - wild).error)
    between = sample.worth(gained, 0.05 * wild, caution=1.0).freedom
    assert mostly.freedom < between < 199


def test_resamples_are_the_same_for_the_same_seed():
    values = np.random.default_rng(2).random((20, 2))
    sample = Sample([f"c{i % 6}" for i in range(20)], 20)
    first, again = (np.concatenate(list(sample.resampled(values, draws=50, seed=3))) for _ in "ab")
    assert (first == again).all()


def test_the_sums_of_clusters_do_not_depend_on_the_order_of_tasks():
    values = np.arange(12.0)
    names = ["b", "a", "c"] * 4
    assert sorted(Sample(names, 12).sums(values)) == [18.0, 22.0, 26.0]
    alone = [f"t{i}" for i in (3, 1, 2, 0)]
    assert sorted(Sample(alone, 4).sums(np.arange(4.0))) == [0, 1, 2, 3]


def clustered(rng, groups):
    """Tasks in clusters of unequal sizes that share an effect; the mean is 0.6."""
    size = rng.integers(2, 9, size=groups)
    member = np.repeat(np.arange(groups), size)
    effect = rng.uniform(-0.3, 0.3, size=groups)[member]
    return member, (rng.random(len(member)) < 0.6 + effect).astype(float)


def share_covered(hits):
    return np.mean(hits)


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [40, 150])
def test_intervals_of_right_and_wrong_cover_95_percent(tasks):
    rng = np.random.default_rng(0)
    sample, hits = Sample(None, tasks), []
    for p in rng.uniform(0.55, 0.95, size=RUNS):  # at one p alone, coverage jumps with n
        low, high = sample.share_interval((rng.random(tasks) < p).astype(float), level=0.95)
        hits.append(low <= p <= high)
    assert 0.93 <= share_covered(hits) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [40, 150])
def test_intervals_of_paired_differences_cover_95_percent(tasks):
    rng = np.random.default_rng(1)
    sample, hits = Sample(None, tasks), []
    for _ in range(RUNS):
        hard = rng.random(tasks)
        difference = (rng.random(tasks) < 1 - 0.3 * hard) * 1.0 - (
            rng.random(tasks) < 1 - 0.5 * hard
        )
        low, high = sample.mean(difference, caution=1.0).interval(0.95)
        hits.append(low <= 0.1 <= high)
    assert 0.93 <= share_covered(hits) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("groups", [25, 60])
def test_intervals_of_clustered_means_cover_95_percent(groups):
    rng = np.random.default_rng(2)
    hits = []
    for _ in range(RUNS):
        member, values = clustered(rng, groups)
        sample = Sample([f"c{m}" for m in member], len(member))
        low, high = sample.share_interval(values, level=0.95)
        hits.append(low <= 0.6 <= high)
    assert 0.93 <= share_covered(hits) <= 0.97


def bench_of(cost, score, clusters):
    lives = Lives(score, cost, score[None], score[None] > 0.5)
    sample = Sample(clusters, len(score))
    return Bench(("a", "b"), lives, sample, 1, 1, target_of(None, None, None), 0.95, 0)


def two_settings(rng, *, groups, clustered_tasks):
    """A cheap arm (.5 right, $1), a dear one (.9, $10), and a curve from the one to .98 at $6.

    The curve reaches .9 at $1 + 5 * (.9 - .5) / (.98 - .5).
    """
    size = rng.integers(1, 6, size=groups) if clustered_tasks else np.ones(groups, dtype=int)
    member = np.repeat(np.arange(groups), size)
    tilt = rng.uniform(0, 1, size=groups)[member]
    u = 0.5 * tilt + 0.5 * rng.random(len(member)) if clustered_tasks else rng.random(len(member))
    rank = _uniform(u) if clustered_tasks else u
    score = np.stack([rank < 0.5, rank < 0.9], axis=1).astype(float)
    quality = np.stack([score[:, 0], (rank < 0.98).astype(float)])
    noise = np.exp(0.6 * rng.normal(size=len(member)) - 0.18)
    cost = np.stack([1.0 * noise, 10.0 * noise], axis=1)
    spent = np.stack([1.0 * noise, 6.0 * noise * np.exp(0.3 * rng.normal(size=len(noise)) - 0.045)])
    return cost, score, spent, quality, [f"c{m}" for m in member]


def _uniform(u):
    """The distribution function of the sum of two uniform numbers on half the unit interval each."""
    return np.where(u < 0.5, 2 * u * u, 1 - 2 * (1 - u) ** 2)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("groups", "clustered_tasks"), [(120, False), (60, True)])
def test_intervals_of_cost_ratios_at_equal_quality_cover_95_percent(groups, clustered_tasks):
    rng = np.random.default_rng(3)
    truth = (1 + 5 * 0.4 / 0.48) / 10
    hits = []
    for _ in range(RUNS // 3):
        cost, score, spent, quality, names = two_settings(
            rng, groups=groups, clustered_tasks=clustered_tasks
        )
        bench = bench_of(cost, score, names)
        found = bench.equal_quality(spent, quality, other=(cost[:, 1], score[:, 1]))
        hits.append(found is not None and found.interval[0] <= truth <= found.interval[1])
    assert 0.93 <= share_covered(hits) <= 0.97


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("tasks", "spread"), [(20, 0.7), (40, 0.7), (40, 1.2), (150, 0.7)])
def test_intervals_of_savings_cover_95_percent(tasks, spread):
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(RUNS):
        base = np.exp(spread * rng.normal(size=tasks))
        spent = np.where(rng.random(tasks) < 0.7, 0.1, 1.1) * base
        score = np.ones((tasks, 2))
        bench = bench_of(np.stack([base, base], axis=1), score, None)
        _, (low, high) = bench.saving_of(spent)
        hits.append(low <= 1 - (0.7 * 0.1 + 0.3 * 1.1) <= high)
    assert 0.93 <= share_covered(hits) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("tasks", "spread"), [(20, 1.0), (40, 1.0), (40, 1.5), (400, 1.0)])
def test_intervals_of_mean_dollars_cover_95_percent(tasks, spread):
    rng = np.random.default_rng(7)
    sample, hits = Sample(None, tasks), []
    for _ in range(RUNS):
        values = np.exp(spread * rng.normal(size=tasks) - spread * spread / 2)
        low, high = sample.cost_interval(values, level=0.95)
        hits.append(low <= 1 <= high)
    assert 0.92 <= share_covered(hits) <= 0.98


@pytest.mark.slow
def test_the_gain_over_mixing_covers_95_percent():
    rng = np.random.default_rng(5)
    tasks, hits = 120, []
    for _ in range(RUNS):
        rank = rng.random(tasks)
        noise = np.exp(0.5 * rng.normal(size=tasks) - 0.125)
        score = np.stack([rank < 0.5, rank < 0.9], axis=1).astype(float)
        cost = np.stack([1.0 * noise, 10.0 * noise], axis=1)
        gain = bench_of(cost, score, None).gain(4.0 * noise, (rank < 0.8).astype(float))
        low, high = gain.interval(0.95)
        hits.append(low <= 0.8 - (0.5 + 0.4 * 3 / 9) <= high)
    assert 0.93 <= share_covered(hits) <= 0.97
