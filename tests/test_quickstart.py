"""The quickstart leads from a CSV to a report, by the commands it shows."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from effortctl import Controller

PAGE = (Path(__file__).parents[1] / "docs" / "quickstart.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [
    line.removeprefix("$ ")
    for kind, text in BLOCKS
    if kind == "console"
    for line in text.splitlines()
]


def blocks(kind):
    return [text for each, text in BLOCKS if each == kind]


def effortctl(command, folder):
    words = shlex.split(command)
    assert words[0] == "effortctl"
    return subprocess.run(
        [sys.executable, "-m", "effortctl", *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "COLUMNS": "200"},
    )


def without_figures(text):
    """Another version of a library may move a figure by a digit."""
    return re.sub(r"[-+]?\d+(\.\d+)?", "#", " ".join(text.split()))


def prepare(folder, monkeypatch, **changes):
    """Write the files of the page into a folder."""
    monkeypatch.chdir(folder)
    make_csv, use_policy = blocks("python")
    exec(compile(make_csv, "quickstart.md", "exec"), {})
    (config,) = blocks("toml")
    for old, new in changes.items():
        config = config.replace(old.replace("_", "-"), new)
    (folder / "eval.toml").write_text(config, encoding="utf-8")
    return use_policy


def test_five_commands_lead_from_a_csv_to_a_policy(tmp_path, monkeypatch):
    pytest.importorskip("reasoning_gym", reason="the recorded suite holds tasks of it")
    use_policy = prepare(tmp_path, monkeypatch)
    assert len(COMMANDS) == 5
    said = []
    for command in COMMANDS:
        done = effortctl(command, tmp_path)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        said.append(done.stdout)
    (verdict,) = blocks("text")
    assert without_figures(said[1]).startswith(without_figures(verdict)), said[1]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    names = {}
    exec(compile(use_policy, "quickstart.md", "exec"), names)
    assert isinstance(names["ctl"], Controller)


def test_the_same_path_works_on_the_model_on_this_machine(tmp_path, monkeypatch):
    pytest.importorskip("xllamacpp", reason="needs effortctl[local]")
    from effortctl import ConfigError
    from effortctl.backends import find_weights

    def refuse(*_args, **_options):
        raise ConfigError("no download in tests")

    try:
        weights = find_weights(download=refuse)
    except ConfigError as error:
        pytest.skip(f"no model file on this machine: {error}")
    pytest.importorskip("reasoning_gym", reason="the recorded suite holds tasks of it")
    prepare(tmp_path, monkeypatch, local_all="local-live")
    command = f"{COMMANDS[1]} --limit 3 --gguf {weights}"
    done = effortctl(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 of 12 answers" in done.stdout
    assert "No verdict" in done.stdout, "three tasks show nothing, and it says so"
