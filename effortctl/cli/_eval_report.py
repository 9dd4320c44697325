"""`effortctl eval report`: an evaluation shown in the terminal, as a page, as a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from effortctl._errors import StoreError
from effortctl.cli import _show
from effortctl.cli._exits import print_json, told
from effortctl.cli._options import AsJson
from effortctl.harness._result import EvalResult
from effortctl.harness.report import (
    Headline,
    TerminalReport,
    headline,
    html_report,
    terminal_report,
    write_figure,
)

if TYPE_CHECKING:
    from rich.console import Console

JUDGE = "Judge it"
"""Title of the commands that judge, in the help of `effortctl eval`."""

_RESULT = "result.json"
_STYLES = {"main": "bold", "normal": "", "faint": "dim"}
_WORDS = {"ROUTE": "bold green", "KEEP": "bold", "INCONCLUSIVE": "bold yellow"}


def register(app: typer.Typer) -> None:
    """Add `report` to the commands of `effortctl eval`."""
    app.command("report", rich_help_panel=JUDGE)(report)


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|RESULT.json", help="A run's folder, or a saved result.")
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.html", help="Write one self-contained page."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the frontier; needs matplotlib.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="The same as a vector drawing.")
    ] = None,
    linear: Annotated[
        bool, typer.Option("--linear", help="Linear dollars in --png and --svg. Default: log.")
    ] = False,
    tasks: Annotated[
        bool, typer.Option("--tasks/--no-tasks", help="Show the tasks one by one in the page.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Show what an evaluation found: the verdict, the frontier, the money.

    Without -o, --png or --svg it prints to the terminal.

    Examples:
    - `effortctl eval report runs/tickets`

    - `effortctl eval report runs/tickets -o report.html --png frontier.png`
    """
    with told(as_json=as_json):
        result = load_result(run)
        written: dict[str, str] = {}
        if output is not None:
            write_page(output, html_report(result, with_tasks=tasks))
            written["html"] = str(output)
        for kind, path in (("png", png), ("svg", svg)):
            if path is not None:
                write_figure(result, path, log=not linear)
                written[kind] = str(path)
        if as_json:
            print_json(_document(result, written))
        elif written:
            _say_written(_show.out(), result, written)
        else:
            print_report(_show.out(), result)


def load_result(path: Path) -> EvalResult:
    """Read the result of a run's folder, or a result file.

    Raises:
        StoreError: There is none, or it is damaged.
    """
    source = path.expanduser()
    if not source.exists():
        raise StoreError(
            f"there is nothing at {source}; name the folder of `effortctl eval run`, or a file of "
            "`effortctl eval replay --json FILE`"
        )
    if not source.is_dir():
        return EvalResult.load(source)
    if not (source / _RESULT).exists():
        raise StoreError(
            f"{source} holds no {_RESULT}; finish the run first with `effortctl eval resume {source}`"
        )
    return EvalResult.load(source / _RESULT)


def write_page(path: Path, page: str) -> None:
    """Write a page: all of it, or nothing.

    Raises:
        StoreError: The file cannot be written.
    """
    target = path.expanduser()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        part.write_text(page, encoding="utf-8")
        part.replace(target)
    except OSError as error:
        raise StoreError(f"the page was not written to {target}: {error}") from error


def _document(result: EvalResult, written: dict[str, str]) -> dict[str, Any]:
    said = headline(result)
    return {
        "headline": said.line,
        "verdict": result.verdict.model_dump(mode="json"),
        "files": written,
    }


def _say_written(console: Console, result: EvalResult, written: dict[str, str]) -> None:
    console.print(_verdict(headline(result)))
    for path in written.values():
        console.print(f"Written to {path}", soft_wrap=True)


# --- in the terminal -------------------------------------------------------------------------------


def print_report(console: Console, result: EvalResult) -> None:
    """Print the verdict, the table and a small frontier; fits 40 columns and up."""
    shown = terminal_report(result, width=console.width, unicode=_knows_unicode())
    said = shown.headline
    console.print(_verdict(said, style="bold"))
    if said.detail:
        console.print(Text(said.detail))
    console.print()
    console.print(_table(shown))
    console.print()
    for line in shown.chart:
        console.print(Text(line), no_wrap=True, overflow="crop")
    console.print(Text(shown.legend, style="dim"))
    for note in shown.notes:
        console.print(Text(f"- {note}"))


def _verdict(said: Headline, *, style: str = "") -> Text:
    line = Text(said.line, style=style)
    line.stylize(_WORDS[said.word], 0, len(said.word))
    return line


def _table(shown: TerminalReport) -> Any:
    # Headings name the columns and may repeat, so the table is built by position.
    table = _show.table()
    for position, name in enumerate(shown.columns):
        table.add_column(
            name, justify="left" if position < 2 else "right", no_wrap=True, min_width=1
        )
    for row in shown.rows:
        table.add_row(*(Text(cell) for cell in row.cells), style=_STYLES[row.emphasis])
    return table


def _knows_unicode() -> bool:
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
