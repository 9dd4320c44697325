"""Many processes, many threads, and kill -9: the budget holds and nothing acknowledged is lost."""

import json
import random
import subprocess
import sys
import time
from decimal import Decimal

from effortctl._types import Budget
from effortctl.stores import SqliteLedger

LIMIT = Decimal("1.00")
TEAM = Budget(limit_usd=LIMIT, scope="team")

SPENDER = """
import json, random, sys, threading, time
from decimal import Decimal
from effortctl._errors import BudgetExceededError
from effortctl._types import Budget, Cost
from effortctl.stores import SqliteLedger

path, seed = sys.argv[1], int(sys.argv[2])
budget = Budget(limit_usd=Decimal("1.00"), scope="team")
ledger = SqliteLedger(path, wait_s=30.0)
booked = []

def spend(number):
    rng = random.Random(seed * 100 + number)
    for turn in range(1000):
        worst = rng.randint(1, 10_000)
        try:
            reservation = ledger.reserve(
                Decimal(worst).scaleb(-6), budgets=[budget], trace_id=f"{seed}-{number}-{turn}"
            )
        except BudgetExceededError:
            return
        time.sleep(rng.uniform(0, 0.003))
        cost = Decimal(rng.randint(0, worst)).scaleb(-6)
        ledger.settle(reservation, Cost(usd=cost, source="user"), row={"arm": "a"})
        booked.append(str(cost))

threads = [threading.Thread(target=spend, args=(number,)) for number in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps(booked))
"""

WRITER = """
import os, random, sys
from decimal import Decimal
from effortctl._types import Budget, Cost
from effortctl.stores import SqliteLedger

budget = Budget(limit_usd=Decimal(1000), scope="kill")
ledger = SqliteLedger(sys.argv[1])
rng = random.Random(int(sys.argv[2]))
while True:
    reservation = ledger.reserve(Decimal("0.001"), budgets=[budget], trace_id="t")
    cost = Decimal(rng.randint(0, 1000)).scaleb(-6)
    ledger.settle(reservation, Cost(usd=cost, source="user"), row={})
    os.write(1, f"{reservation} {cost}\\n".encode())
"""


def test_eight_processes_of_sixteen_threads_never_overrun_a_budget_and_can_use_it(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SPENDER, path, str(seed)], stdout=subprocess.PIPE, text=True
        )
        for seed in range(8)
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    booked = [Decimal(text) for output in outputs for text in json.loads(output)]
    with SqliteLedger(path) as ledger:
        spent = ledger.spent(TEAM)
        assert spent == sum(booked)
        assert LIMIT * Decimal("0.95") <= spent <= LIMIT
        assert ledger.reserved(TEAM) == 0
        assert len(list(ledger.entries())) == len(booked)
        assert ledger.check() == []


def test_killed_writers_lose_no_acknowledged_settlement(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    rng = random.Random(11)
    acknowledged = {}
    rounds, writers = 4, 3
    for turn in range(rounds):
        running = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, path, str(turn * writers + number)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(writers)
        ]
        for writer in running:  # killed in mid-work, not in mid-start
            acknowledged.update([writer.stdout.readline().split()])
        time.sleep(rng.uniform(0.05, 0.3))
        for writer in running:
            writer.kill()
        for writer in running:
            lines = writer.communicate()[0].splitlines(keepends=True)
            acknowledged.update(line.split() for line in lines if line.endswith("\n"))

    budget = Budget(limit_usd=Decimal(1000), scope="kill")
    with SqliteLedger(path) as ledger:
        entries = list(ledger.entries())
        settled = {e.reservation: e.cost_usd for e in entries if e.kind == "settled"}
        lost = [r for r, cost in acknowledged.items() if settled.get(r) != Decimal(cost)]
        assert lost == []
        assert len(acknowledged) >= rounds * writers
        assert ledger.check() == []
        assert ledger.spent(budget) == sum(entry.cost_usd for entry in entries)
        assert ledger.reserved(budget) == 0  # opening it reaped what the dead had set aside
        assert sum(entry.kind == "reaped" for entry in entries) <= rounds * writers
