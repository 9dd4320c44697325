"""A controller that was used before a fork goes on in every child, without mix-ups."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest
from reliability_world import TEAM, arms

from effortctl import Controller
from effortctl.stores import DiskCache, SqliteLedger
from effortctl.testing import MockServer

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
