"""The score of a whole run is shared fairly among the steps nobody judged."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl import Answer, Attempt, Trace, Verdict
from effortctl._types import Cost
from effortctl.stores import Feedback, trace_rows
from effortctl.stores._run_scores import run_scores


def step(run, number, arm="a", status=None):
    attempt = Attempt(
        arm=arm,
        model="m",
        requested_effort="low",
        effective_effort="low",
        max_output_tokens=10,
        answer=Answer(text="x"),
        verdict=None if status is None else Verdict(status=status),
        cost=Cost(usd=Decimal(0), source="free"),
    )
    return Trace(
        id=f"{run}.{number}",
        task_id=f"{run}.{number}",
        outcome="accepted",
        attempts=(attempt,),
        policy="p",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        metadata={"session": run},
    )


def test_the_steps_of_a_run_that_succeeded_were_right():
    assert run_scores([step("r", 1), step("r", 2)], {"r": 1.0}) == {("r.1", 0): 1, ("r.2", 0): 1}


def test_a_run_of_one_step_is_that_step():
    assert run_scores([step("r", 1)], {"r": 0.0}) == {("r.1", 0): 0.0}


def test_a_failed_run_blames_the_arm_that_fails_elsewhere():
    good = [step(f"g{n}", 1, "good") for n in range(20)]
    bad = [step(f"b{n}", 1, "bad") for n in range(20)]
    scores = {f"g{n}": 1.0 for n in range(20)} | {f"b{n}": float(n % 2) for n in range(20)}
    both = [step("r", 1, "good"), step("r", 2, "bad")]
    found = run_scores([*good, *bad, *both], scores | {"r": 0.0})
    assert found["r.1", 0] > 0.85
    assert found["r.2", 0] < 0.15


def test_steps_that_were_judged_have_no_part_in_it():
    steps = [step("r", 1), step("r", 2, status="pass"), step("r", 3, status="abstain")]
    found = run_scores([*steps, step("r", 4)], {"r": 0.0, "r.4": 1.0})
    assert set(found) == {("r.1", 0), ("r.3", 0)}
    assert run_scores([step("r", 1)], {"another": 0.0}) == {}


@pytest.mark.parametrize("length", [3, 8])
def test_arms_are_told_apart_by_the_runs_they_were_in(length):
    rng = np.random.default_rng(length)
    truth = {"good": 0.97, "bad": 0.85}
    traces, told = [], []
    for run in range(600):
        arms = rng.choice(list(truth), length, p=[0.6, 0.4])
        right = all(rng.random() < truth[arm] for arm in arms)
        traces += [step(f"r{run}", n, str(arm)) for n, arm in enumerate(arms)]
        told.append(
            Feedback(trace_id=f"r{run}", score=right, given_at=datetime(2026, 1, 1, tzinfo=UTC))
        )
    rows = trace_rows(traces, feedback=told)
    assert len(rows) == 600 * length
    found = {arm: np.mean([row.score for row in rows if row.arm == arm]) for arm in truth}
    for arm, p in truth.items():
        assert found[arm] == pytest.approx(p, abs=0.03)


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), st.floats(0, 1)),
        max_size=8,
    )
)
def test_scores_stay_scores_and_a_run_has_at_least_one_step_to_blame(runs):
    traces = [
        step(f"r{n}", i, arm) for n, (arms, _) in enumerate(runs) for i, arm in enumerate(arms)
    ]
    found = run_scores(traces, {f"r{n}": score for n, (_, score) in enumerate(runs)})
    assert all(0 <= score <= 1 for score in found.values())
    for n, (arms, score) in enumerate(runs):
        blame = sum(1 - found[f"r{n}.{i}", 0] for i in range(len(arms)))
        assert blame >= 1 - score - 1e-9
