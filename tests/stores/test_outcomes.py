"""Outcome files: every bad row is refused by name and line, every good one survives a round trip."""

import csv
import gzip
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effortctl import ConfigError, StoreError
from effortctl.stores import (
    OutcomeRow,
    matrix_rows,
    outcome_matrix,
    read_outcomes,
    write_outcomes,
)

ROW = {"query_id": "q1", "arm": "m@low", "score": 1}


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def full_row(**changed):
    values = {
        "query_id": "q1",
        "arm": "m@low",
        "score": 0.5,
        "query": 'two\nlines, "quoted" é',
        "category": "maths",
        "cluster": "book-1",
        "date": "2026-01-02",
        "model": "m",
        "effort": "low",
        "verdict": "pass",
        "cost_usd": 0.25,
        "input_tokens": 10.0,
        "output_tokens": 20.0,
        "reasoning_tokens": 5.0,
        "cached_tokens": 2.0,
        "latency_s": 1.5,
        "propensity": 0.5,
        "n_samples": 2,
        "answer": "42",
    }
    return OutcomeRow(**(values | changed))


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz", "o.csv", "o.csv.gz", "o.parquet"])
def test_every_kind_of_file_gives_back_what_was_written(tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    rows = [full_row(), full_row(arm="n", model="n", effort="default", score=0, answer=None)]
    write_outcomes(tmp_path / name, rows)
    assert list(matrix_rows(read_outcomes(tmp_path / name))) == rows


@pytest.mark.parametrize("name", ["o.jsonl", "o.csv.gz"])
def test_a_mark_before_the_text_is_no_part_of_it(tmp_path, name):
    write_outcomes(tmp_path / name, [full_row()])
    opener = gzip.open if name.endswith("gz") else open
    with opener(tmp_path / name, "rb") as file:
        text = file.read()
    with opener(tmp_path / name, "wb") as file:
        file.write(b"\xef\xbb\xbf" + text)
    assert list(matrix_rows(read_outcomes(tmp_path / name))) == [full_row()]


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"effortctl\[big\]"):
        read_outcomes(tmp_path / "o.parquet")


def test_a_matrix_has_holes_where_an_arm_did_not_try(tmp_path):
    path = jsonl(tmp_path / "o.jsonl", ROW, ROW | {"query_id": "q2", "arm": "n", "score": 0})
    matrix = read_outcomes(path)
    assert matrix.task_ids == ("q1", "q2")
    assert matrix.arms == ("m@low", "n")
    assert matrix.models == ("m", "n")
    assert matrix.efforts == ("low", "default")
    np.testing.assert_array_equal(matrix.score, [[1, np.nan], [np.nan, 0]])
    assert np.isnan(matrix.cost_usd).all()
    assert (matrix.verdict == -1).all()
    assert matrix.answers is None
    assert matrix.rows == 2


def test_an_at_sign_that_names_no_effort_belongs_to_the_model():
    matrix = outcome_matrix([ROW | {"arm": "team@home"}])
    assert (matrix.models, matrix.efforts) == (("team@home",), ("default",))


def test_unknown_columns_and_empty_fields_are_ignored():
    matrix = outcome_matrix([ROW | {"cost_basis": "list", "cost_usd": None, "category": ""}])
    assert matrix.categories == (None,)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"score": 1.5}, "score is 1.5, expected 0..1"),
        ({"score": -0.1}, "score is -0.1"),
        ({"score": math.nan}, "score is nan"),
        ({"score": "good"}, "score is 'good', expected a number"),
        ({"score": None}, "score is missing"),
        ({"arm": ""}, "arm is missing"),
        ({"query_id": [1]}, "query_id is list, expected text"),
        ({"cost_usd": -1}, "cost_usd is -1, expected 0 or more"),
        ({"cost_usd": math.inf}, "cost_usd is inf"),
        ({"cost_usd": True}, "cost_usd is True"),
        ({"verdict": "maybe"}, "verdict is 'maybe'"),
        ({"verdict": []}, "verdict is []"),
        ({"propensity": 0}, "propensity is 0"),
        ({"n_samples": 1.5}, "n_samples is 1.5"),
        ({"latency_s": "-2"}, "latency_s is -2"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_with_its_line(tmp_path, changed, complaint):
    path = jsonl(tmp_path / "o.jsonl", ROW | {"query_id": "other"}, ROW | changed)
    with pytest.raises(StoreError) as caught:
        read_outcomes(path)
    assert complaint in str(caught.value)
    assert f"{path}, line 2:" in str(caught.value)


def test_an_outcome_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(StoreError, match="line 3: task 'q1' already has an outcome of arm 'm@low'"):
        read_outcomes(jsonl(tmp_path / "o.jsonl", ROW, ROW | {"arm": "n"}, ROW))


@pytest.mark.parametrize(
    "other",
    [
        {"arm": "n", "query": "another prompt"},
        {"arm": "n", "category": "another"},
        {"query_id": "q2", "model": "another"},
    ],
)
def test_rows_that_contradict_each_other_are_refused(other):
    with pytest.raises(StoreError, match=r"row 2: .* had another"):
        outcome_matrix([ROW, ROW | other])


def test_files_are_read_as_one(tmp_path):
    one = jsonl(tmp_path / "a.jsonl", ROW)
    two = jsonl(tmp_path / "b.jsonl", ROW | {"arm": "n"})
    assert read_outcomes(one, two).score.shape == (1, 2)
    with pytest.raises(StoreError, match="already has"):
        read_outcomes(one, one)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{", "line 1: not JSON"), ("[1]", "line 1: a JSON list"), ("", "there is no outcome")],
)
def test_a_file_that_is_no_outcome_file_is_refused(tmp_path, text, complaint):
    path = tmp_path / "o.jsonl"
    path.write_text(text)
    with pytest.raises(StoreError, match=complaint):
        read_outcomes(path)


def test_damaged_or_missing_files_are_store_errors(tmp_path):
    cut = tmp_path / "o.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(ROW).encode() * 50)[:-12])
    with pytest.raises(StoreError, match="cannot be read"):
        read_outcomes(cut)
    with pytest.raises(StoreError, match="cannot be read"):
        read_outcomes(tmp_path / "none.jsonl")
    binary = tmp_path / "b.jsonl"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="cannot be read"):
        read_outcomes(binary)


def test_an_unknown_ending_is_the_callers_mistake(tmp_path):
    with pytest.raises(ConfigError, match="unknown ending"):
        read_outcomes(tmp_path / "o.xlsx")


def test_a_csv_row_with_too_few_or_too_many_columns_is_refused(tmp_path):
    path = tmp_path / "o.csv"
    for line in ("q1,m", "q1,m,1,9"):
        path.write_text(f"query_id,arm,score\n{line}\n")
        with pytest.raises(StoreError, match="line 2: the number of columns"):
            read_outcomes(path)


def test_a_csv_line_number_counts_lines_inside_quotes(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text('query_id,arm,score,query\nq1,m,1,"a\nb"\nq2,m,7,c\n')
    with pytest.raises(StoreError, match="line 4: score is 7"):
        read_outcomes(path)


def test_reading_a_csv_leaves_the_global_field_limit_alone(tmp_path):
    before = csv.field_size_limit()
    write_outcomes(tmp_path / "o.csv", [full_row(query="x" * 300_000)])
    assert len(read_outcomes(tmp_path / "o.csv").texts[0]) == 300_000
    assert csv.field_size_limit() == before


def test_tasks_and_arms_can_be_selected():
    rows = [
        ROW | {"query_id": f"q{i}", "arm": arm, "score": i / 4, "answer": f"{i}{arm}"}
        for i in range(4)
        for arm in ("a", "b")
    ]
    matrix = outcome_matrix(rows)
    part = matrix.select_tasks([3, 1]).select_arms(["b"])
    assert part.task_ids == ("q3", "q1")
    assert part.score.tolist() == [[0.75], [0.25]]
    assert part.answers.tolist() == [["3b"], ["1b"]]
    assert len(matrix.select_tasks(np.array([True, False, False, True]))) == 2
    with pytest.raises(ConfigError, match="no outcomes of arm 'c'"):
        matrix.select_arms(["c"])
    with pytest.raises(ConfigError, match="named twice"):
        matrix.select_arms(["a", "a"])


def test_arrays_cannot_be_written_to():
    matrix = outcome_matrix([ROW])
    with pytest.raises(ValueError, match="read-only"):
        matrix.score[0, 0] = 0


def test_tasks_carry_text_and_category():
    task = outcome_matrix([ROW | {"query": "why?", "category": "c"}]).tasks()[0]
    assert (task.id, task.text, task.category) == ("q1", "why?", "c")


CELLS = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 3)),
    st.tuples(st.floats(0, 1), st.none() | st.floats(0, 1e6), st.sampled_from([None, "pass"])),
    min_size=1,
)


@settings(deadline=None)
@given(CELLS)
def test_rows_survive_the_matrix(cells):
    rows = [
        OutcomeRow(query_id=f"q{i}", arm=f"a{j}", score=score, cost_usd=cost, verdict=verdict)
        for (i, j), (score, cost, verdict) in cells.items()
    ]
    back = list(matrix_rows(outcome_matrix(rows)))
    assert sorted(back, key=repr) == sorted(rows, key=repr)


def test_a_prompt_with_any_line_end_survives_csv(tmp_path):
    queries = ["one\rtwo", "one\ntwo", "one\r\ntwo", '"quoted", and more']
    rows = [
        OutcomeRow(query_id=str(i), query=query, arm="a", score=1.0)
        for i, query in enumerate(queries)
    ]
    write_outcomes(tmp_path / "o.csv", rows)
    assert list(read_outcomes(tmp_path / "o.csv").texts) == queries


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl"])
def test_what_was_escalated_to_is_remembered_and_no_sample_of_all_tasks(tmp_path, name):
    rows = [
        OutcomeRow(query_id=task, arm=arm, score=1.0, escalated=escalated)
        for task, arm, escalated in (
            ("t1", "a", False),
            ("t1", "b", False),
            ("t2", "a", False),
            ("t2", "b", True),
            ("t3", "a", False),
        )
    ]
    write_outcomes(tmp_path / name, rows)
    matrix = read_outcomes(tmp_path / name)
    assert list(matrix_rows(matrix)) == rows
    assert matrix.whole.tolist() == [True, False, False]
    assert matrix.select_tasks([1]).asked_first.tolist() == [[True, False]]


def test_without_escalation_a_task_is_whole_where_every_arm_tried_it():
    matrix = outcome_matrix([ROW])
    assert matrix.escalated is None
    assert matrix.whole.all()
    with pytest.raises(StoreError, match="escalated is 'maybe'"):
        outcome_matrix([ROW | {"escalated": "maybe"}])
