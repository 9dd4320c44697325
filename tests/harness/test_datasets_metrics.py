"""Metrics by name: what counts as right."""

import pytest

from effortctl import Task
from effortctl._errors import ConfigError, EffortctlWarning, VerifierError
from effortctl._types import Case
from effortctl.harness.datasets import METRIC_NAMES, load_dataset, metric_named


def case(reference):
    return Case(task=Task(id="a", input="?"), reference=reference)


RIGHT = [
    ("exact", "a b", "  a b\n"),
    ("exact", 4, "4"),
    ("exact", 4.0, "4"),
    ("exact", True, "true"),
    ("text", "Paris", "**paris**."),
    ("text", ["Lima", "Paris"], "Answer: Paris"),
    ("number", "1,250.5", "so $1250.50"),
    ("number", 0.5, "It is 1/2"),
    ("number", [1, 2], "2"),
    ("contains", "foo", "The FOO is here"),
    ("choice", "B", "b"),
    ("choice", "B", "(B)"),
    ("choice", "B", "The answer is B."),
    ("choice", "B", r"So \boxed{\text{B}}"),
    ("choice", {"expected": "very good", "options": ["good", "very good"]}, "It is very good"),
    ("json", {"a": 1}, '{"a": 1, "b": 2}'),
    ("json", '{"a": "X"}', '```json\n{"a": "x"}\n```'),
]
WRONG = [
    ("exact", "a b", "A b"),
    ("text", "Paris", "Paris or Lyon"),
    ("number", 4, "no idea"),
    ("number", 4, "5"),
    ("contains", "foo", "bar"),
    ("choice", "B", "A or B"),
    ("choice", "B", "none"),
    ("choice", "A", "I think that a B fits"),
    ("json", {"a": 1, "b": 2}, '{"a": 1}'),
    ("json", {"a": 1}, "a is 1"),
]


@pytest.mark.parametrize(("name", "reference", "answer"), RIGHT)
def test_a_right_answer_scores_one(name, reference, answer):
    assert metric_named(name)(answer, case(reference)) == 1.0


@pytest.mark.parametrize(("name", "reference", "answer"), WRONG)
def test_a_wrong_answer_scores_zero(name, reference, answer):
    assert metric_named(name)(answer, case(reference)) == 0.0


def test_mathematical_equality_counts():
    pytest.importorskip("math_verify")
    assert metric_named("math")(r"\frac{2}{4}", case("1/2")) == 1.0


def test_unit_tests_score_a_program():
    tests = "assert double(2) == 4"
    reference = {"tests": tests, "entry_point": "double", "prompt": ""}
    dataset = load_dataset(
        [{"id": "a", "input": "Write double", "target": reference, "metric": "code_tests"}]
    )
    right, wrong = (f"def double(x):\n    return {x}\n" for x in ("2 * x", "x + 3"))
    assert [dataset.score(dataset["a"], text) for text in (right, wrong)] == [1, 0]


@pytest.mark.parametrize("name", [name for name in METRIC_NAMES if name != "verifier"])
def test_every_metric_refuses_a_case_without_a_target(name):
    with pytest.raises(ConfigError, match="case 'a'"):
        metric_named(name).refuse(case(None))


def test_a_function_can_be_a_metric():
    def length(text, case):
        return len(text) / case.reference

    assert metric_named(length).name == "length"
    dataset = load_dataset([{"id": "a", "input": "x", "target": 10}], metric=length)
    assert dataset.metric_names == ("length",)
    assert dataset.score(dataset["a"], "12345") == 0.5
    with pytest.raises(VerifierError, match=r"returned 1\.1"):
        dataset.score(dataset["a"], "x" * 11)


def test_a_crash_of_a_metric_is_no_score():
    with pytest.raises(VerifierError, match="ZeroDivisionError"):
        metric_named(lambda text, _: len(text) / 0)("x", case("y"))


def test_a_check_that_cannot_tell_is_no_score():
    def crash(_):
        raise RuntimeError("no")

    dataset = load_dataset([{"id": "a", "input": "x"}], metric="verifier", verify=crash)
    told = pytest.warns(EffortctlWarning, match="crash raised RuntimeError")
    with told, pytest.raises(VerifierError, match="cannot be scored: RuntimeError"):
        dataset.score(dataset["a"], "x")


def test_an_async_check_cannot_be_a_metric():
    async def slow(_):
        return True

    dataset = load_dataset([{"id": "a", "input": "x"}], metric="verifier", verify=slow)
    with pytest.raises(ConfigError, match="async"):
        dataset.score(dataset["a"], "x")


def test_something_that_is_no_metric_is_refused():
    with pytest.raises(ConfigError, match="a metric is one of"):
        metric_named(3)
    with pytest.raises(ConfigError, match="unknown metric 'f1'; choose from exact, text"):
        metric_named("f1")
