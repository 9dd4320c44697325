import json

import pytest

from effortctl import Answer, ConfigError, Task
from effortctl.verifiers import SPEC_KINDS, as_verifier, number, parse_spec

TASK = Task(input="q")


def passes(spec, text):
    return as_verifier(spec)(TASK, Answer(text=text)).passed


@pytest.mark.parametrize(
    ("spec", "right", "wrong"),
    [
        ("regex:'^408$'", "408", "4081"),
        ('regex:"^a:b$"', "a:b", "a"),
        ("regex:^x$", "x", "y"),
        ("number:408", "it is 408", "407"),
        ("contains:foo", "a foo", "bar"),
        ("equals:Paris", "paris.", "London"),
        ("choice:a, b ,c", "B", "d"),
        ("math:1/2", "0.5", "0.4"),
        ("not-empty", "x", ""),
        ("not_empty", "x", ""),
        ("not-refused", "x", "I'm sorry, but I can't do that."),
        (["number:4", "not-empty"], "4", "5"),
    ],
)
def test_every_kind_of_spec(spec, right, wrong):
    assert passes(spec, right)
    assert not passes(spec, wrong)


def test_a_schema_file(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"type": "array"}))
    assert passes(f"json-schema:{path}", "[]")
    assert not passes(f"json-schema:{path}", "{}")


def test_a_function_in_the_users_own_file(tmp_path):
    path = tmp_path / "checks.py"
    path.write_text("def good(text):\n    return text == 'yes'\n\nclass Thing: pass\nvalue = 3\n")
    assert passes(f"python:{path}:good", "yes")
    assert not passes(f"python:{path}:good", "no")
    with pytest.raises(ConfigError, match="no function 'value'"):
        parse_spec(f"python:{path}:value")
    with pytest.raises(ConfigError, match="no function 'absent'"):
        parse_spec(f"python:{path}:absent")


def test_a_file_that_cannot_be_imported_is_one_clear_sentence(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_this_name\n")
    with pytest.raises(ConfigError, match=r"cannot be imported.*nothing_of_this_name"):
        parse_spec(f"python:{path}:f")


def test_a_file_of_tests(tmp_path):
    path = tmp_path / "tests.py"
    path.write_text("assert double(2) == 4\n")
    assert parse_spec(f"code-tests:{path}:double").entry_point == "double"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("bogus:1", "number:408"),
        ("", "unknown check"),
        ("number", "needs an argument"),
        ("number:", "needs an argument"),
        ("number:four", "finite number"),
        ("regex:(", "regular expression"),
        ("choice:a", "two or more"),
        ("not-empty:x", "no argument"),
        ("json-schema:/no/such/file", "cannot read"),
        ("python:/no/such/file.py:f", "no Python file"),
        ("python:f", "path.py:function"),
        (42, "takes a function"),
    ],
)
def test_a_wrong_spec_is_one_clear_sentence(spec, said):
    with pytest.raises(ConfigError, match=said):
        as_verifier(spec)


def test_a_schema_file_that_is_not_json(tmp_path):
    path = tmp_path / "s.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        parse_spec(f"json-schema:{path}")


def test_an_unknown_kind_lists_all_kinds():
    with pytest.raises(ConfigError) as caught:
        parse_spec("bogus:1")
    assert all(kind in str(caught.value) for kind in SPEC_KINDS)


def test_everything_verify_accepts_becomes_a_verifier():
    assert as_verifier(None) is None
    assert as_verifier([]) is None
    assert as_verifier(number(4)) == number(4)
    assert as_verifier(lambda text: True)(TASK, Answer(text="")).passed
    mixed = as_verifier([number(4), "not-empty", lambda text: len(text) == 1, None])
    assert mixed(TASK, Answer(text="4")).passed
    assert mixed.name == "all_of(number, not_empty, <lambda>)"
