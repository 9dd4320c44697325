"""A program passes by being right, and in no other way."""

import os
import subprocess
import textwrap

import pytest
from cheats import CHEATS, FORKS
from sandboxes import CPYTHONS, SANDBOXES, needs_jail, needs_sandlock

from effortctl import Answer, Task
from effortctl.verifiers import code_tests, guarded

# Most abstentions here are crashes, which warn.
pytestmark = pytest.mark.filterwarnings("ignore:The check .* raised:effortctl.EffortctlWarning")

TASK = Task(input="Write add(a, b).")
TESTS = """
def check(candidate):
    assert candidate(2, 3) == 5
    assert candidate([1], [2]) == [1, 2]
    assert candidate("a", "b") == "ab"
    assert abs(candidate(0.1, 0.2) - 0.3) < 1e-9
    assert candidate(10, 20) == 30
"""
# Swallows everything the stand-in raises, as careless tests do.
CARELESS = """
def check(candidate):
    for a, b, total in [(2, 3, 5), (10, 20, 30)]:
        try:
            result = candidate(a, b)
        except BaseException:
            continue
        assert result == total
"""
# What a careless test lets through although the program raised: nothing else may get past it.
RAISES = (
    "raised",
    "exception",
    "recursion",
    "SystemExit",
    "exit 0 in",
    "atexit",
    "memory",
    "a type",
)


def verifier(backend, tests=TESTS, timeout_s=1.5):
    return guarded(code_tests(tests, entry_point="add", backend=backend, timeout_s=timeout_s))


@pytest.mark.parametrize("backend", SANDBOXES)
def test_the_honest_program_passes(backend):
    assert verifier(backend)(TASK, Answer(text="def add(a, b): return a + b")).passed


@pytest.mark.parametrize(
    "backend",
    [pytest.param("auto", marks=needs_jail), pytest.param("sandlock", marks=needs_sandlock)],
)
@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS)
def test_no_cheat_passes_and_every_cheat_is_a_clear_fail(backend, cheat):
    verdict = verifier(backend)(TASK, Answer(text=cheat))
    assert (verdict.status, verdict.error) == ("fail", None)
    assert verdict.feedback


@pytest.mark.parametrize("backend", ["monty", "unsafe-subprocess"])
@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS)
def test_no_cheat_passes_even_without_a_jail(backend, cheat):
    if backend == "monty":
        pytest.importorskip("pydantic_monty", reason="extra `sandbox` is not installed")
    if "getppid" in cheat or "killpg" in cheat:
        pytest.skip("attacks its parent, and without a jail that is this test")
    assert not verifier(backend)(TASK, Answer(text=cheat)).passed


@pytest.mark.parametrize("backend", CPYTHONS)
@pytest.mark.parametrize(
    "name",
    [
        "os._exit in the call",
        "process group killed",
        "all descriptors closed",
        "equal to anything",
        "unittest ANY",
        "huge frame length",
        "frames of other messages",
        "endless loop",
    ],
)
def test_tests_that_swallow_every_exception_let_no_broken_conversation_pass(name, backend):
    verdict = verifier(backend, CARELESS)(TASK, Answer(text=CHEATS[name]))
    assert verdict.status == "fail"


@pytest.mark.parametrize("backend", CPYTHONS)
def test_a_fork_bomb_is_stopped_and_leaves_nothing_behind(backend):
    before = _processes()
    verdict = verifier(backend)(TASK, Answer(text=FORKS))
    assert verdict.status == "fail"
    assert _processes() <= before + 3


def _processes():
    count = subprocess.run(["ps", "-e", "--no-headers"], capture_output=True, check=False)
    return count.stdout.count(b"python")


@needs_jail
def test_a_timeout_leaves_no_process_behind():
    marker = "effortctl_marker_of_an_endless_loop"
    text = f"def add(a, b):\n    {marker} = 1\n    while True: pass"
    assert verifier("bubblewrap", timeout_s=0.5)(TASK, Answer(text=text)).status == "fail"
    # The program goes over a pipe, so look for guests of ours that are still running.
    listed = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=False)
    mine = [line for line in listed.stdout.splitlines() if line.split()[:1] == [str(os.getpid())]]
    assert not [line for line in mine if "bwrap" in line]


@pytest.mark.parametrize("backend", CPYTHONS)
def test_a_program_learns_neither_expected_values_nor_tests(backend):
    spy = """
        import gc, sys
        def add(a, b):
            seen = [str(thing) for thing in gc.get_objects()]
            text = " ".join(seen + [str(sys.argv), str(sys.orig_argv)])
            wanted = [str(int("424240") + 3), "_".join(["never", "shown"])]
            raise ValueError("seen" if any(each in text for each in wanted) else "blind")
    """
    tests = "never_shown = 1\nassert add(1, 2) == 424243"

    verdict = verifier(backend, tests, 10)(TASK, Answer(text=textwrap.dedent(spy)))
    assert "blind" in verdict.feedback
