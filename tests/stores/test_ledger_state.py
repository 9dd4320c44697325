"""Any interleaving of reserve, settle, reap and the passing of time keeps the books right."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from effortctl._errors import BudgetExceededError
from effortctl._types import Budget, Cost
from effortctl.stores import MemoryLedger

FOREVER = Budget(limit_usd=Decimal("3.00"), scope="team")
DAILY = Budget(limit_usd=Decimal("1.00"), scope="team", window="day")
OTHER = Budget(limit_usd=Decimal("0.75"), scope="other", window="hour")
BUDGETS = (FOREVER, DAILY, OTHER)

amounts = st.integers(min_value=0, max_value=600_000).map(lambda micro: Decimal(micro).scaleb(-6))


class LedgerMachine(RuleBasedStateMachine):
    open_reservations = Bundle("open_reservations")

    def __init__(self):
        super().__init__()
        self.now = dt.datetime(2026, 11, 30, 22, tzinfo=dt.UTC)
        self.ledger = MemoryLedger(clock=lambda: self.now, wait_s=0.0, reaper_ttl_s=3600.0)
        self.booked = Decimal(0)
        self.open = {}
        self.reaped = {}

    @rule(
        target=open_reservations,
        needed=amounts,
        chosen=st.sampled_from([(FOREVER, DAILY), (OTHER,), (OTHER, DAILY, FOREVER)]),
        trace=st.sampled_from(["a", "b"]),
    )
    def reserve(self, needed, chosen, trace):
        room = min(b.limit_usd - self.ledger.spent(b) - self.ledger.reserved(b) for b in chosen)
        if needed > room:
            with pytest.raises(BudgetExceededError) as caught:
                self.ledger.reserve(needed, budgets=chosen, trace_id=trace)
            assert caught.value.left == room
            self.reap()  # a refusal may have looked for abandoned reservations; now it surely has
            return multiple()
        reservation = self.ledger.reserve(needed, budgets=chosen, trace_id=trace)
        self.open[reservation] = (needed, self.now)
        return reservation

    @rule(reservation=consumes(open_reservations), share=st.integers(0, 1000))
    def settle(self, reservation, share):
        if reservation in self.open:
            needed = self.open.pop(reservation)[0]
        else:
            needed = self.reaped.pop(reservation)
            self.booked -= needed
        cost = needed * share / 1000
        self.ledger.settle(reservation, Cost(usd=cost, source="user"), row={"arm": "a"})
        self.booked += cost

    @rule(minutes=st.sampled_from([1, 20, 45, 90, 700]))
    def time_passes(self, minutes):
        self.now += dt.timedelta(minutes=minutes)

    @rule()
    def reap(self):
        self.ledger.reap()
        oldest = self.now - dt.timedelta(hours=1)
        for reservation, (needed, since) in list(self.open.items()):
            if since < oldest:
                self.reaped[reservation] = needed
                self.booked += needed
                del self.open[reservation]

    @invariant()
    def no_budget_is_overrun(self):
        for budget in BUDGETS:
            assert self.ledger.spent(budget) + self.ledger.reserved(budget) <= budget.limit_usd

    @invariant()
    def every_dollar_is_accounted_for(self):
        total = sum((entry.cost_usd for entry in self.ledger.entries()), Decimal(0))
        assert total == self.booked
        assert self.ledger.check() == []


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
