import gzip
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effortctl._errors import ConfigError, DeadlineExceededError, StoreError
from effortctl._types import Answer, Case, Task, Trace, Usage
from effortctl.backends import RecordedAnswer, RecordedBackend
from effortctl.catalog import load_ladder
from effortctl.harness import (
    LiveTask,
    Progress,
    RecordedSuite,
    Row,
    Shown,
    Table,
    load_recorded_suite,
    recorded_arms,
    recorded_case,
    run_demo,
    run_live,
    verifier_for,
)
from effortctl.harness._demo import CheckedOnce
from effortctl.harness._recorded_suite import _fewer_code_tasks
from effortctl.harness._suite import load_suite
from effortctl.stores import MemoryLedger, TraceStore, read_traces
from effortctl.testing import FakeBackend, FakeClock, scripted_verifier

ARMS = tuple(arm.name for arm in load_ladder("local-all").arms)
RUNGS = tuple(arm.name for arm in load_ladder("local").arms)
HIGH = "qwen2.5-coder-0.5b@high"


def said(task_id, arm, text, *, sample_index=0, compute_s=1.0, **fields):
    numbers = {"input_tokens": 10, "output_tokens": 5, "latency_s": 2.0}
    return RecordedAnswer(
        task_id=task_id,
        arm=arm,
        model="m",
        text=text,
        sample_index=sample_index,
        compute_s=compute_s,
        **(numbers | fields),
    )


def case(number):
    task = Task(id=f"t/{number}", input=f"Say {number}.")
    return Case(task=task, reference={"kind": "number", "expected": str(number)}, cluster="t")


def suite(right):
    """One case per row of `right`, which names the arms whose (only) answer is right."""
    cases = [case(number) for number in range(100, 100 + len(right))]
    answers = [
        said(c.task.id, arm, c.reference["expected"] if arm in arms else "7", sample_index=index)
        for c, arms in zip(cases, right, strict=True)
        for arm in ARMS
        for index in range(3 if arm == HIGH and arm not in arms else 1)
    ]
    return RecordedSuite(cases=cases, backend=RecordedBackend(answers))


def play(of, **options):
    events = list(run_demo(of, usd_per_hour=Decimal(36), **options))
    table = events[-1]
    assert isinstance(table, Table)
    return events, table


def test_the_table_counts_what_every_arm_and_the_ladder_did():
    events, table = play(suite([{RUNGS[0]}, {RUNGS[1]}, set()]))
    rows = {row.name: row for row in table.fixed}
    assert list(rows) == list(ARMS)
    assert [rows[name].accepted for name in RUNGS] == [1, 1, 0]
    assert (table.ladder.tasks, table.ladder.accepted) == (3, 2)
    assert table.ladder.escalations == 0 + 1 + 2
    assert table.ladder.compute_s == pytest.approx(6.0)
    assert table.ladder.wall_s == pytest.approx(12.0)
    assert table.ladder.output_tokens == 30
    assert table.ladder.usd == Decimal("0.06"), "36 dollars an hour are one cent a second"
    assert table.ladder.usd_per_1000 == 20
    assert (rows[HIGH].resamples, rows[HIGH].escalations) == (6, 0)
    assert table.incomplete == 0
    assert [e.done for e in events if isinstance(e, Progress)] == [1, 2, 3]


def test_every_kind_of_story_is_told_with_all_its_attempts():
    events, _ = play(suite([{RUNGS[0]}, {RUNGS[1]}, set()]))
    told = {event.story: event.trace for event in events if isinstance(event, Shown)}
    assert {story: len(trace.attempts) for story, trace in told.items()} == {
        "first try": 1,
        "escalated": 2,
        "exhausted": 3,
    }


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.sampled_from(ARMS)), min_size=1, max_size=5))
def test_the_ladder_accepts_exactly_what_one_of_its_arms_gets_right(right):
    _, table = play(suite(right))
    assert table.ladder.accepted == sum(bool(arms & set(RUNGS)) for arms in right)
    for row in table.fixed:
        assert row.accepted == sum(row.name in arms for arms in right)
        assert row.usd == Decimal(round(row.compute_s)) / 100


def test_equal_answers_to_a_task_are_checked_once():
    _, table = play(suite([set()]))
    assert table.checks == 1
    verifier = scripted_verifier(["pass", "fail"])
    once = CheckedOnce(verifier)
    verdicts = [once(Task(input="x"), Answer(text=text)) for text in ("a", "b", "a")]
    assert [verdict.status for verdict in verdicts] == ["pass", "fail", "pass"]
    assert once.checks == 2


def test_a_task_without_an_answer_that_some_row_needs_is_left_out_of_all_rows():
    whole = suite([{RUNGS[0], HIGH}, set()])
    kept = [answer for answer in whole.backend._answers.values() if answer.sample_index < 2]
    cut = RecordedSuite(cases=whole.cases, backend=RecordedBackend(kept))
    _, table = play(cut)
    assert table.incomplete == 1
    assert {row.tasks for row in (*table.fixed, table.ladder)} == {1}


def test_nothing_to_compare_is_said():
    one = suite([set()])
    empty = RecordedSuite(cases=one.cases, backend=RecordedBackend([]))
    with pytest.raises(ConfigError, match="nothing to compare"):
        play(empty)


def test_a_truncated_answer_stays_truncated_because_no_larger_cap_was_recorded():
    one = suite([set()])
    cut_off = [
        answer.model_copy(update={"finish": "truncated"})
        for answer in one.backend._answers.values()
    ]
    _, table = play(RecordedSuite(cases=one.cases, backend=RecordedBackend(cut_off)))
    assert (table.ladder.accepted, table.ladder.escalations) == (0, 2)
    assert table.incomplete == 0


def test_every_attempt_is_booked_and_the_traces_are_those_of_the_ladder(tmp_path):
    ledger = MemoryLedger()
    path = tmp_path / "traces.jsonl"
    _, table = play(
        suite([{RUNGS[0]}, {RUNGS[2]}]), ledger=ledger, traces=TraceStore(path, store_text=True)
    )
    booked = sum(total.cost_usd for total in ledger.totals().values())
    assert booked == sum(row.usd for row in (*table.fixed, table.ladder))
    traces = list(read_traces(path))
    assert sorted(trace.task_id for trace in traces) == ["t/100", "t/101"]
    assert sum(trace.cost_usd for trace in traces) == table.ladder.usd


def test_the_best_single_arm_is_the_cheapest_of_the_equally_good():
    def row(name, accepted, compute_s):
        return Row(
            name=name,
            tasks=10,
            accepted=accepted,
            compute_s=compute_s,
            usd=Decimal(0),
            output_tokens=1,
            wall_s=1.0,
            escalations=0,
            resamples=0,
        )

    rows = (row("a", 5, 1.0), row("b", 8, 9.0), row("c", 8, 3.0))
    assert Table(rows, row("ladder", 9, 9.0), 0, 0).best_fixed.name == "c"
    low, high = rows[1].interval
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert row("none", 0, 1.0).interval[0] == 0.0


def test_recorded_arms_have_a_price_and_a_cap_that_cannot_be_raised():
    for arm in recorded_arms(load_ladder("local").arms, usd_per_hour=Decimal("0.05")):
        assert arm.max_output_tokens_limit == arm.max_output_tokens
        assert arm.price is not None
        assert arm.price.usd_per_hour == Decimal("0.05")


# --- which tasks -----------------------------------------------------------------------------------


def write(path, answers, **header):
    lines = [{"format": "effortctl-recording", "version": 1} | header]
    lines += [answer.model_dump(mode="json") for answer in answers]
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
    return path


def answered(case, **fields):
    return [said(case.task.id, arm, "x", **fields) for arm in ARMS]


def test_tasks_that_lack_an_arm_or_were_reworded_are_left_out_and_counted(tmp_path):
    whole, partly, reworded = load_suite(["sums"])[:3]
    answers = [
        *answered(whole),
        *answered(partly)[1:],
        *answered(reworded, prompt_sha256="0" * 64),
    ]
    found = load_recorded_suite(source=write(tmp_path / "r.gz", answers))
    assert [c.task.id for c in found.cases] == [whole.task.id]
    assert dict(found.families) == {"sums": 1}
    notes = " ".join(found.left_out)
    assert "not recorded with every arm" in notes
    assert "1 tasks: the installed packages word them differently" in notes


def test_a_limit_draws_the_same_tasks_every_time(tmp_path):
    answers = [answer for c in load_suite(["capitals"]) for answer in answered(c)]
    path = write(tmp_path / "r.gz", answers)
    first, again = (load_recorded_suite(source=path, limit=7) for _ in range(2))
    assert len(first.cases) == 7
    assert first.cases == again.cases


def test_a_recording_of_nothing_usable_is_refused(tmp_path):
    path = write(tmp_path / "r.gz", [said("elsewhere/1", ARMS[0], "x")])
    with pytest.raises(ConfigError, match="no recorded task can be run here"):
        load_recorded_suite(source=path)
    with pytest.raises(StoreError):
        load_recorded_suite(source=tmp_path / "missing.gz")


def test_code_tasks_are_thinned_out_and_nothing_else():
    code = [case(n).model_copy(update={"cluster": "humaneval"}) for n in range(10)]
    other = [case(n) for n in range(100, 110)]
    notes = []
    kept = _fewer_code_tasks([*code, *other], 4, notes)
    assert len(kept) == 14
    assert kept[4:] == other
    assert notes == ["6 of 10 humaneval tasks: running code takes time; --all takes them too"]
    assert _fewer_code_tasks(code, None, notes) == code


def test_a_recorded_case_is_found_by_its_id():
    assert recorded_case("sums/018").task.id == "sums/018"


@pytest.mark.parametrize(
    ("task_id", "hint"),
    [("poems/1", "the families are"), ("sums/9999", "sums/"), ("", "family/number")],
)
def test_an_unknown_task_is_told_what_there_is(task_id, hint):
    with pytest.raises(ConfigError, match=hint):
        recorded_case(task_id)


# --- checks of the suite ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "right", "wrong"),
    [
        ({"kind": "number", "expected": "12"}, "It is 12.", "It is 13."),
        ({"kind": "equals", "expected": "Paris"}, "paris", "Rome"),
        ({"kind": "any_equals", "expected": ["Brasilia", "Brasília"]}, "Brasília", "Rio"),
        ({"kind": "any_equals", "expected": ["Paris"]}, "Answer: Paris", "Lyon"),
        ({"kind": "json_fields", "expected": {"a": 1}}, '{"a": 1}', '{"a": 2}'),
        (
            {"kind": "choice", "expected": "food", "options": ["food", "sports"]},
            "It could be sports. Answer: food",
            "Food at first sight. Answer: sports",
        ),
        (
            {"kind": "choice", "expected": "food", "options": ["food", "sports"]},
            "food",
            "food or sports",
        ),
    ],
)
def test_each_kind_of_check_tells_right_from_wrong(spec, right, wrong):
    task = Task(input="x")
    verify = verifier_for(Case(task=task, reference=spec))
    assert verify(task, Answer(text=right)).passed
    assert not verify(task, Answer(text=wrong)).passed


@pytest.mark.parametrize("reference", [None, "12", {"kind": "poetry"}, {}])
def test_a_case_without_a_check_is_refused(reference):
    with pytest.raises(ConfigError, match="has no check"):
        verifier_for(Case(task=Task(id="x", input="x"), reference=reference))


# --- live ------------------------------------------------------------------------------------------


def spoken(text):
    usage = Usage(input_tokens=10, output_tokens=5)
    return Answer(text=text, usage=usage, latency_s=1.0, compute_s=1.0)


def test_live_tasks_are_announced_before_they_are_tried_and_capitals_climb():
    backend = FakeBackend(lambda call: spoken("Answer: Ankara"))
    attempts = []
    events = list(run_live(backend, usd_per_hour=Decimal(36), on_attempt=attempts.append))
    assert [type(event) for event in events[:4]] == [LiveTask, Trace, LiveTask, Trace]
    traces = {task.title: trace for task, trace in zip(events[::2], events[1::2], strict=True)}
    assert traces["The capital of Turkey"].outcome == "accepted"
    assert len(traces["The capital of Poland"].attempts) == 6, "four arms, the last three times"
    assert sum(len(trace.attempts) for trace in traces.values()) == len(attempts)
    assert all(a.cost_usd == Decimal("0.01") for a in attempts)
    schemas = [call.task.response_schema is not None for call in backend.calls[:6]]
    assert schemas == [False, True] * 3


def test_a_slow_machine_ends_the_live_part_after_its_minute():
    clock = FakeClock()

    def slowly(_call):
        clock.advance(25.0)
        return spoken("no")

    events = list(run_live(FakeBackend(slowly), usd_per_hour=Decimal(0), clock=clock.monotonic))
    assert sum(isinstance(event, Trace) for event in events) == 2


def test_a_machine_that_finishes_nothing_in_its_minute_is_an_error():
    clock = FakeClock()
    backend = FakeBackend(DeadlineExceededError("too slow"))
    with pytest.raises(DeadlineExceededError):
        list(run_live(backend, usd_per_hour=Decimal(0), clock=clock.monotonic))
