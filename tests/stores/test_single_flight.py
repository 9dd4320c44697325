"""Equal requests at the same time make one call, and nobody waits for the dead."""

import asyncio
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from effortctl._errors import EffortctlWarning
from effortctl.stores import SingleFlight

STAMPEDE = """
import os, sys, threading, time
from effortctl._types import Answer
from effortctl.stores import DiskCache

directory, calls = sys.argv[1], sys.argv[2]
cache = DiskCache(directory, lock_timeout_s=30)

def call():
    with open(calls, "a") as file:
        file.write("call\\n")
    time.sleep(0.3)
    answer = Answer(text="408")
    cache.set("k", answer)
    return answer

def ask():
    answer = cache.flight.do("k", call, cached=lambda: cache.get("k"))
    if answer.text != "408":
        os._exit(3)

sys.stdin.readline()
threads = [threading.Thread(target=ask) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""

LEADER = """
import sys
from effortctl.stores import SingleFlight

with SingleFlight(sys.argv[1]).lead("k") as leading:
    print(leading, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(params=["files", "memory"])
def flight(request, tmp_path):
    return SingleFlight(tmp_path / "flights" if request.param == "files" else None)


def test_four_processes_of_sixteen_threads_make_one_call(tmp_path):
    calls = tmp_path / "calls"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STAMPEDE, tmp_path / "cache", calls],
            stdin=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 4
    assert calls.read_text() == "call\n"
    assert list((tmp_path / "cache" / "flights").iterdir()) == []


def test_sixty_four_threads_make_one_call(flight):
    cache, calls = {}, []

    def call():
        calls.append(1)
        time.sleep(0.05)
        cache["k"] = "answer"
        return "answer"

    got = []

    def ask():
        got.append(flight.do("k", call, cached=lambda: cache.get("k")))

    threads = [threading.Thread(target=ask) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["answer"] * 64
    assert len(calls) == 1


def test_two_hundred_tasks_make_one_call(flight):
    cache, calls = {}, []

    async def ask():
        async with flight.alead("k") as leading:
            if "k" not in cache:
                assert leading
                calls.append(1)
                await asyncio.sleep(0.05)
                cache["k"] = "answer"
        return cache["k"]

    async def scenario():
        return await asyncio.gather(*(ask() for _ in range(200)))

    assert asyncio.run(scenario()) == ["answer"] * 200
    assert len(calls) == 1


def test_different_requests_do_not_wait_for_each_other(flight):
    with flight.lead("a") as first, flight.lead("b") as second:
        assert (first, second) == (True, True)


def test_a_follower_gives_up_after_its_timeout(flight):
    with flight.lead("k") as first, flight.lead("k", timeout_s=0.01) as second:
        assert (first, second) == (True, False)


def test_a_cancelled_task_frees_the_lead(flight):
    async def scenario():
        async def lead_for_ever():
            async with flight.alead("k"):
                await asyncio.sleep(60)

        leader = asyncio.create_task(lead_for_ever())
        await asyncio.sleep(0.01)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        async with flight.alead("k", timeout_s=0) as leading:
            return leading

    assert asyncio.run(scenario())


def test_a_call_that_fails_frees_the_lead(flight):
    def fail():
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - ours, three lines up
        flight.do("k", fail, cached=lambda: None)
    with flight.lead("k", timeout_s=0) as leading:
        assert leading


def test_requests_whose_answers_cannot_be_cached_do_not_queue_one_behind_the_other(flight):
    together = threading.Barrier(6, timeout=20)
    running = threading.Semaphore(0)

    def call():
        running.release()
        if len(led) < 2:  # the first two flights lead nowhere
            led.append(1)
            time.sleep(0.05)
        else:
            together.wait()
        return "never cached"

    led = []
    threads = [
        threading.Thread(target=flight.do, args=("k", call), kwargs={"cached": lambda: None})
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken


def test_the_lead_of_a_killed_process_passes_on_at_once(tmp_path):
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER, tmp_path / "flights"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert leader.stdout.readline() == "True\n"
    flight = SingleFlight(tmp_path / "flights")
    with flight.lead("k", timeout_s=0.05) as leading:
        assert not leading
    os.kill(leader.pid, signal.SIGKILL)
    leader.communicate()
    with flight.lead("k", timeout_s=20) as leading:
        assert leading
    assert list((tmp_path / "flights").iterdir()) == []


def test_lock_files_are_private_and_say_nothing_of_the_request(tmp_path):
    flight = SingleFlight(tmp_path / "flights")
    with flight.lead("what is 17*24?"):
        (lock,) = (tmp_path / "flights").iterdir()
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        assert stat.S_IMODE(lock.parent.stat().st_mode) == 0o700
        assert re.fullmatch(r"[0-9a-f]{32}\.lock", lock.name)
        assert lock.stat().st_size == 0


def test_an_unsafe_directory_leaves_the_joining_of_threads(tmp_path):
    (tmp_path / "flights").mkdir()
    (tmp_path / "flights").chmod(0o777)
    with pytest.warns(EffortctlWarning, match="will not be joined"):
        flight = SingleFlight(tmp_path / "flights")
    with flight.lead("k") as first, flight.lead("k", timeout_s=0) as second:
        assert (first, second) == (True, False)


def test_a_directory_that_disappears_leaves_the_joining_of_threads(tmp_path):
    flight = SingleFlight(tmp_path / "flights")
    (tmp_path / "flights").rmdir()
    with pytest.warns(EffortctlWarning, match="will not be joined"), flight.lead("k") as leading:
        assert leading
