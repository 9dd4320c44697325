"""How `--help` looks: two columns without boxes, readable at 80 columns, examples one can copy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import typer
from rich.console import Group as Parts
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from effortctl.cli import _show

_Function = TypeVar("_Function", bound=Callable[..., Any])

WIDEST = 100
"""Longer lines are hard to read, however wide the terminal is."""

_NAME_COLUMN = 30
"""A name that is longer has its meaning on the next line."""

_EXAMPLE = re.compile(r"^- `(?P<command>.+)`(?: \((?P<remark>.+)\))?$")
_OTHER = "Commands"

_RANGE = re.compile(r"(\[|; )[-\d.]*(?:<=?)?x(?:[<>]=?[-\d.]+)?\]$")
"""The limits of a number; who breaks them is told, so they need not be read by everybody."""


class Command(TyperCommand):
    """A command whose help is written by this module."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of this command."""
        formatter.write(_rendered(_command_parts(self, ctx)))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # said by pydantic
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The pieces of the usage line, as people write them."""
        return _plain_pieces(super().collect_usage_pieces(ctx))


class Group(TyperGroup):
    """A command that has commands of its own."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of this command."""
        formatter.write(_rendered(_group_parts(self, ctx)))


class App(typer.Typer):
    """Commands whose help is written by this module.

    Args:
        settings: As those of `typer.Typer`.
    """

    def __init__(self, **settings: Any) -> None:
        # Without Rich markup typer also prints a usage error as we print ours: `Error: ` and a sentence.
        super().__init__(cls=Group, no_args_is_help=True, rich_markup_mode=None, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[_Function], _Function]:
        """Add a command; settings as those of `typer.Typer.command`."""
        return super().command(name, **({"cls": Command} | settings))


# --- what there is to say --------------------------------------------------------------------------


def usage(command: Any, ctx: Any) -> str:
    """The usage line without the word `Usage`."""
    return " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])


def told_apart(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The paragraphs of a help text, and its examples: command and remark."""
    about, _, rest = text.partition("Examples:")
    paragraphs = [" ".join(each.split()) for each in about.strip().split("\n\n")]
    lines = [" ".join(each.split()) for each in rest.split("\n\n")]
    found = [match for line in lines if (match := _EXAMPLE.match(line))]
    return paragraphs, [(match["command"], match["remark"] or "") for match in found]


def rows(command: Any, ctx: Any, kind: str) -> Iterator[tuple[str, str]]:
    """How each option or argument is written, and what it means.

    Args:
        command: Whose.
        ctx: Its context.
        kind: `option` or `argument`.
    """
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if parameter.param_type_name == kind and record is not None:
            written, meaning = record
            yield _plain(written), " ".join(_RANGE.sub(_rest, meaning).split())


def _plain(written: str) -> str:
    """An option as people write it: kinds of numbers in words, other Python types left out."""
    text = re.sub(r" <int( range)?>$", " N", written.strip())
    text = re.sub(r" <float( range)?>$", " NUMBER", text)
    text = re.sub(r" <(bool|str|path|list\[Path\])>$", "", text)
    return re.sub(r" <([^<> ]+\|[^<> ]+)>$", r" \1", text)


def _rest(match: re.Match[str]) -> str:
    return "" if match[1] == "[" else "]"


def _plain_pieces(pieces: Sequence[str]) -> list[str]:
    """Without braces, and with one ellipsis where there are two."""
    plain = (re.sub(r"[{}]", "", piece) for piece in pieces)
    return [re.sub(r"\.\.\.(\]?)(?=\.\.\.)", r"\1", piece) for piece in plain]


# --- how it looks ----------------------------------------------------------------------------------


def _rendered(parts: Iterator[RenderableType]) -> str:
    """The parts as text; with colour only where stdout shows it."""
    console = _show.out()
    with console.capture() as captured:
        console.print(Parts(*parts), width=min(console.width, WIDEST), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _command_parts(command: Any, ctx: Any) -> Iterator[RenderableType]:
    paragraphs, examples = told_apart(command.help or "")
    yield from _head(command, ctx, paragraphs)
    yield from _section("Arguments", list(rows(command, ctx, "argument")))
    yield from _section("Options", list(rows(command, ctx, "option")))
    if examples:
        yield _title("Examples")
        for line, remark in examples:
            shown = Text(f"  {line}", no_wrap=True, overflow="ignore")
            yield shown.append(f"   # {_unquoted(remark)}", style="dim") if remark else shown
    yield from _end(command)


def _group_parts(group: Any, ctx: Any) -> Iterator[RenderableType]:
    yield from _head(group, ctx, told_apart(group.help or "")[0])
    sections: dict[str, list[tuple[str, str]]] = {}
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        paragraphs, _ = told_apart(command.short_help or command.help or "")
        panel = command.rich_help_panel
        title = panel if isinstance(panel, str) else _OTHER
        sections.setdefault(title, []).append((name, _unquoted(paragraphs[0])))
    width = max(len(name) for found in sections.values() for name, _ in found)
    for title, found in sections.items():
        yield from _section(title, found, width=width)
    yield from _section("Options", list(rows(group, ctx, "option")))
    yield from _end(group)


def _head(command: Any, ctx: Any, paragraphs: Sequence[str]) -> Iterator[RenderableType]:
    yield Text.assemble(("Usage: ", "bold"), usage(command, ctx))
    for paragraph in paragraphs:
        yield Text()
        yield Text(_unquoted(paragraph))


def _section(
    title: str, found: Sequence[tuple[str, str]], *, width: int | None = None
) -> Iterator[RenderableType]:
    if not found:
        return
    yield _title(title)
    fitting = [len(name) for name, _ in found if len(name) <= _NAME_COLUMN]
    column = width or max(fitting, default=_NAME_COLUMN)
    for name, meaning in found:
        # One table per row, so that a long name does not take its column from the others.
        row = Table.grid(padding=(0, 2, 0, 0), expand=True)
        row.add_column(width=column)
        row.add_column(ratio=1)
        if len(name) > column:
            yield Text(f"  {name}")
        row.add_row("" if len(name) > column else name, Text(_unquoted(meaning)))
        yield Padding(row, (0, 0, 0, 2))


def _title(text: str) -> Text:
    return Text(f"\n{text}:", style="bold")


def _end(command: Any) -> Iterator[RenderableType]:
    for paragraph in (command.epilog or "").split("\n\n"):
        if paragraph:
            yield Text(f"\n{' '.join(paragraph.split())}")


def _unquoted(text: str) -> str:
    return text.replace("`", "")
