"""`effortctl doctor --probe`: a few calls per arm tell whether more effort means more reasoning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

from rich.status import Status

from effortctl._errors import ConfigError
from effortctl.catalog import load_ladder
from effortctl.cli import _show

if TYPE_CHECKING:
    from decimal import Decimal

    from effortctl._fidelity import ArmProbe, Comparison, ProbeReport

Line = tuple[Literal["ok", "note", "warning"], str]


def probe(ladder: str, *, budget: Decimal, calls: int, ledger: Path) -> ProbeReport:
    """Make the calls; they are booked in the ledger like any others.

    Raises:
        EffortctlError: They cannot be made, or would not show anything.
    """
    from effortctl._fidelity import probe_efforts  # noqa: PLC0415 - loads NumPy
    from effortctl.stores import SqliteLedger  # noqa: PLC0415 - next to its only use

    chosen = load_ladder(ladder)
    if any(arm.endpoint.kind == "recorded" for arm in chosen.arms):
        raise ConfigError(
            f"ladder {chosen.name!r} has recorded answers, which tell nothing of today's efforts; probe "
            "a ladder that is called"
        )
    with ExitStack() as stack:
        store = stack.enter_context(SqliteLedger(ledger))
        status = None
        if _show.stderr_is_terminal():
            status = stack.enter_context(Status("probing", console=_show.err()))

        def tell(arm: str, done: int) -> None:
            if status is not None:
                status.update(f"probing {arm}, call {done} of {calls}")

        return probe_efforts(chosen, budget=budget, k=calls, ledger=store, progress=tell)


def lines(found: ProbeReport) -> Iterator[Line]:
    """What was found, line by line."""
    kind = "reasoning" if found.measure == "reasoning" else "output"
    for arm in found.arms:
        yield _arm_line(arm, kind)
    for pair in found.comparisons:
        yield _pair_line(pair, calls=found.calls)
    for group in found.merge:
        yield (
            "warning",
            (
                f"merge {', '.join(group)}: keep the cheapest and remove the others from the ladder, or ask "
                "again with a larger --calls if you expect a small difference"
            ),
        )
    if found.stopped is not None:
        yield "warning", f"stopped early: {found.stopped}"
    calls = sum(len(arm.tokens) for arm in found.arms)
    yield "ok", f"{_show.plural(calls, 'answered call')}, {_show.usd(found.cost_usd)}"


def _arm_line(arm: ArmProbe, kind: str) -> Line:
    if arm.error is not None:
        return "warning", f"{arm.arm}: {arm.error}"
    if not arm.tokens:
        return "note", f"{arm.arm}: was not asked"
    low, high = min(arm.tokens), max(arm.tokens)
    return (
        "ok",
        (
            f"{arm.arm}: {median(arm.tokens):g} {kind} tokens in the middle ({low:,} to {high:,}), "
            f"{_show.usd(arm.cost_usd)}"
        ),
    )


def _pair_line(pair: Comparison, *, calls: int) -> Line:
    if pair.separate:
        return "ok", f"{pair.lower} < {pair.higher} (p = {pair.p:.2g})"
    medians = f"{pair.lower_median:g} and {pair.higher_median:g} tokens in the middle"
    if pair.alike:
        text = f"{pair.lower} and {pair.higher} cannot be told apart: {medians} (p = {pair.p:.2g})"
        return "warning", text
    return (
        "note",
        (
            f"{pair.lower} and {pair.higher}: {medians}, which {_show.plural(calls, 'call')} cannot tell "
            f"from luck (p = {pair.p:.2g}); ask again with --calls {3 * calls}"
        ),
    )
