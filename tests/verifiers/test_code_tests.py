import pickle
import sys

import pytest
from sandboxes import HAS_JAIL, HAS_MONTY, SANDBOXES, needs_jail, needs_monty

from effortctl import Answer, ConfigError, SandboxUnavailableError, Task, VerifierError
from effortctl.verifiers import _sandbox, code_tests, guarded

# Most abstentions here are crashes, which warn.
pytestmark = pytest.mark.filterwarnings("ignore:The check .* raised:effortctl.EffortctlWarning")

TASK = Task(input="q")
DOUBLE = "assert f(2) == 424242\nassert f(3) == 434343\n"
BACKENDS = [*SANDBOXES, "unsafe-subprocess"]


def judge(text, tests=DOUBLE, **options):
    options.setdefault("backend", "unsafe-subprocess")
    return guarded(code_tests(tests, entry_point="f", **options))(TASK, Answer(text=text))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("tests", "program"),
    [
        ("assert f(2) == 4", "def f(x): return 2 * x"),
        ("def check(candidate):\n    assert candidate(2) == 4", "def f(x): return 2 * x"),
        ("def test_a():\n    assert f(2) == 4\ndef test_b():\n    assert f(0) == 0",
         "def f(x): return 2 * x"),
        ("assert f([1, 2], k=3) == {'a': (1, 2, 3)}", "def f(v, k): return {'a': (*v, k)}"),
        ("assert f({1: {2}}) == ({1: {2}}, b'x', 2**70)", "def f(v): return v, b'x', 2**70"),
        ("try:\n    f(-1)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'neg'",
         "def f(x):\n    raise ValueError('neg')"),
        ("import random\nassert f(*[random.random()] * 2) is True", "def f(a, b): return a == b"),
    ],
)  # fmt: skip
def test_every_style_of_tests_works(backend, tests, program):
    assert judge(program, tests, backend=backend).passed


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("def f(x): return 7", "f(2) returned 7: that is wrong."),
        ("def f(x): return 424242", "f(3) returned 424242: that is wrong."),
        ("def f(x): return 1 // 0", "f(2) raised ZeroDivisionError"),
        ("def f(x):\n    raise KeyError('x')", "f(2) raised KeyError"),
        ("x = 1 // 0\ndef f(x): return x", "Running the program raised ZeroDivisionError"),
        ("def f(x): return (", "not valid Python"),
    ],
)
def test_feedback_shows_the_call_but_never_the_expected_value(backend, program, said):
    verdict = judge(program, backend=backend)
    assert verdict.status == "fail"
    assert said in verdict.feedback
    assert "434343" not in verdict.feedback


def test_the_message_of_an_assertion_may_hold_the_answer_and_is_not_shown():
    verdict = judge("def f(x): return 0", "assert f(1) == 98765, 'expected 98765'")
    assert "98765" not in verdict.feedback


def test_a_result_the_check_cannot_use_is_the_programs_fault():
    verdict = judge("def f(x): return None", "assert len(f(1)) == 98765")
    assert verdict.status == "fail"
    assert "f(1) returned None: the check could not use that (TypeError)." in verdict.feedback


def test_line_numbers_point_into_the_program():
    verdict = judge("def f(x):\n    y = 0\n    return x / y")
    assert "(line 3 of the program)" in verdict.feedback


def test_a_missing_function_is_named():
    assert "does not define `f`" in judge("def g(x): return x").feedback


def test_long_arguments_and_results_are_shortened():
    verdict = judge("def f(x): return x * 50", "assert f('a' * 3000) == 1")
    assert len(verdict.feedback) < 600


def test_a_timeout_fails_and_names_the_call():
    verdict = judge("def f(x):\n    while True: pass", timeout_s=0.5)
    assert (verdict.status, verdict.feedback) == ("fail", "f(2) did not finish within 0.5 s.")


def test_an_endless_test_ends_too():
    verdict = judge("def f(x): return x", "f(1)\nwhile True: pass", timeout_s=0.5)
    assert verdict.status == "fail"
    assert "did not finish" in verdict.feedback


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        ("raise RuntimeError('setup')", "RuntimeError: setup"),
        ("import no_such_module_anywhere", "ModuleNotFoundError"),
        ("x = 1", "never call"),
        ("def check(candidate): pass", "never call"),
        ("while True: pass", "without a call"),
        ("f(lambda: 1)", "not plain data"),
        ("f(1)\nf(object())", "not plain data"),
        ("import os\nos._exit(0)", "without a call"),
    ],
)
def test_tests_that_are_broken_themselves_abstain_and_blame_no_answer(tests, said):
    verdict = judge("def f(x): return x", tests, timeout_s=0.5)
    assert verdict.status == "abstain"
    assert said in verdict.error


def test_an_error_of_broken_tests_is_a_verifier_error():
    verifier = code_tests("x = 1", entry_point="f", backend="unsafe-subprocess")
    with pytest.raises(VerifierError, match="tests of f are broken"):
        verifier(TASK, Answer(text="def f(x): return x"))


def test_arguments_are_copied_so_that_changing_them_changes_no_test():
    tests = "v = [3, 1]\nassert f(v) == sorted(v)\nassert v == [3, 1]"
    assert judge("def f(v):\n    v.sort()\n    return v", tests).passed
    assert not judge("def f(v):\n    v.clear()\n    return v", tests).passed


def test_the_program_keeps_its_state_between_calls_of_one_run_only():
    counting = "n = 0\ndef f():\n    global n\n    n += 1\n    return n"
    for _ in range(2):
        assert judge(counting, "assert f() == 1\nassert f() == 2").passed


def test_tests_may_use_helpers_of_the_prompt():
    prefix = "def helper(x):\n    return x + 1\n\ndef f(x):\n    '''Add one.'''\n"
    verdict = judge("    return helper(x)", "assert f(2) == helper(2)", prompt_prefix=prefix)
    assert verdict.passed


def test_a_program_may_define_dataclasses_threads_and_enums():
    program = """
from dataclasses import dataclass, asdict
import enum, threading
@dataclass
class P:
    x: int
class E(enum.Enum):
    A = 1
def f(x):
    out = []
    return [asdict(P(x)), E.A.value]
"""
    assert judge(program, "assert f(3) == [{'x': 3}, 1]").passed


@needs_jail
@needs_monty
@pytest.mark.parametrize(
    "program",
    [
        "class A(list): pass\ndef f(x): return len(A([0] * x)) * 2",
        "def g(n):\n    for i in range(n): yield i\ndef f(x): return len(list(g(x))) * 2",
        "import string, heapq\ndef f(x): return x * 2",
        "def f(x):\n    for _ in range(10**7): pass\n    return x * 2",
        "def f(x):\n    match x:\n        case int(): return x * 2",
        "from fractions import Fraction\ndef f(x): return Fraction(x) * 2",
    ],
)
def test_what_monty_does_not_know_is_run_by_cpython_and_not_called_wrong(program):
    assert judge(program, "assert f(3) == 6", backend="auto").passed


@needs_monty
@pytest.mark.parametrize(
    "program", ["class A(list): pass\ndef f(x): return 6", "import heapq\ndef f(x): return 6"]
)
def test_monty_alone_abstains_on_what_it_does_not_know_and_names_the_way_out(program):
    verdict = judge(program, "assert f(3) == 6", backend="monty")
    assert verdict.status == "abstain"
    assert "SandboxUnavailableError" in verdict.error
    assert "bubblewrap" in verdict.error


@needs_monty
@pytest.mark.parametrize(
    "program",
    [
        "def f(x): return (i for i in range(x))",
        "def f(x): return map(int, range(x))",
        "def f(x):\n    m = map(int, range(x))\n    list(m)\n    return list(m)",
        "def f(x): return reversed([2, 1, 0])",
    ],
)
def test_what_monty_makes_a_list_of_is_not_accepted_as_one(program):
    for backend in ["monty", *(["auto"] if HAS_JAIL else [])]:
        assert not judge(program, "assert f(3) == [0, 1, 2]", backend=backend).passed


def test_without_any_sandbox_it_refuses_and_never_runs_unsafely(monkeypatch):
    monkeypatch.setattr(_sandbox, "_has_monty", lambda: False)
    monkeypatch.setattr(_sandbox, "_has_bubblewrap", lambda: False)
    for backend in ("auto", "monty", "bubblewrap"):
        with pytest.raises(SandboxUnavailableError, match=r"effortctl\[sandbox\].*bubblewrap"):
            code_tests(DOUBLE, entry_point="f", backend=backend)
    monkeypatch.setattr(_sandbox, "_has_sandlock", lambda: False)
    with pytest.raises(
        SandboxUnavailableError, match=r"no sandbox 'sandlock' .*effortctl\[sandlock\]"
    ):
        code_tests(DOUBLE, entry_point="f", backend="sandlock")


def test_a_sandbox_that_vanished_after_building_abstains(monkeypatch):
    if not (HAS_JAIL or HAS_MONTY):
        pytest.skip("no sandbox works here")
    verifier = guarded(code_tests(DOUBLE, entry_point="f"))
    monkeypatch.setattr(_sandbox, "_has_monty", lambda: False)
    monkeypatch.setattr(_sandbox, "_has_bubblewrap", lambda: False)
    verdict = verifier(TASK, Answer(text="def f(x): return x"))
    assert verdict.status == "abstain"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tests": ""}, "empty"),
        ({"tests": "assert ("}, "not valid Python"),
        ({"entry_point": "f()"}, "name of a function"),
        ({"timeout_s": 0}, "positive"),
        ({"timeout_s": float("inf")}, "positive"),
        ({"backend": "docker"}, "unsafe-subprocess"),
        ({"backend": "unsafe"}, "unknown sandbox"),
    ],
)
def test_wrong_settings_are_refused_when_built(changes, said):
    settings = {"tests": DOUBLE, "entry_point": "f", "backend": "unsafe-subprocess", **changes}
    with pytest.raises(ConfigError, match=said):
        code_tests(settings.pop("tests"), **settings)


def test_neither_repr_nor_pickle_need_a_sandbox():
    verifier = code_tests(DOUBLE, entry_point="f", backend="unsafe-subprocess")
    assert repr(verifier) == "code_tests(entry_point='f', backend='unsafe-subprocess')"
    assert pickle.loads(pickle.dumps(verifier)) == verifier


def test_our_own_process_is_untouched(capfd):
    before = set(sys.modules), sys.getrecursionlimit()
    judge("import sys\nsys.setrecursionlimit(5)\ndef f(x): print('hi'); return x", "print(f(1))")
    assert sys.getrecursionlimit() == before[1]
    assert {"solution", "tests"} & (set(sys.modules) - before[0]) == set()
    assert capfd.readouterr().out == ""
