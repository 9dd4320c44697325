"""A thousand cancelled calls: everything is booked, nothing stays reserved, nothing stays open."""

import asyncio
import gc
import threading
import time
from decimal import Decimal

import pytest
from reliability_world import TEAM, arms, has_proc, open_files

from effortctl import AsyncController
from effortctl.stores import MemoryLedger, SqliteLedger
from effortctl.testing import MockServer

CALLS = 1000


class Hanging:
    """A backend whose calls never end by themselves."""

    def __init__(self):
        self.started = 0
        self.first = asyncio.Event()
        self.reached = asyncio.Event()

    async def complete(self, _call):
        self.started += 1
        self.first.set()
        if self.started == CALLS:
            self.reached.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_thousand_cancelled_calls_are_all_booked_at_once(mock_server, ledger_path, kind):
    ledger = SqliteLedger(ledger_path) if kind == "file" else MemoryLedger()

    async def main():
        backend = Hanging()
        options = {"backends": {"mock": backend}, "ledger": ledger, "budget": TEAM}
        controller = AsyncController(arms(mock_server, "low"), **options)
        tasks = [asyncio.create_task(controller.run(f"task {n}")) for n in range(CALLS)]
        await asyncio.wait_for(backend.reached.wait(), 60)
        assert ledger.reserved(TEAM) > 0
        for task in tasks:
            task.cancel()
        began = time.monotonic()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert time.monotonic() - began < 10  # one second where nothing else runs: evals/soak
        assert all(isinstance(result, asyncio.CancelledError) for result in results)

    with ledger:
        asyncio.run(main())
        entries = list(ledger.entries())
        assert len(entries) == CALLS
        assert all(entry.estimated and entry.cost_usd > 0 for entry in entries)
        assert ledger.reserved(TEAM) == 0
        assert ledger.check() == []


@pytest.mark.skipif(not has_proc(), reason="counts files in /proc/self/fd")
def test_cancelled_requests_leave_no_socket_and_no_thread_behind():
    with MockServer() as server:

        async def main():
            async with AsyncController(arms(server, "low"), ledger=MemoryLedger()) as controller:
                assert (await controller.run("warm up")).accepted
                before = open_files()
                server.script(["hang"], repeat=True)
                tasks = [asyncio.create_task(controller.run(f"task {n}")) for n in range(60)]
                await asyncio.to_thread(server.wait_for_hits, 61, timeout_s=30)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                server.script([])
                assert (await controller.run("after")).value == "after"
            gc.collect()
            return before

        before = asyncio.run(main())
        assert server.count() == 62
    assert open_files() <= before + 5
    assert not [t for t in threading.enumerate() if t.name == "effortctl-call"]


def test_a_task_cancelled_before_its_call_costs_nothing(mock_server):
    ledger = MemoryLedger()

    async def main():
        async with AsyncController(arms(mock_server, "low"), ledger=ledger) as controller:
            task = asyncio.create_task(controller.run("never"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert mock_server.count() == 0
    assert sum(entry.cost_usd for entry in ledger.entries()) == 0
    assert ledger.reserved(TEAM) == 0


def test_a_second_cancellation_while_booking_loses_no_entry(mock_server, ledger_path):
    """The loop may even end meanwhile: what has begun to be booked is booked."""

    class SlowLedger(MemoryLedger):
        def settle(self, *args, **more):
            time.sleep(0.2)
            super().settle(*args, **more)

    ledger = SlowLedger()

    async def main():
        backend = Hanging()
        controller = AsyncController(
            arms(mock_server, "low"), backends={"mock": backend}, ledger=ledger, budget=TEAM
        )
        task = asyncio.create_task(controller.run("x"))
        await asyncio.wait_for(backend.first.wait(), 10)
        task.cancel()
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.sleep(0)

    asyncio.run(main())
    (entry,) = ledger.entries()
    assert entry.estimated
    assert ledger.reserved(TEAM) == 0


def test_a_reservation_that_is_granted_while_the_loop_ends_is_given_back():
    class SlowLedger(MemoryLedger):
        def _try_reserve(self, request):
            time.sleep(0.1)
            return super()._try_reserve(request)

    ledger = SlowLedger()

    async def main():
        asking = asyncio.create_task(ledger.areserve(Decimal(1), budgets=[TEAM], trace_id="t"))
        await asyncio.sleep(0.02)
        asking.cancel()

    asyncio.run(main())
    assert ledger.reserved(TEAM) == 0
    assert [entry.cost_usd for entry in ledger.entries()] == [0]


def test_a_call_whose_loop_is_gone_is_booked_without_it(mock_server):
    ledger, backend = MemoryLedger(), Hanging()
    controller = AsyncController(
        arms(mock_server, "low"), backends={"mock": backend}, ledger=ledger, budget=TEAM
    )
    loop = asyncio.new_event_loop()
    coroutine = controller.run("x")
    task = loop.create_task(coroutine)
    loop.run_until_complete(asyncio.wait_for(backend.first.wait(), 10))
    coroutine.close()
    (entry,) = ledger.entries()
    assert entry.estimated
    assert ledger.reserved(TEAM) == 0
    task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
