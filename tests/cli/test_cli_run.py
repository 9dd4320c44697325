import json
import sqlite3
from decimal import Decimal

import pytest

from effortctl._types import Trace
from effortctl.stores import SqliteLedger, default_ledger_path, read_traces
from effortctl.testing import MockServer


@pytest.fixture
def by_effort():
    """A server that only gets it right with high effort."""
    answer = {"low": "40", "high": "408"}
    with MockServer(lambda request: answer[request.effort]) as server:
        yield server


@pytest.fixture
def spent(tmp_path):
    """Where the commands of a test book."""
    return tmp_path / "spent.sqlite3"


# --- recorded tasks --------------------------------------------------------------------------------


def test_a_recorded_task_climbs_and_its_trace_is_printed_as_json(cli, recording, task_ids, rungs):
    done = cli(
        "run", "--task", task_ids[2], "--recording", recording, "--usd-per-hour", "36",
        "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document.pop("cost_usd") == "0.020000000"
    trace = Trace.model_validate(document)
    assert trace.outcome == "accepted"
    assert [(a.arm, a.requested_effort, a.passed) for a in trace.attempts] == [
        (rungs[0].name, rungs[0].effort, False),
        (rungs[1].name, rungs[1].effort, True),
    ]
    assert done.stderr == ""


def test_every_attempt_has_its_line_and_the_end_its_sentence(cli, recording, task_ids, rungs):
    done = cli("run", "--task", task_ids[2], "--recording", recording)
    first, reason, second, *_ = done.stdout.splitlines()
    assert first.split() == f"{rungs[0].name} {rungs[0].effort} 5 tok 2.00 s fail $0".split()
    assert reason.startswith("    The final number")
    assert second.split()[-2:] == ["pass", "$0"]
    assert done.stdout.splitlines()[-1] == "Accepted (2 attempts, 10 tokens, 2.00 CPU s, $0)."
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_task_nobody_solves_ends_with_code_4_and_the_best_answer(cli, recording, task_ids, spent):
    done = cli("run", "--task", task_ids[5], "--recording", recording, "--ledger", spent)
    assert done.exit_code == 4
    assert "\n-1\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("Not accepted: no arm passed (3 attempts")


def test_quiet_prints_the_answer_alone(cli, recording, task_ids, spent):
    done = cli("run", "--task", task_ids[2], "--recording", recording, "--ledger", spent, "-q")
    assert done.stdout.strip().lstrip("-").isdigit()
    assert done.exit_code == 0


def test_a_check_of_ones_own_replaces_that_of_the_task(cli, recording, task_ids, spent):
    done = cli(
        "run", "--task", task_ids[5], "--recording", recording, "--ledger", spent,
        "--verify", "number:-1", "--json",
    )  # fmt: skip
    assert done.exit_code == 0
    assert len(json.loads(done.stdout)["attempts"]) == 1


# --- an OpenAI-compatible server -------------------------------------------------------------------


def test_a_prompt_climbs_the_ladder_of_a_server_and_is_booked(cli, by_effort, ladder_file, spent):
    done = cli(
        "run", "What is 17*24?", "--ladder", ladder_file(by_effort.base_url),
        "--verify", "regex:'^408$'", "--budget", "0.05", "--deadline", "30", "--ledger", spent, "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert [a["effective_effort"] for a in document["attempts"]] == ["low", "high"]
    assert Decimal(document["cost_usd"]) > 0
    with SqliteLedger(spent) as ledger:
        booked = sum(total.cost_usd for total in ledger.totals().values())
    assert booked == Decimal(document["cost_usd"])


@pytest.mark.parametrize("carried", [("feedback", 3), ("none", 1)])
def test_the_failed_answer_is_carried_or_not(cli, by_effort, ladder_file, carried):
    carry, turns = carried
    cli(
        "run", "What is 17*24?", "--ladder", ladder_file(by_effort.base_url), "--carry", carry,
        "--verify", "number:408",
    )  # fmt: skip
    assert len(by_effort.hits[-1].body["messages"]) == turns


def test_the_prompt_can_come_from_stdin_and_the_ladder_from_the_environment(
    cli, by_effort, ladder_file, monkeypatch
):
    monkeypatch.setenv("EFFORTCTL_LADDER", str(ladder_file(by_effort.base_url)))
    done = cli("run", "-", "-q", stdin="What is\n17*24?")
    assert done.stdout.strip() == "40", "without a check the first complete answer is taken"
    assert "17*24" in json.dumps(by_effort.hits[0].body)
    assert default_ledger_path().exists()


def test_the_cache_saves_the_second_call_and_says_so(cli, by_effort, ladder_file, spent):
    arguments = (
        "run", "What is 17*24?", "--ladder", ladder_file(by_effort.base_url), "--verify", "number:40",
        "--cache", "--ledger", spent,
    )  # fmt: skip
    first, second = cli(*arguments), cli(*arguments)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "cached" in second.stdout
    assert len(by_effort.hits) == 1


def test_traces_are_appended_without_the_text_of_answers(cli, by_effort, ladder_file, tmp_path):
    path = tmp_path / "t.jsonl"
    for _ in range(2):
        cli(
            "run", "hi", "--ladder", ladder_file(by_effort.base_url), "--traces", path,
            )  # fmt: skip
    traces = list(read_traces(path))
    assert len(traces) == 2
    assert traces[0].attempts[0].answer.text == ""


def test_a_budget_that_is_too_small_ends_with_code_5_before_any_call(
    cli, by_effort, ladder_file, spent
):
    done = cli(
        "run", "hi", "--ladder", ladder_file(by_effort.base_url), "--budget", "0.000001",
        "--ledger", spent, "--json",
    )  # fmt: skip
    assert done.exit_code == 5
    document = json.loads(done.stdout)
    assert document["error"]["type"] == "BudgetExceededError"
    assert document["trace"]["outcome"] == "over_budget"
    assert by_effort.hits == ()


def test_a_budget_that_ends_on_the_way_still_gives_the_best_answer(
    cli, by_effort, ladder_file, spent
):
    done = cli(
        "run", "hi", "--ladder", ladder_file(by_effort.base_url), "--budget", "0.002",
        "--verify", "number:408", "--ledger", spent,
    )  # fmt: skip
    assert done.exit_code == 5
    assert done.stdout.splitlines()[-1] == "40"
    assert "best answer so far" in done.stderr


@pytest.mark.parametrize("fault", ["401", "insufficient-quota", "403"])
def test_a_server_that_refuses_us_ends_with_code_6_after_one_call(cli, ladder_file, spent, fault):
    with MockServer() as server:
        server.script([fault], repeat=True)
        done = cli(
            "run", "hi", "--ladder", ladder_file(server.base_url), "--ledger", spent, "--json"
        )
        assert len(server.hits) == 1
    assert done.exit_code == 6
    document = json.loads(done.stdout)
    assert document["error"]["type"] == "BackendError"
    assert document["trace"]["outcome"] == "failed"


def test_a_deadline_that_passes_ends_with_code_6(cli, ladder_file, spent):
    with MockServer() as server:
        server.script(["hang"], repeat=True)
        done = cli(
            "run", "hi", "--ladder", ladder_file(server.base_url), "--deadline", "0.3",
            "--ledger", spent,
        )  # fmt: skip
    assert done.exit_code == 6
    assert "0.3 s are over" in done.stderr


def test_a_model_that_will_be_shut_down_is_warned_about_on_stderr(cli, spent, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = cli("run", "hi", "--arm", "o4-mini@low", "--ledger", spent)
    assert done.stderr.startswith("Warning: o4-mini was shut down on ")
    assert done.stderr.count("was shut down") == 1


# --- bad input -------------------------------------------------------------------------------------

_NO_PRICE = ("--arm", "openrouter/no-such/model@low", "--budget", "0.1")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--arm", "gpt-9@low"), "unknown model 'gpt-9'"),
        (("--arm", "gpt-6-luna@lots"), "unknown effort 'lots'"),
        (("--arm", "gpt-6-luna@low"), "set the environment variable OPENAI_API_KEY"),
        (("--ladder", "opnai"), "unknown ladder 'opnai', did you mean openai?"),
        (("--ladder", "local"), "only has recorded answers"),
        ((), "no ladder was chosen: use --ladder local-live"),
        (_NO_PRICE, "no price is known for 'no-such/model'"),
        (("--arm", "gpt-6-luna@low", "--budget", "much"), "is not an amount of dollars"),
        (("--arm", "gpt-6-luna@low", "--verify", "nubmer:1"), "unknown check 'nubmer:1'"),
        (("--gguf", "missing.gguf"), "missing.gguf does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_code_3(cli, spent, arguments, sentence):
    done = cli("run", "hi", *arguments, "--ledger", spent)
    assert done.exit_code == 3
    assert done.stdout == ""
    assert sentence in done.stderr
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    also = cli("run", "hi", *arguments, "--ledger", spent, "--json")
    assert also.exit_code == 3
    assert sentence in json.loads(also.stdout)["error"]["message"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[ladder]\nname = "empty"\n', "the ladder is empty"),
        ("[ladder\n", "not valid TOML"),
        ('[[arm]]\nmodel = "gpt-6-luna"\nefort = "low"\n', "is not a known key"),
        (
            '[[arm]]\nmodel = "gpt-6-astra"\neffort = "none"\non_unsupported = "error"\n',
            "effort 'none' is not accepted (accepted: low, medium, high, xhigh, max)",
        ),
    ],
)
def test_a_bad_ladder_file_is_named_with_what_is_wrong(cli, tmp_path, text, sentence):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    done = cli("run", "hi", "--ladder", path)
    assert done.exit_code == 3
    assert "bad.toml" in done.stderr
    assert sentence.replace("'efort'", "efort") in done.stderr.replace("`", "").replace(
        "'efort'", "efort"
    )
    assert done.stderr.count("\n") == 1


def test_an_unreadable_ledger_stops_the_run_before_any_call(cli, by_effort, ladder_file, spent):
    spent.write_text(
        "this is not a database, and long enough to be told apart from an empty one" * 9
    )
    done = cli("run", "hi", "--ladder", ladder_file(by_effort.base_url), "--ledger", spent)
    assert done.exit_code == 3
    assert done.stderr.startswith("Error: ")
    assert str(spent) in done.stderr
    assert by_effort.hits == ()


def test_a_folder_for_the_traces_stops_the_run_before_any_call(cli, by_effort, ladder_file, spent):
    ladder, folder = ladder_file(by_effort.base_url), spent.parent
    done = cli("run", "hi", "--ladder", ladder, "--ledger", spent, "--traces", folder)
    assert done.exit_code == 3
    assert "is a folder" in done.stderr
    assert by_effort.hits == ()


def test_a_missing_key_books_nothing(cli, spent):
    cli("run", "hi", "--arm", "gpt-6-luna@low", "--budget", "1", "--ledger", spent)
    with sqlite3.connect(spent) as connection:
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
    assert tables
    with SqliteLedger(spent) as ledger:
        assert list(ledger.entries()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("hi", "--task", "sums/018"),
        ("hi", "--ladder", "openai", "--arm", "x"),
        ("hi", "--no-such"),
    ],
)
def test_a_wrong_command_line_is_code_2(cli, arguments):
    assert cli("run", *arguments).exit_code == 2


def test_an_empty_prompt_is_refused(cli):
    done = cli("run", "-", stdin="  \n")
    assert done.exit_code == 3
    assert "the prompt is empty" in done.stderr
