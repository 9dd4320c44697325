"""Traces are appended whole, hold no prompt, and are read back as they were."""

import datetime as dt
import hashlib
import json
import stat
import subprocess
import sys
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl._errors import EffortctlWarning, StoreError
from effortctl._types import Answer, Attempt, Cost, Trace, Usage, Verdict
from effortctl.stores import TraceStore, read_traces
from effortctl.stores._lines import is_torn as _is_torn


def make_trace(number=0, text="the answer is 408"):
    attempt = Attempt(
        arm="a",
        model="m",
        requested_effort="low",
        effective_effort="low",
        max_output_tokens=10,
        answer=Answer(text=text, usage=Usage(input_tokens=3)),
        verdict=Verdict(
            status="fail", feedback=f"{text} is wrong", error=f"ValueError: {text}", score=0.5
        ),
        cost=Cost(usd=Decimal("0.000001"), source="user"),
    )
    unanswered = attempt.model_copy(
        update={"answer": None, "verdict": None, "error": "TransientBackendError: 503"}
    )
    return Trace(
        id=f"trace-{number}",
        task_id="t",
        outcome="exhausted",
        policy="ladder",
        attempts=(attempt, unanswered),
        started_at=dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
        metadata={"ticket": "42"},
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "traces.jsonl"


def test_traces_come_back_in_order_and_as_they_were(path):
    store = TraceStore(path, store_text=True)
    traces = [make_trace(number) for number in range(3)]
    for trace in traces:
        store.write(trace)
    assert list(read_traces(path)) == traces
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_text_is_left_out_unless_it_is_asked_for(path):
    TraceStore(path).write(make_trace())
    assert "408" not in path.read_text().replace(
        hashlib.sha256(b"the answer is 408").hexdigest(), ""
    )
    (trace,) = read_traces(path)
    first, second = trace.attempts
    assert (first.answer.text, first.verdict.feedback) == ("", "")
    assert (first.verdict.error, first.verdict.score) == ("ValueError", 0.5)
    assert second.error == "TransientBackendError: 503"
    assert trace.metadata == {
        "ticket": "42",
        "answer_sha256.0": hashlib.sha256(b"the answer is 408").hexdigest(),
    }


@pytest.mark.parametrize("store_text", [False, True])
@pytest.mark.parametrize(
    "text", ["line\nbreak\r\u2028\u0085 end", "half a pair \ud800", "\0", "é☃"]
)
def test_odd_text_stays_on_its_line(path, text, store_text):
    store = TraceStore(path, store_text=store_text)
    store.write(make_trace(text=text))
    store.write(make_trace(1))
    first, _ = read_traces(path)
    assert first.attempts[0].answer.text == (text if store_text else "")
    assert path.read_bytes().count(b"\n") == 2


def test_a_torn_last_line_is_skipped_with_its_number(path):
    store = TraceStore(path)
    store.write(make_trace(0))
    store.write(make_trace(1))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(EffortctlWarning, match=r"traces\.jsonl, line 2: skipped an unfinished"):
        traces = list(read_traces(path))
    assert [trace.id for trace in traces] == ["trace-0"]


def test_writing_after_a_torn_line_loses_nothing_more(path):
    store = TraceStore(path)
    store.write(make_trace(0))
    path.write_bytes(path.read_bytes()[:-40])
    store.write(make_trace(1))
    with pytest.warns(EffortctlWarning, match="line 1: skipped"):
        traces = list(read_traces(path))
    assert [trace.id for trace in traces] == ["trace-1"]


def test_a_last_line_that_lacks_only_its_end_counts(path):
    store = TraceStore(path)
    store.write(make_trace(0))
    path.write_bytes(path.read_bytes()[:-1])
    assert len(list(read_traces(path))) == 1
    store.write(make_trace(1))
    assert len(list(read_traces(path))) == 2


@given(st.data())
def test_every_beginning_of_a_record_is_recognised_as_torn(data):
    line = make_trace().model_dump_json().encode()
    assert _is_torn(line[: data.draw(st.integers(1, len(line) - 1))])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hello", "line 2: not JSON"),
        ('{"id": 1}}', "line 2: not JSON"),
        ("[1, 2", "line 2: not JSON"),
        ("{'id': 1}", "line 2: not JSON"),
        ("[]", "found version None"),
        ('{"id": "x"}', "found version None"),
        ('{"version": 2}', "line 2: expected a trace of version 1, found version 2"),
        ('{"version": 1, "id": "x"}', "line 2: field 'task_id' is wrong: Field required"),
    ],
)
def test_a_line_that_is_no_trace_is_an_error_that_names_it(path, line, message):
    TraceStore(path).write(make_trace())
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(StoreError, match=r"traces\.jsonl") as caught:
        list(read_traces(path))
    assert message in str(caught.value)


def test_an_unknown_field_is_an_error_that_does_not_quote_its_value(path):
    record = json.loads(make_trace().model_dump_json()) | {"prompt": "a secret question"}
    path.parent.mkdir()
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(StoreError, match="field 'prompt' is wrong") as caught:
        list(read_traces(path))
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_a_store_error(path):
    with pytest.raises(StoreError, match="No such file"):
        list(read_traces(path))


def test_a_place_that_cannot_be_written_is_a_store_error(tmp_path):
    with pytest.raises(StoreError, match="check the path"):
        TraceStore(tmp_path).write(make_trace())


WRITER = """
import datetime as dt, os, sys
from effortctl._types import Trace
from effortctl.stores import TraceStore

store = TraceStore(sys.argv[1])
now = dt.datetime.now(dt.UTC)
number = 0
while True:
    name = f"{sys.argv[2]}-{number}"
    pad = {"pad": "x" * (number % 7 * 1500)}
    store.write(
        Trace(id=name, task_id="t", outcome="failed", policy="p", started_at=now, metadata=pad)
    )
    os.write(1, f"{name}\\n".encode())
    number += 1
"""


@pytest.mark.filterwarnings("ignore:.*skipped an unfinished record")
def test_killed_writers_lose_no_trace_they_had_written(path):
    acknowledged = set()
    for turn in range(2):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, path, f"{turn}-{number}"],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(3)
        ]
        for writer in writers:
            acknowledged.add(writer.stdout.readline().strip())
        time.sleep(0.15)
        for writer in writers:
            writer.kill()
        for writer in writers:
            lines = writer.communicate()[0].splitlines(keepends=True)
            acknowledged.update(line.strip() for line in lines if line.endswith("\n"))
    assert acknowledged <= {trace.id for trace in read_traces(path)}
