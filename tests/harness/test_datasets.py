"""Datasets from files, Python, generators and memory."""

import csv
import gzip
import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effortctl import Answer, Task
from effortctl._errors import ConfigError, StoreError
from effortctl._types import Case
from effortctl.harness.datasets import load_dataset


@pytest.fixture
def file(tmp_path):
    """Writes a file and gives its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_csv_file_gives_cases_with_all_columns(file):
    dataset = load_dataset(
        file(
            "tasks.csv",
            "id,input,target,cluster,category,instructions,verify\n"
            'a,"What is 2 + 2?\nThink.",4,sums,math,Be brief.,number:4\n'
            "b,What is 3 + 3?,6,sums,math,,\n",
        )
    )
    first, second = dataset.cases
    assert first.task == Task(
        id="a",
        input="What is 2 + 2?\nThink.",
        instructions="Be brief.",
        category="math",
    )
    assert (first.reference, first.cluster) == ("4", "sums")
    assert second.task.instructions is None
    assert (dataset.name, dataset.metric_names, dataset.notes) == ("tasks.csv", ("number",), ())
    assert dataset.verifier(first)(first.task, Answer(text="4")).passed
    assert dataset.verifier(second) is None
    assert [dataset.score(case, "Answer: 4") for case in dataset.cases] == [1.0, 0.0]


LINES = [
    {"id": "a", "prompt": "Capital of France?", "target": "Paris"},
    {"id": "b", "prompt": "Capital of Peru?", "target": ["Lima", "Ciudad de Lima"]},
]


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz", "t.ndjson", "t.json", "lines.json"])
def test_json_files_give_the_same_cases(file, name):
    text = "\n".join(map(json.dumps, LINES)) if name != "t.json" else json.dumps(LINES, indent=2)
    content = gzip.compress(text.encode()) if name.endswith("gz") else text
    dataset = load_dataset(file(name, content))
    assert [case.task.id for case in dataset.cases] == ["a", "b"]
    assert dataset.score(dataset["b"], "The answer: ciudad de lima.") == 1


def test_parquet_files_give_the_same_cases(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"id": "a", "input": "2+2?", "target": 4}, {"id": "b", "input": "3+3?", "target": 6}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    dataset = load_dataset(tmp_path / "t.parquet")
    assert [dataset.score(case, "6") for case in dataset.cases] == [0, 1]


def test_a_byte_order_mark_is_no_part_of_the_first_column(file):
    dataset = load_dataset(file("t.csv", b"\xef\xbb\xbfid,input,target\na,Hi?,Hi\n"))
    assert dataset.cases[0].task.id == "a"


def test_a_prompt_may_be_megabytes_long(file):
    dataset = load_dataset(file("t.csv", f"input,target\n{'x' * 3_000_000},1\n"))
    assert len(dataset.cases[0].task.text) == 3_000_000


def test_messages_may_be_a_list_or_json_in_a_cell(file):
    turns = [{"role": "system", "content": "Short."}, {"role": "user", "content": "Hi"}]
    cell = json.dumps(turns).replace('"', '""')
    from_csv = load_dataset(file("t.csv", f'messages,target\n"{cell}",Hello\n'))
    from_json = load_dataset([{"messages": turns, "target": "Hello"}])
    assert from_csv.cases == from_json.cases
    assert [turn.role for turn in from_csv.cases[0].task.messages] == ["system", "user"]


BAD = {
    "no prompt": ("id,target\na,1\n", "line 2: has no prompt"),
    "two prompts": ("id,input,prompt,target\na,x,y,1\n", "line 2: has input and prompt"),
    "blank prompt": ("id,input,target\na,   ,1\n", "line 2, column 'input': is blank"),
    "same id": ("id,input,target\na,x,1\na,y,2\n", "line 3, column 'id': 'a' was used before"),
    "same row": ("input,target\nx,1\nx,1\n", "line 3, column 'id'"),
    "ragged": ("id,input,target\na,x\n", "line 2: 2 cells, expected 3"),
    "ragged after a long cell": ('id,input,target\n"a\nb",x,1\nc,d\n', "line 4: 2 cells"),
    "open quote": ('id,input,target\na,"x,1\n', "not CSV"),
    "header twice": ("id,id,input\na,b,c\n", "column 'id' is named twice"),
    "semicolons": ("id;input\na;b\n", "line 1: the columns are separated by semicolons"),
    "tabs": ("id\tinput\na\tb\n", "line 1: the columns are separated by tabs"),
    "only a header": ("id,input,target\n", "has no cases"),
    "empty": ("", "is empty"),
    "blank": (" \n \n", "is empty"),
    "bad messages": ("id,messages,target\na,hello,1\n", "column 'messages': not JSON"),
    "bad role": (
        'id,messages\na,"[{""role"":""judge"",""content"":""x""}]"\n',
        "'messages': role: Input should be",
    ),
    "bad check": ('id,input,verify\na,x,"{1}"\n', "column 'verify': it starts like JSON"),
    "bad metric": ("id,input,target,metric\na,x,1,vibes\n", "column 'metric': 'vibes' is unknown"),
    "one choice": ("id,input,target,choices\na,x,b,b\n", "column 'choices'"),
    "latin-1": (b"id,input,target\na,\xe9t\xe9,1\n", "not UTF-8 text"),
    "utf-16": ("id,input\na,b\n".encode("utf-16"), "UTF-16"),
    "pickle": (b"\x80\x04\x95\x00", "runs whatever code"),
    "archive": (b"PK\x03\x04rest", "archive"),
}


@pytest.mark.parametrize(("content", "told"), BAD.values(), ids=BAD.keys())
def test_a_file_that_makes_no_sense_is_refused_with_its_place(file, content, told):
    with pytest.raises(StoreError) as error:
        load_dataset(file("bad.csv", content))
    assert told in str(error.value)
    assert "bad.csv" in str(error.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"input": "x", "target": 1}\n{"input": \n', "line 2, column"),
        ('{"input": "x", "target": 1}\n[1]\n', "line 2: a JSON list, expected an object"),
        ('{"input": {"a": 1}, "target": 1}\n', "line 1, column 'input': dict, expected text"),
        ('{"input": "x", "target": NaN}\n', "NaN is not a JSON value"),
        ('{"input": "x", "id": true, "target": 1}\n', "column 'id': bool, expected text"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_json_line_is_refused_with_its_place(file, content, told):
    with pytest.raises(StoreError, match=r"bad\.jsonl") as error:
        load_dataset(file("bad.jsonl", content))
    assert told in str(error.value)


def test_a_missing_file_and_an_unknown_ending_say_what_to_do(tmp_path, file):
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        load_dataset(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match=r"use \.csv"):
        load_dataset(file("tasks.txt", "hello"))
    with pytest.raises(ConfigError, match=r"use \.csv"):
        load_dataset("my-tasks")


def test_a_truncated_gzip_file_is_refused(file):
    packed = gzip.compress(b"id,input,target\n" + b"a,b,c\n" * 9999)
    with pytest.raises(StoreError, match="cannot be read"):
        load_dataset(file("t.csv.gz", packed[: len(packed) // 2]))


# --- what can be scored ----------------------------------------------------------------------------


def test_a_missing_target_is_refused_before_any_call():
    rows = [{"input": f"{n}?", "target": n} for n in range(3)] + [{"input": "x"}, {"input": "y"}]
    with pytest.raises(ConfigError, match=r"has no target.*so it is for 1 more"):
        load_dataset(rows)


@pytest.mark.parametrize(
    ("target", "metric", "told"),
    [
        ("four", "number", "its target does not fit"),
        ("x", "json", "JSON object"),
        ("x", "code_tests", "entry_point"),
        ("Z", "choice", "none of the choices"),
        ("x", "verifier", "neither a target nor a check"),
        ("x", "vibes", "unknown metric"),
    ],
)
def test_a_target_of_the_wrong_kind_is_refused_before_any_call(target, metric, told):
    with pytest.raises(ConfigError, match=told):
        load_dataset([{"input": "x", "target": target}], metric=metric)


def test_a_bad_check_is_refused_with_the_case():
    with pytest.raises(ConfigError, match="case 'a': its check makes no sense: unknown check"):
        load_dataset([{"id": "a", "input": "x", "target": "1", "verify": "nmber:4"}])
    with pytest.raises(ConfigError, match=r"case 'a'.*lacks 'expected'"):
        load_dataset([{"id": "a", "input": "x", "target": "1", "verify": {"kind": "number"}}])


def test_cases_without_a_target_are_scored_by_their_check():
    rows = [
        {"id": "a", "input": "2?", "target": 2},
        {"id": "b", "input": "hi", "verify": "regex:hi"},
    ]
    dataset = load_dataset(rows)
    assert dataset.metric_names == ("number", "verifier")
    assert dataset.score(dataset["b"], "oh hi") == 1
    assert load_dataset(rows[1:]).metric_names == ("verifier",)


def test_the_metric_can_be_the_check():
    dataset = load_dataset([{"id": "a", "input": "2?", "target": 2}], verify="metric")
    case = dataset["a"]
    verdicts = [dataset.verifier(case)(case.task, Answer(text=text)) for text in ("2", "3")]
    assert [verdict.status for verdict in verdicts] == ["pass", "fail"]


def test_a_list_of_checks_must_all_pass(file):
    path = file("t.csv", 'id,input,verify\na,x,"[""contains:foo"", ""contains:bar""]"\n')
    dataset = load_dataset(path)
    assert [dataset.score(dataset["a"], text) for text in ("foo bar", "foo")] == [1, 0]


@pytest.mark.parametrize(
    "columns",
    [
        {"verify": "python:evil.py:f"},
        {"verify": ["not-empty", "code-tests:tests.py:f"]},
        {"verify": {"kind": "code_tests", "entry_point": "f", "prompt": "", "tests": ""}},
        {"metric": "code_tests", "target": {"tests": "", "entry_point": "f"}},
    ],
)
def test_a_file_may_not_run_code_unless_it_is_trusted(file, columns):
    path = file("t.jsonl", json.dumps({"id": "a", "input": "x", "target": "y", **columns}))
    with pytest.raises(StoreError, match="--trust-code"):
        load_dataset(path)


def test_a_trusted_file_may_name_a_check_in_python(file):
    check = file("check.py", "def good(text):\n    return text == 'x'\n")
    path = file("t.csv", f"id,input,verify\na,say x,python:{check}:good\nb,say y,contains:y\n")
    dataset = load_dataset(path, trust_code=True)
    assert [dataset.score(case, "x") for case in dataset.cases] == [1, 0]


def test_an_unused_column_is_told_with_the_name_that_was_probably_meant():
    dataset = load_dataset([{"input": "x", "target": "y", "categry": "z", "source": "web"}])
    assert dataset.notes == (
        "column 'categry' is not used; was 'category' meant?",
        "column 'source' is not used",
    )


# --- Python ----------------------------------------------------------------------------------------


def test_a_function_in_a_python_file_gives_cases(file):
    path = file(
        "tasks.py",
        "from effortctl._types import Case, Task\n"
        "def cases():\n"
        "    yield Case(task=Task(id='a', input='2+2'), reference=4)\n"
        "    yield {'id': 'b', 'input': '3+3', 'target': 6}\n"
        "def broken():\n    raise RuntimeError('oops')\n"
        "def number():\n    return 3\n",
    )
    assert [case.reference for case in load_dataset(f"{path}:cases").cases] == [4, 6]
    for function, told in (("none", "has no function"), ("broken", "oops"), ("number", "int")):
        with pytest.raises(ConfigError, match=told):
            load_dataset(f"{path}:{function}")
    with pytest.raises(ConfigError, match="no Python file"):
        load_dataset("nowhere.py:cases")


def test_cases_in_memory_must_be_cases_or_records():
    case = Case(task=Task(id="a", input="x"), reference="y")
    assert load_dataset([case]).cases == (case,)
    with pytest.raises(ConfigError, match="case 2 is of type str"):
        load_dataset([case, "x"])
    with pytest.raises(StoreError, match="has no id"):
        load_dataset([Case(task=Task(input="x"), reference="y")])


# --- samples and fingerprints ----------------------------------------------------------------------

ROWS = [{"id": f"t{n}", "input": f"What is {n}?", "target": n} for n in range(50)]


def test_a_limit_takes_the_first_and_a_seed_draws():
    first = load_dataset(ROWS, limit=5)
    drawn = load_dataset(ROWS, limit=5, seed=1)
    assert [case.task.id for case in first.cases] == [f"t{n}" for n in range(5)]
    assert drawn.cases == load_dataset(ROWS, limit=5, seed=1).cases
    assert drawn.cases != load_dataset(ROWS, limit=5, seed=2).cases
    assert drawn.notes == ("5 of 50 cases, drawn with seed 1",)
    assert len(load_dataset(ROWS, limit=500, seed=1)) == 50
    with pytest.raises(ConfigError, match="limit is 0"):
        load_dataset(ROWS, limit=0)


def test_the_fingerprint_changes_with_what_decides_scores_and_not_with_the_order():
    fingerprint = load_dataset(ROWS).fingerprint
    assert load_dataset(ROWS[::-1]).fingerprint == fingerprint
    changed = [
        ROWS[0] | change for change in ({"target": 7}, {"input": "?"}, {"verify": "number:0"})
    ]
    different = {load_dataset([row, *ROWS[1:]]).fingerprint for row in changed}
    different |= {
        load_dataset(ROWS, metric="exact").fingerprint,
        load_dataset(ROWS[1:]).fingerprint,
    }
    assert len(different) == 5
    assert fingerprint not in different


def test_a_case_without_an_id_keeps_its_name_when_rows_move():
    rows = [{"input": "x", "target": "1"}, {"input": "y", "target": "2"}]
    names = {case.task.text: case.task.id for case in load_dataset(rows).cases}
    moved = {case.task.text: case.task.id for case in load_dataset(rows[::-1]).cases}
    assert names == moved


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(string.ascii_letters, min_size=1, max_size=5),
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(str.strip),
        min_size=1,
        max_size=5,
    )
)
def test_any_prompt_survives_a_json_line(tmp_path_factory, prompts):
    path = tmp_path_factory.mktemp("any") / "t.jsonl"
    rows = [{"id": key, "input": text, "target": "x"} for key, text in prompts.items()]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert {case.task.id: case.task.text for case in load_dataset(path).cases} == prompts


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(str.strip),
        min_size=1,
        max_size=5,
    )
)
def test_any_prompt_survives_a_csv_file(tmp_path_factory, prompts):
    path = tmp_path_factory.mktemp("any") / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "input", "target"])
        writer.writerows([n, text, "x"] for n, text in enumerate(prompts))
    assert [case.task.text for case in load_dataset(path).cases] == prompts


# --- generators ------------------------------------------------------------------------------------


def test_a_generator_gives_the_same_tasks_for_the_same_seed_and_judges_answers():
    pytest.importorskip("reasoning_gym")
    source = "reasoning-gym:chain_sum?n=4&seed=1&min_terms=2&max_terms=2"
    dataset = load_dataset(source)
    assert dataset.fingerprint == load_dataset(source).fingerprint
    assert dataset.fingerprint != load_dataset(source.replace("seed=1", "seed=2")).fingerprint
    assert (len(dataset), dataset.metric_names) == (4, ("reasoning_gym",))
    case = dataset.cases[0]
    assert dataset.score(case, f"Let me see. Answer: {case.reference}") == 1
    assert dataset.score(case, "It is 123456.") == 0


def test_a_generator_judges_answers_that_differ_from_the_reference():
    pytest.importorskip("reasoning_gym")
    dataset = load_dataset("reasoning-gym:countdown?n=1&seed=3")
    case = dataset.cases[0]
    assert dataset.score(case, case.reference) == 1
    assert dataset.score(case, f"Answer: ({case.reference})") == 1


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("reasoning-gym:chain_smu", "did you mean chain_sum"),
        ("reasoning-gym:chain_sum?n=0", "n is 0"),
        ("reasoning-gym:chain_sum?colour=red", "refuses these settings"),
        ("reasoning-gym:chain_sum?min_terms=9&max_terms=2", "refuses these settings"),
        ("reasoning-gym:chain_sum?n", "make no sense"),
    ],
)
def test_a_wrong_generator_setting_is_refused(source, told):
    pytest.importorskip("reasoning_gym")
    with pytest.raises(ConfigError, match=told):
        load_dataset(source)
