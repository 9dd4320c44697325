"""A command line that writes nowhere but into the test's own folders."""

import json

import pytest
from typer.testing import CliRunner

from effortctl.catalog import load_ladder
from effortctl.cli._app import app
from effortctl.harness._suite import load_suite

ARMS = tuple(arm.name for arm in load_ladder("local-all").arms)
RUNGS = tuple(arm.name for arm in load_ladder("local").arms)


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.fixture
def cli():
    """Runs a command line; gives stdout, stderr and exit_code."""

    def run(*arguments, stdin=None):
        return CliRunner().invoke(
            app, [str(a) for a in arguments], input=stdin, prog_name="effortctl"
        )

    return run


def line(case, arm, text, *, sample_index=0):
    return {
        "task_id": case.task.id,
        "arm": arm,
        "model": "tiny",
        "text": text,
        "sample_index": sample_index,
        "input_tokens": 10,
        "output_tokens": 5,
        "latency_s": 2.0,
        "compute_s": 1.0,
    }


@pytest.fixture
def recording(tmp_path):
    """Six sums: two right at once, two after one escalation, two never."""
    head = {
        "format": "effortctl-recording",
        "version": 1,
        "models": {"tiny": {}, "small": {}},
        "first_recorded_at": "2026-11-23T10:00:00+00:00",
        "last_recorded_at": "2026-11-24T10:00:00+00:00",
    }
    lines = [head]
    for number, case in enumerate(load_suite(["sums"])[:6]):
        for arm in ARMS:
            solved = number < 2 or (number < 4 and arm == RUNGS[1])
            text = case.reference["expected"] if solved else "-1"
            samples = 3 if arm.endswith("high") and not solved else 1
            lines += [line(case, arm, text, sample_index=index) for index in range(samples)]
    path = tmp_path / "recording.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    return path


@pytest.fixture
def rungs():
    """Arms of the ladder for recorded answers."""
    return load_ladder("local").arms


@pytest.fixture
def task_ids():
    """Ids of the recorded sums, in order."""
    return [case.task.id for case in load_suite(["sums"])[:6]]


@pytest.fixture
def ladder_file(tmp_path):
    """Writes a ladder of two arms of an OpenAI-compatible server and gives its path."""

    def write(base_url, *, price='{ input_usd_per_mtok = "1", output_usd_per_mtok = "2" }'):
        lines = ['[ladder]\nname = "mine"\ndescription = "Two arms of a test server"']
        for effort, cap in (("low", 200), ("high", 4000)):
            lines.append(
                f'[[arm]]\nname = "m@{effort}"\nmodel = "m"\neffort = "{effort}"\n'
                f'endpoint = {{ name = "mine", base_url = "{base_url}" }}\n'
                f"max_output_tokens = {cap}" + (f"\nprice = {price}" if price else "")
            )
        path = tmp_path / "mine.toml"
        path.write_text("\n\n".join(lines))
        return path

    return write
