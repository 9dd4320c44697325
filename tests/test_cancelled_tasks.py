"""A task that is cancelled leaves a trace that holds every dollar of the ledger."""

from __future__ import annotations

import asyncio

import pytest

from effortctl import Arm, AsyncController, Budget, Endpoint, Price
from effortctl.stores import MemoryLedger
from effortctl.testing import MockServer


class Traces:
    """Keeps traces in a list."""

    def __init__(self):
        self.all = []

    def write(self, trace):
        self.all.append(trace)


@pytest.fixture
def begun():
    """Runs a task until `when` is true, and cancels it; gives its traces and ledger."""

    def run(mock, **how):
        with mock:
            return asyncio.run(cancel(mock, **how))

    async def cancel(mock, *, when, verify=None, budget="$1/day"):
        arm = Arm(
            name="m@low",
            model="m",
            effort="low",
            endpoint=Endpoint(name="mine", base_url=mock.base_url),
            price=Price(input_usd_per_mtok="1", output_usd_per_mtok="2"),
            max_output_tokens=100,
        )
        traces, ledger = Traces(), MemoryLedger()

        async with AsyncController(
            [arm], verify=verify, budget=budget, ledger=ledger, traces=traces
        ) as controller:
            task = asyncio.create_task(controller.run("What is 17*24?"))
            while not when(mock, ledger):  # noqa: ASYNC110 - a server in a thread sets no event of ours
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return traces.all, ledger

    return run


def spent(ledger):
    return sum(entry.cost_usd for entry in ledger.entries())


def test_during_a_call_it_holds_the_worst_case(begun):
    traces, ledger = begun(MockServer(latency_s=30), when=lambda mock, _: mock.hits)
    (trace,) = traces
    assert trace.outcome == "failed"
    assert trace.cost_usd == spent(ledger) > 0
    assert trace.attempts[0].calls == 1
    assert "cancelled" in trace.attempts[0].error


def test_during_a_check_it_holds_the_answer(begun):
    async def slow(task, answer):
        await asyncio.sleep(30)

    traces, ledger = begun(
        MockServer(lambda request: "408"),
        when=lambda _, ledger: list(ledger.entries()),
        verify=slow,
    )
    (trace,) = traces
    assert trace.outcome == "failed"
    assert trace.attempts[0].answer.text == "408"
    assert trace.cost_usd == spent(ledger) > 0


def test_during_a_judges_call_it_holds_the_judges_dollars(begun):
    mock = MockServer(lambda request: "408")
    mock.script(["ok", "slow:delay=30"])
    traces, ledger = begun(
        mock, when=lambda mock, _: len(mock.hits) == 2, verify="agreement:number"
    )
    (trace,) = traces
    assert len(list(ledger.entries())) == 2
    assert trace.cost_usd == spent(ledger) > 0


def test_before_any_call_it_is_written_too(begun):
    ledger_full = "$0.0000001/day"
    traces, ledger = begun(
        MockServer(),
        when=lambda _, ledger: True,
        budget=ledger_full,
    )
    assert [trace.attempts for trace in traces] in ([()], [])  # it may not have begun at all
    assert spent(ledger) == 0
    assert ledger.reserved(Budget.parse(ledger_full)) == 0
