import asyncio
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl._errors import BackendError, StoreError
from effortctl._types import Arm, Call, Task
from effortctl.backends import AsyncRecordedBackend, RecordedAnswer, RecordedBackend
from effortctl.backends._recorded import prompt_sha256

HEADER = {"format": "effortctl-recording", "version": 1, "cpu": "a test"}
TASK = Task(id="sums/001", input="What is 2+2?")


def row(**fields):
    return {
        "task_id": "sums/001",
        "arm": "tiny@none",
        "model": "tiny",
        "effort": "none",
        "text": "4",
        "input_tokens": 12,
        "output_tokens": 2,
        "latency_s": 0.5,
        "compute_s": 0.25,
    } | fields


def call(*, task=TASK, arm="tiny@none", sample_index=0, cap=64, arm_cap=64):
    asked = Arm(name=arm, model="tiny", max_output_tokens=arm_cap)
    return Call(task, asked, task.messages, sample_index, cap)


def backend(*rows):
    return RecordedBackend([RecordedAnswer.model_validate(r) for r in rows])


def write(path, *lines):
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


# --- answers ---


def test_the_answer_comes_back_with_its_text_tokens_and_seconds():
    answer = backend(row(text="  4\n", cached_tokens=3)).complete(call())
    assert answer.text == "  4\n"
    assert answer.finish == "complete"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 2)
    assert answer.usage.cached_tokens == 3
    assert (answer.latency_s, answer.compute_s) == (0.5, 0.25)
    assert answer.model == "tiny"


def test_arms_and_samples_are_told_apart():
    recorded = backend(
        row(), row(sample_index=1, text="5"), row(arm="tiny@low", effort="low", text="2+2=4")
    )
    assert recorded.complete(call(sample_index=1)).text == "5"
    assert recorded.complete(call(arm="tiny@low")).text == "2+2=4"


def test_a_sample_that_was_not_recorded_is_a_backend_error_that_bills_nothing():
    with pytest.raises(BackendError, match="sample 1 of it was not recorded") as caught:
        backend(row()).complete(call(sample_index=1))
    assert caught.value.kind == "not_recorded"
    assert caught.value.arm == "tiny@none"
    assert caught.value.billed is False


def test_an_error_names_arm_and_task_but_not_the_prompt():
    with pytest.raises(BackendError) as caught:
        backend().complete(call())
    assert "tiny@none" in str(caught.value)
    assert "sums/001" in str(caught.value)
    assert "2+2" not in str(caught.value)


def test_a_task_whose_wording_changed_is_refused():
    recorded = backend(row(prompt_sha256=prompt_sha256(TASK)))
    changed = TASK.model_copy(update={"input": "What is 2+3?"})
    assert recorded.complete(call()).text == "4"
    with pytest.raises(BackendError, match="prompt differs") as caught:
        recorded.complete(call(task=changed))
    assert caught.value.kind == "prompt_changed"


def test_a_truncated_answer_comes_back_truncated():
    recorded = backend(row(finish="truncated", output_tokens=64))
    assert recorded.complete(call()).finish == "truncated"


def test_what_a_raised_cap_would_have_given_is_not_made_up():
    recorded = backend(row(finish="truncated", output_tokens=64))
    with pytest.raises(BackendError, match="max_output_tokens_limit"):
        recorded.complete(call(cap=128))


def test_an_answer_longer_than_the_cap_is_refused():
    with pytest.raises(BackendError, match="took 80 tokens, more than the cap of 64"):
        backend(row(output_tokens=80)).complete(call())


def test_the_same_sample_twice_is_a_store_error():
    with pytest.raises(StoreError, match="recorded twice"):
        backend(row(), row(text="5"))


def test_recorded_tasks_are_those_that_every_named_arm_has_answered():
    recorded = backend(
        row(task_id="b"),
        row(task_id="a"),
        row(task_id="a", arm="tiny@low"),
        row(task_id="c", arm="x"),
    )
    assert recorded.recorded_tasks() == ("a", "b", "c")
    assert recorded.recorded_tasks(["tiny@none", "tiny@low"]) == ("a",)


def test_the_async_backend_gives_the_same_answer():
    assert asyncio.run(AsyncRecordedBackend(backend(row())).complete(call())).text == "4"


# --- files ---


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.jsonl.gz"])
def test_a_file_is_read_gzipped_or_not(tmp_path, name):
    recorded = RecordedBackend(write(tmp_path / name, HEADER, row()))
    assert recorded.complete(call()).text == "4"
    assert recorded.provenance["cpu"] == "a test"


def test_the_async_backend_reads_a_file_too(tmp_path):
    recorded = AsyncRecordedBackend(write(tmp_path / "answers.jsonl", HEADER, row()))
    assert asyncio.run(recorded.complete(call())).text == "4"


def test_answers_given_directly_have_no_provenance():
    assert backend(row()).provenance == {}


def test_a_missing_file_is_a_store_error(tmp_path):
    with pytest.raises(StoreError, match=r"none\.jsonl cannot be read"):
        RecordedBackend(tmp_path / "none.jsonl")


def test_a_gzip_file_cut_short_is_a_store_error(tmp_path):
    path = write(tmp_path / "answers.jsonl.gz", HEADER, row())
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(StoreError, match="cannot be read"):
        RecordedBackend(path)


def test_bytes_that_are_not_text_are_a_store_error(tmp_path):
    (tmp_path / "answers.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StoreError, match="cannot be read"):
        RecordedBackend(tmp_path / "answers.jsonl")


@pytest.mark.parametrize("first", ["", "[]", "{}", "not json", {"format": "something else"}])
def test_a_file_without_the_header_is_a_store_error(tmp_path, first):
    with pytest.raises(StoreError, match="not a recording"):
        RecordedBackend(write(tmp_path / "answers.jsonl", first, row()))


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_a_store_error(tmp_path, version):
    path = write(tmp_path / "answers.jsonl", HEADER | {"version": version}, row())
    with pytest.raises(StoreError, match="reads version 1"):
        RecordedBackend(path)


def without(name):
    return {key: value for key, value in row().items() if key != name}


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ('{"task_id": "cut', "Invalid JSON"),
        (without("text"), "text: Field required"),
        (row(output_tokens=-1), "output_tokens"),
        (row(surprise=1), "surprise"),
        (row(finish="tired"), "finish"),
    ],
)
def test_a_damaged_line_is_a_store_error_with_its_number(tmp_path, line, about):
    path = write(tmp_path / "answers.jsonl", HEADER, row(), line)
    with pytest.raises(StoreError, match="line 3") as caught:
        RecordedBackend(path)
    assert about in str(caught.value)


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_comes_back_unchanged(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "answers.jsonl"
    lines = "".join(json.dumps(o, ensure_ascii=False) + "\n" for o in (HEADER, row(text=text)))
    path.write_bytes(lines.encode())
    assert RecordedBackend(path).complete(call()).text == text
