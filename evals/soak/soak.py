"""Fifty thousand calls with a fifth of them faulty: nothing leaks, and the ledger is exact.

The mock server runs in this process and knows what it would have billed; the client runs in a process of
its own, so that its memory and files can be watched. Run it with `python evals/soak/soak.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from effortctl import Arm, AsyncController, Budget, EffortctlError, Endpoint, Price, Task
from effortctl.stores import LedgerEntry, SqliteLedger
from effortctl.testing import Hit, MockServer
from effortctl.testing._truth import dollars

FAULTS = {
    "429:retry-after=0.01": 0.03,
    "500": 0.03,
    "503": 0.02,
    "529": 0.01,
    "400": 0.01,
    "reset": 0.02,
    "disconnect": 0.01,
    "truncated-body": 0.02,
    "reset-mid-body": 0.01,
    "html-200": 0.01,
    "malformed-json": 0.01,
    "usage-missing": 0.005,
    "usage-negative": 0.005,
    "usage-string": 0.005,
    "hang": 0.002,
    "drip-body:interval=0.1": 0.003,
}
"""A fifth of all requests; what they cost the provider differs from fault to fault."""

PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(10))
TEAM = Budget(limit_usd=Decimal(1_000_000), scope="soak")
WORKERS = 48
IN_FLIGHT = 32
DEADLINE_S = 4.0
LONGEST_WAIT_S = 0.02


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds."""

    rss_mb: float
    files: int
    threads: int


def footprint() -> Footprint:
    """What this process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    return Footprint(round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1), files, threads)


# --- the client, in a process of its own -------------------------------------------------------------


def arm(base_url: str) -> Arm:
    """The one arm that is called."""
    endpoint = Endpoint(name="mock", base_url=base_url)
    return Arm(
        name="m", model="m", effort="low", endpoint=endpoint, price=PRICE, max_output_tokens=400
    )


async def short_sleep(seconds: float) -> None:
    """Wait between retries, but not for long: faults are the point here, not patience."""
    await asyncio.sleep(min(seconds, LONGEST_WAIT_S))


async def drive(base_url: str, ledger_path: Path, tasks: int) -> dict[str, Any]:
    """Run the tasks; return what was seen on the way."""
    outcomes: Counter[str] = Counter()
    marks: list[Footprint] = []
    numbers = iter(range(tasks))
    warm_up = max(1, min(tasks // 10, 5_000))
    with SqliteLedger(ledger_path) as ledger:
        options: dict[str, Any] = {
            "ledger": ledger,
            "budget": TEAM,
            "deadline_s": DEADLINE_S,
            "max_concurrency": IN_FLIGHT,
            "sleep": short_sleep,
        }
        async with AsyncController([arm(base_url)], **options) as controller:

            async def work() -> None:
                for number in numbers:
                    outcomes[await one(controller, number)] += 1
                    if sum(outcomes.values()) in {warm_up, tasks // 2}:
                        marks.append(footprint())

            await asyncio.gather(*(work() for _ in range(WORKERS)))
            marks.append(footprint())
        reserved = ledger.reserved(TEAM)
    return {"outcomes": dict(outcomes), "marks": [asdict(m) for m in marks], "left": str(reserved)}


async def one(controller: AsyncController, number: int) -> str:
    """Run one task; its outcome, or the name of its error."""
    try:
        outcome = await controller.run(Task(id=f"t{number}", input=f"Say the number {number}."))
    except EffortctlError as error:
        return type(error).__name__
    return outcome.trace.outcome


# --- the comparison ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Comparison:
    """The ledger against what the server would have billed.

    Attributes:
        reported: Entries with usage that could be read.
        wrong: Of them, how many differ from the truth at all.
        estimated: Entries booked at their worst case.
        too_low: Of them, how many are below the truth.
        free: Entries booked at 0.
        billed_free: Of them, how many a provider would have billed.
        unpaired: Tasks with more or fewer entries than requests.
    """

    reported: int = 0
    wrong: int = 0
    estimated: int = 0
    too_low: int = 0
    free: int = 0
    billed_free: int = 0
    unpaired: int = 0
    reported_usd: Decimal = Decimal(0)
    estimated_usd: Decimal = Decimal(0)
    truth_of_estimated_usd: Decimal = Decimal(0)

    def add(self, entry: LedgerEntry, truth: Decimal) -> None:
        """Compare one entry with the request it stands for."""
        if entry.estimated:
            self.estimated += 1
            self.estimated_usd += entry.cost_usd
            self.truth_of_estimated_usd += truth
            self.too_low += entry.cost_usd < truth or not entry.cost_usd
        elif entry.price_source == "rejected":
            self.free += 1
            self.billed_free += truth != 0
        else:
            self.reported += 1
            self.reported_usd += entry.cost_usd
            self.wrong += entry.cost_usd != truth

    @property
    def exact(self) -> bool:
        """Nothing is wrong, too low, or missing."""
        return not (self.wrong or self.too_low or self.billed_free or self.unpaired)


def compare(entries: Iterable[LedgerEntry], hits: Sequence[Hit]) -> Comparison:
    """Pair the entries of each task with its requests, both in the order of time."""
    by_task: dict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        by_task[entry.task_id or "?"].append(entry)
    asked: dict[str, list[Hit]] = defaultdict(list)
    for hit in sorted(hits, key=lambda hit: hit.n):
        asked[task_of(hit)].append(hit)
    result = Comparison()
    for task_id in by_task.keys() | asked.keys():
        mine, theirs = by_task[task_id], asked[task_id]
        result.unpaired += len(mine) != len(theirs)
        for entry, hit in zip(mine, theirs, strict=False):
            usage = hit.would_bill_usage
            result.add(entry, Decimal(0) if usage is None else dollars(usage, PRICE))
    return result


def task_of(hit: Hit) -> str:
    """Id of the task a request belongs to, read from its prompt."""
    number = json.dumps(hit.body).partition("Say the number ")[2].partition(".")[0]
    return f"t{number}"


def faults_of(hits: Sequence[Hit]) -> Iterator[tuple[str, int]]:
    """How often each fault happened, the most frequent first."""
    counted = Counter(hit.fault for hit in hits if hit.fault)
    return iter(counted.most_common())


# --- both together -----------------------------------------------------------------------------------


def soak(tasks: int, *, seed: int) -> dict[str, Any]:
    """Run client and server, compare, and report."""
    with tempfile.TemporaryDirectory() as folder, MockServer(seed=seed, faults=FAULTS) as server:
        ledger_path = Path(folder) / "ledger.sqlite3"
        command = [sys.executable, __file__, "--client", server.base_url, str(ledger_path)]
        began = time.monotonic()
        done = subprocess.run(  # noqa: S603 - this script itself, as the client
            [*command, "--tasks", str(tasks)], check=True, stdout=subprocess.PIPE, text=True
        )
        elapsed_s = time.monotonic() - began
        seen = json.loads(done.stdout)
        with SqliteLedger(ledger_path) as ledger:
            comparison = compare(ledger.entries(), server.hits)
            problems = ledger.check()
        ledger_mb = ledger_path.stat().st_size / 2**20
    return report(seen=seen, comparison=comparison, hits=server.hits, elapsed_s=elapsed_s) | {
        "tasks": tasks,
        "ledger_problems": problems,
        "ledger_mb": round(ledger_mb, 1),
    }


def report(
    *, seen: dict[str, Any], comparison: Comparison, hits: Sequence[Hit], elapsed_s: float
) -> dict[str, Any]:
    """The figures, and whether they keep the promises."""
    first, last = seen["marks"][0], seen["marks"][-1]
    faults = dict(faults_of(hits))
    growth = {
        "rss_growth_mb": round(last["rss_mb"] - first["rss_mb"], 1),
        "files_growth": last["files"] - first["files"],
    }
    kept = comparison.exact and seen["left"] == "0"
    return {
        "kept": kept and growth["rss_growth_mb"] <= 20 and growth["files_growth"] <= IN_FLIGHT,
        "ledger_exact": comparison.exact,
        **growth,
        "requests": len(hits),
        "faulty_share": round(sum(faults.values()) / max(1, len(hits)), 3),
        "left_reserved_usd": seen["left"],
        "comparison": {name: _plain(value) for name, value in asdict(comparison).items()},
        "footprints": seen["marks"],
        "outcomes": seen["outcomes"],
        "faults": faults,
        "elapsed_s": round(elapsed_s, 1),
    }


def _plain(value: object) -> object:
    return format(value, "f") if isinstance(value, Decimal) else value


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="also write the figures here")
    parser.add_argument("--client", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        base_url, ledger_path = given.client
        print(json.dumps(asyncio.run(drive(base_url, Path(ledger_path), given.tasks))))
        return
    figures = json.dumps(soak(given.tasks, seed=given.seed), indent=2)
    if given.output:
        given.output.write_text(figures + "\n", encoding="utf-8")
    print(figures)


if __name__ == "__main__":
    main()
