"""The event loop goes on while another process holds the ledger and the cache locked."""

import asyncio
import sqlite3
import threading
import time

import pytest
from reliability_world import TEAM, arms

from effortctl import AsyncController
from effortctl.stores import DiskCache, SqliteLedger

LOCKED_S = 1.0


class Pulse:
    """Longest time between two turns of the event loop."""

    def __init__(self):
        self.longest_s = 0.0

    async def beat(self):
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.002)
            now = time.monotonic()
            self.longest_s, last = max(self.longest_s, now - last), now


class Locked:
    """Holds write locks on databases for a while, as another process would."""

    def __init__(self, *paths):
        self._paths = paths
        self._held = threading.Barrier(2)

    def __enter__(self):
        self._thread = threading.Thread(target=self._hold)
        self._thread.start()
        self._held.wait(10)

    def _hold(self):
        connections = [sqlite3.connect(path, isolation_level=None) for path in self._paths]
        for connection in connections:
            connection.execute("BEGIN IMMEDIATE")
        self._held.wait(10)
        time.sleep(LOCKED_S)
        for connection in connections:
            connection.execute("ROLLBACK")
            connection.close()

    def __exit__(self, *_):
        self._thread.join()


@pytest.mark.parametrize(
    "fault",
    ["slow:delay=0.2", "400:delay=0.2", "hang"],
    ids=["answered", "rejected", "cancelled"],
)
def test_a_lock_of_another_process_does_not_stop_the_loop(
    mock_server, ledger_path, cache_dir, fault
):
    """Five calls are in flight when the lock comes, and have to be booked while it is held."""
    pulse = Pulse()

    async def main():
        with SqliteLedger(ledger_path) as ledger, DiskCache(cache_dir, lock_timeout_s=5) as cache:
            options = {"ledger": ledger, "cache": cache, "budget": TEAM}
            async with AsyncController(arms(mock_server, "low"), **options) as controller:
                await controller.run("warm up")
                mock_server.script([fault] * 5)
                calls = [asyncio.create_task(controller.run(f"task {n}")) for n in range(5)]
                await asyncio.to_thread(mock_server.wait_for_hits, 6, timeout_s=30)
                with Locked(ledger_path, cache_dir / "cache.db"):
                    beating = asyncio.create_task(pulse.beat())
                    for call in calls if fault == "hang" else ():
                        call.cancel()
                    late = asyncio.create_task(controller.run("starts under the lock"))
                    await asyncio.gather(*calls, late, return_exceptions=True)
                beating.cancel()
            assert ledger.reserved(TEAM) == 0
            return len(list(ledger.entries()))

    assert asyncio.run(main()) == 7
    assert pulse.longest_s < LOCKED_S / 2  # 0.05 s where nothing else runs: evals/soak
