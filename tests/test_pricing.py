"""Exact dollars: every number here was worked out by hand from the provider's published prices."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Context, Decimal, Inexact, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl._errors import UnknownPriceError, UsageError
from effortctl._pricing import GenaiPriceBook, charge_unknown, max_input_tokens, together
from effortctl._types import Answer, Arm, Call, Endpoint, Message, Price, Task, Usage

BOOK = GenaiPriceBook()
MILLION = 1_000_000
OPENAI = Endpoint(name="openai", price_provider="openai")
DEEPSEEK = Endpoint(name="deepseek", price_provider="deepseek")
OWN = Price(input_usd_per_mtok=Decimal("0.5"), output_usd_per_mtok=Decimal(4))
FULL = Price(
    input_usd_per_mtok=Decimal(2),
    output_usd_per_mtok=Decimal(8),
    cached_input_usd_per_mtok=Decimal("0.2"),
    cache_write_usd_per_mtok=Decimal("2.5"),
)
RENT = Price(usd_per_hour=Decimal("0.36"))


def book_arm(model, **more):
    return Arm(name=model, model=model, endpoint=more.pop("endpoint", OPENAI), **more)


def own_arm(price):
    return Arm(name="mine", model="mine", price=price)


def usage(total_in=0, out=0, *, cached=0, written=0, reasoning=None):
    return Usage(
        input_tokens=total_in,
        output_tokens=out,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
    )


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


SOL, LUNA = book_arm("gpt-6-sol"), book_arm("gpt-6-luna")

CASES = {
    # the user's own prices
    "user input": (own_arm(OWN), usage(MILLION), {}, "0.5"),
    "user output": (own_arm(OWN), usage(0, MILLION), {}, "4"),
    "user both": (own_arm(OWN), usage(1000, 100), {}, "0.0009"),
    "user reasoning is part of the output": (
        own_arm(OWN), usage(0, 1000, reasoning=900), {}, "0.004",
    ),
    "user cached at the input price": (own_arm(OWN), usage(1000, cached=600), {}, "0.0005"),
    "user cached at its own price": (own_arm(FULL), usage(1000, cached=600), {}, "0.00092"),
    "user cache write at its own price": (own_arm(FULL), usage(1000, written=400), {}, "0.0022"),
    "user all parts": (own_arm(FULL), usage(1000, 10, cached=600, written=400), {}, "0.0012"),
    "user price beats the book": (
        book_arm("gpt-6-sol", price=OWN), usage(1000, 100), {}, "0.0009",
    ),
    "user price ignores the tier": (
        own_arm(OWN), usage(1000, 100), {"service_tier": "priority"}, "0.0009",
    ),
    "user price of nothing is nothing": (own_arm(Price()), usage(5, 5), {}, "0"),
    # machines of our own
    "rent of compute-seconds": (own_arm(RENT), usage(9, 9), {"compute_s": 10.0}, "0.001"),
    "rent of wall-clock seconds": (own_arm(RENT), None, {"latency_s": 20.0}, "0.002"),
    "compute-seconds before wall-clock": (
        own_arm(RENT), None, {"compute_s": 10.0, "latency_s": 99.0}, "0.001",
    ),
    "rent and tokens add up": (
        own_arm(OWN.model_copy(update={"usd_per_hour": Decimal("0.36")})),
        usage(1000, 100), {"compute_s": 10.0}, "0.0019",
    ),
    "self-hosted is free": (
        book_arm("qwen", endpoint=Endpoint(name="vllm", self_hosted=True)), usage(9, 9), {}, "0",
    ),
    "local is free": (
        book_arm("qwen", endpoint=Endpoint(name="local", kind="local")), None, {}, "0",
    ),
    "recorded is free": (
        book_arm("qwen", endpoint=Endpoint(name="recorded", kind="recorded")), None, {}, "0",
    ),
    # the price book
    "book": (SOL, usage(1000, 100), {}, "0.003"),
    "book reasoning is part of the output": (SOL, usage(0, 1000, reasoning=1000), {}, "0.01"),
    "book cached": (SOL, usage(1000, cached=1000), {}, "0.0002"),
    "book cache write": (SOL, usage(1000, written=1000), {}, "0.0025"),
    "book all parts": (SOL, usage(3000, 100, cached=1000, written=1000), {}, "0.0057"),
    "book cached without a price of its own": (
        book_arm("gpt-5-pro"), usage(1000, cached=500), {}, "0.015",
    ),
    "book cache write without a price of its own": (
        book_arm("gpt-4o"), usage(1000, written=500), {}, "0.0025",
    ),
    "book dated snapshot": (book_arm("gpt-6-sol-2026-09-01"), usage(1000), {}, "0.002"),
    "no tokens": (SOL, usage(), {}, "0"),
    # service tiers
    "tier default": (SOL, usage(1000, 100), {"service_tier": "default"}, "0.003"),
    "tier auto": (SOL, usage(1000, 100), {"service_tier": "auto"}, "0.003"),
    "tier flex": (SOL, usage(1000, 100), {"service_tier": "flex"}, "0.0015"),
    "tier batch": (SOL, usage(1000, 100), {"service_tier": "batch"}, "0.0015"),
    "tier priority": (SOL, usage(1000, 100), {"service_tier": "priority"}, "0.006"),
    "tier nobody knows is charged as priority": (
        SOL, usage(1000, 100), {"service_tier": "warp"}, "0.006",
    ),
    "tier without a price of its own": (
        book_arm("gpt-4o"), usage(1000, 100), {"service_tier": "flex"}, "0.0035",
    ),
    # long contexts: the whole request is charged at the higher price
    "longest short context": (SOL, usage(272_000, 1000), {}, "0.554"),
    "shortest long context": (SOL, usage(272_001, 1000), {}, "1.103004"),
    "long context, cached and written": (
        SOL, usage(300_000, 1000, cached=100_000, written=100_000), {}, "0.955",
    ),
    "long context, flex": (SOL, usage(272_001, 1000), {"service_tier": "flex"}, "0.551502"),
    # prices of the day
    "before a price cut": (
        book_arm("o3"), usage(MILLION, MILLION), {"started_at": at("2025-01-01")}, "50",
    ),
    "after a price cut": (
        book_arm("o3"), usage(MILLION, MILLION), {"started_at": at("2026-11-01")}, "10",
    ),
    "at night": (
        book_arm("deepseek-v4-pro", endpoint=DEEPSEEK),
        usage(MILLION), {"started_at": at("2026-11-01T00:30")}, "0.66",
    ),
    "at peak hours": (
        book_arm("deepseek-v4-pro", endpoint=DEEPSEEK),
        usage(MILLION), {"started_at": at("2026-11-01T02:00")}, "1.32",
    ),
    # rounding: up, to a billionth of a dollar
    "one cached token": (LUNA, usage(1, cached=1), {}, "0.00000001"),
    "a fraction is rounded up": (
        own_arm(Price(input_usd_per_mtok=Decimal("0.0001"))), usage(1), {}, "0.000000001",
    ),
    "a third of a second is rounded up": (
        own_arm(RENT), None, {"compute_s": 1 / 3}, "0.000033334",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arm", "used", "facts", "usd"), CASES.values(), ids=CASES.keys())
def test_a_call_costs_exactly(arm, used, facts, usd):
    facts = {"started_at": at("2026-11-01")} | facts
    cost = BOOK.cost(arm, Answer(text="", usage=used, **facts))
    assert cost.usd == Decimal(usd)


@pytest.mark.parametrize(
    ("arm", "source"),
    [
        (own_arm(OWN), "user"),
        (own_arm(RENT), "compute"),
        (SOL, "genai-prices"),
        (book_arm("q", endpoint=Endpoint(name="x", self_hosted=True)), "free"),
    ],
)
def test_a_cost_says_where_its_price_came_from(arm, source):
    cost = BOOK.cost(arm, Answer(text="", usage=usage(1, 1)))
    assert cost.source == source
    assert bool(cost.version) == (source == "genai-prices")


def test_a_guessed_tier_is_noted():
    cost = BOOK.cost(SOL, Answer(text="", usage=usage(1), service_tier="warp"))
    assert "'warp' priced as priority" in cost.version


@pytest.mark.parametrize(
    "arm",
    [
        book_arm("no-such-model"),
        book_arm("gpt-6-sol", endpoint=Endpoint(name="mystery")),
        book_arm("gpt-6-sol", endpoint=Endpoint(name="x", price_provider="nobody")),
    ],
    ids=["model", "no provider", "provider"],
)
def test_a_price_nobody_knows_is_an_error_that_says_what_to_do(arm):
    for ask in (
        lambda: BOOK.cost(arm, Answer(text="", usage=usage(1))),
        lambda: BOOK.worst_case(call(arm)),
    ):
        with pytest.raises(UnknownPriceError, match="set one on the arm"):
            ask()


@pytest.mark.parametrize("arm", [SOL, own_arm(OWN)], ids=["book", "user"])
def test_a_price_per_token_needs_tokens(arm):
    with pytest.raises(UsageError, match="no usage"):
        BOOK.cost(arm, Answer(text="", usage=None))


# --- worst case ------------------------------------------------------------------------------------


def call(arm, *, text="hello", cap=100, timeout_s=None, **task):
    task = Task(input=text, **task)
    return Call(task, arm, task.messages, 0, cap, timeout_s)


def test_the_worst_case_of_rent_is_the_time_limit_or_an_hour():
    arm = own_arm(RENT)
    assert BOOK.worst_case(call(arm, timeout_s=10.0)).usd == Decimal("0.001")
    assert BOOK.worst_case(call(arm)).usd == Decimal("0.36")


def test_the_worst_case_on_our_own_machine_is_free():
    arm = book_arm("qwen", endpoint=Endpoint(name="vllm", self_hosted=True))
    assert BOOK.worst_case(call(arm)).usd == 0


def test_the_worst_case_of_a_tier_the_arm_asks_for_is_that_tier():
    plain = BOOK.worst_case(call(SOL, text="", cap=MILLION)).usd
    dear = SOL.model_copy(update={"extra_body": {"service_tier": "priority"}})
    cheap = SOL.model_copy(update={"extra_body": {"service_tier": "flex"}})
    assert BOOK.worst_case(call(dear, text="", cap=MILLION)).usd > plain * Decimal("1.9")
    assert BOOK.worst_case(call(cheap, text="", cap=MILLION)).usd >= plain


def test_the_bound_of_input_tokens_counts_all_that_is_sent():
    short = max_input_tokens(call(SOL))
    assert short > len("hello")
    assert max_input_tokens(call(SOL, instructions="Be brief.")) > short
    assert max_input_tokens(call(SOL, response_schema={"type": "object"})) > short
    tools = SOL.model_copy(update={"extra_body": {"tools": [{"type": "function"}]}})
    assert max_input_tokens(call(tools)) > short


@given(st.text())
def test_the_bound_of_input_tokens_is_at_least_the_bytes_of_the_prompt(text):
    assert max_input_tokens(call(SOL, text=text)) >= len(text.encode())


def test_an_unknown_charge_is_the_worst_case_and_says_so():
    worst = BOOK.worst_case(call(SOL))
    assert charge_unknown(worst).usd == worst.usd
    assert charge_unknown(worst).source == "worst_case"


prices = st.decimals(min_value=0, max_value=1000, places=4)
own_prices = st.builds(
    Price,
    input_usd_per_mtok=prices,
    output_usd_per_mtok=prices,
    cached_input_usd_per_mtok=st.none() | prices,
    cache_write_usd_per_mtok=st.none() | prices,
    usd_per_hour=prices,
)
arms = st.one_of(
    own_prices.map(own_arm),
    st.sampled_from(["gpt-6-sol", "gpt-6-luna", "gpt-4o", "gpt-5-pro", "o4-mini"]).map(book_arm),
    st.just(book_arm("gpt-6-sol", extra_body={"service_tier": "priority"})),
)


@given(data=st.data(), arm=arms, text=st.text(max_size=40), cap=st.integers(1, 10**6))
def test_no_usage_within_the_bounds_costs_more_than_the_worst_case(data, arm, text, cap):
    asked = call(arm, text=text * data.draw(st.sampled_from([1, 10_000])), cap=cap, timeout_s=60.0)
    bound = max_input_tokens(asked)
    total = data.draw(st.integers(0, bound))
    cached = data.draw(st.integers(0, total))
    answer = Answer(
        text="",
        usage=usage(
            total,
            data.draw(st.integers(0, cap)),
            cached=cached,
            written=data.draw(st.integers(0, total - cached)),
        ),
        compute_s=data.draw(st.floats(0, 60)),
        service_tier=arm.extra_body.get("service_tier"),
    )
    assert BOOK.cost(arm, answer).usd <= BOOK.worst_case(asked).usd


@given(price=own_prices, total=st.integers(0, 10**9), out=st.integers(0, 10**9))
def test_costs_are_rounded_up_to_a_billionth_of_a_dollar(price, total, out):
    price = price.model_copy(update={"usd_per_hour": Decimal(0)})
    exact = (total * price.input_usd_per_mtok + out * price.output_usd_per_mtok) / MILLION
    cost = BOOK.cost(own_arm(price), Answer(text="", usage=usage(total, out))).usd
    assert exact <= cost < exact + Decimal("1e-9")
    assert cost % Decimal("1e-9") == 0


def test_messages_with_parts_are_bounded_too():
    turn = Message(role="user", content=({"type": "text", "text": "hello"},))
    assert max_input_tokens(call(SOL, text=(turn,))) > len("hello")


def test_what_the_provider_shall_keep_for_an_hour_is_written_at_the_dearer_price():
    claude = Endpoint(name="anthropic", price_provider="anthropic")
    bodies = [{}, *({"cache_control": [{"type": "ephemeral", "ttl": ttl}]} for ttl in ("5m", "1h"))]
    arms = [book_arm("claude-opus-5", endpoint=claude, extra_body=body) for body in bodies]
    answer = Answer(text="", usage=usage(MILLION, written=MILLION))
    dollars = [BOOK.cost(arm, answer).usd for arm in arms]
    assert dollars == [Decimal("6.25"), Decimal("6.25"), Decimal(10)]
    calls = [Call(Task(input="x"), arm, Task(input="x").messages, 0, 1) for arm in arms]
    assert BOOK.worst_case(calls[2]).usd > BOOK.worst_case(calls[1]).usd


def test_the_callers_own_decimal_context_has_no_say():
    answer = Answer(text="", usage=usage(1_234_567, 7_654_321))
    arms = [book_arm("gpt-6-luna"), own_arm(FULL), own_arm(RENT)]
    call = Call(Task(input="x"), arms[0], Task(input="x").messages, 0, 100, 60.0)
    costs = [BOOK.cost(arm, answer) for arm in arms]
    worst = BOOK.worst_case(call)
    with localcontext(Context(prec=4, rounding=ROUND_DOWN, traps=[Inexact])):
        assert [BOOK.cost(arm, answer) for arm in arms] == costs
        assert BOOK.worst_case(call) == worst
        assert together([worst, *costs]).usd == sum(
            (Fraction(cost.usd) for cost in (worst, *costs)), Fraction(0)
        )


def test_the_usual_tier_of_groq_is_the_standard_one():
    arm = book_arm("gpt-6-luna")
    tiers = [None, "on_demand"]
    answers = [Answer(text="", usage=usage(MILLION), service_tier=tier) for tier in tiers]
    first, second = (BOOK.cost(arm, answer) for answer in answers)
    assert first == second


def test_half_a_surrogate_pair_is_counted_at_its_most():
    whole = Call(
        Task(input="x"), book_arm("gpt-6-luna"), (Message(role="user", content="é"),), 0, 9
    )
    half = replace(whole, messages=(Message(role="user", content="\udcff"),))
    assert max_input_tokens(half) > max_input_tokens(whole)
    schema = replace(whole, task=Task(input="x", response_schema={"title": "\udcff"}))
    assert max_input_tokens(schema) > max_input_tokens(whole)
