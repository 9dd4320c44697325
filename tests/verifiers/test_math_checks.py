import importlib.util
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from effortctl import Answer, ConfigError, Task
from effortctl.verifiers import guarded, math_equal
from effortctl.verifiers._math import _worker

TASK = Task(input="q")

if importlib.util.find_spec("math_verify") is None:
    pytest.skip("math-verify (extra `verify`) is not installed", allow_module_level=True)


def judge(verifier, text):
    return verifier(TASK, Answer(text=text))


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("1/2", r"$\frac{1}{2}$"),
        ("1/2", "The answer is 0.5"),
        ("1/2", r"thus \boxed{\frac{2}{4}}"),
        (r"\sqrt{8}", r"$2\sqrt{2}$"),
        ("x^2 + 2x + 1", r"$(x+1)^2$"),
        (4, "Answer: 2^2"),
    ],
)
def test_equal_expressions_pass(expected, text):
    assert judge(math_equal(expected), text).passed


@pytest.mark.parametrize("text", [r"$\frac{1}{3}$", "no idea", "", r"\boxed{}"])
def test_others_fail_without_the_answer(text):
    verdict = judge(math_equal("12345/2"), text)
    assert verdict.status == "fail"
    assert "12345" not in verdict.feedback


def test_it_works_in_many_threads_at_once():
    def run(n):
        assert threading.current_thread() is not threading.main_thread()
        return judge(math_equal(n), f"${n}$").passed and not judge(math_equal(n), "$-1$").passed

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(1, 25)))


def test_an_endless_computation_fails_and_the_next_one_works():
    assert judge(math_equal("4"), r"$9^{9^{9^{9}}}$").status == "fail"
    assert judge(math_equal("4"), "4").passed


def test_a_worker_that_died_is_replaced():
    assert judge(math_equal("4"), "4").passed
    _worker._peer._process.kill()
    assert judge(math_equal("4"), "4").status == "fail"
    assert judge(math_equal("4"), "4").passed


def test_text_that_is_python_is_not_executed(tmp_path):
    planted = tmp_path / "planted"
    code = f"__import__('pathlib').Path({str(planted)!r}).touch()"
    for text in (code, f"${code}$", rf"\boxed{{{code}}}", f"Answer: 1+{code}"):
        judge(guarded(math_equal("4")), text)
    assert not Path(planted).exists()


def test_an_unreadable_expectation_abstains():
    verdict = judge(guarded(math_equal("no mathematics here")), "$4$")
    assert verdict.status in {"abstain", "fail"}
    assert not verdict.passed


def test_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"effortctl\[verify\]"):
        math_equal("1")


def test_an_empty_expectation_is_refused():
    with pytest.raises(ConfigError, match="not empty"):
        math_equal(" ")
