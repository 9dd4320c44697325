"""kill -9 at random moments: a settlement that was acknowledged is never lost.

Each round starts writers on one shared ledger, waits until every one of them works, and kills them all at a
random moment. A writer acknowledges a settlement by writing a line to a pipe after `settle` has returned.
Run it with `python evals/soak/kill_nine.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from effortctl import Budget
from effortctl._types import Cost
from effortctl.stores import SqliteLedger

BUDGET = Budget(limit_usd=Decimal(1_000_000), scope="kill")
WORST = Decimal("0.001")
WRITERS = 3
LONGEST_S = 0.15


def write(path: Path, seed: int) -> None:
    """Reserve, settle and acknowledge until killed."""
    rng = random.Random(seed)
    ledger = SqliteLedger(path)
    while True:
        reservation = ledger.reserve(WORST, budgets=[BUDGET], trace_id=f"w{seed}")
        cost = Decimal(rng.randint(0, 1000)).scaleb(-6)
        ledger.settle(reservation, Cost(usd=cost, source="user"), row={"arm": "a"})
        os.write(1, f"{reservation} {cost}\n".encode())


def one_round(path: Path, *, seed: int, rng: random.Random) -> dict[str, str]:
    """Start writers, kill them, and return what they had acknowledged."""
    command = [sys.executable, __file__, "--write", str(path)]
    writers = [
        subprocess.Popen([*command, "--seed", str(seed * WRITERS + n)], stdout=subprocess.PIPE)  # noqa: S603 - this script itself, as the writer
        for n in range(WRITERS)
    ]
    acknowledged: list[bytes] = []
    for writer in writers:  # killed in mid-work, not in mid-start
        assert writer.stdout is not None  # noqa: S101 - a pipe was asked for
        acknowledged.append(writer.stdout.readline())
    time.sleep(rng.uniform(0, LONGEST_S))
    for writer in writers:
        writer.kill()
    for writer in writers:
        acknowledged += writer.communicate()[0].splitlines(keepends=True)
    whole = (line.decode().split() for line in acknowledged if line.endswith(b"\n"))
    return dict(whole)


def kill_nine(rounds: int, *, seed: int) -> dict[str, Any]:
    """Run the rounds and compare what was acknowledged with what is in the file."""
    rng = random.Random(seed)
    acknowledged: dict[str, str] = {}
    damaged = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        for turn in range(rounds):
            acknowledged |= one_round(path, seed=turn, rng=rng)
            with SqliteLedger(path) as ledger:  # opening it books what the dead left open
                damaged += ledger.reserved(BUDGET) != 0
        with SqliteLedger(path) as ledger:
            entries = list(ledger.entries())
            problems = ledger.check()
            spent = ledger.spent(BUDGET)
    settled = {e.reservation: e.cost_usd for e in entries if e.kind == "settled"}
    reaped = [e for e in entries if e.kind == "reaped"]
    lost = sum(settled.get(name) != Decimal(cost) for name, cost in acknowledged.items())
    return {
        "kept": not (lost or problems or damaged) and spent == sum(e.cost_usd for e in entries),
        "rounds": rounds,
        "writers_killed": rounds * WRITERS,
        "acknowledged": len(acknowledged),
        "acknowledged_lost": lost,
        "orphans_booked_at_worst_case": len(reaped),
        "orphans_booked_at_another_amount": sum(e.cost_usd != WORST for e in reaped),
        "rounds_with_money_left_reserved": damaged,
        "problems": problems,
    }


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="also write the figures here")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write(given.write, given.seed)
    figures = json.dumps(kill_nine(given.rounds, seed=given.seed), indent=2)
    if given.output:
        given.output.write_text(figures + "\n", encoding="utf-8")
    print(figures)


if __name__ == "__main__":
    main()
