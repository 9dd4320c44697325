"""With a learned policy, the belief about the hidden difficulty goes from step to step."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effortctl import Answer, Arm, Attempt, Estimate, Task, Trace, Verdict
from effortctl._client._theta import ThetaCarry
from effortctl._types import Cost

P = {"low": 0.6, "high": 0.9}


class Constant:
    def estimate(self, task, arms):
        return {name: Estimate(arm=name, p_correct=p, cost_usd=0.01) for name, p in P.items()}


def carry(rho=0.7, tpr=1.0, fpr=0.0):
    arms = [SimpleNamespace(name=name, rho=rho, tpr=tpr, fpr=fpr) for name in P]
    policy = SimpleNamespace(estimator=Constant, model=SimpleNamespace(arms=arms))
    return ThetaCarry(policy)


def attempt(arm, passed):
    return Attempt(
        arm=arm,
        model="m",
        requested_effort="low",
        effective_effort="low",
        max_output_tokens=10,
        answer=Answer(text="x"),
        verdict=Verdict(status="pass" if passed else "fail"),
        cost=Cost(usd=Decimal(0), source="free"),
    )


def predicted(carried, number=0):
    arms: list[Arm] = []
    found = carried.estimate(Task(input="x", id=f"t{number}"), arms)
    return {name: each.p_correct for name, each in found.items()}


def step(carried, *attempts, number=0):
    predicted(carried, number)
    carried.learn_from(
        Trace(
            id="a",
            task_id=f"t{number}",
            outcome="accepted",
            attempts=tuple(attempt(*each) for each in attempts),
            policy="plan",
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
    )


def test_before_any_step_the_estimates_are_the_models_own():
    assert predicted(carry()) == pytest.approx(P)
    assert carry().difficulty == pytest.approx(0.5)


def test_a_failed_step_lowers_every_arm_and_a_passed_one_raises_it():
    worse, better = carry(), carry()
    step(worse, ("low", False))
    step(better, ("low", True))
    for name, p in P.items():
        assert predicted(worse)[name] < p < predicted(better)[name]
    assert worse.difficulty > 0.5 > better.difficulty


def test_what_was_learned_fades_without_news():
    carried = carry()
    step(carried, ("low", False))
    before = abs(carried.difficulty - 0.5)
    for number in range(10):
        step(carried, number=number)
    assert abs(carried.difficulty - 0.5) == pytest.approx(before * 0.8**10)


@pytest.mark.parametrize("useless", [{"rho": 0.0}, {"tpr": 0.5, "fpr": 0.5}])
def test_arms_that_fail_independently_and_useless_checks_teach_nothing(useless):
    carried = carry(**useless)
    step(carried, ("low", False), ("high", True))
    assert predicted(carried) == pytest.approx(P)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(P)), st.booleans()), max_size=30))
def test_estimates_stay_probabilities_whatever_happens(history):
    carried = carry(rho=0.99)
    for number, one in enumerate(history):
        step(carried, one, number=number)
        assert all(0.0 <= p <= 1.0 for p in predicted(carried, number).values())
        assert 0.0 <= carried.difficulty <= 1.0
