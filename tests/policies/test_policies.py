"""Policies that follow a list, and what every policy promises."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl._types import Arm, Attempt, Cost, Situation, Task
from effortctl.policies import Fixed, LadderPolicy
from effortctl.protocols import Policy

A, B, C = (Arm(name=name, model="m") for name in "abc")
TASK = Task(input="q", id="t")
POLICIES = [LadderPolicy(), Fixed(), Fixed("b")]


def tried(arm):
    return Attempt(
        arm=arm.name,
        model=arm.model,
        requested_effort="low",
        effective_effort="low",
        max_output_tokens=1,
        cost=Cost(usd=Decimal(0), source="user"),
    )


def situation(arms=(A, B, C), attempts=()):
    return Situation(TASK, list(arms), [tried(arm) for arm in attempts], {})


def test_a_ladder_is_climbed_from_first_to_last():
    policy, left, order = LadderPolicy(), [A, B, C], []
    while (arm := policy.choose(situation(left, order))) is not None:
        order.append(arm)
        left.remove(arm)
    assert order == [A, B, C]


def test_a_ladder_skips_arms_that_are_closed():
    assert LadderPolicy().choose(situation([C], [A])) == C


def test_a_fixed_arm_is_tried_once():
    assert Fixed("b").choose(situation()) == B
    assert Fixed("b").choose(situation([A, C], [B])) is None


def test_a_fixed_arm_is_the_first_when_none_is_named():
    assert Fixed().choose(situation()) == A
    assert Fixed().choose(situation([B, C], [A])) is None


def test_a_fixed_arm_that_is_not_offered_is_not_chosen():
    assert Fixed("z").choose(situation()) is None


def test_policies_have_names_for_the_trace():
    assert [policy.name for policy in POLICIES] == ["ladder", "fixed", "fixed:b"]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
@given(arms=st.sampled_from([[], [A], [B], [A, C], [B, C], [A, B, C]]), attempts=st.integers(0, 2))
def test_a_policy_chooses_one_of_the_offered_arms_or_stops(policy: Policy, arms, attempts):
    given_now = situation(arms, [A] * attempts)
    chosen = policy.choose(given_now)
    assert chosen is None or chosen in arms
    assert policy.choose(given_now) == chosen, "a policy has no memory of its own"
