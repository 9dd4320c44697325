"""The tight figures: how far past its deadline a task ends, how long a lock stops the event loop.

The tests assert generous bounds, because CI machines are busy; this script measures. Run it with
`python evals/soak/limits.py`, best while nothing else runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from effortctl import Arm, AsyncController, Budget, Controller, EffortctlError, Endpoint, Price
from effortctl.stores import DiskCache, SqliteLedger
from effortctl.testing import MockServer

DEADLINE_S = 0.5
SLOW = ["hang", "hang-after-headers", "hang-mid-body", "drip-body", "drip-headers", "slow:delay=3"]
PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(10))
TEAM = Budget(limit_usd=Decimal(1_000_000), scope="limits")
LOCKED_S = 1.0
IN_FLIGHT = 10
CANCELLED = 1000
CALLERS = 200

LOCKER = """
import sqlite3, sys, time
connections = [sqlite3.connect(path, isolation_level=None) for path in sys.argv[2:]]
for connection in connections:
    connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[1]))
"""


def arms(server: MockServer) -> list[Arm]:
    """One arm at the server."""
    endpoint = Endpoint(name="mock", base_url=server.base_url)
    return [Arm(name="m", model="m", endpoint=endpoint, price=PRICE, max_output_tokens=400)]


def slow_check(_answer: str) -> bool:
    """A check that takes far too long."""
    time.sleep(3 * DEADLINE_S)
    return True


# --- deadlines ---------------------------------------------------------------------------------------


def overrun_ms(run: Callable[[], object]) -> float:
    """Milliseconds past the deadline at which a task ends."""
    began = time.monotonic()
    with contextlib.suppress(EffortctlError):
        run()
    return (time.monotonic() - began - DEADLINE_S) * 1000


async def async_overrun_ms(run: Callable[[], Awaitable[object]]) -> float:
    """`overrun_ms` for asyncio."""
    began = time.monotonic()
    with contextlib.suppress(EffortctlError):
        await run()
    return (time.monotonic() - began - DEADLINE_S) * 1000


@dataclass(frozen=True, slots=True)
class Late:
    """Milliseconds past a deadline over some repetitions."""

    median_ms: float
    worst_ms: float

    @classmethod
    def of(cls, seen: Sequence[float]) -> Late:
        """Sum up."""
        return cls(round(statistics.median(seen), 1), round(max(seen), 1))


def deadlines(folder: Path, *, repeats: int) -> dict[str, Late]:
    """How late tasks end, by what is slow and by driver. `a bare sleep` tells what the machine adds.

    The server is a process of its own. Of each controller the first task is left out: the first call of a
    process loads the SDK, the first of a controller makes its client, and neither can be cut short.
    """
    sleeps = [overrun_ms(lambda: time.sleep(DEADLINE_S)) for _ in range(repeats)]
    late = {"a bare sleep": Late.of(sleeps)}
    with served() as base_url, SqliteLedger(folder / "deadlines.sqlite3") as ledger:
        for fault in (*SLOW, "slow check"):
            arm = faulty_arm(base_url, fault if fault in SLOW else "ok")
            options: dict[str, Any] = {
                "verify": slow_check if fault == "slow check" else None,
                "deadline_s": DEADLINE_S,
                "budget": TEAM,
                "ledger": ledger,
            }
            seen = _sync_deadlines(arm, options, repeats=repeats)
            late[f"{fault}, sync"] = Late.of(seen[1:])
            seen = asyncio.run(_async_deadlines(arm, options, repeats=repeats))
            late[f"{fault}, async"] = Late.of(seen[1:])
    return late


def _sync_deadlines(arm: Arm, options: dict[str, Any], *, repeats: int) -> list[float]:
    with Controller([arm], **options) as controller:
        return [overrun_ms(lambda: controller.run("x")) for _ in range(repeats + 1)]


async def _async_deadlines(arm: Arm, options: dict[str, Any], *, repeats: int) -> list[float]:
    async with AsyncController([arm], **options) as controller:
        return [await async_overrun_ms(lambda: controller.run("x")) for _ in range(repeats + 1)]


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The base URL of a mock server in another process."""
    command = [sys.executable, "-m", "effortctl.testing.server", "--port", "0"]
    server = _start(command)
    try:
        yield server.said.split()[-1]
    finally:
        server.process.terminate()
        server.process.communicate()


def faulty_arm(base_url: str, fault: str) -> Arm:
    """An arm whose model id asks the server for a fault."""
    endpoint = Endpoint(name="mock", base_url=base_url)
    return Arm(name="m", model=f"m+fault={fault}", endpoint=endpoint, price=PRICE)


# --- the event loop ------------------------------------------------------------------------------------


async def longest_gap_ms(work: Awaitable[object]) -> float:
    """Longest time between two turns of the event loop while something is awaited."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            longest, last = max(longest, now - last), now

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0)
    await work
    beating.cancel()
    return longest * 1000


def event_loop(folder: Path) -> dict[str, float]:
    """Longest gap while another process holds ledger and cache, for three ends of a call.

    Ten calls are in flight when the lock comes, ten more start under it. `nobody holds them` is the same without a lock: what the machine itself makes of it.
    """
    found = {}
    ends = (("nobody holds them", "slow"), ("answered", "slow"), ("rejected", "400"))
    for ending, fault in (*ends, ("cut", "truncated-body")):
        with MockServer() as server:
            server.script(["ok", *[f"{fault}:delay={LOCKED_S / 2}"] * IN_FLIGHT])
            (folder / ending).mkdir()
            locked_s = LOCKED_S if ending in {"answered", "rejected", "cut"} else 0.0
            gap = asyncio.run(_locked(server, folder / ending, locked_s=locked_s))
            found[ending] = round(gap, 1)
    return found


async def _locked(server: MockServer, folder: Path, *, locked_s: float) -> float:
    ledger_path, cache_path = folder / "ledger.sqlite3", folder / "cache"
    with SqliteLedger(ledger_path) as ledger, DiskCache(cache_path, lock_timeout_s=5) as cache:
        options: dict[str, Any] = {"ledger": ledger, "cache": cache, "budget": TEAM}
        async with AsyncController(arms(server), max_calls=1, **options) as controller:
            with contextlib.suppress(EffortctlError):
                await controller.run("warm up")
            calls = [asyncio.create_task(controller.run(f"{n}")) for n in range(IN_FLIGHT)]
            await asyncio.to_thread(server.wait_for_hits, IN_FLIGHT + 1)
            command = [sys.executable, "-c", LOCKER, str(locked_s), str(ledger_path)]
            locker = await asyncio.to_thread(_start, [*command, str(cache_path / "cache.db")])
            late = (controller.run(f"late {number}") for number in range(IN_FLIGHT))
            ends = asyncio.gather(*calls, *late, return_exceptions=True)
            gap = await longest_gap_ms(ends)
            await asyncio.to_thread(locker.process.communicate)
            return gap


@dataclass(frozen=True, slots=True)
class Started:
    """A process that has said its first line."""

    process: subprocess.Popen[str]
    said: str


def _start(command: list[str]) -> Started:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own interpreter and code
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    return Started(process, process.stdout.readline())


# --- cancellation and outage -----------------------------------------------------------------------------


class Hanging:
    """A backend whose calls never end by themselves."""

    def __init__(self) -> None:
        self.open = 0

    async def complete(self, _call: object) -> Any:
        """Wait for ever."""
        self.open += 1
        await asyncio.Event().wait()


async def cancellation(folder: Path) -> dict[str, Any]:
    """Cancel many calls at once; time until all is booked, and what stays open."""
    with MockServer() as server, SqliteLedger(folder / "cancel.sqlite3") as ledger:
        options: dict[str, Any] = {"ledger": ledger, "budget": TEAM}
        backend = Hanging()
        controller = AsyncController(arms(server), backends={"mock": backend}, **options)
        files = _open_files()
        tasks = [asyncio.create_task(controller.run(f"task {n}")) for n in range(CANCELLED)]
        while backend.open < CANCELLED:  # noqa: ASYNC110 - a measurement, not an event
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        began = time.monotonic()
        gap = await longest_gap_ms(asyncio.gather(*tasks, return_exceptions=True))
        booked_s = time.monotonic() - began
        async with AsyncController(arms(server), **options) as after:
            await after.run("warm up")
            began = time.monotonic()
            await after.run("next")
            next_ms = (time.monotonic() - began) * 1000
        gc.collect()
        return {
            "calls": CANCELLED,
            "all_booked_after_s": round(booked_s, 3),
            "longest_gap_of_the_loop_ms": round(gap, 1),
            "left_reserved_usd": str(ledger.reserved(TEAM)),
            "files_more_than_before": _open_files() - files,
            "next_call_ms": round(next_ms, 1),
        }


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only


async def outage() -> dict[str, Any]:
    """Requests per task under nothing but rate limits, while the retry budget lasts and after."""

    async def no_wait(_seconds: float) -> None:
        await asyncio.sleep(0)

    with MockServer() as server:
        server.script(["429"], repeat=True)
        async with AsyncController(arms(server), sleep=no_wait) as controller:
            counts = []
            for turn in range(3):
                before = server.count()
                tasks = (controller.run(f"{turn}/{number}") for number in range(CALLERS))
                await asyncio.gather(*tasks, return_exceptions=True)
                counts.append(round((server.count() - before) / CALLERS, 3))
    return {"callers": CALLERS, "warm_up": counts[0], "after": counts[1:]}


def measure(*, repeats: int) -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        late = deadlines(folder, repeats=repeats)
        return {
            "past_deadline_median_ms": max(each.median_ms for each in late.values()),
            "past_deadline_worst_ms": max(each.worst_ms for each in late.values()),
            "past_deadline": {name: asdict(each) for name, each in late.items()},
            "event_loop_longest_gap_ms": event_loop(folder),
            "event_loop_locked_s": LOCKED_S,
            "cancellation": asyncio.run(cancellation(folder)),
            "requests_per_task_in_an_outage": asyncio.run(outage()),
            "load_average": os.getloadavg()[0],
            "sqlite": sqlite3.sqlite_version,
        }


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--output", type=Path, help="also write the figures here")
    given = parser.parse_args()
    figures = json.dumps(measure(repeats=given.repeats), indent=2)
    if given.output:
        given.output.write_text(figures + "\n", encoding="utf-8")
    print(figures)


if __name__ == "__main__":
    main()
