"""What the tests of the documentation share: its pages, their blocks, and how a command is run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WIDTH = "100"

FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def pages():
    """Every page that a reader may open, generated ones included."""
    return [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what follows on that line, its text, the prose before it, and
    whether it stands right below the block before."""

    kind: str
    label: str
    text: str
    before: str
    adjacent: bool


def blocks(page):
    """The fenced blocks of a page, in order."""
    text, found, end = page.read_text(encoding="utf-8"), [], 0
    for match in FENCE.finditer(text):
        prose = text[end : match.start()]
        found.append(Block(match[1], match[2].strip(), match[3], prose, not prose.strip()))
        end = match.end()
    return found


def commands(block):
    """(command, what is pasted below it) of every `$` line of a console block."""
    found = []
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        found.append((command, output))
    return found


def words_of(command):
    """The words of a command without redirections and comments."""
    words = shlex.split(command, comments=True)
    return words[: words.index("<")] if "<" in words else words


def printed(command):
    """What a command of effortctl prints on a terminal 100 columns wide."""
    from effortctl.cli._app import app

    done = CliRunner().invoke(app, words_of(command)[1:], env={"COLUMNS": WIDTH})
    assert done.exit_code == 0, f"{command}: {done.output}"
    return done.stdout


def without_figures(text):
    """Lines with figures masked: a digit may move with a library, spaces with a digit."""
    masked = re.sub(r"[-+]?\$?[-+]?\d[\d,]*(\.\d+)?", "#", text)
    lines = (" ".join(re.sub("─+", "─", line).split()) for line in masked.splitlines())
    return [line for line in lines if line]
