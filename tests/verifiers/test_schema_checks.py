import json
import sys

import pytest
from pydantic import BaseModel, field_validator

from effortctl import Answer, ConfigError, Task
from effortctl.verifiers import guarded, json_fields, json_schema, pydantic_model

TASK = Task(input="q")
INVOICE = {
    "type": "object",
    "required": ["total", "items"],
    "properties": {
        "total": {"type": "number", "minimum": 0},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
    },
    "$defs": {"item": {"type": "object", "required": ["name"]}},
}


class Item(BaseModel):
    name: str


class Invoice(BaseModel):
    total: float
    items: list[Item]

    @field_validator("total")
    @classmethod
    def not_cursed(cls, value):
        if value == 13:
            raise RuntimeError("cursed")
        return value


def judge(verifier, text, **fields):
    return verifier(TASK, Answer(text=text, **fields))


GOOD = '{"total": 3.5, "items": [{"name": "tea"}]}'
BOTH = pytest.mark.parametrize(
    "verifier", [json_schema(INVOICE), pydantic_model(Invoice)], ids=["schema", "pydantic"]
)


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Here it is:\n```\n{GOOD}\n```\nDone.",
        f"```json\n{{}}\n```\nBetter:\n```json\n{GOOD}\n```",
        f"  {GOOD}\n",
    ],
    ids=["bare", "fence", "prose", "last fence", "space"],
)
def test_json_is_found_bare_or_in_the_last_fence(verifier, text):
    assert judge(verifier, text).passed


@BOTH
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"total": 1, "items": [{}]}', "$.items[0]"),
        ('{"total": "x", "items": []}', "$.total"),
        ('{"items": []}', "total"),
        ("{", "not valid JSON"),
        ("", "empty"),
        (f"Sure! {GOOD}", "not valid JSON"),
        ('{"total": NaN, "items": []}', "NaN"),
        ("[" * 100_000, "nested"),
        ('{"total": ' + "9" * 10_000 + ', "items": []}', "too large"),
    ],
    ids=["path", "type", "missing", "cut", "empty", "prose", "nan", "deep", "huge"],
)
def test_feedback_names_the_place_and_what_is_wrong(verifier, text, said):
    verdict = judge(verifier, text)
    assert verdict.status == "fail"
    assert said in verdict.feedback


@BOTH
def test_feedback_stays_short_however_much_is_wrong(verifier):
    text = json.dumps({"total": "x" * 5000, "items": [{} for _ in range(500)]})
    assert len(judge(verifier, text).feedback) < 1500


def test_a_value_of_a_decorated_function_is_judged_itself():
    assert judge(json_schema(INVOICE), "", value=json.loads(GOOD)).passed
    assert judge(pydantic_model(Invoice), "", value=Invoice(total=1, items=[])).passed


@pytest.mark.parametrize(
    "schema", [{"type": "strin"}, {"minimum": "x"}, {"pattern": 3}, [], "text", {"required": "a"}]
)
def test_a_broken_schema_is_refused_when_built(schema):
    with pytest.raises(ConfigError, match="JSON Schema"):
        json_schema(schema)


@pytest.mark.parametrize(
    "ref", ["http://127.0.0.1:1/a.json", "file:///etc/passwd", "other.json#/x", "urn:x"]
)
def test_references_to_other_documents_are_refused_and_never_fetched(ref):
    with pytest.raises(ConfigError, match="never fetched"):
        json_schema({"properties": {"a": {"$ref": ref}}})


def test_references_by_id_inside_the_document_work():
    schema = {
        "$id": "urn:example:root",
        "$defs": {"n": {"$id": "urn:example:n", "type": "number"}},
        "properties": {"a": {"$ref": "urn:example:n"}},
    }
    assert judge(json_schema(schema), '{"a": 1}').passed
    assert not judge(json_schema(schema), '{"a": "x"}').passed


@pytest.mark.filterwarnings("ignore:The check .* raised:effortctl.EffortctlWarning")
def test_a_dangling_reference_abstains_instead_of_blaming_the_answer():
    verdict = judge(guarded(json_schema({"$ref": "#/$defs/none"})), "{}")
    assert verdict.status == "abstain"
    assert "/$defs/none" in verdict.error


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ConfigError, match=r"effortctl\[verify\]"):
        json_schema({})


@pytest.mark.filterwarnings("ignore:The check .* raised:effortctl.EffortctlWarning")
def test_a_crash_inside_the_users_model_abstains():
    verdict = judge(guarded(pydantic_model(Invoice)), '{"total": 13, "items": []}')
    assert (verdict.status, verdict.error) == ("abstain", "RuntimeError: cursed")


def test_only_a_model_class_is_taken():
    for wrong in (Invoice(total=1, items=[]), dict, 3):
        with pytest.raises(ConfigError, match="BaseModel"):
            pydantic_model(wrong)


EXPECTED = {"name": "Ada Lovelace", "year": 1815, "tags": ["math"], "alive": False, "seat": None}


def fields(**changes):
    return json.dumps({**EXPECTED, "extra": 1, **changes})


@pytest.mark.parametrize(
    "changes",
    [{}, {"name": "ada  lovelace "}, {"year": 1815.0}, {"tags": ["MATH"]}],
)
def test_fields_match_whatever_the_case_and_space(changes):
    verdict = judge(json_fields(EXPECTED), fields(**changes))
    assert (verdict.status, verdict.score) == ("pass", 1.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Ada"}, "'name' is not right"),
        ({"year": "1815"}, "'year' must be a number, not a string"),
        ({"alive": 0}, "'alive' must be true or false, not a number"),
        ({"tags": ["math", "x"]}, "'tags' is not right"),
        ({"seat": {}}, "'seat' must be null, not an object"),
    ],
)
def test_a_wrong_field_is_named_but_its_value_is_not(changes, said):
    verdict = judge(json_fields(EXPECTED), fields(**changes))
    assert said in verdict.feedback
    assert verdict.score == pytest.approx(0.8)
    assert "1815" not in verdict.feedback
    assert "Lovelace" not in verdict.feedback


def test_missing_fields_and_other_shapes_fail():
    assert "'seat' is missing" in judge(json_fields({"seat": None}), "{}").feedback
    assert judge(json_fields({"a": 1}), "[1]").score == 0.0
    assert judge(json_fields({"a": {"b": 1}}), '{"a": {"b": 1}}').passed
    assert not judge(json_fields({"a": {"b": 1}}), '{"a": {"b": 1, "c": 2}}').passed


def test_no_fields_is_refused():
    with pytest.raises(ConfigError, match="field names"):
        json_fields({})


@pytest.mark.parametrize(
    "text",
    [
        'Answer: {"a": 1}',
        'I read the sentence twice.\nAnswer: {"a": 1}',
        'Step 1: find a.\nAnswer:\n```json\n{"a": 1}\n```',
    ],
)
def test_json_behind_an_answer_label_is_found(text):
    verdict = json_fields({"a": 1})(Task(input="x"), Answer(text=text))
    assert verdict.passed


TREE = {"$ref": "#/$defs/tree", "$defs": {"tree": {"items": {"$ref": "#/$defs/tree"}}}}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (TREE, "[" * 800 + "]" * 800),
        ({"multipleOf": 0.01}, "1e999"),
        ({"multipleOf": 0.01}, "-1e999"),
        ({"multipleOf": 0.01}, "1" + "0" * 400),
        ({"items": {"multipleOf": 0.5}}, "[1, 1e400]"),
    ],
)
def test_an_answer_that_makes_the_library_give_up_fails(schema, text):
    # Abstaining would accept it.
    verdict = guarded(json_schema(schema))(TASK, Answer(text=text))
    assert (verdict.status, verdict.error) == ("fail", None)


def test_numbers_too_large_for_a_float_are_no_json():
    verdict = guarded(json_fields({"a": 1}))(TASK, Answer(text='{"a": 1e999}'))
    assert "1e999 is too large" in verdict.feedback
