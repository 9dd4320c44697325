"""`effortctl eval run|resume|merge|rescore`, as a person types them."""

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from effortctl.cli._eval import progress_text
from effortctl.harness.runner import OUTCOMES, Progress
from effortctl.stores import read_outcomes
from effortctl.testing import MockServer

EXAMPLE = Path(__file__).parents[2] / "evals" / "your_own"


@pytest.fixture(autouse=True)
def own_stores(monkeypatch, tmp_path):
    monkeypatch.setenv("EFFORTCTL_LEDGER", str(tmp_path / "ledger.sqlite3"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def example(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("EVAL.toml", "tasks.csv"):
        shutil.copy(EXAMPLE / name, folder)
    return folder


def test_the_committed_example_runs_without_a_key_and_in_few_lines(cli, example):
    lines = (example / "EVAL.toml").read_text().splitlines()
    assert sum(bool(line.strip()) and not line.startswith("#") for line in lines) <= 15
    result = cli("eval", "run", example / "EVAL.toml")
    assert result.exit_code == 0, result.stderr
    assert "168 of 168 answers" in result.stdout
    assert "policy:ladder" in result.stdout
    matrix = read_outcomes(example / "runs" / "your-own" / OUTCOMES)
    assert matrix.score.shape == (24, 6)
    first = result.stdout.splitlines()[0]
    assert first.startswith(("ROUTE", "KEEP", "INCONCLUSIVE"))
    shown = cli("eval", "report", example / "runs" / "your-own")
    assert shown.exit_code == 0
    assert first.split()[0].rstrip(":") in shown.stdout


def test_too_few_tasks_for_a_verdict_are_no_error(cli, example):
    result = cli("eval", "run", example / "EVAL.toml", "--limit", 3)
    assert result.exit_code == 0
    assert result.stdout.startswith("No verdict: ")
    assert "21 of 21 answers" in result.stdout


def test_json_says_the_same(cli, example):
    result = cli("eval", "run", example / "EVAL.toml", "--json", "--limit", 5, "--quiet")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert summary["done"] == summary["total"] == 35
    assert summary["stopped"] is None
    assert set(summary["quality"]) >= {"smollm2@none", "policy:ladder"}


def test_a_dry_run_calls_nothing_and_says_that_it_guesses(cli, example):
    result = cli("eval", "run", example / "EVAL.toml", "--dry-run")
    assert result.exit_code == 0
    assert "a guess" in result.stdout
    assert not (example / "runs").exists()
    assert (
        json.loads(cli("eval", "run", example / "EVAL.toml", "--dry-run", "--json").stdout)["calls"]
        == 168
    )


def test_a_dry_run_after_a_run_uses_what_was_recorded(cli, example):
    cli("eval", "run", example / "EVAL.toml", "--limit", 10)
    result = cli("eval", "run", example / "EVAL.toml", "--dry-run")
    assert "10 recorded answers" in result.stdout


def test_a_budget_that_is_too_small_ends_with_5_and_says_how_to_go_on(cli, example):
    # The worst case of a recorded call priced by the hour is ten minutes: $0.0084.
    result = cli("eval", "run", example / "EVAL.toml", "--budget-usd", "0.0085")
    assert result.exit_code == 5, result.stdout
    assert "eval resume" in result.stderr
    result = cli("eval", "resume", example / "runs" / "your-own", "--budget-usd", "1")
    assert result.exit_code == 0, result.stderr
    assert "168 of 168" in result.stdout


def test_parts_are_merged(cli, example):
    for part in ("1/2", "2/2"):
        assert cli("eval", "run", example / "EVAL.toml", "--shard", part).exit_code == 0
    runs = example / "runs"
    result = cli(
        "eval", "merge", runs / "your-own-1of2", runs / "your-own-2of2", "-o", runs / "all"
    )
    assert result.exit_code == 0, result.stderr
    assert "168 of 168" in result.stdout
    whole = cli("eval", "run", example / "EVAL.toml", "-o", runs / "whole")
    assert whole.exit_code == 0
    parts, one = (read_outcomes(runs / name / OUTCOMES) for name in ("all", "whole"))
    assert (parts.score == one.score).all()
    assert parts.task_ids == one.task_ids


def test_a_corrected_check_is_scored_again_without_a_call(cli, example):
    cli("eval", "run", example / "EVAL.toml", "--limit", 4)
    tasks = example / "tasks.csv"
    tasks.write_text(tasks.read_text().replace("number:", "number:9"))
    result = cli("eval", "rescore", example / "runs" / "your-own", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["scored"] == 28


def test_calls_that_fail_leave_6_and_a_way_on(cli, example):
    ladder = example / "mine.toml"
    with MockServer(lambda _request: "408") as server:
        server.script(["401"] * 50)
        ladder.write_text(
            f'[[arm]]\nname = "m"\nmodel = "m"\nendpoint = {{ name = "mine", base_url = "{server.base_url}" }}\n'
            'max_output_tokens = 50\nprice = { input_usd_per_mtok = "1", output_usd_per_mtok = "2" }\n'
        )
        text = (example / "EVAL.toml").read_text()
        text = text.partition("[[policy]]")[0].replace('"local-all"', '"mine.toml"')
        (example / "EVAL.toml").write_text(text)
        result = cli("eval", "run", example / "EVAL.toml")
        assert result.exit_code == 6
        assert "was given up" in result.stdout
        assert "eval resume" in result.stderr
        server.reset()
        result = cli("eval", "resume", example / "runs" / "your-own")
    assert result.exit_code == 0, result.stderr
    assert "24 of 24 answers" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nowhere.toml"], "nowhere.toml"),
        (["resume", "nowhere"], "there is no run in nowhere"),
        (["merge", "nowhere", "-o", "x"], "there is no run"),
        (["rescore", "nowhere"], "there is no run"),
    ],
)
def test_what_is_not_there_is_said(cli, arguments, said):
    result = cli("eval", *arguments)
    assert result.exit_code == 3
    assert said in result.stderr


def test_a_shard_that_makes_no_sense_is_refused(cli, example):
    result = cli("eval", "run", example / "EVAL.toml", "--shard", "3/2")
    assert result.exit_code == 3
    assert "i/N" in result.stderr


def test_a_budget_per_day_is_not_taken_for_that_of_a_run(cli, example):
    result = cli("eval", "run", example / "EVAL.toml", "--budget-usd", "$5/day")
    assert result.exit_code == 2
    assert "not an amount of dollars" in result.stderr
    assert not (example / "runs").exists()


def test_progress_tells_dollars_time_and_errors():
    now = Progress(
        done=10,
        total=40,
        spent_usd=Decimal("0.5"),
        eta_s=75.0,
        in_flight=8,
        allowed=20,
        errors={"server": 2},
    )
    assert progress_text(now) == "$0.50, 1:15 left, 8 of 20 in flight, 2 failed"
