"""A controller that was used before a fork goes on in every child, without mix-ups."""

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from reliability_world import TEAM, arms

from effortctl import Controller
from effortctl.stores import DiskCache, SqliteLedger
from effortctl.stores._fork import pause_around_forks
from effortctl.testing import MockServer
from effortctl.verifiers import _math

CHILDREN, CALLS = 3, 100


def use(controller, name, results):
    prompts = [f"{name} says {number}" for number in range(CALLS)]
    with ThreadPoolExecutor(4) as pool:
        answers = [outcome.value for outcome in pool.map(controller.run, prompts)]
    results.put((name, answers == prompts))


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_three_children_of_a_used_controller_make_a_hundred_calls_each(ledger_path, cache_dir):
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    with MockServer() as server, SqliteLedger(ledger_path, wait_s=30) as ledger:
        cache = DiskCache(cache_dir, lock_timeout_s=30)
        options = {"ledger": ledger, "cache": cache, "budget": TEAM, "max_concurrency": 3}
        with Controller(arms(server, "none"), **options) as controller:
            assert controller.run("before").value == "before"
            children = [
                fork.Process(target=use, args=(controller, f"child {number}", results))
                for number in range(CHILDREN)
            ]
            for child in children:
                child.start()
            use(controller, "parent", results)
            seen = dict(results.get(timeout=60) for _ in range(CHILDREN + 1))
            for child in children:
                child.join(30)
        assert [child.exitcode for child in children] == [0] * CHILDREN
        assert list(seen.values()) == [True] * (CHILDREN + 1)
        assert server.count() == (CHILDREN + 1) * CALLS + 1
        entries = list(ledger.entries())
        assert len(entries) == server.count()
        assert sum(e.cost_usd for e in entries) == server.billed_usd(
            {"m-none": controller.ladder.arms[0].price}
        )
        assert ledger.check() == []
        cache.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_does_not_inherit_the_lock_of_a_comparison_under_way():
    holding, done = threading.Event(), threading.Event()

    def compare():
        with _math._worker._lock:
            holding.set()
            done.wait(30)

    thread = threading.Thread(target=compare)
    thread.start()
    holding.wait(30)
    child = os.fork()
    if not child:
        os._exit(0 if _math._worker._lock.acquire(timeout=5) else 1)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


class Resting:
    """What a ledger is to a fork: something to bring to rest before it and to wake after it."""

    def __init__(self):
        self.lock = threading.Lock()
        pause_around_forks(self)

    def before_fork(self):
        self.lock.acquire()

    def after_fork(self):
        self.lock.release()


@pytest.fixture
def eager_threads():
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.usefixtures("eager_threads")
def test_ledgers_may_be_opened_while_another_thread_forks():
    # A registry that grows during its walk breaks off the preparation, and hangs the next fork.
    kept, stop = [], threading.Event()

    def open_ledgers():
        while not stop.is_set() and len(kept) < 50_000:
            kept.append(Resting())

    threads = [threading.Thread(target=open_ledgers) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        child = os.fork()
        if not child:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert not any(resting.lock.locked() for resting in kept)
