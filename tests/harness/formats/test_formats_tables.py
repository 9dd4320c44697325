"""RouteLLM, RouterBench and LLMRouterBench tables become outcome rows."""

import gzip
import json
from decimal import Decimal

import pytest

from effortctl._errors import ConfigError, StoreError
from effortctl._types import Price
from effortctl.harness.formats import import_outcomes, read_price

ROUTELLM = (
    "prompt,small/model,gpt-4-1106-preview,small/model_response,gpt-4-1106-preview_response\n"
    'Two plus two?,True,True,4,"It is\nfour."\n'
    "Nine nines?,False,True,80,81\n"
)


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# --- RouteLLM --------------------------------------------------------------------------------------


def test_routellm_columns_of_true_and_false_are_arms(file):
    found = import_outcomes(file("gsm8k.csv", ROUTELLM))
    assert found.format == "routellm"
    assert [(row.query_id, row.arm, row.score) for row in found.rows] == [
        ("gsm8k/00001", "small/model", 1.0),
        ("gsm8k/00001", "gpt-4-1106-preview", 1.0),
        ("gsm8k/00002", "small/model", 0.0),
        ("gsm8k/00002", "gpt-4-1106-preview", 1.0),
    ]
    first = found.rows[0]
    assert (first.query, first.category, first.answer) == ("Two plus two?", "gsm8k", "4")
    assert found.matrix().arms == ("small/model", "gpt-4-1106-preview")


def test_a_model_with_a_response_beside_it_is_never_left_out_silently(file):
    path = file("gsm8k.csv", ROUTELLM.replace("False,True,80", "n/a,True,80"))
    with pytest.raises(StoreError, match=r"line 4, column 'small/model': 'n/a', expected True"):
        import_outcomes(path)


def test_dollars_nobody_gave_stay_unknown_and_are_counted(file):
    found = import_outcomes(file("gsm8k.csv", ROUTELLM))
    assert {row.cost_usd for row in found.rows} == {None}
    assert found.unknown_cost == {"small/model": 2, "gpt-4-1106-preview": 2}
    assert found.price_sources == {}


def test_a_price_per_call_needs_no_tokens(file):
    prices = {"small/model": Decimal("0.0001"), "gpt-4-1106-preview": Decimal("0.004")}
    found = import_outcomes(file("gsm8k.csv", ROUTELLM), prices=prices)
    assert [row.cost_usd for row in found.rows] == [0.0001, 0.004, 0.0001, 0.004]
    assert (found.price_sources, found.unknown_cost) == ({"user": 4}, {})


def test_tokens_are_estimated_only_when_asked_and_the_dollars_say_so(file):
    price = Price(input_usd_per_mtok=Decimal(10), output_usd_per_mtok=Decimal(30))
    path = file("gsm8k.csv", ROUTELLM)
    asked = {"gpt-4-1106-preview": price}
    assert import_outcomes(path, prices=asked).unknown_cost["gpt-4-1106-preview"] == 2
    found = import_outcomes(path, prices=asked, estimate_tokens=True)
    row = found.rows[1]
    assert (row.input_tokens, row.output_tokens) == (4, 3)
    assert row.cost_usd == pytest.approx((4 * 10 + 3 * 30) / 1e6)
    assert found.price_sources == {"user, tokens estimated": 2}


# --- RouterBench -----------------------------------------------------------------------------------

ROUTERBENCH = (
    "sample_id,prompt,eval_name,m1,m2,m1|model_response,m2|model_response,m1|total_cost,"
    "m2|total_cost,oracle_model_to_route_to\n"
    "mmlu.1,\"['Which?']\",mmlu,1.0,0.5,A,B,0.00001,0.002,m1\n"
    "mmlu.2,\"['Why?']\",mmlu,0,,A,,0.00003,,m2\n"
)


def test_routerbench_columns_with_a_cost_beside_them_are_arms(file):
    found = import_outcomes(file("rb.csv.gz", gzip.compress(ROUTERBENCH.encode())))
    assert found.format == "routerbench"
    assert [(r.query_id, r.arm, r.score, r.cost_usd, r.category) for r in found.rows] == [
        ("mmlu.1", "m1", 1.0, 0.00001, "mmlu"),
        ("mmlu.1", "m2", 0.5, 0.002, "mmlu"),
        ("mmlu.2", "m1", 0.0, 0.00003, "mmlu"),
    ]
    assert found.left_out == {"no score in the file": 1}
    assert found.price_sources == {"recorded in the file": 3}


def test_the_users_price_beats_the_recorded_one(file):
    found = import_outcomes(file("rb.csv", ROUTERBENCH), prices={"m1": Decimal(1)})
    assert [row.cost_usd for row in found.rows] == [1.0, 0.002, 1.0]


# --- LLMRouterBench --------------------------------------------------------------------------------


def record(index, **fields):
    return {
        "record_index": index,
        "dataset_id": "aime",
        "split": "test",
        "model_name": "m1",
        "origin_query": f"Problem {index}",
        "prompt": f"Solve: Problem {index}",
        "prediction": "7",
        "raw_output": "It is 7",
        "ground_truth": "7",
        "score": 1.0,
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "cost": 0.001,
        **fields,
    }


def test_llmrouterbench_records_in_long_form_are_rows(file):
    lines = [record(0), record(0, model_name="m2", score=0, cost=0.01), record(1, score=None)]
    found = import_outcomes(file("records.jsonl", "\n".join(map(json.dumps, lines))))
    assert found.format == "llmrouterbench"
    assert [(r.query_id, r.arm, r.score, r.cost_usd) for r in found.rows] == [
        ("aime/test/0", "m1", 1.0, 0.001),
        ("aime/test/0", "m2", 0.0, 0.01),
    ]
    row = found.rows[0]
    assert (row.query, row.answer, row.category) == ("Problem 0", "It is 7", "aime")
    assert (row.input_tokens, row.output_tokens) == (12, 5)
    assert found.left_out == {"no score in the file": 1}


def test_llmrouterbench_result_files_are_rows(file):
    records = []
    for index in range(2):
        fields = record(index)
        records.append({"index": fields.pop("record_index"), **fields})
    document = {"model_name": "m9", "dataset_name": "aime", "split": "test", "records": records}
    for one in records:
        for key in ("model_name", "dataset_id", "split"):
            del one[key]
    found = import_outcomes(file("result.json", json.dumps(document, indent=2)))
    assert found.format == "llmrouterbench"
    assert [row.query_id for row in found.rows] == ["aime/test/0", "aime/test/1"]
    assert {row.arm for row in found.rows} == {"m9"}


def test_a_recorded_cost_of_zero_for_an_answer_with_tokens_is_unknown(file):
    found = import_outcomes(file("r.json", json.dumps([record(0, cost=0.0)])))
    assert found.rows[0].cost_usd is None
    assert found.notes == ("m1: 1 answers have a recorded cost of 0, which is read as unknown",)
    priced = import_outcomes(
        file("r.json", json.dumps([record(0, cost=0.0)])),
        prices={"m1": Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(2))},
    )
    assert priced.rows[0].cost_usd == pytest.approx((12 + 10) / 1e6)


def test_several_answers_of_an_arm_become_their_mean(file):
    lines = [record(0, score=score, cost=cost) for score, cost in ((1, 0.002), (0, 0.004))]
    found = import_outcomes(file("r.json", json.dumps(lines)))
    (row,) = found.rows
    assert (row.score, row.n_samples, row.answer) == (0.5, 2, None)
    assert row.cost_usd == pytest.approx(0.003)


def test_prompts_that_differ_between_arms_are_told(file):
    lines = [record(0), record(0, model_name="m2", origin_query="Other words")]
    found = import_outcomes(file("r.json", json.dumps(lines)))
    assert {row.query for row in found.rows} == {"Problem 0"}
    assert "1 tasks have different prompts" in found.notes[0]
    assert len(found.matrix()) == 1


# --- what is refused -------------------------------------------------------------------------------

BAD = {
    "a cell of another kind": (
        "routellm",
        "prompt,a,b\n" + "x,True,False\n" * 60 + "x,True,maybe\n",
        "line 62, column 'b': 'maybe', expected True or False",
    ),
    "one model": ("routellm", "prompt,a,note\nx,True,hello\n", "each of two models"),
    "no model": ("routerbench", "sample_id,prompt\na,b\n", "for each model columns"),
    "no name": ("routerbench", "sample_id,m,m|total_cost\n,1,0\n", "'sample_id': is empty"),
    "a word as score": ("routerbench", "sample_id,m,m|total_cost\na,x,0\n", "scores of m are 'x'"),
    "a negative cost": ("routerbench", "sample_id,m,m|total_cost\na,1,-1\n", "dollars are '-1'"),
    "a score above one": ("routerbench", "sample_id,m,m|total_cost\na,3,1\n", "score is 3"),
    "no model name": ("llmrouterbench", '{"score": 1, "cost": 1}', "model_name is missing"),
    "no dataset": ("llmrouterbench", '{"model_name": "m", "score": 1}', "dataset_id is missing"),
    "half a token": (
        "llmrouterbench",
        json.dumps(record(0, prompt_tokens=1.5)),
        "input tokens are 1.5, expected a whole number",
    ),
    "records of another kind": ("llmrouterbench", '{"records": 3}', "records is no list"),
    "a record of another kind": ("llmrouterbench", '{"records": [3]}', "record 1: a JSON int"),
    "nothing usable": (
        "llmrouterbench",
        json.dumps(record(0, score=None)),
        "no outcome can be used: no score in the file (1)",
    ),
}


@pytest.mark.parametrize(("kind", "content", "told"), BAD.values(), ids=BAD.keys())
def test_a_table_that_makes_no_sense_is_refused_with_its_place(file, kind, content, told):
    name = "bad.json" if content.startswith("{") else "bad.csv"
    with pytest.raises(StoreError) as error:
        import_outcomes(file(name, content), format=kind)
    assert told in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rb.pkl", b"anything"),
        ("rb.csv", b"\x80\x04\x95"),
        ("rb.csv", gzip.compress(b"\x80\x05x", mtime=0)),
    ],
)
def test_a_pickle_is_refused_with_the_reason_and_the_way_out(file, name, content):
    with pytest.raises(StoreError, match=r"runs whatever code it contains.*to_csv"):
        import_outcomes(file(name, content), format="routerbench")


def test_a_format_that_cannot_be_told_must_be_named(file):
    with pytest.raises(ConfigError, match="cannot be told from its content; name it: routellm"):
        import_outcomes(file("x.csv", "a,b\n1,2\n"))
    with pytest.raises(ConfigError, match="cannot be told"):
        import_outcomes(file("x.json", '{"a": 1}'))
    with pytest.raises(ConfigError, match="unknown format 'xml'"):
        import_outcomes(file("x.csv", "a,b\n1,2\n"), format="xml")
    with pytest.raises(ConfigError, match="several formats"):
        import_outcomes(file("a.csv", ROUTELLM), file("b.csv", ROUTERBENCH))
    with pytest.raises(ConfigError, match="nothing to import"):
        import_outcomes()


# --- prices ----------------------------------------------------------------------------------------


def test_prices_are_read_per_million_tokens_or_per_call():
    assert read_price("openai/gpt-4@low=10/30") == (
        "openai/gpt-4@low",
        Price(input_usd_per_mtok=Decimal(10), output_usd_per_mtok=Decimal(30)),
    )
    assert read_price("m = $0.004/call") == ("m", Decimal("0.004"))


@pytest.mark.parametrize("text", ["m", "m=3", "=1/2", "m=1/x", "m=-1/2", "m=nan/call", "m=1/2/3"])
def test_a_price_that_makes_no_sense_is_refused(text):
    with pytest.raises(ConfigError, match="is not a price; write ARM=IN/OUT"):
        read_price(text)
