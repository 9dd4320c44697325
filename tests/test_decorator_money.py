"""What a decorated function costs when it makes more than one request, or fails after the first."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import httpx2
import openai
import pytest

from effortctl import Arm, Budget, Endpoint, Price, adaptive
from effortctl.catalog import resolve
from effortctl.stores import MemoryLedger
from effortctl.testing import FakeClock

PRICE = Price(input_usd_per_mtok=Decimal(10), output_usd_per_mtok=Decimal(50))
ARM = Arm(
    name="small", model="m", endpoint=Endpoint(name="own"), price=PRICE, max_output_tokens=100
)
TEAM = Budget(limit_usd=Decimal(10), scope="team")
REQUEST = httpx2.Request("POST", "http://127.0.0.1:9/v1")
COST = Decimal("0.002")  # 100 tokens in, 20 out


def reply(text="one", *, tokens=(100, 20), tier=None):
    given, written = tokens
    document = {
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": text}}],
        "usage": {"prompt_tokens": given, "completion_tokens": written},
    }
    return document | ({"service_tier": tier} if tier else {})


def rejected(status, code):
    body = {"error": {"message": "no", "code": code}}
    answer = httpx2.Response(status, request=REQUEST, json=body)
    kind = openai.RateLimitError if status == 429 else openai.BadRequestError
    return kind("no", response=answer, body=body)


def spending(*steps):
    """A function that takes one list of steps per call: replies are recorded, errors raised."""
    ledger, clock, script = MemoryLedger(), FakeClock(), iter(steps)

    def work(arm):
        for step in next(script):
            if isinstance(step, BaseException):
                raise step
            arm.record(step)
        return "408"

    async def awork(arm):
        return work(arm)

    options = {"ledger": ledger, "budget": TEAM, "clock": clock}
    sync = adaptive([ARM], **options, sleep=clock.sleep)(work)
    asyncron = adaptive([ARM], **options, sleep=clock.asleep)(awork)
    return {"sync": sync.run, "async": lambda: asyncio.run(asyncron.run())}, ledger


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


def test_a_request_that_was_answered_is_paid_for_though_the_next_is_rejected(kind):
    run, ledger = spending([reply(), rejected(429, "rate_limit_exceeded")], [reply(), reply()])
    outcome = run[kind]()
    assert outcome.accepted
    assert outcome.cost_usd == ledger.spent(TEAM) == 3 * COST
    assert [entry.input_tokens for entry in ledger.entries()] == [100, 200]
    assert not any(entry.estimated for entry in ledger.entries())


def test_a_request_of_unclear_end_is_paid_for_beside_those_that_were_answered(kind):
    timeout = openai.APITimeoutError(request=REQUEST)
    alone, ledger = spending([timeout], [reply()])
    alone[kind]()
    worst = next(ledger.entries()).cost_usd
    run, ledger = spending([reply(), timeout], [reply()])
    run[kind]()
    lost, answered = ledger.entries()
    assert (lost.cost_usd, lost.estimated) == (worst + COST, True)
    assert (answered.cost_usd, answered.estimated) == (COST, False)


def test_a_rejection_that_is_an_outcome_costs_what_was_answered_before_it(kind):
    run, ledger = spending([reply(), rejected(400, "context_length_exceeded")])
    outcome = run[kind]()
    assert outcome.trace.outcome == "exhausted"
    assert outcome.cost_usd == ledger.spent(TEAM) == COST


def test_a_prompt_that_is_too_long_costs_nothing(kind):
    run, ledger = spending([rejected(400, "context_length_exceeded")])
    run[kind]()
    assert ledger.spent(TEAM) == 0


def test_an_error_of_the_function_itself_costs_what_it_recorded(kind):
    run, ledger = spending([reply(), KeyError("the field it looked for")])
    with pytest.raises(KeyError):
        run[kind]()
    assert ledger.spent(TEAM) == COST
    assert ledger.reserved(TEAM) == 0


def test_an_interrupt_costs_what_was_recorded_and_what_may_be_on_its_way():
    run, ledger = spending([reply(), KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        run["sync"]()
    (entry,) = ledger.entries()
    assert entry.cost_usd > COST
    assert entry.estimated


def test_a_response_without_usage_adds_the_worst_case_to_what_is_known(kind):
    blind = reply() | {"usage": None}
    alone, ledger = spending([blind])
    alone[kind]()
    worst = ledger.spent(TEAM)
    run, ledger = spending([reply(), blind, blind])
    run[kind]()
    assert ledger.spent(TEAM) == COST + 2 * worst


def test_each_response_is_priced_on_its_own():
    # Together they would be above the 272,000 tokens from which this model costs twice as much.
    arm = resolve("gpt-6-sol@low")

    def cost(*replies):
        @adaptive([arm])
        def ask(arm):
            for each in replies:
                arm.record(each)
            return "408"

        return ask.run().cost_usd

    long = reply(tokens=(150_000, 1000))
    assert cost(long, long) == 2 * cost(long)
    flex = reply(tokens=(150_000, 1000), tier="flex")
    assert cost(flex, long) == cost(flex) + cost(long) < 2 * cost(long)


def test_a_function_on_a_machine_paid_by_the_hour_pays_for_its_time():
    price = PRICE.model_copy(update={"usd_per_hour": Decimal(3600)})
    ledger = MemoryLedger()

    @adaptive([ARM.model_copy(update={"price": price})], ledger=ledger)
    def ask(arm):
        arm.record(reply())
        arm.record(reply())
        return "408"

    (attempt,) = ask.run().trace.attempts
    time_usd = attempt.cost_usd - 2 * COST
    assert abs(time_usd - Decimal(repr(attempt.answer.latency_s))) < Decimal("1e-8")
