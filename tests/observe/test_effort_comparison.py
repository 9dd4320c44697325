"""Ranks tell efforts apart: exactly, with ties, corrected for how many pairs were looked at."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from effortctl import ConfigError
from effortctl._fidelity import compare_arms, fewest_calls, higher_p, holm

COUNTS = st.lists(st.integers(0, 6), min_size=1, max_size=5)


def by_hand(lower, higher):
    """The same p-value by dealing the numbers in every way."""
    pooled = [*lower, *higher]
    rank = {x: sum(y < x for y in pooled) + (sum(y == x for y in pooled) + 1) / 2 for x in pooled}
    seen = sum(rank[x] for x in higher)
    hands = list(itertools.combinations(pooled, len(higher)))
    return sum(sum(rank[x] for x in hand) >= seen - 1e-9 for hand in hands) / len(hands)


@given(COUNTS, COUNTS)
def test_the_p_value_is_that_of_all_ways_to_deal(lower, higher):
    assert higher_p(lower, higher) == pytest.approx(by_hand(lower, higher))


def test_without_ties_it_is_the_exact_test_of_mann_and_whitney():
    lower, higher = [3, 1, 4, 15, 9, 26], [5, 35, 8, 97, 93, 23, 84]
    expected = mannwhitneyu(higher, lower, alternative="greater", method="exact").pvalue
    assert higher_p(lower, higher) == pytest.approx(expected)


@given(COUNTS)
def test_equal_samples_show_nothing(sample):
    assert higher_p(sample, sample) >= 0.5


def test_complete_separation_is_one_of_all_ways():
    assert higher_p(range(5), range(10, 15)) == 1 / math.comb(10, 5)
    assert higher_p(range(10, 15), range(5)) == 1


def test_holm_is_worked_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_never_helps(p_values):
    adjusted = holm(p_values)
    assert all(after >= before for before, after in zip(p_values, adjusted, strict=True))
    for i, j in itertools.combinations(range(len(p_values)), 2):
        if p_values[i] < p_values[j]:
            assert adjusted[i] <= adjusted[j]


@pytest.mark.parametrize("pairs", range(1, 15))
def test_the_fewest_calls_are_just_enough(pairs):
    calls = fewest_calls(pairs)
    assert pairs * higher_p(range(calls), range(100, 100 + calls)) <= 0.05
    assert calls == 2 or pairs / math.comb(2 * calls - 2, calls - 1) > 0.05


def test_pairs_are_told_apart_or_not():
    tokens = {"low": [30, 31, 29, 33, 28], "mid": [31, 30, 33, 28, 29], "high": [500] * 5}
    first, second = compare_arms(tokens, [("low", "mid"), ("mid", "high")])
    assert (first.separate, second.separate) == (False, True)
    assert (second.lower_median, second.higher_median) == (30, 500)


def test_a_large_difference_that_is_not_certain_is_neither_separate_nor_alike():
    (pair,) = compare_arms({"low": [10, 90, 20], "high": [100, 15, 80]}, [("low", "high")])
    assert not pair.separate
    assert not pair.alike
    (pair,) = compare_arms({"low": [10, 90, 20], "high": [11, 85, 25]}, [("low", "high")])
    assert pair.alike


def test_an_arm_without_calls_is_refused():
    with pytest.raises(ConfigError, match="'b' has no calls"):
        compare_arms({"a": [1], "b": []}, [("a", "b")])
