"""What a ledger promises, whether it is in a file or in memory."""

import asyncio
import csv
import datetime as dt
import json
import random
import threading
from decimal import Decimal

import pytest

from effortctl._errors import BudgetExceededError, ConfigError, EffortctlWarning, StoreError
from effortctl._types import Answer, Arm, Budget, Call, Cost, Endpoint, Task, Usage
from effortctl.stores import MemoryLedger, SqliteLedger, ledger_row

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


class Clock:
    """A wall clock and a stopwatch that only sleeping moves."""

    def __init__(self, now=NOON):
        self.now = now
        self.slept = []
        self.on_sleep = None

    def __call__(self):
        return self.now

    def monotonic(self):
        return self.now.timestamp()

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += dt.timedelta(seconds=seconds)
        if self.on_sleep:
            self.on_sleep()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["file", "memory"])
def ledger(request, tmp_path, clock):
    options = {
        "clock": clock,
        "monotonic": clock.monotonic,
        "sleep": clock.sleep,
        "rng": random.Random(7),
        "wait_s": 2.0,
    }
    made = (
        SqliteLedger(tmp_path / "ledger.sqlite3", **options)
        if request.param == "file"
        else MemoryLedger(**options)
    )
    with made:
        yield made


def usd(text):
    return Cost(usd=Decimal(text), source="user", version="v1")


def spend(ledger, amount, *, budgets=(), trace_id="t", **row):
    reservation = ledger.reserve(Decimal(amount), budgets=budgets, trace_id=trace_id)
    ledger.settle(reservation, usd(amount), row=row)
    return reservation


TEAM = Budget(limit_usd=Decimal("1.00"), scope="team")


def test_a_settlement_replaces_its_reservation(ledger):
    reservation = ledger.reserve(Decimal("0.40"), budgets=[TEAM], trace_id="t")
    assert (ledger.spent(TEAM), ledger.reserved(TEAM)) == (0, Decimal("0.40"))
    ledger.settle(reservation, usd("0.15"), row={})
    assert (ledger.spent(TEAM), ledger.reserved(TEAM)) == (Decimal("0.15"), 0)


def test_money_adds_up_exactly(ledger):
    for _ in range(30):
        spend(ledger, "0.000000000001", budgets=[TEAM])
    spend(ledger, "0.1", budgets=[TEAM])
    spend(ledger, "0.2", budgets=[TEAM])
    assert ledger.spent(TEAM) == Decimal("0.300000000030")


def test_a_budget_can_be_used_to_the_last_cent_and_not_beyond(ledger):
    for _ in range(10):
        spend(ledger, "0.10", budgets=[TEAM])
    with pytest.raises(BudgetExceededError) as caught:
        spend(ledger, "0.000000000001", budgets=[TEAM])
    assert caught.value.left == 0
    assert caught.value.needed == Decimal("0.000000000001")


def test_a_free_call_is_granted_even_by_a_spent_budget(ledger):
    spend(ledger, "1.00", budgets=[TEAM])
    spend(ledger, "0", budgets=[TEAM])


def test_what_cannot_fit_is_refused_without_waiting(ledger, clock):
    spend(ledger, "0.70", budgets=[TEAM])
    with pytest.raises(BudgetExceededError, match=r"scope 'team' \(\$1.00\) has \$0.3 left"):
        ledger.reserve(Decimal("0.31"), budgets=[TEAM], trace_id="t2")
    assert clock.slept == []


def test_the_tightest_of_several_budgets_decides_and_a_refusal_leaves_nothing_behind(ledger):
    task = Budget(limit_usd=Decimal("0.05"))
    with pytest.raises(BudgetExceededError, match="of this task"):
        ledger.reserve(Decimal("0.06"), budgets=[TEAM, task], trace_id="t")
    assert ledger.reserved(TEAM) == 0


def test_a_budget_without_scope_holds_for_each_task_alone(ledger):
    task = Budget(limit_usd=Decimal("0.05"))
    spend(ledger, "0.05", budgets=[task], trace_id="one")
    spend(ledger, "0.05", budgets=[task], trace_id="two")
    with pytest.raises(BudgetExceededError):
        spend(ledger, "0.01", budgets=[task], trace_id="one")
    assert ledger.spent(task, trace_id="one") == Decimal("0.05")


def test_a_scope_named_like_a_task_shares_nothing_with_it(ledger):
    spend(ledger, "0.05", budgets=[Budget(limit_usd=Decimal("0.05"))], trace_id="team")
    spend(ledger, "1.00", budgets=[TEAM], trace_id="other")


def test_two_budgets_of_one_scope_count_the_same_money_once(ledger):
    day = Budget(limit_usd=Decimal("0.50"), scope="team", window="day")
    reservation = ledger.reserve(Decimal("0.40"), budgets=[TEAM, day], trace_id="t")
    assert ledger.reserved(TEAM) == ledger.reserved(day) == Decimal("0.40")
    ledger.settle(reservation, usd("0.30"), row={})
    assert ledger.spent(TEAM) == ledger.spent(day) == Decimal("0.30")
    assert ledger.check() == []


@pytest.mark.parametrize(
    ("window", "later"),
    [
        ("hour", dt.datetime(2026, 11, 23, 13, 0, tzinfo=dt.UTC)),
        ("day", dt.datetime(2026, 11, 24, 0, 0, tzinfo=dt.UTC)),
        ("month", dt.datetime(2026, 12, 1, 0, 0, tzinfo=dt.UTC)),
    ],
)
def test_a_window_starts_afresh_at_its_calendar_border_and_not_before(ledger, clock, window, later):
    budget = Budget(limit_usd=Decimal("0.10"), scope="team", window=window)
    spend(ledger, "0.10", budgets=[budget])
    clock.now = later - dt.timedelta(microseconds=1)
    with pytest.raises(BudgetExceededError):
        spend(ledger, "0.10", budgets=[budget])
    clock.now = later
    spend(ledger, "0.10", budgets=[budget])
    assert ledger.spent(TEAM) == Decimal("0.20")


def test_windows_are_utc_whatever_the_zone_of_the_clock(ledger, clock):
    budget = Budget(limit_usd=Decimal("0.10"), scope="team", window="day")
    zone = dt.timezone(dt.timedelta(hours=9))
    clock.now = dt.datetime(2026, 11, 24, 1, tzinfo=zone)  # still the 23rd in UTC
    spend(ledger, "0.10", budgets=[budget])
    clock.now = dt.datetime(2026, 11, 23, 23, tzinfo=dt.UTC)
    with pytest.raises(BudgetExceededError):
        spend(ledger, "0.10", budgets=[budget])


def test_a_call_across_midnight_counts_in_the_day_that_reserved_it(ledger, clock):
    budget = Budget(limit_usd=Decimal("0.10"), scope="team", window="day")
    clock.now = NOON.replace(hour=23, minute=59)
    evening = ledger.reserve(Decimal("0.10"), budgets=[budget], trace_id="late")
    clock.now = NOON + dt.timedelta(days=1)
    spend(ledger, "0.10", budgets=[budget], trace_id="next day")
    ledger.settle(evening, usd("0.10"), row={})
    assert ledger.spent(budget) == Decimal("0.10")


def test_a_clock_without_zone_is_refused(ledger, clock):
    clock.now = NOON.replace(tzinfo=None)
    with pytest.raises(ConfigError, match="zone"):
        ledger.reserve(Decimal(0), budgets=[], trace_id="t")


def test_a_reservation_waits_for_other_callers_to_settle(ledger, clock):
    other = ledger.reserve(Decimal("0.90"), budgets=[TEAM], trace_id="other")

    def settle_on_third_look():
        if len(clock.slept) == 3:
            ledger.settle(other, usd("0.10"), row={})

    clock.on_sleep = settle_on_third_look
    ledger.reserve(Decimal("0.80"), budgets=[TEAM], trace_id="t")
    assert len(clock.slept) == 3


def test_waiting_ends_with_a_refusal_when_nobody_settles_in_time(ledger, clock):
    ledger.reserve(Decimal("0.90"), budgets=[TEAM], trace_id="other")
    with pytest.raises(BudgetExceededError) as caught:
        ledger.reserve(Decimal("0.80"), budgets=[TEAM], trace_id="t")
    assert sum(clock.slept) == pytest.approx(2.0)
    assert caught.value.left == Decimal("0.1")


def test_a_trace_never_waits_for_its_own_reservations(ledger, clock):
    ledger.reserve(Decimal("0.90"), budgets=[TEAM], trace_id="t")
    with pytest.raises(BudgetExceededError):
        ledger.reserve(Decimal("0.80"), budgets=[TEAM], trace_id="t")
    assert clock.slept == []


def test_cost_above_the_reservation_is_booked_as_it_is_and_blocks_what_follows(ledger):
    reservation = ledger.reserve(Decimal("0.10"), budgets=[TEAM], trace_id="t")
    ledger.settle(reservation, usd("1.50"), row={})
    assert ledger.spent(TEAM) == Decimal("1.50")
    with pytest.raises(BudgetExceededError) as caught:
        ledger.reserve(Decimal("0.01"), budgets=[TEAM], trace_id="t2")
    assert caught.value.left == 0


def test_settling_twice_or_a_stranger_is_an_error_and_books_nothing(ledger):
    reservation = spend(ledger, "0.10", budgets=[TEAM])
    with pytest.raises(StoreError, match="settled before"):
        ledger.settle(reservation, usd("0.10"), row={})
    with pytest.raises(StoreError, match="not in this ledger"):
        ledger.settle("nobody", usd("0.10"), row={})
    assert ledger.spent(TEAM) == Decimal("0.10")


@pytest.mark.parametrize("amount", ["-0.01", "NaN", "Infinity"])
def test_an_amount_that_is_no_amount_is_refused(ledger, amount):
    with pytest.raises(ConfigError, match="finite"):
        ledger.reserve(Decimal(amount), budgets=[], trace_id="t")


def test_an_amount_beyond_all_sense_is_refused(ledger):
    with pytest.raises(StoreError, match="more than a ledger can hold"):
        ledger.reserve(Decimal(10**9), budgets=[], trace_id="t")


def test_an_old_reservation_is_charged_in_full_and_marked_as_estimated(ledger, clock):
    ledger.reserve(Decimal("0.40"), budgets=[TEAM], trace_id="t")
    clock.now += dt.timedelta(hours=2)
    assert ledger.reap() == 1
    assert ledger.reap() == 0
    (entry,) = ledger.entries()
    assert (entry.kind, entry.estimated, entry.cost_usd) == ("reaped", True, Decimal("0.4"))
    assert (ledger.spent(TEAM), ledger.reserved(TEAM)) == (Decimal("0.40"), 0)


def test_the_real_cost_of_a_reaped_reservation_still_counts_once(ledger, clock):
    reservation = ledger.reserve(Decimal("0.40"), budgets=[TEAM], trace_id="t")
    clock.now += dt.timedelta(hours=2)
    ledger.reap()
    ledger.settle(reservation, usd("0.15"), row={"arm": "a"})
    assert ledger.spent(TEAM) == Decimal("0.15")
    total = ledger.totals("day")["2026-11-23"]
    assert (total.entries, total.cost_usd, total.estimated_usd) == (1, Decimal("0.15"), 0)
    with pytest.raises(StoreError, match="settled before"):
        ledger.settle(reservation, usd("0.15"), row={})
    assert ledger.check() == []


def test_an_entry_keeps_what_is_known_of_the_call(ledger, clock):
    arm = Arm(name="gpt-6-luna@low", model="gpt-6-luna", effort="minimal", effective_effort="low")
    task = Task(input="a secret question", id="task-1")
    call = Call(task=task, arm=arm, messages=task.messages, sample_index=0, max_output_tokens=9)
    answer = Answer(
        text="a secret answer",
        usage=Usage(input_tokens=20, cached_tokens=5, output_tokens=7, reasoning_tokens=3),
        latency_s=1.25,
        service_tier="flex",
        request_id="req_1",
    )
    reservation = ledger.reserve(Decimal("0.02"), budgets=[TEAM], trace_id="trace-1")
    clock.now += dt.timedelta(seconds=3)
    ledger.settle(reservation, usd("0.01"), row=ledger_row(call, answer))
    (entry,) = ledger.entries()
    assert (entry.time, entry.settled_at) == (NOON, NOON + dt.timedelta(seconds=3))
    assert (entry.trace_id, entry.task_id, entry.arm) == ("trace-1", "task-1", arm.name)
    assert (entry.requested_effort, entry.effective_effort) == ("minimal", "low")
    assert (entry.input_tokens, entry.cached_tokens, entry.cache_write_tokens) == (20, 5, 0)
    assert (entry.output_tokens, entry.reasoning_tokens, entry.latency_s) == (7, 3, 1.25)
    assert (entry.price_source, entry.price_version, entry.estimated) == ("user", "v1", False)
    assert (entry.service_tier, entry.request_id, entry.compute_s) == ("flex", "req_1", None)
    assert (entry.cost_usd, entry.reserved_usd) == (Decimal("0.01"), Decimal("0.02"))
    assert entry.scopes == ("scope:team",)
    assert "secret" not in "".join(ledger.export("jsonl"))


def test_a_failed_call_is_booked_without_an_answer(ledger):
    task = Task(input="x", id="task-1")
    arm = Arm(name="a", model="m", endpoint=Endpoint(name="e"))
    call = Call(task=task, arm=arm, messages=task.messages, sample_index=0, max_output_tokens=9)
    reservation = ledger.reserve(Decimal("0.02"), budgets=[], trace_id="t")
    ledger.settle(reservation, Cost(usd=Decimal(0), source="free"), row=ledger_row(call))
    (entry,) = ledger.entries()
    assert (entry.arm, entry.input_tokens, entry.cost_usd) == ("a", None, 0)


def test_a_worst_case_cost_is_an_estimate(ledger):
    reservation = ledger.reserve(Decimal("0.02"), budgets=[], trace_id="t")
    ledger.settle(reservation, Cost(usd=Decimal("0.02"), source="worst_case"), row={})
    assert ledger.totals("arm")["?"].estimated_usd == Decimal("0.02")


def test_bad_values_of_a_row_are_left_out_and_the_money_is_booked_all_the_same(ledger):
    reservation = ledger.reserve(Decimal("0.02"), budgets=[TEAM], trace_id="t")
    row = {
        "prompt": "a secret question",
        "input_tokens": -4,
        "latency_s": float("nan"),
        "arm": 7,
        "model": "half a pair \ud800",
        "request_id": "x" * 5000,
    }
    with pytest.warns(EffortctlWarning, match="arm.*input_tokens.*latency_s.*prompt"):
        ledger.settle(reservation, usd("0.01"), row=row)
    (entry,) = ledger.entries()
    assert ledger.spent(TEAM) == Decimal("0.01")
    assert (entry.arm, entry.input_tokens, entry.latency_s) == (None, None, None)
    assert entry.model == "half a pair ?"
    assert len(entry.request_id) == 200


def test_entries_can_be_read_from_a_moment_on_and_more_than_a_batch_of_them(ledger, clock):
    for _ in range(1100):
        clock.now += dt.timedelta(seconds=1)
        spend(ledger, "0.0001")
    since = NOON + dt.timedelta(seconds=101)
    until = NOON + dt.timedelta(seconds=1001)
    times = [entry.time for entry in ledger.entries(since, until=until)]
    assert len(times) == 900
    assert (times[0], times[-1]) == (since, until - dt.timedelta(seconds=1))


def test_entries_may_be_written_while_they_are_read(ledger):
    spend(ledger, "0.01")
    for _ in ledger.entries():
        spend(ledger, "0.01")
        break
    assert len(list(ledger.entries())) == 2


def test_totals_go_by_arm_model_and_day(ledger, clock):
    spend(ledger, "0.10", arm="a", model="m", output_tokens=5, compute_s=1.5)
    clock.now += dt.timedelta(days=1)
    spend(ledger, "0.20", arm="b", model="m", output_tokens=7, input_tokens=2)
    assert ledger.totals("arm")["a"].compute_s == 1.5
    assert list(ledger.totals("arm")) == ["a", "b"]
    total = ledger.totals("model")["m"]
    assert (total.cost_usd, total.output_tokens, total.entries) == (Decimal("0.30"), 12, 2)
    assert list(ledger.totals("day")) == ["2026-11-23", "2026-11-24"]
    assert list(ledger.totals("day", since=clock.now)) == ["2026-11-24"]
    with pytest.raises(ConfigError, match='"arm", "day" or "model"'):
        ledger.totals("planet")


def test_exports_hold_every_entry(ledger):
    spend(ledger, "0.000000000001", arm='odd, "name"\nin two lines', budgets=[TEAM])
    spend(ledger, "0.25", arm="b")
    (first, second) = (json.loads(line) for line in ledger.export("jsonl"))
    assert (first["cost_usd"], second["cost_usd"]) == ("0.000000000001", "0.25")
    rows = list(csv.DictReader("\n".join(ledger.export("csv")).splitlines(keepends=True)))
    assert [row["arm"] for row in rows] == ['odd, "name"\nin two lines', "b"]
    assert rows[0]["scopes"] == "scope:team"
    with pytest.raises(ConfigError, match="xml"):
        ledger.export("xml")


def test_threads_share_one_ledger(ledger):
    budget = Budget(limit_usd=Decimal(1), scope="threads")

    def work(number):
        for _ in range(20):
            spend(ledger, "0.001", budgets=[budget], trace_id=f"thread-{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.spent(budget) == Decimal("0.160")
    assert ledger.check() == []


def test_an_async_reservation_waits_without_holding_a_thread(tmp_path):
    async def scenario(ledger):
        first = await ledger.areserve(Decimal("0.9"), budgets=[TEAM], trace_id="first")
        waiters = [
            asyncio.create_task(
                ledger.areserve(Decimal("0.01"), budgets=[TEAM, TEAM], trace_id=f"w{number}")
            )
            for number in range(60)
        ]
        await asyncio.sleep(0.05)
        await asyncio.to_thread(ledger.settle, first, usd("0.1"), row={})
        return await asyncio.gather(*waiters)

    with SqliteLedger(tmp_path / "l.sqlite3", wait_s=30.0) as ledger:
        assert len(set(asyncio.run(scenario(ledger)))) == 60


def test_an_async_reservation_that_cannot_fit_is_refused(ledger):
    with pytest.raises(BudgetExceededError):
        asyncio.run(ledger.areserve(Decimal(2), budgets=[TEAM], trace_id="t"))


def test_a_cancelled_async_reservation_leaves_no_money_set_aside():
    inside, go_on = threading.Event(), threading.Event()

    def slow_clock():
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            go_on.wait(10)
        return NOON

    async def scenario(ledger):
        waiting = asyncio.create_task(ledger.areserve(Decimal("0.5"), budgets=[TEAM], trace_id="t"))
        await asyncio.to_thread(inside.wait, 10)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go_on.set()

    ledger = MemoryLedger(clock=slow_clock)
    asyncio.run(scenario(ledger))
    assert ledger.reserved(TEAM) == 0
    assert ledger.spent(TEAM) == 0
