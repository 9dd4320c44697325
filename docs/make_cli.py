"""Write cli.md, the reference of every command, from the commands themselves.

`python docs/make_cli.py` writes the page; a test fails when the page is older than the commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from effortctl.cli._app import app
from effortctl.cli._help import rows, told_apart, usage

PAGE = Path(__file__).with_name("cli.md")

INTRO = """# Command line

Every command, made from its `--help` by `docs/make_cli.py`. Everything the command line can do, the [library](api.md) can do
without it. The same thing has the same name in all commands:

| option | what it means wherever it is taken |
|---|---|
| `-h`, `--help` | what the command does, its options, examples |
| `--json` | print one JSON document instead of text; errors become one, too. `eval replay --json FILE` prints text and writes it |
| `-o`, `--output` | where the result goes |
| `--budget` | the most a task may cost, e.g. `0.05`, or all tasks of a period, e.g. `$5/day` |
| `--budget-usd` | the most that all calls of this command together may cost |
| `--ladder` | what may be asked: a ladder, by name or file |
| `--arms` | arms to choose from, of those in the outcomes |
| `--policy` | a file of `effortctl learn`. In `eval gate` and `eval compare`, which read results: a name in them, e.g. `plan` |
| `--verify` | a check of answers, which is run now |
| `--verifier` | how good a check of recorded outcomes is taken to be |
| `--usd-per-hour` | what an hour of your machine costs; it prices local and recorded arms |
| `-q`, `--quiet` | the answer or errors, nothing else |

Answers and tables go to stdout; errors, warnings and progress to stderr. Colour and progress bars are for terminals, and `NO_COLOR` is
respected.

| exit code | meaning |
|---|---|
| 0 | ok |
| 1 | `eval gate`: a limit is broken |
| 2 | the command line is wrong. `eval gate`: inconclusive |
| 3 | bad input: a file, a setting, a name, a missing key. `doctor`: something is broken. `eval gate`: a wrong command line, too |
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
    about, examples = told_apart(command.help)
    yield f"## {' '.join(['effortctl', *path])}\n"
    yield "\n\n".join(about) + "\n"
    yield f"```text\neffortctl {usage(command, context)}\n```\n"
    for kind in ("argument", "option"):
        lines = [
            f"| `{_cell(name)}` | {_cell(told)} |"
            for name, told in rows(command, context, kind)
            if name != "--help"
        ]
        if lines:
            yield f"| {kind} | meaning |\n|---|---|\n" + "\n".join(lines) + "\n"
    if examples:
        lines = [f"- `{line}`" + (f" ({remark})" if remark else "") for line, remark in examples]
        yield "Examples:\n\n" + "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
