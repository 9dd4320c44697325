"""`max_concurrency` is exact: the server itself counts how many requests are open."""

import asyncio
import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from reliability_world import arms

from effortctl import AsyncController, Controller, TransientBackendError
from effortctl._limits import Slots
from effortctl.testing import MockServer

LIMIT = 5


@pytest.fixture
def server():
    """Takes a moment for each reply; only high effort is right, so every task escalates once."""
    with MockServer(
        lambda request: "408" if request.effort == "high" else "1", latency_s=0.01
    ) as running:
        yield running


def test_threads_never_have_more_calls_open_than_allowed(server):
    ladder = arms(server, "low", "high")
    with (
        Controller(ladder, verify="number:408", max_concurrency=LIMIT) as controller,
        ThreadPoolExecutor(20) as pool,
    ):
        outcomes = list(pool.map(controller.run, [f"task {n}" for n in range(60)]))
    assert all(outcome.accepted for outcome in outcomes)
    assert server.count() == 120
    assert server.high_water == LIMIT


def test_tasks_never_have_more_calls_open_than_allowed(server):
    async def main():
        ladder = arms(server, "low", "high")
        async with AsyncController(
            ladder, verify="number:408", max_concurrency=LIMIT
        ) as controller:
            return await asyncio.gather(*(controller.run(f"task {n}") for n in range(60)))

    assert all(outcome.accepted for outcome in asyncio.run(main()))
    assert server.count() == 120
    assert server.high_water == LIMIT


def test_a_slot_that_does_not_come_free_in_time_is_not_waited_for():
    slots = Slots(1)
    with slots.hold(None):
        with pytest.raises(TransientBackendError, match="all 1 slots"), slots.hold(0.01):
            pass

        async def ask():
            async with slots.ahold(0.01):
                pass

        with pytest.raises(TransientBackendError, match="all 1 slots"):
            asyncio.run(ask())
    with slots.hold(0.01):
        pass


def until(true, timeout_s=5.0):
    end = time.monotonic() + timeout_s
    while not true() and time.monotonic() < end:
        time.sleep(0.001)


def test_threads_and_tasks_share_one_line():
    slots, order = Slots(1), []

    async def coroutine():
        async with slots.ahold(5):
            order.append("task")

    async def main():
        hold = slots.hold(5)
        hold.__enter__()
        waiting = asyncio.create_task(coroutine())
        await asyncio.sleep(0)
        thread = threading.Thread(target=blocking)
        thread.start()
        await asyncio.to_thread(until, lambda: len(slots._waiting) == 2)
        hold.__exit__(None, None, None)
        await waiting
        await asyncio.to_thread(thread.join)

    def blocking():
        with slots.hold(5):
            order.append("thread")

    asyncio.run(main())
    assert order == ["task", "thread"], "first come, first served"


def test_cancelled_waiters_lose_no_slot():
    slots = Slots(3)

    async def wait_long():
        async with slots.ahold(None):
            await asyncio.sleep(0.001)

    async def main():
        running = [asyncio.create_task(wait_long()) for _ in range(300)]
        for number, task in enumerate(running):
            if number % 7 == 0:
                await asyncio.sleep(0)
            if number % 2:
                task.cancel()
        done = await asyncio.gather(*running, return_exceptions=True)
        assert sum(result is None for result in done) >= 150
        assert slots._free == 3

    asyncio.run(main())


def _child(slots, results):
    with slots.hold(1):
        results.put("free")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_calls():
    slots, fork = Slots(1), multiprocessing.get_context("fork")
    results = fork.Queue()
    with slots.hold(None):
        child = fork.Process(target=_child, args=(slots, results))
        child.start()
        child.join(10)
    assert child.exitcode == 0
    assert results.get(timeout=5) == "free"


def test_an_exception_frees_the_slot():
    slots = Slots(1)
    with pytest.raises(KeyError), slots.hold(None):
        raise KeyError
    began = time.monotonic()
    with slots.hold(5):
        assert time.monotonic() - began < 4


def test_those_who_give_up_leave_nothing_behind():
    slots = Slots(1)
    with slots.hold(None):
        for _ in range(50):
            with pytest.raises(TransientBackendError), slots.hold(0.0):
                pass
        assert not slots._waiting
    with slots.hold(0.0):
        pass
