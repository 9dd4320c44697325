"""`effortctl eval replay` on the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from effortctl.cli._eval_replay import register
from effortctl.cli._help import App
from effortctl.harness._result import EvalResult
from effortctl.stores import OutcomeRow, write_outcomes

EASY = "Please say hello to person number {}"
HARD = "Prove that the permutation polynomial {} is irreducible"


def write(path, *, start, tasks=60):
    """Easy prompts are solved by both arms, hard ones by the dear arm only."""
    rows = [
        OutcomeRow(
            query_id=f"q{i}",
            query=(HARD if i % 3 == 0 else EASY).format(i),
            arm=arm,
            score=float(right),
            cost_usd=usd,
        )
        for i in range(start, start + tasks)
        for arm, usd, right in (("small", 0.001, i % 3 > 0), ("big", 0.010, i % 10 > 0))
    ]
    write_outcomes(path, rows)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outcomes")
    return write(folder / "test.jsonl", start=1000), write(folder / "train.jsonl", start=0)


@pytest.fixture
def replay():
    app = App()
    register(app)
    app.command("other")(lambda: None)  # with one command alone, typer drops its name
    return lambda *words: CliRunner().invoke(app, ["replay", *map(str, words)])


def test_the_first_line_is_the_verdict_and_the_file_is_written(replay, files, tmp_path):
    test, train = files
    done = replay(test, "--learn", train, "--json", tmp_path / "r.json")
    assert done.exit_code == 0, done.output
    first = done.stdout.splitlines()[0]
    assert first.startswith(("ROUTE: ", "KEEP ", "INCONCLUSIVE: "))
    saved = EvalResult.load(tmp_path / "r.json")
    assert saved.verdict.sentence == first
    assert saved.name == "test.jsonl"
    for said in ("plan", "fixed ladder", "Best fixed arm: big", "oracle (hindsight)", "60 tasks"):
        assert said in done.stdout


@pytest.mark.parametrize("words", [("--json", "-"), ("--json",), ("--json", "--seed", "0")])
def test_json_to_stdout_prints_nothing_else(replay, files, words):
    test, train = files
    done = replay(test, "--learn", train, "--verifier", "0.9,0.1", *words)
    assert done.exit_code == 0, done.output
    found = EvalResult.model_validate(json.loads(done.stdout))
    assert found.verifier == "0.9,0.1"
    assert found.tasks.prompts == ()


def test_prompts_are_kept_when_asked_for(replay, files):
    test, train = files
    done = replay(test, "--learn", train, "--verifier", "none", "--include-prompts", "--json", "-")
    assert "permutation polynomial" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--verifier", "magic"], 2, "is not a verifier"),
        (["--cluster-by", "colour"], 2, "neither cluster nor category"),
        (["--json", "other.jsonl"], 2, "outcomes, which a result would replace"),
        (["--arms", "small,huge"], 3, "huge"),
        (["--arms", ","], 3, "names no arm"),
        (["--value-usd", "1", "--min-quality", "0.5"], 3, "give one of"),
    ],
)
def test_what_makes_no_sense_is_refused(replay, files, *, words, code, said):
    done = replay(files[0], *words)
    assert done.exit_code == code
    assert said in " ".join(done.stderr.split())
