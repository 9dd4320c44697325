"""What the loop adds to a call, and what importing effortctl costs.

Baseline of the same run: the same backend called directly. Run it with `python evals/overhead/measure.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from effortctl import Arm, AsyncController, Budget, Controller, Endpoint, Price, Task
from effortctl._types import Call
from effortctl.stores import DiskCache, SqliteLedger
from effortctl.testing import AsyncFakeBackend, FakeBackend

WARM_UP = 20
IMPORTS = 7
ARM = Arm(
    name="fake",
    model="fake",
    endpoint=Endpoint(name="fake"),
    price=Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(10)),
)
BUDGET = Budget(limit_usd=Decimal(1_000_000), scope="overhead")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured way to make a call, in milliseconds per call."""

    name: str
    calls: int
    wall_p50_ms: float
    wall_p95_ms: float
    cpu_mean_ms: float


def measure(name: str, run: Callable[[int], object], *, calls: int) -> Row:
    """Time `run(0)`, `run(1)`, …: wall clock of each call, CPU time of the process over all."""
    for index in range(WARM_UP):
        run(-1 - index)
    gc.collect()
    walls = []
    cpu_began = time.process_time()
    for index in range(calls):
        began = time.perf_counter()
        run(index)
        walls.append((time.perf_counter() - began) * 1000)
    cpu_ms = (time.process_time() - cpu_began) * 1000
    cuts = statistics.quantiles(walls, n=20)
    return Row(name, calls, statistics.median(walls), cuts[18], cpu_ms / calls)


def prompt(index: int) -> str:
    """A prompt no other call has, so that the cache cannot answer."""
    return f"What is 17*24? ({index})"


def direct(index: int, *, backend: FakeBackend) -> None:
    """The baseline: the backend and nothing else."""
    task = Task(input=prompt(index))
    backend.complete(Call(task, ARM, task.messages, 0, ARM.max_output_tokens))


@contextmanager
def stores(folder: Path) -> Iterator[dict[str, Any]]:
    """Ledger and cache on disk, and a budget: everything that writes."""
    with SqliteLedger(folder / "ledger.sqlite3") as ledger, DiskCache(folder / "cache") as cache:
        yield {"ledger": ledger, "cache": cache, "budget": BUDGET}


def controller(**options: Any) -> Controller:
    """The loop over a fake that answers at once, with a check."""
    return Controller([ARM], backends={"fake": FakeBackend("408")}, verify="number:408", **options)


def sync_rows(folder: Path, *, calls: int) -> Iterator[Row]:
    """Every configuration of the sync driver, dearest last but the cache hit."""
    backend = FakeBackend("408")
    yield measure("backend alone (baseline)", lambda i: direct(i, backend=backend), calls=calls)
    plain = controller()
    yield measure("loop, in memory", lambda i: plain.run(prompt(i)), calls=calls)
    with SqliteLedger(folder / "only.sqlite3") as ledger:
        booked = controller(ledger=ledger, budget=BUDGET)
        yield measure("loop + ledger", lambda i: booked.run(prompt(i)), calls=calls)
    (folder / "sync").mkdir()
    with stores(folder / "sync") as options:
        full = controller(**options)
        yield measure("loop + ledger + cache", lambda i: full.run(prompt(i)), calls=calls)
        yield measure("  served from the cache", lambda i: full.run(prompt(i)), calls=calls)


def async_rows(folder: Path, *, calls: int) -> Iterator[Row]:
    """The async driver, one task at a time in one event loop."""
    with stores(folder) as options, asyncio.Runner() as runner:
        driver = AsyncController(
            [ARM], backends={"fake": AsyncFakeBackend("408")}, verify="number:408", **options
        )

        def run(index: int) -> None:
            runner.run(_awaited(driver.run(prompt(index))))

        yield measure("async loop + ledger + cache", run, calls=calls)


async def _awaited(running: Awaitable[object]) -> None:
    await running


def import_s(module: str) -> dict[str, float]:
    """Median seconds to import a module in a fresh interpreter, less the interpreter's own start."""
    walls, cpus = [], []
    code = f"import time; a, b = time.perf_counter(), time.process_time(); import {module}; print(time.perf_counter() - a, time.process_time() - b)"
    for _ in range(IMPORTS):
        done = subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        wall, cpu = map(float, done.stdout.split())
        walls.append(wall)
        cpus.append(cpu)
    return {"wall_s": statistics.median(walls), "cpu_s": statistics.median(cpus)}


def main() -> None:
    """Measure and print a table, then the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500, help="timed calls per row")
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "async").mkdir()
        rows = [*sync_rows(folder, calls=calls), *async_rows(folder / "async", calls=calls)]
    imports = {module: import_s(module) for module in ("effortctl", "pydantic", "openai")}
    print(f"{'per call, ms':<30}{'wall p50':>10}{'wall p95':>10}{'CPU mean':>10}")
    for row in rows:
        print(
            f"{row.name:<30}{row.wall_p50_ms:>10.3f}{row.wall_p95_ms:>10.3f}{row.cpu_mean_ms:>10.3f}"
        )
    print(f"\n{'import, s (median of 7)':<30}{'wall':>10}{'CPU':>10}")
    for module, took in imports.items():
        print(f"{module:<30}{took['wall_s']:>10.3f}{took['cpu_s']:>10.3f}")
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
    }
    result = {"rows": [asdict(row) for row in rows], "imports": imports, "machine": machine}
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()
