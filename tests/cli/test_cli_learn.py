"""`learn`, `plan` and `policy` on the command line."""

import json

import pytest

from effortctl.cli import _policy_text
from effortctl.stores import OutcomeRow, write_outcomes

EASY = "Please say hello to person number {}"
HARD = "Prove that the permutation polynomial {} is irreducible"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Easy prompts are solved by both arms, hard ones by the dear arm only."""
    path = tmp_path_factory.mktemp("outcomes") / "outcomes.jsonl.gz"
    rows = [
        OutcomeRow(
            query_id=f"q{i}",
            query=(HARD if i % 2 else EASY).format(i),
            arm=arm,
            score=float(right),
            cost_usd=usd,
        )
        for i in range(80)
        for arm, usd, right in (("small", 0.004, i % 2 == 0), ("big", 0.010, i % 10 > 0))
    ]
    write_outcomes(path, rows)
    return path


@pytest.fixture
def policy(cli, outcomes, tmp_path):
    """A policy learned with --value-usd."""
    path = tmp_path / "policy.json"
    done = cli("learn", outcomes, "-o", path, "--value-usd", "0.5", "--json")
    assert done.exit_code == 0, done.stderr
    return path


def test_learn_says_what_it_found_and_writes_a_policy(cli, outcomes, tmp_path):
    path = tmp_path / "p.json"
    done = cli("learn", outcomes, "-o", path)
    assert done.exit_code == 0, done.stderr
    assert json.loads(path.read_text())["format"] == "effortctl-policy"
    for said in (
        "from 80 tasks",
        "easy |",
        "small",
        "$0.004",
        "Lambda",
        "best fixed arm big",
        "Not certified. Do not route",
        "effortctl plan --policy",
    ):
        assert said in " ".join(done.stdout.split()), said
    assert done.stderr == "", "no bar where nobody watches"
    assert max(map(len, done.stdout.split("\n\nWritten")[0].splitlines())) <= 80


def test_learn_as_json_is_the_policy_without_its_coefficients(cli, outcomes, tmp_path):
    path = tmp_path / "p.json"
    done = cli("learn", outcomes, "-o", path, "--arms", "big, small", "--verifier", "1,0", "--json")
    document = json.loads(done.stdout)
    assert document["policy"] == str(path)
    assert [arm["name"] for arm in document["arms"]] == ["big", "small"]
    assert document["arms"][1]["p_correct"].keys() == {"easy", "medium", "hard"}
    assert document["certificate"]["certified"] is False
    assert "model" not in document


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--verifier", "perfect"), 2),
        (("--verifier", "0.1,0.9"), 3),
        (("--value-usd", "1", "--min-quality", "0.9"), 3),
        (("--arms", "huge"), 3),
        (("--epsilon", "2"), 3),
    ],
)
def test_what_cannot_be_learned_ends_with_the_code_of_bad_input(cli, outcomes, options, code):
    done = cli("learn", outcomes, *options)
    assert done.exit_code == code
    assert done.stdout == ""


def test_outcomes_that_are_missing_or_malformed_name_the_place(cli, tmp_path):
    assert cli("learn", tmp_path / "no.jsonl").exit_code == 3
    path = tmp_path / "bad.jsonl"
    path.write_text('{"query_id": "a", "arm": "x", "score": 7}\n')
    done = cli("learn", path, "-o", tmp_path / "p.json")
    assert done.exit_code == 3
    assert "line 1" in done.stderr
    assert not (tmp_path / "p.json").exists()


def test_time_has_a_price_and_answers_are_compared_where_that_was_recorded(cli, tmp_path):
    path, policy = tmp_path / "outcomes.jsonl", tmp_path / "p.json"
    write_outcomes(
        path,
        [
            OutcomeRow(
                query_id=f"q{i}",
                query=EASY.format(i),
                arm=arm,
                score=float(right),
                cost_usd=usd,
                latency_s=2.0,
                answer=f"Answer: {'B' if right else arm[0]}",
            )
            for i in range(60)
            for arm, usd, right in (("cheap", 0.001, i % 3 > 0), ("dear", 0.01, i % 9 > 0))
        ],
    )
    options = ("--verifier", "agreement", "--same-answer", "choice", "--value-of-time", "1.8")
    done = cli("learn", path, "-o", policy, *options)
    assert done.exit_code == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "compared with each other (choice)" in said
    assert "An hour of waiting costs $1.80" in said
    assert json.loads(policy.read_text())["latency_s"] == {"cheap": 2.0, "dear": 2.0}
    assert cli("learn", path, "--same-answer", "vibe").exit_code == 2


def test_plan_explains_every_step(cli, policy):
    done = cli("plan", "--policy", policy, HARD.format(3))
    assert done.exit_code == 0, done.stderr
    for said in ("Difficulty:", "Plan: try small first", "return it", "Why small", "not certified"):
        assert said in " ".join(done.stdout.split()), said
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_plan_as_json_holds_the_whole_reasoning(cli, policy):
    document = json.loads(
        cli("plan", "--policy", policy, "-", "--json", stdin=EASY.format(1)).stdout
    )
    plan = document["plan"]
    assert set(plan["alternatives"]) == set(plan["p_correct"]) == {"small", "big"}
    assert plan["steps"][0]["on_pass"]["do"] == "return"
    assert document["certified"] is False
    assert document["acting"].startswith("ladder:")
    assert document["difficulty"]["label"] in {"trivial", "easy", "medium", "hard", "extreme"}


def test_a_plan_that_gives_up_says_so(cli, outcomes, tmp_path):
    path = tmp_path / "stingy.json"
    cli("learn", outcomes, "-o", path, "--value-usd", "0.000001")
    done = cli("plan", "--policy", path, HARD.format(1))
    assert "No arm is worth its price" in done.stdout


def test_plan_wants_a_prompt_and_a_policy(cli, policy, tmp_path):
    assert cli("plan", "--policy", policy, " ").exit_code == 3
    done = cli("plan", "--policy", tmp_path / "none.json", "hello", "--json")
    assert done.exit_code == 3
    assert "effortctl learn" in json.loads(done.stdout)["error"]["message"]


def test_policy_show_prints_what_learn_printed(cli, outcomes, tmp_path):
    path = tmp_path / "p.json"
    learned = cli("learn", outcomes, "-o", path).stdout
    shown = cli("policy", "show", path)
    assert shown.exit_code == 0
    assert learned.startswith(shown.stdout)
    assert json.loads(cli("policy", "show", path, "--json").stdout)["policy"] == str(path)


def test_policy_diff_names_what_changed_and_nothing_else(cli, outcomes, policy, tmp_path):
    assert "the same" in cli("policy", "diff", policy, policy).stdout
    other = tmp_path / "other.json"
    cli("learn", outcomes, "-o", other, "--value-usd", "0.25")
    document = json.loads(cli("policy", "diff", policy, other, "--json").stdout)
    assert document["value_usd"] == {"first": 0.5, "second": 0.25}
    assert not any(name.startswith(("arm", "model")) for name in document)
    assert "value_usd: 0.5 -> 0.25" in cli("policy", "diff", policy, other).stdout


def test_an_arm_more_is_one_line_of_the_comparison(cli, outcomes, policy, tmp_path):
    other = tmp_path / "one.json"
    cli("learn", outcomes, "-o", other, "--value-usd", "0.5", "--arms", "big")
    document = json.loads(cli("policy", "diff", policy, other, "--json").stdout)
    assert document["arms"] == {"first": "small, big", "second": "big"}
    assert not any(name.startswith("arm.small") for name in document)


@pytest.mark.parametrize("command", [("learn",), ("plan",), ("policy", "show"), ("policy", "diff")])
def test_every_command_has_at_least_two_examples_in_its_help(cli, command):
    done = cli(*command, "--help")
    assert done.exit_code == 0
    assert done.stdout.count("effortctl " + " ".join(command)) >= 3, "the usage line and two"


def test_plots_show_what_is_there(monkeypatch):
    assert len(_policy_text.plot([0, 1, 2], top=2)) == 3
    monkeypatch.setattr("sys.stdout", None)
    assert _policy_text.plot([0, 0.01, 0.5, 1, 2], top=1) == " .=@@"
    assert _policy_text.plot([0, 0], top=0) == "  "


def test_without_outcomes_a_policy_begins_with_the_shipped_prior(cli, tmp_path):
    path = tmp_path / "first.json"
    done = cli("learn", "--ladder", "openai", "-o", path)
    assert done.exit_code == 0, done.stderr
    assert "from the shipped prior" in done.stdout
    assert "Not certified. This plan rests on a prior" in " ".join(done.stdout.split())
    planned = cli("plan", "--policy", path, "What is 2 + 2?")
    assert "follows this plan on trust" in planned.stdout
    direct = cli("plan", "--ladder", "openai", "What is 2 + 2?", "--json")
    assert json.loads(direct.stdout)["decides"] is True


def test_nothing_to_learn_from_is_refused(cli, tmp_path):
    done = cli("learn", "-o", tmp_path / "p.json")
    assert done.exit_code == 2
    assert "--ladder" in done.stderr
    done = cli("learn", "--ladder", "openai", "--min-quality", "0.9", "-o", tmp_path / "p.json")
    assert done.exit_code == 3
    assert "--value-usd" in done.stderr
    assert not (tmp_path / "p.json").exists()
