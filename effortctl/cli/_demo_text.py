"""The words and the table of the demo; every number in them comes from the run."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effortctl.cli import _show
from effortctl.harness import RecordedSuite, Row, Table

if TYPE_CHECKING:
    import rich.table

_SAME = 0.0005
_UPPER_BOUND = (
    "The check is exact here, so the ladder accepts whatever one of its arms gets right. A check in "
    "real use lets some wrong answers through: take the accepted shares as an upper bound."
)

_CHOSEN_HERE = (
    "The ladder's arms were chosen by looking at this recording, which flatters it too. Checking is not "
    "priced, and none of this says anything about hosted models."
)


def introduction(suite: RecordedSuite) -> list[str]:
    """What the demo is, in two lines, and the one thing it cannot show."""
    count = _show.plural(len(suite.cases), "task")
    return [
        f"{count}; real answers of {_models(suite.provenance)}, recorded on a CPU on {_days(suite.provenance)}.",
        "Choosing, checking, escalating and booking happen now; no answer is invented.",
        "No feedback is carried on: a recorded answer could not have seen it.",
    ]


def _models(provenance: Mapping[str, Any]) -> str:
    return _show.plural(len(provenance.get("models", {})) or 1, "local model")


def _days(provenance: Mapping[str, Any]) -> str:
    first, last = (
        str(provenance.get(f"{which}_recorded_at", ""))[:10] for which in ("first", "last")
    )
    if first == last:
        return first or "an unknown day"
    same_month = first[:8] == last[:8]
    return f"{first} to {last[8:] if same_month else last}"


# --- the table -------------------------------------------------------------------------------------


def table_title(table: Table, suite: RecordedSuite, usd_per_hour: Decimal) -> str:
    """What the rows have in common."""
    text = (
        f"{_show.plural(table.ladder.tasks, 'task')} of {_show.plural(len(suite.families), 'kind')}; "
        f"{table.checks:,} answers checked now; one hour costs {_show.usd(usd_per_hour)}"
    )
    if table.incomplete:
        text += f"; {_show.plural(table.incomplete, 'task')} left out, an answer was not recorded"
    return text


def table(result: Table) -> rich.table.Table:
    """Every fixed arm, then the ladder."""
    numbers = ("quality", "95%\nrange", "CPU s\n/task", "$/1000\ntasks", "tokens\n/task", "wall s\n/task", "extra\ntries")  # fmt: skip
    made = _show.table("one arm\nfor every task", *numbers, right=numbers)
    for row in result.fixed:
        made.add_row(row.name, *_cells(row))
    made.add_section()
    made.add_row("the ladder", *_cells(result.ladder), style="bold")
    return made


def _cells(row: Row) -> list[str]:
    low, high = row.interval
    return [
        f"{row.quality:.1%}",
        f"{low * 100:.0f}-{high * 100:.0f}",
        f"{row.compute_s / row.tasks:.2f}",
        _show.usd(row.usd_per_1000),
        f"{row.output_tokens / row.tasks:.0f}",
        f"{row.wall_s / row.tasks:.2f}",
        str(row.escalations),
    ]


def table_fields(result: Table) -> dict[str, Any]:
    """The table for programs."""
    return {
        "tasks": result.ladder.tasks,
        "incomplete": result.incomplete,
        "checks": result.checks,
        "fixed": [_fields(row) for row in result.fixed],
        "ladder": _fields(result.ladder),
    }


def _fields(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "tasks": row.tasks,
        "accepted": row.accepted,
        "quality": row.quality,
        "interval_95": list(row.interval),
        "compute_s_per_task": row.compute_s / row.tasks,
        "usd_per_1000_tasks": f"{row.usd_per_1000:f}",
        "output_tokens_per_task": row.output_tokens / row.tasks,
        "wall_s_per_task": row.wall_s / row.tasks,
        "escalations": row.escalations,
        "resamples": row.resamples,
    }


# --- what it says ----------------------------------------------------------------------------------


def findings(result: Table) -> list[str]:
    """What the numbers say, and what they do not."""
    return [
        _against_best(result),
        _UPPER_BOUND,
        _CHOSEN_HERE,
    ]


def _against_best(result: Table) -> str:
    ladder, best = result.ladder, result.best_fixed
    return (
        f"The ladder got {ladder.quality:.1%} of the tasks accepted, {_gap(ladder, best)} the best single "
        f"arm ({best.name}, {best.quality:.1%}), {_price(ladder, best)}: "
        f"{_show.usd(ladder.usd_per_1000)} against {_show.usd(best.usd_per_1000)} per 1000 tasks."
    )


def _gap(ladder: Row, best: Row) -> str:
    gap = ladder.quality - best.quality
    if abs(gap) < _SAME:
        return "as many as"
    return f"{abs(gap) * 100:.1f} points {'more' if gap > 0 else 'fewer'} than"


def _price(ladder: Row, best: Row) -> str:
    """Dollars are proportional to compute-seconds, which are known even at $0 per hour."""
    if not best.compute_s:
        return "at a cost that was not recorded"
    ratio = ladder.compute_s / best.compute_s
    return f"at {ratio:.0%} of its cost" if ratio < 1 else f"at {ratio:.2f} times its cost"


def next_commands(ledger: Path) -> list[str]:
    """Commands worth trying next."""
    return [
        "effortctl run --task sums/018",
        'effortctl run --ladder local-live "What is the capital of Japan?"',
        f"effortctl ledger show --ledger {ledger}",
        "effortctl eval --help   # does it pay on your own tasks?",
        "effortctl doctor",
    ]
