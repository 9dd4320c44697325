"""A deadline holds for whatever is slow. The bound here is generous; evals/soak measures the tight one."""

import asyncio
import time

import pytest
from reliability_world import arms, run_one

from effortctl import AsyncController, Controller, DeadlineExceededError, TransientBackendError
from effortctl.stores import MemoryLedger, SqliteLedger
from effortctl.testing import MockServer

DEADLINE_S = 0.4
GENEROUS_S = 1.5
SLOW = ["hang", "hang-after-headers", "hang-mid-body", "drip-body", "drip-headers", "slow:delay=5"]


def timed(run):
    began = time.monotonic()
    with pytest.raises(DeadlineExceededError) as caught:
        run()
    assert time.monotonic() - began < DEADLINE_S + GENEROUS_S
    return caught.value


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("fault", SLOW)
def test_a_slow_reply_ends_with_the_deadline_and_is_not_booked_as_free(mock_server, fault, kind):
    mock_server.script([fault], repeat=True)
    ledger = MemoryLedger()
    ladder = arms(mock_server, "low")
    error = timed(lambda: run_one(kind, ladder, deadline_s=DEADLINE_S, ledger=ledger))
    (entry,) = ledger.entries()
    assert entry.estimated
    assert entry.cost_usd == error.trace.cost_usd > 0


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_slow_check_ends_with_the_deadline(mock_server, kind):
    def check(_answer):
        time.sleep(1.0)
        return True

    ladder = arms(mock_server, "low")
    error = timed(lambda: run_one(kind, ladder, verify=check, deadline_s=DEADLINE_S))
    assert error.trace.cost_usd > 0, "the answer was made and paid for before it was checked"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_waiting_for_a_slot_ends_with_the_deadline(mock_server, kind):
    """One task holds the only slot with a reply that hangs; the other never gets to the wire."""
    mock_server.script(["hang"], repeat=True)
    options = {"max_concurrency": 1, "deadline_s": DEADLINE_S}
    ladder = arms(mock_server, "low")
    if kind == "async":

        async def main():
            async with AsyncController(ladder, **options) as controller:
                tasks = (controller.run(f"task {n}") for n in range(3))
                return await asyncio.gather(*tasks, return_exceptions=True)

        errors = asyncio.run(main())
        assert {type(error) for error in errors} == {DeadlineExceededError}
    else:
        with Controller(ladder, **options) as controller:
            with controller.slots.hold(None):
                timed(lambda: controller.run("task"))
            assert mock_server.count() == 0
    assert mock_server.count() <= 1


def test_the_wall_clock_has_no_say_in_deadlines(mock_server):
    """`now` may jump by hours: deadlines, waits and ages of calls are monotonic."""
    from datetime import UTC, datetime, timedelta

    jumps = iter(range(10_000))

    def now():
        return datetime(2026, 10, 25, 1, tzinfo=UTC) + timedelta(hours=(-1) ** next(jumps))

    ladder = arms(mock_server, "low")
    with Controller(ladder, now=now, deadline_s=30.0) as controller:
        trace = controller.run("408").trace
    assert trace.outcome == "accepted"
    assert 0 <= trace.latency_s < 30


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_stalled_outage_costs_a_deadline_not_three(kind):
    with MockServer() as server:
        server.script(["503", "hang"], repeat=True)
        ladder = arms(server, "low", "high")
        timed(lambda: run_one(kind, ladder, deadline_s=DEADLINE_S, rng=NoWait()))
        assert server.count() <= 2


class NoWait:
    def uniform(self, _low, _high):
        return 0.01


def test_a_call_is_not_made_when_the_deadline_has_passed(mock_server, ledger_path):
    with SqliteLedger(ledger_path) as ledger:
        with pytest.raises(DeadlineExceededError):
            run_one("sync", arms(mock_server, "low"), deadline_s=0.0, ledger=ledger)
        assert list(ledger.entries()) == []
    assert mock_server.count() == 0


def test_the_next_task_is_not_hurt_by_a_call_that_was_left_behind(mock_server):
    mock_server.script(["hang", "ok"])
    with Controller(arms(mock_server, "low")) as controller:
        with pytest.raises((DeadlineExceededError, TransientBackendError)):
            controller.run("first", deadline_s=0.2)
        assert controller.run("second").value == "second"
