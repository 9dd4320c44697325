"""Feedback joins its trace hours later, survives crashes and crowds, and is learned from."""

import json
import math
import multiprocessing
import os
import pickle
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watched import attempt, trace

from effortctl import Arm, ConfigError, Controller, EffortctlWarning, Price, StoreError
from effortctl.observers import LogObserver, Observers
from effortctl.stores import (
    FeedbackStore,
    TraceStore,
    add_feedback,
    feedback_path,
    feedback_scores,
    find_trace,
    latest_feedback,
    read_feedback,
    read_traces,
    trace_rows,
)
from effortctl.testing import FakeBackend

ARM = Arm(name="m@low", model="m", effort="low", price=Price())


@pytest.fixture
def traces(tmp_path):
    path = tmp_path / "traces.jsonl"
    store = TraceStore(path)
    for number in range(3):
        store.write(trace(attempt("fail"), attempt(arm="gpt-6-sol@high"), number=number))
    return path


def controller(store):
    return Controller([ARM], backends={"openai": FakeBackend(["42"])}, traces=store)


# --- from the outcome ------------------------------------------------------------------------------


def test_an_outcome_keeps_feedback_beside_its_trace(tmp_path):
    path = tmp_path / "runs" / "traces.jsonl"
    outcome = controller(TraceStore(path)).run("What is 6*7?")
    outcome.feedback(0.5, "half right")
    (given,) = read_feedback(feedback_path(path))
    assert feedback_path(path).name == "traces.feedback.jsonl"
    assert (given.trace_id, given.score, given.note) == (outcome.trace.id, 0.5, "half right")
    assert find_trace(path, given.trace_id).task_id == outcome.trace.task_id
    assert stat.S_IMODE(feedback_path(path).stat().st_mode) == 0o600


def test_feedback_without_a_store_says_what_is_missing():
    outcome = Controller([ARM], backends={"openai": FakeBackend(["42"])}).run("q")
    with pytest.raises(ConfigError, match="TraceStore"):
        outcome.feedback(1)


def test_feedback_finds_the_store_among_several_observers(tmp_path):
    path = tmp_path / "traces.jsonl"
    outcome = controller(Observers(LogObserver(), TraceStore(path))).run("q")
    outcome.feedback(1)
    assert [given.score for given in read_feedback(feedback_path(path))] == [1]
    with pytest.raises(ConfigError, match="none of the observers keeps feedback"):
        controller(Observers(LogObserver())).run("q").feedback(1)


def test_an_outcome_can_still_be_pickled(tmp_path):
    path = tmp_path / "traces.jsonl"
    outcome = controller(TraceStore(path)).run("q")
    pickle.loads(pickle.dumps(outcome)).feedback(0)
    assert [given.score for given in read_feedback(feedback_path(path))] == [0]


# --- by id -----------------------------------------------------------------------------------------


def test_an_unknown_decision_is_refused_and_nothing_is_written(traces):
    with pytest.raises(ConfigError, match=r"no trace in .* has the id 'trace-9'"):
        add_feedback(traces, "trace-9", 1)
    assert not feedback_path(traces).exists()


def test_a_task_that_mentions_an_id_is_not_taken_for_it(traces):
    assert find_trace(traces, "task-1") is None


@pytest.mark.parametrize("score", [-0.01, 1.01, math.nan, math.inf, "good", None])
def test_a_score_out_of_range_is_refused(traces, score):
    with pytest.raises(ConfigError, match="expected a number from 0"):
        add_feedback(traces, "trace-0", score)
    assert not feedback_path(traces).exists()


def test_missing_traces_are_named(tmp_path):
    with pytest.raises(StoreError, match="nowhere"):
        add_feedback(tmp_path / "nowhere.jsonl", "trace-0", 1)


def test_the_last_judgement_counts(traces):
    for score in (0, 1, 0.25):
        add_feedback(traces, "trace-1", score)
    given = list(read_feedback(feedback_path(traces)))
    assert len(given) == 3
    assert latest_feedback(given)["trace-1"].score == 0.25


@given(
    score=st.floats(0, 1),
    note=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    trace_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)
def test_any_feedback_comes_back_as_it_was(tmp_path_factory, score, note, trace_id):
    store = FeedbackStore(
        tmp_path_factory.mktemp("f") / "f.jsonl", now=lambda: datetime(2026, 1, 1, tzinfo=UTC)
    )
    written = store.write(trace_id, score, note=note)
    assert list(read_feedback(store.path)) == [written]


# --- crashes and crowds ----------------------------------------------------------------------------


def test_a_torn_line_costs_nothing_but_itself(tmp_path):
    store = FeedbackStore(tmp_path / "f.jsonl")
    store.write("a", 1)
    with store.path.open("ab") as file:
        file.write(b'{"trace_id":"b","sco')
    store.write("c", 0)
    with pytest.warns(EffortctlWarning, match="line 2: skipped an unfinished record"):
        assert [given.trace_id for given in read_feedback(store.path)] == ["a", "c"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 1"),
        ('{"trace_id":"a","score":7,"given_at":"2026-01-01T00:00:00Z"}', "score is wrong"),
        ('{"trace_id":"a","score":1,"given_at":"2026-01-01T00:00:00Z","version":2}', "version"),
    ],
)
def test_a_line_that_is_no_feedback_is_named(tmp_path, line, said):
    path = tmp_path / "f.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(StoreError, match=said):
        list(read_feedback(path))


def _write_many(path, who):
    store = FeedbackStore(path)
    for number in range(200):
        store.write(f"{who}-{number}", number / 200, note="x" * 500)


def test_threads_and_processes_lose_and_mix_nothing(tmp_path):
    path = tmp_path / "f.jsonl"
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_write_many, args=(path, f"p{i}")) for i in range(2)]
    for other in others:
        other.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: _write_many(path, f"t{i}"), range(4)))
    for other in others:
        other.join()
        assert other.exitcode == 0
    given = list(read_feedback(path))
    assert len(given) == len({each.trace_id for each in given}) == 6 * 200


KILLED = """
import sys
from effortctl.stores import FeedbackStore
store = FeedbackStore(sys.argv[1])
print("ready", flush=True)
for number in range(10**9):
    store.write(f"t-{number}", 1, note="y" * 2000)
"""


def test_a_killed_writer_leaves_a_file_that_can_be_read_and_written(tmp_path):
    path = tmp_path / "f.jsonl"
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "ready\n"
    while not path.exists() or path.stat().st_size < 100_000:
        assert writer.poll() is None
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    FeedbackStore(path).write("after", 0)
    lines = path.read_bytes().splitlines()
    whole = [line for line in lines if line.endswith(b"}")]
    assert len(whole) >= len(lines) - 1
    assert json.loads(lines[-1])["trace_id"] == "after"


# --- learning --------------------------------------------------------------------------------------


def test_feedback_is_about_the_answer_that_was_returned(traces):
    add_feedback(traces, "trace-1", 0)
    feedback = list(read_feedback(feedback_path(traces)))
    rows = trace_rows(read_traces(traces), feedback=feedback)
    assert [(row.query_id, row.arm, row.score) for row in rows] == [("task-1", "gpt-6-sol@high", 0)]


def test_feedback_overrules_scores_and_these_overrule_verdicts(traces):
    add_feedback(traces, "trace-1", 0)
    rows = trace_rows(
        read_traces(traces),
        scores={("task-1", "gpt-6-sol@high"): 1.0, ("task-2", "gpt-6-luna@low"): 0.75},
        feedback=read_feedback(feedback_path(traces)),
        trust_verdicts=True,
    )
    found = {(row.query_id, row.arm): row.score for row in rows}
    assert found["task-1", "gpt-6-sol@high"] == 0
    assert found["task-2", "gpt-6-luna@low"] == 0.75
    assert found["task-0", "gpt-6-luna@low"] == 0
    assert found["task-0", "gpt-6-sol@high"] == 1


def test_scores_for_learning_are_means_over_decisions(tmp_path):
    path = tmp_path / "traces.jsonl"
    store = TraceStore(path)
    for number in range(2):
        store.write(trace(attempt(), number=number).model_copy(update={"task_id": "same"}))
    add_feedback(path, "trace-0", 1)
    add_feedback(path, "trace-1", 0.5)
    FeedbackStore(feedback_path(path)).write("of another file", 0)
    scores = feedback_scores(read_traces(path), read_feedback(feedback_path(path)))
    assert scores == {("same", "gpt-6-luna@low"): 0.75}
