"""Equal tasks of several processes make one call upstream, and a broken store never makes it worse."""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal

import pytest
from reliability_world import TEAM, arms

from effortctl import AsyncController, Controller, EffortctlError, EffortctlWarning, StoreError
from effortctl._types import Cost
from effortctl.stores import DiskCache, SqliteLedger
from effortctl.testing import MockServer

PROCESSES, CALLERS = 4, 16

CALLER = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from effortctl import Arm, AsyncController, Controller, Endpoint
from effortctl.stores import DiskCache

kind, base_url, directory, count = *sys.argv[1:4], int(sys.argv[4])
arm = Arm(name="a", model="m", endpoint=Endpoint(name="mock", base_url=base_url))
options = {"verify": "number:408", "cache": DiskCache(directory, lock_timeout_s=30)}

async def tasks():
    async with AsyncController([arm], **options) as controller:
        return await asyncio.gather(*(controller.run("What is 17*24?") for _ in range(count)))

def threads():
    with Controller([arm], **options) as controller, ThreadPoolExecutor(count) as pool:
        return list(pool.map(controller.run, ["What is 17*24?"] * count))

print("ready", flush=True)
sys.stdin.readline()
outcomes = asyncio.run(tasks()) if kind == "async" else threads()
assert {outcome.value for outcome in outcomes} == {"408"}
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_equal_tasks_of_four_processes_make_one_call(cache_dir, kind):
    with MockServer(lambda request: "408", latency_s=0.3) as server:
        command = [sys.executable, "-c", CALLER, kind, server.base_url, cache_dir, str(CALLERS)]
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(PROCESSES)
        ]
        for child in children:
            assert child.stdout.readline() == "ready\n"
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            child.communicate(timeout=60)
        assert [child.returncode for child in children] == [0] * PROCESSES
        assert server.count() == 1


def test_256_equal_tasks_of_one_loop_make_one_call(cache_dir):
    with MockServer(lambda request: "408", latency_s=0.1) as server:

        async def main():
            ladder = arms(server, "low")
            async with AsyncController(
                ladder, verify="number:408", cache=DiskCache(cache_dir)
            ) as controller:
                tasks = (controller.run("What is 17*24?") for _ in range(256))
                return await asyncio.gather(*tasks)

        assert {outcome.value for outcome in asyncio.run(main())} == {"408"}
        assert server.count() == 1


FAULTS = [
    "400", "429", "500", "reset", "truncated-body", "html-200", "malformed-json", "bad-utf8",
    "empty-body", "empty-object", "json-array", "json-null", "null-choices", "empty-choices",
    "null-content", "error-in-200", "refusal", "content-filter", "truncated", "truncated-empty",
    "usage-negative", "usage-string", "prompt-filtered", "context-length-exceeded", "bad-gzip",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["failed check", "no check"])
def test_nothing_that_is_not_a_complete_and_accepted_answer_is_stored(mock_server, cache_dir, kind):
    """Not even when nothing checks the answer, and not what a check has refused."""
    cache = DiskCache(cache_dir)
    verify = (lambda _answer: False) if kind == "failed check" else None
    faults = [*FAULTS, "ok"] if kind == "failed check" else FAULTS
    with Controller(arms(mock_server, "low"), cache=cache, verify=verify, max_calls=1) as ctl:
        for fault in faults:
            mock_server.script([fault], repeat=True)
            try:
                outcome = ctl.run(f"Say {fault}")
            except EffortctlError:
                continue
            else:
                assert not outcome.accepted
    cache.close()
    with sqlite3.connect(cache_dir / "cache.db") as connection:
        assert connection.execute("SELECT count(*) FROM Cache").fetchone() == (0,)
    connection.close()


# --- broken stores: the cache fails open, the ledger fails closed -------------------------------------


def full(connection):
    """No page can be added any more, as on a full disk."""
    ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
    connection.execute(f"PRAGMA max_page_count = {pages}")


def use_up_all_room(ledger):
    """Book until neither an entry nor a reservation fits on the disk any more."""
    with contextlib.suppress(StoreError):
        while True:
            ticket = ledger.reserve(Decimal(0), budgets=(), trace_id="t")
            ledger.settle(ticket, Cost(usd=Decimal(0), source="free"), row={})
    with contextlib.suppress(StoreError):
        while True:
            ledger.reserve(Decimal(0), budgets=[TEAM], trace_id="t")


def test_a_ledger_on_a_full_disk_makes_no_call(mock_server, ledger_path):
    with SqliteLedger(ledger_path) as ledger:
        full(ledger._database._connection)
        use_up_all_room(ledger)
        controller = Controller(arms(mock_server, "low"), ledger=ledger, budget=TEAM)
        for number in range(5):
            with pytest.raises(StoreError, match="free some disk space"):
                controller.run(f"task {number}")
        assert ledger.check() == []
    assert mock_server.count() == 0


def test_a_disk_that_fills_up_during_a_call_leaves_its_money_set_aside(mock_server, ledger_path):
    with SqliteLedger(ledger_path) as ledger:
        controller = Controller(arms(mock_server, "low"), ledger=ledger, budget=TEAM)
        reserve = ledger.reserve

        def reserve_and_fill_up(*args, **more):
            reservation = reserve(*args, **more)
            ledger.reserve = reserve
            full(ledger._database._connection)
            use_up_all_room(ledger)
            return reservation

        ledger.reserve = reserve_and_fill_up
        with pytest.raises(StoreError, match="free some disk space"):
            controller.run("task")
        assert ledger.reserved(TEAM) > 0, "the budget still counts it; the reaper books it later"
        assert ledger.check() == []
    assert mock_server.count() == 1


def test_a_locked_ledger_makes_no_call_and_a_locked_cache_costs_one(
    mock_server, ledger_path, cache_dir
):
    with SqliteLedger(ledger_path, lock_timeout_s=0.05) as ledger:
        cache = DiskCache(cache_dir, lock_timeout_s=0.05)
        other = [
            sqlite3.connect(path, isolation_level=None)
            for path in (ledger_path, cache_dir / "cache.db")
        ]
        options = {"ledger": ledger, "cache": cache, "budget": TEAM}
        with Controller(arms(mock_server, "low"), **options) as controller:
            other[0].execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another process holds it"):
                controller.run("408")
            assert mock_server.count() == 0
            other[0].execute("ROLLBACK")
            other[1].execute("BEGIN IMMEDIATE")
            with pytest.warns(EffortctlWarning, match="was not cached"):
                assert controller.run("408").value == "408"
            other[1].execute("ROLLBACK")
            assert controller.run("408").value == "408"
            assert controller.run("408").cost_usd == 0
        for connection in other:
            connection.close()
        cache.close()
    assert mock_server.count() == 2


def test_a_cache_on_a_full_disk_still_answers(mock_server, cache_dir):
    cache = DiskCache(cache_dir)
    cache.get("warm")
    full(cache._cache._con)
    controller = Controller(arms(mock_server, "low"), cache=cache)
    prompts = [f"{number} " + "x" * 2000 for number in range(60)]
    with pytest.warns(EffortctlWarning, match="full"):
        answers = [controller.run(prompt).value for prompt in prompts]
    assert answers == prompts
    cache.close()


def test_a_cache_that_hangs_up_mid_flight_does_not_queue_the_others(cache_dir):
    """The leader's answer is refused by the check, so nothing is cached; nobody waits for nothing."""
    with MockServer(lambda request: "1", latency_s=0.05) as server:

        async def main():
            ladder = arms(server, "low")
            async with AsyncController(
                ladder, verify="number:408", cache=DiskCache(cache_dir)
            ) as controller:
                tasks = (controller.run("What is 17*24?") for _ in range(20))
                return await asyncio.gather(*tasks)

        began = time.monotonic()
        outcomes = asyncio.run(main())
        assert time.monotonic() - began < 20
        assert not any(outcome.accepted for outcome in outcomes)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_check_that_asks_the_same_again_does_not_wait_for_itself(mock_server, cache_dir, kind):
    cache = DiskCache(cache_dir)
    options = {"cache": cache, "deadline_s": 30}
    if kind == "sync":
        with Controller(arms(mock_server, "none"), **options) as controller:
            outcome = controller.run("408", verify=lambda text: controller.run("408").value == text)
    else:

        async def main():
            async with AsyncController(arms(mock_server, "none"), **options) as controller:

                async def again(text):
                    return (await controller.run("408")).value == text

                return await controller.run("408", verify=again)

        outcome = asyncio.run(main())
    assert outcome.verified
    assert mock_server.count() == 2
    cache.close()
