"""`effortctl feedback`, `top`, `ledger report` and `doctor --probe` on the command line."""

import io
import json
from decimal import Decimal

import pytest
from learn_data import ARMS, rows
from rich.console import Console
from typer.testing import CliRunner
from watched import START, attempt, expecting, trace

from effortctl import learn
from effortctl._types import Cost
from effortctl.cli._app import app
from effortctl.cli._top import Watch, keep_looking
from effortctl.stores import (
    OutcomeRow,
    SqliteLedger,
    TraceStore,
    feedback_path,
    outcome_matrix,
    read_feedback,
)
from effortctl.testing import MockReply, MockServer


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run():
    def call(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="effortctl")

    return call


@pytest.fixture
def traces(tmp_path):
    path = tmp_path / "traces.jsonl"
    store = TraceStore(path)
    store.write(trace(attempt("fail"), attempt(arm="gpt-6-sol@high", usd="0.5"), number=0))
    store.write(trace(attempt("pass"), number=1))
    return path


@pytest.fixture
def ledger(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    with SqliteLedger(path) as book:
        for decision, arm, usd in (
            ("trace-0", "gpt-6-luna@low", "0.01"),
            ("trace-0", "gpt-6-sol@high", "0.5"),
            ("trace-1", "gpt-6-luna@low", "0.01"),
        ):
            ticket = book.reserve(Decimal(1), budgets=(), trace_id=decision)
            book.settle(ticket, Cost(usd=Decimal(usd), source="user"), row={"arm": arm})
    return path


# --- feedback --------------------------------------------------------------------------------------


def test_feedback_is_noted_beside_the_traces(run, traces):
    done = run("feedback", "trace-1", "--score", 1, "--note", "good", "--traces", traces)
    assert done.exit_code == 0, done.output
    (given,) = read_feedback(feedback_path(traces))
    assert (given.trace_id, given.score, given.note) == ("trace-1", 1, "good")


def test_the_traces_can_come_from_the_environment(run, traces, monkeypatch):
    monkeypatch.setenv("EFFORTCTL_TRACES", str(traces))
    done = run("feedback", "trace-0", "--score", "0.5", "--json")
    assert json.loads(done.stdout)["score"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trace-9", "--score", "1"), "no trace in"),
        (("trace-1", "--score", "2"), "expected a number from 0"),
    ],
)
def test_mistakes_of_feedback_are_one_sentence_and_code_3(run, traces, arguments, said):
    done = run("feedback", *arguments, "--traces", traces)
    assert done.exit_code == 3
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not feedback_path(traces).exists()


def test_feedback_without_traces_says_how_to_name_them(run):
    done = run("feedback", "trace-1", "--score", 1)
    assert done.exit_code == 3
    assert "EFFORTCTL_TRACES" in done.stderr


# --- report ----------------------------------------------------------------------------------------


def test_a_report_joins_ledger_traces_and_feedback(run, traces, ledger):
    run("feedback", "trace-1", "--score", "0.5", "--traces", traces)
    done = run("ledger", "report", "--traces", traces, "--ledger", ledger, "--json")
    found = json.loads(done.stdout)
    assert found["spend_usd"] == "0.52"
    assert found["spend_by_arm"] == {"gpt-6-luna@low": "0.02", "gpt-6-sol@high": "0.5"}
    assert sum(map(Decimal, found["spend_by_day"].values())) == Decimal("0.52")
    assert (found["tasks"], found["escalation_rate"], found["verified_rate"]) == (2, 0.5, 1)
    assert (found["usd_per_task"], found["usd_per_verified_task"]) == ("0.26", "0.26")
    assert found["arms"]["gpt-6-luna@low"]["verified_rate"] == 0.5
    assert found["arms"]["gpt-6-luna@low"]["feedback"] == 0.5
    assert found["days"]["2026-11-23"]["tasks"] == 2
    assert found["drift"] is None


def test_a_report_fits_the_terminal(run, traces, ledger):
    done = run("ledger", "report", "--traces", traces, "--ledger", ledger)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("$0.52 booked, 2 tasks, 50% escalated, 100% verified")
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 80
    assert "2026-11-23" in done.stdout
    assert "$0.26 per task, $0.26 per verified task" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("gpt-6")]
    assert [(row[0], "96%" in row, "4%" in row) for row in rows] == [
        ("gpt-6-sol@high", True, False),
        ("gpt-6-luna@low", False, True),
    ]


def test_a_ledger_alone_tells_spend_and_escalations(run, ledger):
    done = run("ledger", "report", "--ledger", ledger)
    assert done.stdout.startswith("$0.52 booked, 2 tasks, 50% escalated\n")
    assert "EFFORTCTL_TRACES" in done.stdout


def test_a_report_of_nothing_is_no_error(run):
    done = run("ledger", "report")
    assert done.exit_code == 0
    assert done.stdout.startswith("Nothing booked yet in ")


def test_since_leaves_out_what_is_older(run, traces, ledger):
    done = run(
        "ledger",
        "report",
        "--traces",
        traces,
        "--ledger",
        ledger,
        "--since",
        "2099-01-01",
        "--json",
    )
    found = json.loads(done.stdout)
    assert (found["tasks"], found["spend_usd"]) == (0, "0")


@pytest.mark.parametrize("option", ["--traces", "--ledger", "--policy"])
def test_a_file_that_is_not_there_is_code_3(run, option, tmp_path):
    done = run("ledger", "report", option, tmp_path / "nowhere")
    assert done.exit_code == 3
    assert "nowhere" in done.stderr


def test_drift_away_from_a_policy_is_told_with_what_to_do(run, tmp_path):
    matrix = outcome_matrix([OutcomeRow(**row) for row in rows(tasks=200)])
    learn(matrix, value_usd=0.05).save(tmp_path / "policy.json")
    path = tmp_path / "drifting.jsonl"
    store = TraceStore(path)
    arm = next(iter(ARMS))
    for number in range(120):
        expected = expecting(0.95, arm=arm, usd=0.004)
        tried = attempt("fail", arm=arm, usd="0.02", expected=expected)
        store.write(trace(tried, number=number, started_at=START))
    options = ("--traces", path, "--policy", tmp_path / "policy.json")
    done = run("ledger", "report", *options)
    assert done.exit_code == 0, done.output
    assert f"{arm} passes 0% of 120 tasks" in " ".join(done.stdout.split())
    assert "learn again" in " ".join(done.stdout.split())
    found = json.loads(run("top", "--once", "--json", *options).stdout)["drift"]
    assert found["compared"] == 120
    assert {"passes_less", "costs_more"} <= {s["kind"] for s in found["shifts"] if s["alarm"]}


# --- top -------------------------------------------------------------------------------------------


def test_top_looks_once(run, traces, ledger):
    done = run("top", "--once", "--traces", traces, "--ledger", ledger)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("$0.52 booked, 2 tasks")
    assert "gpt-6-sol@high" in done.stdout


def test_top_sees_what_is_written_while_it_watches_until_interrupted(traces, ledger, monkeypatch):
    seen = []
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr("effortctl.cli._show.out", lambda: screen)
    watch = Watch(traces=traces, ledger=ledger)

    def sleep(seconds):
        seen.append(seconds)
        if len(seen) == 3:
            raise KeyboardInterrupt
        TraceStore(traces).write(trace(attempt("pass"), number=10 + len(seen)))

    keep_looking(watch, every_s=1.5, sleep=sleep)
    assert seen == [1.5] * 3
    shown = screen.file.getvalue()
    assert [count in shown for count in ("2 tasks", "3 tasks", "4 tasks")] == [True] * 3


def test_a_file_of_traces_that_is_replaced_is_counted_anew(traces, ledger):
    watch = Watch(traces=traces, ledger=ledger)
    assert watch.look().activity.total.tasks == 2
    traces.unlink()
    TraceStore(traces).write(trace(attempt("pass"), number=7))
    assert watch.look().activity.total.tasks == 1


# --- probe -----------------------------------------------------------------------------------------


@pytest.fixture
def ladder_file(tmp_path):
    def write(server):
        lines = ['[ladder]\nname = "mine"\ndescription = "Two efforts of a test server"']
        lines += [
            f'[[arm]]\nname = "m@{effort}"\nmodel = "m"\neffort = "{effort}"\n'
            f'endpoint = {{ name = "mine", base_url = "{server.base_url}" }}\n'
            "max_output_tokens = 1000\n"
            'price = { input_usd_per_mtok = "1", output_usd_per_mtok = "2" }'
            for effort in ("low", "high")
        ]
        path = tmp_path / "mine.toml"
        path.write_text("\n\n".join(lines))
        return path

    return write


def findings(done):
    return [
        (found["status"], found["text"])
        for found in json.loads(done.stdout)["findings"]
        if found["area"] == "effort"
    ]


def test_a_probe_is_booked_and_says_that_efforts_differ(run, ladder_file, ledger):
    with MockServer() as server:
        done = run(
            "doctor", "--probe", "--budget-usd", "0.10", "--ladder", ladder_file(server),
            "--ledger", ledger, "--json",
        )  # fmt: skip
        assert server.count() == 10
    assert done.exit_code == 0, done.output
    told = dict(reversed(pair) for pair in findings(done))
    assert any(text.startswith("m@low < m@high") for text in told)
    assert set(told.values()) == {"ok"}
    with SqliteLedger(ledger) as book:
        assert sum(entry.arm in {"m@low", "m@high"} for entry in book.entries()) == 10


def test_a_probe_warns_of_a_knob_that_does_nothing(run, ladder_file):
    with MockServer(lambda request: MockReply("1", reasoning_tokens=50)) as server:
        done = run(
            "doctor",
            "--probe",
            "--budget-usd",
            "0.10",
            "--calls",
            4,
            "--ladder",
            ladder_file(server),
            "--json",
        )
    told = " ".join(text for status, text in findings(done) if status == "warning")
    assert "m@low and m@high cannot be told apart" in told
    assert "merge m@low, m@high" in told


def test_a_probe_needs_a_budget(run):
    done = run("doctor", "--probe")
    assert done.exit_code == 2
    assert "--budget-usd" in done.stderr


def test_a_probe_of_recorded_answers_is_refused(run):
    done = run("doctor", "--probe", "--budget-usd", "1", "--ladder", "local")
    assert done.exit_code == 3
    assert "recorded answers" in done.stderr


def test_a_probe_that_its_budget_ends_says_so(run, ladder_file):
    with MockServer() as server:
        done = run(
            "doctor", "--probe", "--budget-usd", "0.003", "--ladder", ladder_file(server), "--json"
        )
    assert any(text.startswith("stopped early") for _, text in findings(done))


def test_a_difference_that_few_calls_cannot_show_is_no_reason_to_merge(run, ladder_file):
    tokens = {"low": [10, 900, 20, 30], "high": [100, 15, 80, 70]}

    def respond(request):
        return MockReply("1", reasoning_tokens=tokens[request.effort][request.n // 2 % 4])

    with MockServer(respond) as server:
        done = run(
            "doctor",
            "--probe",
            "--budget-usd",
            "1",
            "--calls",
            4,
            "--ladder",
            ladder_file(server),
            "--json",
        )
    told = findings(done)
    assert not [text for _, text in told if text.startswith("merge")]
    assert any(status == "note" and "--calls 12" in text for status, text in told)
