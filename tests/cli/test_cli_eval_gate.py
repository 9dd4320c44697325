"""`effortctl eval gate` and `compare`."""

import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import typer
from harness.gate_results import result_of
from harness.report.result_data import realistic
from typer.testing import CliRunner

from effortctl.cli import _eval_gate


@pytest.fixture
def evaluate():
    """Runs `gate` or `compare` with the given arguments."""
    app = typer.Typer()
    _eval_gate.register(app)

    def run(*arguments):
        return CliRunner().invoke(app, list(map(str, arguments)))

    return run


@pytest.fixture
def saved(tmp_path):
    """Saves a result with so many right answers of 600, and gives its path."""

    def save(right, *, folder="run", **changes):
        path = tmp_path / folder / "result.json"
        quality = np.r_[np.ones(right), np.zeros(600 - right)]
        result_of(quality=quality, **changes).save(path)
        return path

    return save


def test_exit_codes_are_pass_fail_and_inconclusive(evaluate, saved):
    base = saved(500, folder="base")
    codes = []
    for right in (500, 440, 498):
        done = evaluate("gate", saved(right), "--baseline", base, "--policy", "p")
        codes.append((done.exit_code, done.stdout.split(":")[0]))
    assert codes == [(0, "PASS"), (1, "FAIL"), (2, "INCONCLUSIVE")]


def test_an_inconclusive_gate_says_how_many_tasks_it_needs(evaluate, saved):
    done = evaluate("gate", saved(498), "--baseline", saved(500, folder="base"), "--policy", "p")
    assert "tasks would decide" in done.stdout
    document = json.loads(
        evaluate(
            "gate", saved(498), "--baseline", saved(500, folder="base"), "--policy", "p", "--json"
        ).stdout
    )
    assert document["status"] == "inconclusive"
    assert document["n_needed"] > 600


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        ("--nonsense",),
        ("--max-cost-increase", "5"),
        ("--max-quality-drop", "a lot"),
        ("--cluster-by", "colour"),
        ("--alpha", "x"),
        ("--alpha", "0.9"),
        ("--policy", "nobody"),
        ("--min-quality", "90"),
    ],
)
def test_bad_input_and_usage_exit_3_so_that_2_has_one_meaning(evaluate, saved, wrong):
    arguments = (saved(500), "--baseline", saved(500, folder="base"), *wrong) if wrong else ()
    done = evaluate("gate", *arguments)
    assert done.exit_code == 3
    assert done.stderr


def test_without_a_baseline_an_absolute_limit_is_needed(evaluate, saved):
    unlimited = evaluate("gate", saved(600), "--policy", "p")
    assert unlimited.exit_code == 3
    assert "--baseline" in unlimited.stderr
    done = evaluate("gate", saved(600), "--policy", "p", "--min-quality", "0.9")
    assert done.exit_code == 0
    assert evaluate("gate", saved(600), "--policy", "p", "--max-cost-usd", "0.5").exit_code == 1


def test_a_criterion_can_be_left_out_and_a_saving_demanded(evaluate, saved):
    base, dear = saved(500, folder="base"), saved(500, cost_usd=np.full(600, 3.0))
    both = ("gate", dear, "--baseline", base, "--policy", "p")
    assert evaluate(*both).exit_code == 1
    assert evaluate(*both, "--max-cost-increase", "off").exit_code == 0
    cheap = ("gate", base, "--baseline", dear, "--policy", "p")
    assert evaluate(*cheap, "--max-cost-increase", "-50%").exit_code == 0
    assert evaluate(*cheap, "--max-cost-increase", "-80%").exit_code == 1


def test_folders_stand_for_their_result_and_files_are_written(evaluate, saved, tmp_path):
    junit, text = tmp_path / "out" / "gate.xml", tmp_path / "gate.md"
    run, base = saved(440).parent, saved(500, folder="base").parent
    done = evaluate(
        "gate", run, "--baseline", base, "--policy", "p", "--junit", junit, "--markdown", text
    )
    assert done.exit_code == 1
    assert ET.parse(junit).getroot().get("failures") == "1"
    assert "**fail**" in text.read_text(encoding="utf-8")


def test_files_that_cannot_be_written_and_damaged_results_are_bad_input(evaluate, saved, tmp_path):
    (tmp_path / "file").write_text("{")
    run = saved(600)
    limit = ("--policy", "p", "--min-quality", "0.5")
    assert evaluate("gate", tmp_path / "file", *limit).exit_code == 3
    done = evaluate("gate", run, *limit, "--junit", tmp_path / "file" / "x.xml")
    assert done.exit_code == 3
    assert "was not written" in done.stderr


def test_compare_shows_differences_categories_and_tasks(evaluate, tmp_path):
    realistic().save(tmp_path / "a.json")
    realistic(name="after").save(tmp_path / "b.json")
    done = evaluate("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert done.exit_code == 0
    assert "200 paired tasks" in done.stdout
    assert "terra-6@medium" in done.stdout
    assert "billing" in done.stdout
    assert "plan won 0 tasks" in done.stdout
    assert "Holm" in done.stdout


def test_compare_caps_the_tasks_it_lists(evaluate, saved):
    was, now = saved(0), saved(600, folder="now")
    done = evaluate("compare", was, now, "--policy", "p", "--tasks", "3")
    assert "p won 600 tasks: t0, t1, t2, and 597 more" in done.stdout
    document = json.loads(evaluate("compare", was, now, "--tasks", "3", "--json").stdout)
    assert document["series"]["p"]["won"] == ["t0", "t1", "t2"]
    assert document["series"]["p"]["quality_difference"] == 1.0


def test_compare_refuses_results_without_a_task_in_common(evaluate, saved):
    ids = [f"other{i}" for i in range(600)]
    done = evaluate("compare", saved(500), saved(500, folder="b", ids=ids))
    assert done.exit_code == 3
    assert "share no task" in done.stderr


def test_help_names_the_exit_codes(evaluate, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert (
        "0 pass, 1 fail, 2 inconclusive, 3 bad input or usage" in evaluate("gate", "--help").stdout
    )
