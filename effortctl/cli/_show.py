"""How things look: amounts, attempts and tables, readable without colour and at 80 columns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from effortctl._types import Attempt, Trace

_DIGITS = 3
_CENTS = 2
_STYLES = {"pass": "green", "fail": "red", "abstain": "yellow", "unchecked": "", "error": "red"}


def out() -> Console:
    """The console of stdout; made anew each time, because tests and pipes replace stdout."""
    return Console(highlight=False, emoji=False, markup=False)


def err() -> Console:
    """The console of stderr."""
    return Console(stderr=True, highlight=False, emoji=False, markup=False)


def stderr_is_terminal() -> bool:
    """True when a person is watching stderr."""
    return sys.stderr.isatty()


@contextmanager
def progress(what: str) -> Iterator[Callable[[str, float], None]]:
    """A bar on a terminal, nothing elsewhere; told the step that begins and the share done before it."""
    if not stderr_is_terminal():
        yield lambda _step, _done: None
        return
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - only on a terminal

    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f}%"),
    )
    with Progress(*columns, console=err(), transient=True) as bar:
        work = bar.add_task(what, total=1.0)
        yield lambda step, done: bar.update(work, description=step, completed=done)


# --- amounts ---------------------------------------------------------------------------------------


def usd(amount: Decimal) -> str:
    """Dollars with up to three significant digits, and cents: `$0`, `$0.0000123`, `$12.30`."""
    if not amount:
        return "$0"
    if amount < 0:
        return f"-{usd(-amount)}"
    places = max(_CENTS, _DIGITS - 1 - amount.adjusted())
    text = f"{amount:,.{places}f}"
    spare = len(text) - len(text.rstrip("0"))
    return "$" + text[: len(text) - min(spare, places - _CENTS)]


def tokens(attempt: Attempt) -> str:
    """Generated tokens of an attempt."""
    usage = attempt.answer.usage if attempt.answer else None
    return "-" if usage is None else f"{usage.output_tokens} tok"


def seconds(value: float) -> str:
    """Seconds with two decimals."""
    return f"{value:.2f} s"


def effort(requested: str, effective: str) -> str:
    """The effort, or both when the model took another one than was asked for."""
    return requested if requested == effective else f"{requested} -> {effective}"


def plural(count: int, noun: str) -> str:
    """`1 attempt`, `2 attempts`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


# --- attempts --------------------------------------------------------------------------------------


def verdict_word(attempt: Attempt) -> str:
    """What became of an attempt, in one word."""
    if attempt.answer is None:
        return "error"
    if attempt.answer.finish != "complete":
        return attempt.answer.finish
    return "unchecked" if attempt.verdict is None else attempt.verdict.status


def attempt_line(attempt: Attempt) -> Text:
    """One attempt in one line: arm, effort, tokens, seconds, verdict, cost."""
    arm = attempt.arm + (f" #{attempt.sample_index + 1}" if attempt.sample_index else "")
    took = seconds(attempt.answer.latency_s) if attempt.answer else "-"
    cost = "cached" if attempt.cached else usd(attempt.cost_usd)
    word = verdict_word(attempt)
    line = Text(f"  {arm:<26} {effort(attempt.requested_effort, attempt.effective_effort):<8}")
    line.append(f" {tokens(attempt):>9} {took:>9}  ")
    line.append(f"{word:<10}", style=_STYLES.get(word, "yellow"))
    line.append(f" {cost}")
    return line


def why_not(attempt: Attempt, *, width: int) -> Text | None:
    """The first line of what was wrong with an attempt, cut to the width; None when nothing was."""
    said = attempt.error or (
        attempt.verdict and (attempt.verdict.error or attempt.verdict.feedback)
    )
    if attempt.passed or not said:
        return None
    text = Text(f"    {said.splitlines()[0]}", style="dim")
    text.truncate(width, overflow="ellipsis")
    return text


def print_attempt(console: Console, attempt: Attempt) -> None:
    """Print one attempt as it happens."""
    console.print(attempt_line(attempt), soft_wrap=True)
    reason = why_not(attempt, width=console.width)
    if reason is not None:
        console.print(reason)


def summary(trace: Trace) -> str:
    """How a task ended, in one sentence."""
    word = {
        "accepted": "Accepted",
        "exhausted": "Not accepted: no arm passed",
        "refused": "Not accepted: the model refused",
    }.get(trace.outcome, f"Not accepted: {trace.outcome.replace('_', ' ')}")
    best = trace.best
    if trace.outcome == "accepted" and (best is None or best.verdict is None):
        word = "Accepted without a check"
    elif trace.outcome == "accepted" and best and not best.passed:
        word = "Accepted, though the check could not tell"
    generated = sum(
        a.answer.usage.output_tokens for a in trace.attempts if a.answer and a.answer.usage
    )
    parts = [plural(len(trace.attempts), "attempt"), plural(generated, "token")]
    if trace.compute_s:
        parts.append(f"{trace.compute_s:.2f} CPU s")
    return f"{word} ({', '.join([*parts, usd(trace.cost_usd)])})."


# --- tables ----------------------------------------------------------------------------------------


def table(*columns: str, right: Sequence[str] = (), wrap: str = "") -> Table:
    """An empty table; the columns named in `right` hold numbers, and only `wrap` may wrap."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in columns:
        justify: Literal["left", "right"] = "right" if name in right else "left"
        made.add_column(name, justify=justify, overflow="fold", no_wrap=name != wrap)
    return made
