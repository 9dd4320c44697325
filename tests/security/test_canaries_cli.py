"""Key and prompts through the commands: what is printed, and what every file they write holds."""

from __future__ import annotations

import json
import logging
import shutil

import canaries
import pytest
from typer.testing import CliRunner

from effortctl.cli._app import app
from effortctl.stores import OutcomeRow, write_outcomes
from effortctl.testing import MockServer

TASKS = 24
KEPT_PROMPTS = ("outcomes.jsonl.gz", "outcomes.parquet", "policies.jsonl.gz")
"""Files of a run that hold prompts on purpose: they are what `effortctl learn` learns from."""


@pytest.fixture
def home(tmp_path, monkeypatch, caplog):
    """A folder in which every file a command writes ends up."""
    monkeypatch.setenv("CANARY_API_KEY", canaries.KEY)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("EFFORTCTL_LEDGER", str(tmp_path / "ledger.sqlite3"))
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    yield tmp_path
    assert canaries.leaks("\n".join(f"{r.getMessage()} {r.args}" for r in caplog.records)) == []


def cli(*arguments):
    """What a command prints; nothing of it is a canary."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="effortctl")
    said = f"{done.stdout}\n{done.stderr}\n{done.exception!r}"
    assert canaries.leaks(said) == [], said
    return done


@pytest.fixture
def server():
    with MockServer(lambda request: "4" if "low" in str(request.effort) else "5") as running:
        yield running


@pytest.fixture
def ladder(home, server):
    lines = ['[ladder]\nname = "mine"\ndescription = "Two arms of a test server"']
    lines += [
        f'[[arm]]\nname = "m@{effort}"\nmodel = "m"\neffort = "{effort}"\nmax_output_tokens = 200\n'
        f'endpoint = {{ name = "mine", base_url = "{server.base_url}", api_key_env = "CANARY_API_KEY" }}\n'
        f'price = {{ input_usd_per_mtok = "{price}", output_usd_per_mtok = "2" }}'
        for effort, price in (("low", 1), ("high", 3))
    ]
    path = home / "mine.toml"
    path.write_text("\n\n".join(lines))
    return path


def clean(home, *, but=()):
    """No file holds a key, and none but these holds a prompt."""
    found = canaries.leaking_files(home)
    names = {name: leaks for name, leaks in found.items() if not name.endswith(tuple(but))}
    assert names == {}
    assert all(leaks == ["prompt"] for leaks in found.values())


@pytest.mark.parametrize("options", [[], ["--json"], ["--quiet"]])
def test_run_keeps_neither_key_nor_prompt(home, server, ladder, options):
    done = cli(
        "run", canaries.PROMPT, "--ladder", ladder, "--verify", "number:5", "--budget", "$1",
        "--traces", home / "traces.jsonl", "--cache", *options,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert server.hits[0].headers["authorization"].endswith(canaries.KEY)
    assert (home / "traces.jsonl").exists()
    clean(home)
    assert cli("ledger", "export", "-o", home / "entries.csv").exit_code == 0


@pytest.mark.parametrize("fault", ["401", "400", "html-502", "bad-utf8", "reset", "json-array"])
def test_a_run_that_fails_keeps_neither(home, server, ladder, fault):
    server.script([fault], repeat=True)
    options = ["--traces", home / "traces.jsonl", "--deadline", "5"]
    assert cli("run", canaries.PROMPT, "--ladder", ladder, *options).exit_code != 0
    clean(home)


@pytest.fixture
def evaluation(home, ladder):
    tasks = home / "tasks.jsonl"
    tasks.write_text(
        "".join(
            json.dumps({"id": f"t{n}", "input": f"{canaries.PROMPT} {n}", "target": str(4 + n % 2)})
            + "\n"
            for n in range(TASKS)
        )
    )
    config = home / "EVAL.toml"
    config.write_text(
        'name = "mine"\ndataset = "tasks.jsonl"\nladder = "mine.toml"\nmetric = "number"\n'
        'verify = "metric"\nbudget_usd = 5\n[[policy]]\nkind = "ladder"\n'
    )
    return config


def test_an_eval_keeps_prompts_only_in_its_outcomes(home, evaluation, tmp_path_factory):
    done = cli("eval", "run", evaluation)
    assert done.exit_code == 0, done.output
    run = home / "runs" / "mine"
    assert cli("eval", "report", run, "-o", home / "report.html").exit_code == 0
    assert cli("eval", "rescore", run).exit_code == 0
    assert (
        cli("eval", "replay", run / "outcomes.jsonl.gz", "--json", home / "replay.json").exit_code
        == 0
    )
    assert canaries.leaks((run / "outcomes.jsonl.gz").read_bytes()) == ["prompt"]
    assert (run / "journal-0001.jsonl").stat().st_size > 1000
    assert (home / "report.html").exists()
    clean(home, but=("tasks.jsonl", *KEPT_PROMPTS))


def test_a_result_holds_prompts_when_asked(home, evaluation):
    cli("eval", "run", evaluation)
    outcomes = home / "runs" / "mine" / "outcomes.jsonl.gz"
    kept = home / "with.json"
    assert cli("eval", "replay", outcomes, "--json", kept, "--include-prompts").exit_code == 0
    assert canaries.leaks(kept.read_bytes()) == ["prompt"]


def test_learning_planning_and_forecasting_keep_no_prompt(home):
    outcomes = home / "outcomes.jsonl"
    rows = [
        OutcomeRow(
            query_id=f"q{n}",
            query=f"{canaries.PROMPT} {'Prove it.' if n % 2 else 'Say hello.'} {n}",
            arm=arm,
            score=float(right),
            cost_usd=usd,
            category="guards",
        )
        for n in range(80)
        for arm, usd, right in (("small", 0.004, n % 2 == 0), ("big", 0.010, n % 10 > 0))
    ]
    write_outcomes(outcomes, rows)
    policy, volume = home / "policy.json", home / "volume.csv"
    assert cli("learn", outcomes, "-o", policy, "--value-usd", "0.5").exit_code == 0
    assert cli("learn", outcomes, "-o", policy, "--value-usd", "0.5", "--json").exit_code == 0
    volume.write_text("category,queries_per_month\nguards,1000\n")
    for options in ([], ["--json"]):
        assert cli("plan", "--policy", policy, canaries.PROMPT, *options).exit_code == 0
        done = cli(
            "forecast", "--volume", volume, "--policy", policy, "--outcomes", outcomes, *options
        )
        assert done.exit_code == 0, done.output
    clean(home, but=("outcomes.jsonl",))


def test_damaged_files_are_not_quoted(home):
    text = f'{{"query_id": "a", "query": "{canaries.PROMPT}", "arm": "x", "score": "{canaries.PROMPT}"}}\n'
    bad = home / "bad.jsonl"
    bad.write_text(text)
    policy = home / "policy.json"
    for words in (f'{{"prompt": "{canaries.PROMPT}"', json.dumps({"prompt": canaries.PROMPT})):
        policy.write_text(words)
        assert cli("plan", "--policy", policy, "hello").exit_code == 3
    shutil.copy(policy, home / "result.json")
    for command in (["learn", bad], ["eval", "report", home / "result.json"]):
        assert cli(*command).exit_code == 3
