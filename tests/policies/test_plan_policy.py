"""The plan as a live policy: it follows verdicts, budgets and deadlines."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_worlds import quick

from effortctl import ConfigError, EffortctlWarning
from effortctl._types import Answer, Arm, Attempt, Cost, Estimate, Situation, Task, Verdict
from effortctl.policies import PlanPolicy
from effortctl.protocols import Policy

TASK = Task(input="q", id="t")
ARMS = [Arm(name=name, model="m") for name in ("low", "mid", "high")]
NUMBERS = {"low": (0.5, 0.001), "mid": (0.7, 0.01), "high": (0.9, 0.05)}


def estimates(numbers=None, **latency):
    return {
        name: Estimate(arm=name, p_correct=p, cost_usd=usd, latency_s=latency.get(name))
        for name, (p, usd) in (numbers or NUMBERS).items()
    }


def attempt(arm, status="fail", *, finish="complete", answered=True):
    return Attempt(
        arm=arm,
        model="m",
        requested_effort="low",
        effective_effort="low",
        max_output_tokens=1,
        answer=Answer(text="a", finish=finish) if answered else None,
        verdict=Verdict(status=status) if status else None,
        cost=Cost(usd=Decimal(0), source="user"),
    )


def situation(*attempts, arms=ARMS, numbers=None, latency=None, **limits):
    tried = {each.arm for each in attempts}
    return Situation(
        TASK,
        [arm for arm in arms if arm.name not in tried],
        list(attempts),
        estimates(numbers, **(latency or {})),
        **limits,
    )


def name_of(arm):
    return None if arm is None else arm.name


POLICY = PlanPolicy(value_usd=1.0)


def test_it_is_a_policy():
    policy: Policy = POLICY
    assert policy.choose(situation()) in ARMS
    assert POLICY.name == "plan"


def test_it_goes_the_way_the_plan_said():
    plan = POLICY.plan(situation())
    done, seen = [], []
    while (arm := POLICY.choose(situation(*done))) is not None:
        seen.append(arm.name)
        done.append(attempt(arm.name))
    assert tuple(seen) == plan.order == ("low", "mid", "high")


@quick
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_the_live_policy_follows_its_plan_whatever_the_numbers(seed, count):
    rng = np.random.default_rng(seed)
    arms = [Arm(name=f"a{j}", model="m") for j in range(count)]
    known = {arm.name: (rng.random(), rng.random() / 20) for arm in arms}
    rho, tpr, fpr = ({arm.name: rng.random() for arm in arms} for _ in range(3))
    policy = PlanPolicy(value_usd=rng.random(), rho=rho, tpr=tpr, fpr=fpr)
    plan = policy.plan(situation(arms=arms, numbers=known))
    done = []
    while (arm := policy.choose(situation(*done, arms=arms, numbers=known))) is not None:
        done.append(attempt(arm.name))
    assert tuple(each.arm for each in done) == plan.order


def test_a_failure_of_an_arm_that_fails_together_makes_the_next_one_less_worth_its_price():
    dear = {"low": (0.5, 0.001), "mid": (0.6, 0.3)}
    together = PlanPolicy(value_usd=1.0, default_rho=0.95)
    alone = PlanPolicy(value_usd=1.0, default_rho=0.0)
    after = situation(attempt("low"), arms=ARMS[:2], numbers=dear)
    assert name_of(alone.choose(after)) == "mid"
    assert together.choose(after) is None


def test_it_stops_when_a_verdict_of_a_doubtful_check_is_not_worth_another_try():
    doubtful = PlanPolicy(value_usd=0.05, default_tpr=0.5, default_fpr=0.5)
    assert doubtful.choose(situation(attempt("mid"))) is None


@pytest.mark.parametrize(
    "nothing_said",
    [attempt("low", "abstain"), attempt("low", None), attempt("low", None, answered=False)],
)
def test_an_attempt_without_a_verdict_says_nothing(nothing_said):
    close = {"low": (0.5, 0.001), "mid": (0.6, 0.3)}
    together = PlanPolicy(value_usd=1.0, default_rho=0.95)
    after = situation(nothing_said, arms=ARMS[:2], numbers=close)
    assert name_of(together.choose(after)) == "mid"


def test_an_answer_that_was_cut_off_counts_as_failed():
    close = {"low": (0.5, 0.001), "mid": (0.6, 0.3)}
    together = PlanPolicy(value_usd=1.0, default_rho=0.95)
    cut = attempt("low", None, finish="truncated")
    assert together.choose(situation(cut, arms=ARMS[:2], numbers=close)) is None


def test_an_exact_check_that_contradicts_itself_does_no_harm():
    sure = {"low": (1.0, 0.001), "mid": (0.6, 0.01)}
    after = situation(attempt("low"), arms=ARMS[:2], numbers=sure)
    assert POLICY.choose(after) is None or POLICY.choose(after).name == "mid"


def test_arms_that_do_not_fit_the_money_or_time_left_are_not_chosen():
    seconds = {"low": 1.0, "mid": 5.0, "high": 60.0}
    assert name_of(POLICY.choose(situation(usd_left=Decimal("0.002")))) == "low"
    assert POLICY.choose(situation(usd_left=Decimal("0.0005"))) is None
    assert name_of(POLICY.choose(situation(attempt("low"), usd_left=Decimal("0.02")))) == "mid"
    late = situation(attempt("low"), attempt("mid"), latency=seconds, seconds_left=10.0)
    assert POLICY.choose(late) is None
    assert name_of(POLICY.choose(situation(latency=seconds, seconds_left=2.0))) == "low"


def test_waiting_has_its_price():
    seconds = {"low": 100.0, "mid": 1.0, "high": 1.0}
    hurried = PlanPolicy(value_usd=1.0, usd_per_second=0.005)
    assert name_of(POLICY.choose(situation(latency=seconds))) == "low"
    assert name_of(hurried.choose(situation(latency=seconds))) == "mid"


def test_a_warm_prompt_cache_keeps_the_arm():
    switch = {"low": 0.2, "mid": 0.2, "high": 0.2}
    keeps = PlanPolicy(value_usd=1.0, switch_usd=switch, warm_arm=lambda _task: "mid")
    knows_none = PlanPolicy(value_usd=1.0, switch_usd=switch, warm_arm=lambda _task: None)
    assert name_of(keeps.choose(situation())) == "mid"
    assert name_of(knows_none.choose(situation())) != "low"


def test_each_arm_has_its_own_check_and_loading():
    blind = PlanPolicy(value_usd=1.0, tpr={"low": 0.5}, fpr={"low": 0.5}, rho={"low": 0.1})
    assert name_of(blind.choose(situation())) == "mid"


def test_arms_without_an_estimate_are_not_used_and_without_any_the_ladder_is_climbed():
    some = {name: NUMBERS[name] for name in ("mid", "high")}
    assert name_of(POLICY.choose(situation(numbers=some))) == "mid"
    nothing = Situation(TASK, ARMS, [], {})
    with pytest.warns(EffortctlWarning, match="no arm has an estimate"):
        assert name_of(POLICY.choose(nothing)) == "low"
    assert POLICY.choose(Situation(TASK, [], [], {})) is None
    with pytest.raises(ConfigError, match="no arm has an estimate"):
        POLICY.plan(nothing)


def test_the_climb_does_not_go_on_with_arms_nobody_estimated():
    tried = [attempt("mid"), attempt("high")]
    some = {name: NUMBERS[name] for name in ("mid", "high")}
    assert POLICY.choose(situation(*tried, numbers=some)) is None


def weighed(policy, *attempts):
    return policy.best(situation(*attempts))


def test_the_best_answer_is_the_one_most_likely_correct_given_all_verdicts():
    noisy = PlanPolicy(value_usd=1.0, default_tpr=0.6, default_fpr=0.4)
    assert weighed(noisy, attempt("high"), attempt("low")) == "high"
    good = PlanPolicy(value_usd=1.0, default_tpr=0.9, default_fpr=0.1)
    assert weighed(good, attempt("low", "pass"), attempt("high")) == "low"
    trusted = PlanPolicy(value_usd=1.0, tpr={"high": 1.0}, fpr={"high": 0.0}, default_tpr=0.6)
    assert weighed(trusted, attempt("high"), attempt("low")) == "low"


def test_an_answer_nobody_judged_may_be_the_best_one_and_one_cut_off_never_is():
    assert weighed(POLICY, attempt("low"), attempt("mid", "abstain")) == "mid"
    noisy = PlanPolicy(value_usd=1.0, default_tpr=0.6, default_fpr=0.4)
    cut = attempt("high", None, finish="truncated")
    assert weighed(noisy, cut, attempt("low")) == "low"


def test_there_is_no_best_answer_where_all_are_wrong_or_none_was_given():
    assert weighed(POLICY, attempt("low"), attempt("mid")) is None
    assert weighed(POLICY) is None
    assert weighed(POLICY, attempt("low", None, answered=False)) is None
    assert weighed(POLICY, attempt("unknown", "abstain")) is None


def test_a_plan_is_made_before_the_first_try():
    with pytest.raises(ConfigError, match="before the first try"):
        POLICY.plan(situation(attempt("low")))


def test_many_arms_are_no_trouble():
    arms = [Arm(name=f"a{j}", model="m") for j in range(12)]
    numbers = {arm.name: (0.3 + 0.05 * j, 0.001 * (j + 1)) for j, arm in enumerate(arms)}
    assert POLICY.choose(situation(arms=arms, numbers=numbers)) in arms


@pytest.mark.parametrize(
    "fields",
    [
        {"value_usd": 0.0},
        {"value_usd": 1.0, "rho": {"a": 1.5}},
        {"value_usd": 1.0, "default_tpr": float("nan")},
        {"value_usd": 1.0, "fpr": {"a": -0.1}},
        {"value_usd": 1.0, "switch_usd": {"a": -1.0}},
        {"value_usd": 1.0, "usd_per_second": -1.0},
    ],
)
def test_numbers_no_plan_can_be_made_of_are_refused(fields):
    with pytest.raises(ConfigError):
        PlanPolicy(**fields)
