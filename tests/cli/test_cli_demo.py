import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from effortctl.cli import _demo_live, _demo_text
from effortctl.harness import Row, Table
from effortctl.stores import SqliteLedger, read_traces


def test_the_demo_tells_stories_then_the_table_then_what_it_means(cli, recording):
    done = cli("demo", "--recording", recording, "--usd-per-hour", "36")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        "6 tasks; real answers of 2 local models, recorded on a CPU on 2026-"
    )
    assert "no answer is invented" in lines[1]
    assert "No feedback is carried" in done.stdout
    assert "pass" in done.stdout
    assert "Not accepted: no arm passed" in done.stdout
    assert "6 tasks of 1 kind; " in done.stdout
    assert "the ladder" in done.stdout
    assert "upper bound" in done.stdout
    assert "hosted models" in done.stdout
    assert "effortctl doctor" in lines[-1]
    assert done.stderr == "", "no progress bar where nobody watches"


def test_no_line_of_the_table_is_wider_than_80_columns(cli, recording):
    done = cli("demo", "--recording", recording, "--quiet")
    start = next(i for i, text in enumerate(done.stdout.splitlines()) if "quality" in text)
    table = done.stdout.splitlines()[start - 1 : start + 10]
    assert max(len(text.rstrip()) for text in table) <= 80
    assert "Next:" not in done.stdout


def test_the_demo_as_json_holds_the_same_and_names_its_files(cli, recording):
    done = cli("demo", "--recording", recording, "--usd-per-hour", "36", "--json")
    document = json.loads(done.stdout)
    table = document["table"]
    assert (table["tasks"], table["ladder"]["accepted"]) == (6, 4)
    assert float(table["ladder"]["usd_per_1000_tasks"]) == pytest.approx(20)
    best = max(row["accepted"] for row in table["fixed"])
    assert best == 4
    assert {shown["story"] for shown in document["shown"]} == {
        "first try",
        "escalated",
        "exhausted",
    }
    assert len(list(read_traces(document["traces"]))) == 6
    with SqliteLedger(document["ledger"]) as ledger:
        assert {entry.task_id for entry in ledger.entries()} >= {"sums/000"}
    assert "live" not in document


def test_traces_go_where_they_are_asked_to(cli, recording, tmp_path):
    path = tmp_path / "mine.jsonl"
    done = cli("demo", "--recording", recording, "--traces", path, "--limit", "3", "-q")
    assert f"Traces: {path}" in done.stdout
    assert len(list(read_traces(path))) == 3
    assert cli("demo", "--recording", recording, "--traces", tmp_path, "-q").exit_code == 3


@pytest.mark.parametrize("content", ["", "{}\n", "not a recording"])
def test_a_damaged_recording_is_one_sentence_and_code_3(cli, tmp_path, content):
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    done = cli("demo", "--recording", path)
    assert done.exit_code == 3
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("--limit", "0"), ("--usd-per-hour", "much"), ("--usd-per-hour", "-1")]
)
def test_senseless_options_are_code_2(cli, arguments):
    assert cli("demo", *arguments).exit_code == 2


def test_a_live_part_that_cannot_run_is_one_line_and_no_failure(cli, recording):
    done = cli("demo", "--recording", recording, "--live", "--gguf", "missing.gguf", "-q")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "The live part did not run: model file missing.gguf does not exist; "
        "give the path of a .gguf file"
    )


def test_the_reason_is_in_the_json_too(cli, recording):
    done = cli("demo", "--recording", recording, "--live", "--gguf", "missing.gguf", "--json")
    assert "does not exist" in json.loads(done.stdout)["live"]["error"]
    assert done.exit_code == 0


def test_the_live_part_on_its_own_fails_with_code_6(cli):
    done = cli("demo", "--live-only", "--gguf", "missing.gguf")
    assert done.exit_code == 6
    assert done.stdout == ""
    assert done.stderr.startswith("Error: model file missing.gguf")
    also = cli("demo", "--live-only", "--gguf", "missing.gguf", "--json")
    assert json.loads(also.stdout)["error"]["type"] == "ConfigError"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import os; os.kill(os.getpid(), 11)", "the model's runtime crashed (signal 11)"),
        ("import sys; sys.exit('Error: no wheel')", "no wheel"),
        ("import sys; sys.exit(6)", "exit code 6"),
    ],
)
def test_a_crash_of_native_code_does_not_take_the_demo_with_it(code, sentence):
    assert _demo_live._child([sys.executable, "-c", code], capture=True) == ("", sentence)


def test_a_program_that_cannot_be_started_is_a_sentence(tmp_path):
    _, problem = _demo_live._child([str(tmp_path / "no-python")], capture=True)
    assert problem is not None
    assert problem.startswith("no process could be started")


def test_python_dash_m_effortctl_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "effortctl", "demo", "--live-only", "--gguf", "missing.gguf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6
    assert "missing.gguf" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_said_of_ladder_and_best_arm_follows_the_numbers():
    def row(name, accepted, compute_s):
        return Row(
            name=name,
            tasks=100,
            accepted=accepted,
            compute_s=compute_s,
            usd=Decimal(str(compute_s)),
            output_tokens=1,
            wall_s=1.0,
            escalations=0,
            resamples=0,
        )

    best = row("big", 70, 10.0)
    better = _demo_text.findings(Table((best,), row("ladder", 75, 8.0), 1, 0))[0]
    assert "75.0% of the tasks accepted, 5.0 points more than" in better
    assert "at 80% of its cost: $80.00 against $100.00" in better
    same = _demo_text.findings(Table((best,), row("ladder", 70, 12.0), 1, 0))[0]
    assert "as many as the best single arm (big, 70.0%), at 1.20 times its cost" in same
    worse = _demo_text.findings(Table((best,), row("ladder", 65, 8.0), 1, 0))[0]
    assert "5.0 points fewer than" in worse
    free = _demo_text.findings(Table((row("big", 7, 0.0),), row("ladder", 7, 0.0), 1, 0))[0]
    assert "at a cost that was not recorded" in free


def test_next_commands_name_the_ledger_of_this_run():
    commands = _demo_text.next_commands(Path("/x/l.sqlite3"))
    assert any("--ledger /x/l.sqlite3" in command for command in commands)
