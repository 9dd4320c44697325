"""Traces and ledgers are added up, and followed while they grow."""

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watched import attempt, trace

from effortctl import EffortctlWarning, StoreError
from effortctl._types import Cost
from effortctl.stores import Activity, MemoryLedger, TraceStore, TraceTail, booked_activity

TRACES = [
    trace(attempt("fail", usd="0.01"), attempt(arm="b@high", usd="0.5"), number=0),
    trace(attempt("pass", usd="0.02"), number=1),
    trace(attempt(None), number=2, outcome="accepted"),
    trace(attempt(answered=False, usd="0"), number=60 * 24, outcome="failed"),
]


def test_tasks_are_counted_with_what_became_of_them():
    found = Activity(TRACES)
    assert (found.total.tasks, found.total.accepted) == (4, 3)
    assert (found.total.escalation_rate, found.total.verified_rate) == (0.25, 0.5)
    assert found.total.cost_usd == Decimal("0.54")
    assert found.outcomes == {"accepted": 3, "failed": 1}
    assert {day: tasks.tasks for day, tasks in found.by_day.items()} == {
        date(2026, 11, 23): 3,
        date(2026, 11, 24): 1,
    }


def test_arms_are_counted_by_attempt():
    found = Activity(TRACES, scores={"trace-0": 0.5, "trace-1": 1.0, "unknown": 0.0}).by_arm
    luna = found["gpt-6-luna@low"]
    assert (luna.first, luna.attempts) == (4, 4)
    assert (luna.passed, luna.failed, luna.unclear, luna.errors) == (1, 1, 1, 1)
    assert luna.verified_rate == 0.5
    assert (luna.scores, found["b@high"].scores) == ([1.0], [0.5])
    assert found["b@high"].first == 0


def test_nothing_has_no_rates():
    found = Activity()
    assert (found.total.escalation_rate, found.total.verified_rate) == (None, None)


@given(st.lists(st.sampled_from(TRACES)))
def test_every_sum_agrees_with_every_other(traces):
    found = Activity(traces)
    assert sum(day.tasks for day in found.by_day.values()) == found.total.tasks == len(traces)
    assert sum((arm.cost_usd for arm in found.by_arm.values()), Decimal(0)) == found.total.cost_usd
    for arm in found.by_arm.values():
        assert arm.attempts == arm.passed + arm.failed + arm.unclear + arm.errors


def test_a_ledger_tells_escalations_but_not_verdicts():
    with MemoryLedger() as ledger:
        for decision, arm, source in (
            ("one", "a@low", "user"),
            ("one", "b@high", "user"),
            ("two", "a@low", "user"),
            ("two", "judge", "verifier"),
        ):
            ticket = ledger.reserve(Decimal(1), budgets=(), trace_id=decision)
            ledger.settle(ticket, Cost(usd=Decimal("0.1"), source=source), row={"arm": arm})
        found = booked_activity(ledger.entries())
    assert (found.tasks, found.escalated, found.cost_usd) == (2, 1, Decimal("0.4"))


# --- following a file ------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    return TraceStore(tmp_path / "traces.jsonl")


def ids(traces):
    return [each.id for each in traces]


def test_only_what_is_new_is_read(store):
    tail = TraceTail(store.path)
    assert tail.read() == []
    store.write(TRACES[0])
    store.write(TRACES[1])
    assert ids(tail.read()) == ["trace-0", "trace-1"]
    assert tail.read() == []
    store.write(TRACES[2])
    assert ids(tail.read()) == ["trace-2"]


def test_a_line_that_is_still_being_written_waits(store):
    tail = TraceTail(store.path)
    store.write(TRACES[0])
    whole = store.path.read_bytes()
    with store.path.open("ab") as file:
        file.write(whole[:50])
    assert ids(tail.read()) == ["trace-0"]
    with store.path.open("ab") as file:
        file.write(whole[50:])
    assert ids(tail.read()) == ["trace-0"]
    assert tail.restarts == 0


def test_a_writer_that_was_killed_costs_its_own_line(store):
    tail = TraceTail(store.path)
    store.write(TRACES[0])
    with store.path.open("ab") as file:
        file.write(b'{"id":"torn","att')
    store.write(TRACES[1])
    with pytest.warns(EffortctlWarning, match="line 2"):
        assert ids(tail.read()) == ["trace-0", "trace-1"]


def test_a_file_that_was_replaced_is_read_anew(store):
    tail = TraceTail(store.path)
    store.write(TRACES[0])
    store.write(TRACES[1])
    tail.read()
    store.path.rename(store.path.with_suffix(".old"))
    store.write(TRACES[2])
    assert ids(tail.read()) == ["trace-2"]
    assert tail.restarts == 1
    store.path.write_text("")
    assert tail.read() == []
    assert tail.restarts == 2


def test_a_line_that_is_no_trace_is_named(store):
    store.write(TRACES[0])
    with store.path.open("a") as file:
        file.write(json.dumps({"version": 9}) + "\n")
    with pytest.raises(StoreError, match="line 2"):
        TraceTail(store.path).read()
