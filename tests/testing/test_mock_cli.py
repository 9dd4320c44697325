import json
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from mock_wire import post

from effortctl.testing import FAULTS
from effortctl.testing import server as command


@pytest.fixture
def running():
    """Start the command; hand out a function that stops it and returns its last line."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "effortctl.testing.server", *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_command_serves_and_reports(running):
    process = running("--seed", "3", "--reply", "42", "--fault", "503@0")
    line = process.stdout.readline()
    assert line.startswith("listening on http://127.0.0.1:")
    port = int(line.rsplit(":", 1)[1].partition("/")[0])
    body = post(SimpleNamespace(port=port)).json()
    assert body["choices"][0]["message"]["content"] == "42"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert json.loads(out)["hits"] == 1
    assert process.returncode == 0


def test_all_faults_are_listed(capsys):
    assert command.main(["--list-faults"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in FAULTS)


@pytest.mark.parametrize("spec", ["volcano@0.1", "503", "503@often", "503@2"])
def test_a_bad_fault_is_a_usage_error(spec, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--fault", spec])
    assert stopped.value.code == 2
    assert "fault" in capsys.readouterr().err
