"""Commands in the documentation and in `--help` exist, with these options and values."""

from __future__ import annotations

import re

import pytest
from docs_pages import blocks, commands, name_of, pages, words_of
from typer.main import get_command

from effortctl.cli._app import app

INLINE = re.compile(r"`(effortctl [^`]+)`")
SHELLS = {"console", "sh", "bash", "yaml", "text"}
LEFT_OUT = re.compile(r"[…|]|\[OPTIONS\]|\.\.\.")


def named(page):
    """Commands named in a sentence; they may lack what they need to be run."""
    return sorted(set(INLINE.findall(re.sub(r"\s*\n\s*", " ", prose(page)))))


def shown(page):
    """Commands in blocks, to be typed as they are."""
    found = []
    for block in blocks(page):
        if block.kind == "console":
            found += [command for command, _ in commands(block)]
        elif block.kind in SHELLS:
            lines = (re.sub(r"^\s*(- )?(run: )?", "", line) for line in block.text.splitlines())
            found += list(lines)
    return sorted({each for each in found if each.startswith("effortctl ")})


def prose(page):
    return re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )


def mistakes(command):
    """What is wrong with a command line, or None."""
    if LEFT_OUT.search(command):
        return None
    words = words_of(command.partition(" || ")[0])[1:]
    try:
        parsed(get_command(app), words)
    except SystemExit as stop:  # --help and --version
        return None if stop.code in {0, None} else f"exit {stop.code}"
    except Exception as error:
        if type(error).__name__ == "Exit":
            return None
        return describe(error)
    return None


def describe(error):
    if type(error).__name__ == "NoArgsIsHelpError":
        return "Missing command"
    return getattr(error, "message", None) or str(error) or type(error).__name__


def parsed(command, words):
    """Read the words as the shell would, down to the last subcommand; run nothing."""
    context, name = None, "effortctl"
    while True:
        context = command.make_context(name, list(words), parent=context)
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        if not getattr(command, "commands", None) or not rest:
            return
        name, command, words = command.resolve_command(context, rest)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_commands_of_a_page_exist_with_valid_options(page):
    said = {command: mistakes(command) for command in named(page)}
    unfinished = ("Missing", "requires an argument")
    wrong = {c: why for c, why in said.items() if why and not any(u in why for u in unfinished)}
    wrong |= {command: why for command in shown(page) if (why := mistakes(command))}
    assert not wrong


def test_wrong_commands_would_be_noticed():
    assert mistakes("effortctl rum x")
    assert mistakes("effortctl run --effort low x")
    assert mistakes("effortctl run x --deadline soon")
    assert mistakes("effortctl eval gate")
    assert mistakes("effortctl ledger show --by week")
    assert not mistakes("effortctl ledger show --by day --since 7d")
    assert not mistakes("effortctl run --help")


def test_enough_commands_are_looked_at():
    assert sum(len(named(page)) + len(shown(page)) for page in pages()) > 80
