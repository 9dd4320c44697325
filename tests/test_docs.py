"""The guides are true: their Python runs in order, their commands print what is pasted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
WIDTH = "100"


def blocks(guide):
    """(kind, text) of every block of a guide, in order."""
    return BLOCK.findall((GUIDES / guide).read_text(encoding="utf-8"))


def printed(command):
    """What a command of effortctl prints on a terminal 100 columns wide."""
    from effortctl.cli._app import app

    done = CliRunner().invoke(app, shlex.split(command)[1:], env={"COLUMNS": WIDTH})
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def steady(lines):
    """Lines without figures: those may move by a digit with another version of a library."""
    return [line.strip() for line in lines if line.strip() and not re.search(r"\d", line)]


@pytest.mark.parametrize("guide", ["planning.md", "observability.md"])
def test_a_guide_does_what_it_shows(guide, tmp_path, monkeypatch, capsys):
    pytest.importorskip("reasoning_gym", reason="some of the recorded tasks come from it")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for kind, text in blocks(guide):
        if kind == "python":
            exec(compile(text, guide, "exec"), names)
            continue
        command, *pasted = text.splitlines()
        assert command.startswith("$ effortctl ")
        known = steady(printed(command[2:]))
        missing = [line for line in steady(pasted) if line not in known]
        assert not missing, f"{command}: no longer printed"
    assert "True" in capsys.readouterr().out


def test_links_of_the_guides_lead_somewhere():
    for path in GUIDES.glob("*.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
