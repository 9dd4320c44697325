"""`effortctl forecast`."""

import json

import pytest
from learn_data import rows

from effortctl._learn import learn
from effortctl.stores import outcome_matrix, write_outcomes
from effortctl.stores._outcome_rows import parse_row


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A policy, outcomes of other tasks, and expected queries."""
    folder = tmp_path_factory.mktemp("forecast")

    def made(seed):
        found = rows(300, seed=seed)
        for row in found:
            row["category"] = "easy" if "hello" in row["query"] else "hard"
            row["latency_s"] = 2.0
        return found

    learn(outcome_matrix(made(0)), value_usd=0.05).save(folder / "policy.json")
    write_outcomes(folder / "outcomes.csv", map(parse_row, made(9)))
    (folder / "tasks.csv").write_text("category,queries_per_month\neasy,100000\nhard,20000\n")
    return folder


@pytest.fixture
def predict(cli, files):
    """Runs `forecast` on the files."""

    def run(*arguments, volume="tasks.csv"):
        return cli(
            "forecast", "--policy", files / "policy.json", "--volume", files / volume, *arguments
        )

    return run


def test_a_month_is_shown_for_the_plan_and_every_fixed_choice(predict, files):
    done = predict("--outcomes", files / "outcomes.csv")
    assert done.exit_code == 0
    assert "120,000 queries per month; dollars per task from 300 recorded tasks" in done.stdout
    for line in ("plan", "best fixed arm big", "small", "easy", "hard", "provider", "model"):
        assert line in done.stdout
    assert max(len(line.rstrip()) for line in done.stdout.splitlines() if "$" in line) <= 80


def test_json_has_dollars_by_provider_with_intervals(predict, files):
    document = json.loads(predict("--outcomes", files / "outcomes.csv", "--json").stdout)
    plan = document["policies"]["plan"]
    assert plan["usd_per_month"]["low"] < plan["usd_per_month"]["value"]
    assert plan["by_model"].keys() <= {"small", "big"}
    assert document["policies"]["fixed:big"]["by_provider"].keys() == {"unknown"}


def test_without_outcomes_it_warns_and_uses_the_policys_file(predict):
    done = predict()
    assert done.exit_code == 0
    assert "Warning: Without outcomes" in done.stderr
    assert "the policy's own file" in done.stdout


def test_the_price_of_a_machine_makes_local_arms_cost_hours(predict, files):
    options = ("--outcomes", files / "outcomes.csv", "--local", "small")
    done = predict(*options, "--usd-per-hour", "$1.20", "--volume-uncertainty", "20%")
    assert done.exit_code == 0
    assert "Hours of your machine under the plan" in done.stdout
    assert "local" in done.stdout


def test_an_unknown_category_is_pooled_or_refused(predict, files):
    (files / "other.csv").write_text("category,queries_per_month\nlegal,10\n")
    options = ("--outcomes", files / "outcomes.csv")
    pooled = predict(*options, volume="other.csv")
    assert pooled.exit_code == 0
    assert "'legal'" in pooled.stderr
    strict = predict(*options, "--strict", volume="other.csv")
    assert strict.exit_code == 3
    assert "'legal'" in strict.stderr


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--volume-uncertainty", "0.2", 2),
        ("--usd-per-hour", "cheap", 2),
        ("--level", "1", 3),
        ("--outcomes", "nope.csv", 3),
    ],
)
def test_wrong_options_say_what_to_write(predict, option, value, code):
    done = predict(option, value)
    assert done.exit_code == code
    assert done.stderr
