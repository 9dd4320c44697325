"""Budget windows under a wall clock that jumps: an hour, over daylight saving time, backwards by a day."""

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from effortctl._errors import BudgetExceededError
from effortctl._types import Answer, Budget, Cost
from effortctl.stores import DiskCache, MemoryLedger, SqliteLedger

HOURLY = Budget(limit_usd=Decimal("0.40"), scope="team", window="hour")
DAILY = Budget(limit_usd=Decimal("1.00"), scope="team", window="day")
MONTHLY = Budget(limit_usd=Decimal("2.50"), scope="team", window="month")
KEY = Budget(limit_usd=Decimal("0.70"), scope="key:k1")
TEAM = (HOURLY, DAILY, MONTHLY)
BUDGETS = (*TEAM, KEY)
JUMPS = [
    dt.timedelta(hours=1), dt.timedelta(hours=-1), dt.timedelta(minutes=10), dt.timedelta(days=1),
    dt.timedelta(days=-1), dt.timedelta(days=31), dt.timedelta(seconds=-1),
]  # fmt: skip

amounts = st.integers(min_value=0, max_value=500_000).map(lambda micro: Decimal(micro).scaleb(-6))


def window_of(budget, moment):
    """An independent idea of a calendar window: the digits of the UTC time."""
    digits = {None: 0, "hour": 13, "day": 10, "month": 7}[budget.window]
    return moment.astimezone(dt.UTC).isoformat()[:digits]


class JumpingClockMachine(RuleBasedStateMachine):
    """Whatever the clock does, no window of any budget ever holds more than its limit."""

    reservations = Bundle("reservations")

    def __init__(self):
        super().__init__()
        self.now = dt.datetime(2026, 10, 31, 22, 30, tzinfo=dt.UTC)
        self.ledger = MemoryLedger(clock=lambda: self.now, wait_s=0.0, reaper_ttl_s=7200.0)
        self.open = {}

    @rule(
        target=reservations, needed=amounts, budgets=st.sampled_from([TEAM, (*TEAM, KEY), (KEY,)])
    )
    def reserve(self, needed, budgets):
        try:
            reservation = self.ledger.reserve(needed, budgets=budgets, trace_id="t")
        except BudgetExceededError:
            return multiple()
        self.open[reservation] = (needed, self.now, budgets)
        return reservation

    @rule(reservation=consumes(reservations), share=st.integers(0, 100))
    def settle(self, reservation, share):
        needed, _, _ = self.open.pop(reservation)
        cost = Cost(usd=needed * share / 100, source="user")
        self.ledger.settle(reservation, cost, row={"arm": "a"})

    @rule(jump=st.sampled_from(JUMPS))
    def the_clock_jumps(self, jump):
        self.now += jump

    @rule()
    def reap(self):
        self.ledger.reap()

    @invariant()
    def no_window_is_overrun(self):
        spent = defaultdict(Decimal)
        for entry in self.ledger.entries():
            for budget in BUDGETS:
                if f"scope:{budget.scope}" in entry.scopes:
                    spent[budget, window_of(budget, entry.time)] += entry.cost_usd
        for (budget, _), usd in spent.items():
            assert usd <= budget.limit_usd

    @invariant()
    def the_books_add_up(self):
        assert self.ledger.check() == []


TestJumpingClock = JumpingClockMachine.TestCase
TestJumpingClock.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


def spend(ledger, usd, budget):
    ticket = ledger.reserve(Decimal(usd), budgets=[budget], trace_id="t")
    ledger.settle(ticket, Cost(usd=Decimal(usd), source="user"), row={})


@pytest.mark.parametrize(
    "steps",
    [
        # Berlin, 25 October 2026: 02:30 happens twice. In UTC these are two hours of one day.
        [(2026, 10, 25, 2, 30, 0), (2026, 10, 25, 2, 30, 1)],
        # Berlin, 29 March 2026: 02:30 does not happen.
        [(2026, 3, 29, 1, 30, 0), (2026, 3, 29, 3, 30, 0)],
    ],
    ids=["clocks go back", "clocks go forward"],
)
def test_daylight_saving_time_neither_skips_nor_repeats_an_hour(steps):
    berlin = ZoneInfo("Europe/Berlin")
    moments = [dt.datetime(*step[:5], tzinfo=berlin, fold=step[5]) for step in steps]
    clock = Clock(moments[0])
    ledger = MemoryLedger(clock=clock, wait_s=0.0)
    for moment in moments:
        clock.now = moment
        spend(ledger, "0.40", HOURLY)
        with pytest.raises(BudgetExceededError):
            spend(ledger, "0.01", HOURLY)
    assert ledger.spent(DAILY) == Decimal("0.80"), "both hours are hours of one day"


def test_a_clock_set_back_over_midnight_cannot_be_used_to_spend_a_day_twice():
    clock = Clock(dt.datetime(2026, 11, 20, 23, 59, tzinfo=dt.UTC))
    ledger = MemoryLedger(clock=clock, wait_s=0.0)
    for day in (20, 21, 20, 21, 20):
        clock.now = clock.now.replace(day=day)
        if ledger.spent(DAILY) == 0:
            spend(ledger, "1.00", DAILY)
        with pytest.raises(BudgetExceededError):
            spend(ledger, "0.01", DAILY)
    assert sum(entry.cost_usd for entry in ledger.entries()) == Decimal("2.00")


def test_money_set_aside_before_the_clock_was_set_back_still_blocks():
    clock = Clock(dt.datetime(2026, 11, 20, 12, 30, tzinfo=dt.UTC))
    ledger = MemoryLedger(clock=clock, wait_s=0.0)
    ledger.reserve(Decimal("0.40"), budgets=[HOURLY], trace_id="a")
    clock.now -= dt.timedelta(hours=1)
    with pytest.raises(BudgetExceededError):
        spend(ledger, "0.40", HOURLY)


def test_a_jump_ahead_may_reap_a_call_in_flight_but_loses_nothing(ledger_path):
    clock = Clock(dt.datetime(2026, 11, 20, 12, 30, tzinfo=dt.UTC))
    with SqliteLedger(ledger_path, clock=clock) as ledger:
        ticket = ledger.reserve(Decimal("0.40"), budgets=[DAILY], trace_id="a")
        clock.now += dt.timedelta(hours=2)
        assert ledger.reap() == 1
        ledger.settle(ticket, Cost(usd=Decimal("0.10"), source="user"), row={})
        assert ledger.spent(DAILY) == Decimal("0.10")
        assert ledger.reserved(DAILY) == 0
        assert ledger.check() == []


def test_a_cached_answer_survives_a_clock_that_was_set_back(cache_dir):
    clock = Clock(1_000_000.0)
    with DiskCache(cache_dir, ttl_s=60.0, clock=clock) as cache:
        cache.set("k", Answer(text="408"))
        clock.now -= 3600
        assert cache.get("k").text == "408"
        clock.now += 3600 + 61
        assert cache.get("k") is None
