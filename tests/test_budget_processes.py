"""One shared budget, eight processes of sixteen threads: not a cent too much, hardly a cent unused."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from effortctl import Arm, Budget, BudgetExceededError, Controller, Endpoint, Price, Usage
from effortctl._pricing import GenaiPriceBook
from effortctl._types import Call, Task
from effortctl.stores import SqliteLedger
from effortctl.testing import FakeBackend, answer

PROCESSES, THREADS = 8, 16
LIMIT = Decimal("0.50")
TEAM = Budget(limit_usd=LIMIT, scope="team")
ARM = Arm(
    name="a",
    model="m",
    endpoint=Endpoint(name="fake"),
    price=Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(10)),
    max_output_tokens=200,
)
# About half of the worst case: 1 task costs $0.0011, and 400 to 500 of them fit.
REPLY = answer("408", usage=Usage(input_tokens=40, output_tokens=106))


def spend(path):
    """Run tasks in every thread until the budget is used up; return how many calls were made."""
    backend = FakeBackend(REPLY)
    with SqliteLedger(path) as ledger:
        controller = Controller([ARM], backends={"fake": backend}, ledger=ledger, budget=TEAM)

        def until_refused(_thread):
            while True:
                try:
                    controller.run("What is 17*24?")
                except BudgetExceededError:
                    return

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(until_refused, range(THREADS)))
    return len(backend.calls)


@pytest.mark.slow
def test_a_budget_shared_by_processes_and_threads_is_kept_and_used(ledger_path):
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as pool:
        calls = sum(pool.map(spend, [ledger_path] * PROCESSES))
    task = Task(input="What is 17*24?")
    worst = (
        GenaiPriceBook().worst_case(Call(task, ARM, task.messages, 0, ARM.max_output_tokens)).usd
    )
    with SqliteLedger(ledger_path) as ledger:
        spent = ledger.spent(TEAM)
        assert spent <= LIMIT
        assert spent >= LIMIT * Decimal("0.95")
        assert spent > LIMIT - worst, "a call that still fitted was refused"
        assert ledger.reserved(TEAM) == 0
        rows = list(ledger.entries())
        assert ledger.check() == []
    assert len(rows) == calls
    assert sum(row.cost_usd for row in rows) == spent
    assert {row.kind for row in rows} == {"settled"}
