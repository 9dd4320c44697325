"""Write cli.md, the reference of every command, from the commands themselves.

`python docs/make_cli.py` writes the page; a test fails when the page is older than the commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from effortctl.cli._app import app

PAGE = Path(__file__).with_name("cli.md")

INTRO = """# Command line

Every command, made from its `--help` by `docs/make_cli.py`. All of them take `-h` and `--help`; most take `--json`, which prints
one JSON document for programs. Everything the command line can do, the [library](api.md) can do without it.

| exit code | meaning |
|---|---|
| 0 | ok |
| 1 | `eval gate`: a limit is broken |
| 2 | the command line is wrong. `eval gate`: inconclusive |
| 3 | bad input: a file, a setting, a name. `doctor`: something is broken. `eval gate`: a wrong command line, too |
| 4 | no answer was accepted. `ledger reconcile`: the bill differs |
| 5 | the budget does not allow it |
| 6 | an endpoint failed, or the deadline passed |
| 130 | interrupted |

| variable | what it sets |
|---|---|
| `EFFORTCTL_LADDER` | the ladder of `run` |
| `EFFORTCTL_LEDGER` | the ledger file |
| `EFFORTCTL_TRACES` | the file of traces for `top`, `feedback` and `ledger report` |
| `EFFORTCTL_CATALOG` | a TOML file of your own model cards and endpoints |
| `OPENAI_API_KEY` and others | keys; `effortctl doctor` lists them and says which are set |
"""


def page() -> str:
    """The whole page."""
    program = get_command(app)
    sections = [INTRO]
    for path, command in leaves(program, ()):
        context = command.make_context(" ".join(path), [], resilient_parsing=True)
        sections.append("\n".join(_section(path, command, context)))
    return "\n".join(sections)


def leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it."""
    below = getattr(command, "commands", {})
    if path and (not below or command.invoke_without_command):
        yield path, command
    for name, each in below.items():
        yield from leaves(each, (*path, name))


def _section(path: tuple[str, ...], command: Any, context: Any) -> Iterator[str]:
    words = ["effortctl", *path]
    yield f"## {' '.join(words)}\n"
    usage = " ".join([*words, *_pieces(command, context)])
    about, examples = _told(command.help)
    yield f"{about}\n"
    yield f"```text\n{usage}\n```\n"
    arguments = _rows(command, context, "argument")
    options = _rows(command, context, "option")
    if arguments:
        yield "| argument | meaning |\n|---|---|\n" + "\n".join(arguments) + "\n"
    if options:
        yield "| option | meaning |\n|---|---|\n" + "\n".join(options) + "\n"
    if examples:
        yield "Examples:\n\n" + "\n".join(examples) + "\n"


def _pieces(command: Any, context: Any) -> list[str]:
    """The usage line without braces, and with one ellipsis where there are two."""
    pieces = (re.sub(r"[{}]", "", piece) for piece in command.collect_usage_pieces(context))
    return [re.sub(r"(\.\.\.|…)(\]?)(?=\.\.\.)", r"\2", piece) for piece in pieces]


def _told(text: str) -> tuple[str, list[str]]:
    about, _, rest = text.partition("Examples:")
    examples = [line.strip() for line in rest.splitlines() if line.strip()]
    paragraphs = [" ".join(each.split()) for each in about.strip().split("\n\n")]
    return "\n\n".join(paragraphs), examples


def _rows(command: Any, context: Any, kind: str) -> list[str]:
    """One line of a table for each argument or option."""
    rows = []
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if parameter.param_type_name == kind and record is not None:
            written, meaning = record
            rows.append(f"| `{_cell(_plain(written))}` | {_cell(meaning)} |")
    return rows


def _plain(written: str) -> str:
    """An option as people write it: kinds of numbers in words, other Python types left out."""
    written = re.sub(r" <int( range)?>$", " N", written.strip())
    written = re.sub(r" <float( range)?>$", " NUMBER", written)
    return re.sub(r" <(bool|str|path|list\[Path\])>$", "", written)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
