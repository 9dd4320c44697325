"""A policy notices when live tasks are no longer those it was learned from, and only then."""

from datetime import timedelta

import numpy as np
import pytest
from learn_data import ARMS, EASY, HARD, rows
from watched import START, attempt, trace

from effortctl import Arm, Controller, Price, Task, cold_start, learn
from effortctl._drift import drift
from effortctl.stores import OutcomeRow, outcome_matrix
from effortctl.testing import FakeBackend

LIVE = 400


@pytest.fixture(scope="module")
def policy():
    return learn(outcome_matrix([OutcomeRow(**row) for row in rows(tasks=300)]), value_usd=0.05)


@pytest.fixture(scope="module")
def live(policy):
    """Easy and hard tasks as they come, each with the arm it is sent to and what is expected of it."""
    rng = np.random.default_rng(7)
    estimator = policy.estimator()
    arms = [Arm(name=name, model=name, price=Price()) for name in ARMS]
    made = []
    for i in range(LIVE):
        hard = bool(rng.random() < 0.5)
        task = Task(input=(HARD if hard else EASY).format(rng.integers(1000)), id=str(i))
        arm = "big" if hard else "small"
        made.append((hard, estimator.estimate(task, arms)[arm]))
    return made


def traces(live, *, seed=0, p_right=0.97, dollars=1.0, only=None, after=0):
    """What came of the tasks; from one of them on the world may be another one."""
    rng = np.random.default_rng(seed)
    made = []
    for number, (hard, expected) in enumerate(live):
        if only is not None and hard != only:
            continue
        changed = number >= after
        usd = ARMS[expected.arm] * float(np.exp(0.1 * rng.normal())) * (dollars if changed else 1)
        right = rng.random() < (p_right if changed else 0.97)
        made.append(
            trace(
                attempt(
                    "pass" if right else "fail",
                    arm=expected.arm,
                    usd=f"{usd:.9f}",
                    expected=expected,
                ),
                number=number,
                started_at=START + timedelta(minutes=number),
            )
        )
    return made


def kinds(report):
    return {(shift.kind, shift.arm) for shift in report.alarms}


def test_in_a_steady_world_there_is_no_alarm(policy, live):
    false = [bool(drift(traces(live, seed=seed), policy, alpha=0.05).alarms) for seed in range(20)]
    assert sum(false) <= 1
    report = drift(traces(live), policy)
    assert (report.traces, report.compared) == (LIVE, LIVE)
    assert {"passes_less", "passes_more", "costs_more", "harder", "easier"} <= {
        shift.kind for shift in report.shifts
    }


def test_an_arm_that_got_worse_is_named_with_the_time_it_began(policy, live):
    report = drift(traces(live, p_right=0.4, after=80), policy)
    assert ("passes_less", "big") in kinds(report)
    worst = next(shift for shift in report.alarms if shift.arm == "big")
    assert worst.since >= START + timedelta(minutes=80)
    assert worst.seen < worst.limit < worst.expected
    assert worst.text.startswith("big passes ")
    assert "learn again" in worst.advice


def test_an_arm_whose_predictions_were_vague_has_a_wide_interval(policy, live):
    shifts = {
        shift.arm: shift
        for shift in drift(traces(live, p_right=0.4, after=80), policy).shifts
        if shift.kind == "passes_less"
    }
    vague, sure = shifts["small"], shifts["big"]
    assert vague.expected - vague.limit > 2 * (sure.expected - sure.limit)
    assert not vague.alarm


def test_dearer_calls_are_noticed_by_arm_and_by_task(policy, live):
    found = kinds(drift(traces(live, dollars=2.5), policy))
    assert {("costs_more", "small"), ("costs_more", "big")} <= found
    assert not {kind for kind, _ in found} & {"passes_less", "passes_more", "harder", "easier"}


def test_a_little_dearer_is_within_the_tolerance(policy, live):
    dearer = traces(live, dollars=1.3)
    assert not drift(dearer, policy).alarms
    assert ("costs_more", "small") in kinds(drift(dearer, policy, alpha=0.5, cost_tolerance=0.0))


@pytest.mark.parametrize(("hard", "kind"), [(True, "harder"), (False, "easier")])
def test_a_mix_of_other_difficulty_is_noticed(policy, live, hard, kind):
    found = kinds(drift(traces(live, only=hard), policy))
    assert (kind, None) in found
    assert not {each for each, _ in found} & {"passes_less", "costs_more"}


def test_hard_tasks_sent_to_the_strong_arm_are_no_shift_of_that_arm(policy, live):
    found = kinds(drift(traces(live, only=True), policy))
    assert not [arm for _, arm in found if arm]


def test_escalations_and_cached_answers_are_not_judged(policy, live):
    expected = live[0][1]
    first = attempt("pass", arm=expected.arm, expected=expected, cached=True)
    later = attempt("fail", arm="big", expected=expected)
    report = drift([trace(first, later, number=i) for i in range(50)], policy)
    assert report.compared == 0


def test_an_answer_asked_for_again_with_a_larger_cap_is_one_try(policy, live):
    expected = live[0][1]
    cut = attempt(arm=expected.arm, expected=expected, finish="truncated", usd="0.001")
    whole = attempt("pass", arm=expected.arm, expected=expected, usd="0.002")
    report = drift([trace(cut, whole, number=i) for i in range(5)], policy)
    passes = next(shift for shift in report.shifts if shift.kind == "passes_less")
    costs = next(shift for shift in report.shifts if shift.kind == "costs_more")
    assert passes.seen == 1
    assert costs.seen == pytest.approx(0.003)


def test_traces_without_expectations_say_so(policy):
    report = drift([trace(attempt(), number=i) for i in range(5)], policy)
    assert (report.traces, report.compared) == (5, 0)


def test_a_policy_that_was_learned_from_nothing_expects_no_pass_rates(live):
    price = Price(output_usd_per_mtok=1)
    arms = [Arm(name=name, model=name, effort="low", price=price) for name in ARMS]
    report = drift(traces(live, p_right=0.2), cold_start(arms))
    assert not [shift for shift in report.alarms if shift.kind.startswith("passes")]


def test_a_controller_writes_what_it_expected_into_its_traces(policy):
    class Kept(list):
        write = list.append

    kept = Kept()
    arms = [Arm(name=name, model=name, price=Price()) for name in ARMS]
    ctl = policy.controller(arms, backends={"openai": FakeBackend("42")}, traces=kept)
    for number in range(3):
        ctl.run(EASY.format(number))
    expected = [each.attempts[0].expected for each in kept]
    assert all(
        found.arm == each.attempts[0].arm for found, each in zip(expected, kept, strict=True)
    )
    assert drift(kept, policy).compared == 3
    plain = Controller(arms, backends={"openai": FakeBackend("42")}).run("q")
    assert plain.trace.attempts[0].expected is None


def test_alpha_is_shared_by_a_fixed_number_of_comparisons(policy, live):
    some = drift(traces(live, p_right=0.85), policy, alpha=0.5)
    few = drift(traces(live, p_right=0.85), policy, alpha=1e-9)
    assert len(some.alarms) >= len(few.alarms)
    assert {(s.kind, s.arm): s.p for s in some.shifts} == {(s.kind, s.arm): s.p for s in few.shifts}
