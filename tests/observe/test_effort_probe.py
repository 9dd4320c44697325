"""A probe tells knobs that do something from knobs that do not, and never spends more than it may."""

import random
from decimal import Decimal

import pytest

from effortctl import Arm, ConfigError, Endpoint, Price, UnknownPriceError, Usage
from effortctl._fidelity import probe_efforts
from effortctl._fidelity._probe import neighbours, questions
from effortctl.stores import MemoryLedger
from effortctl.testing import FakeBackend, MockReply, MockServer, answer

PRICE = Price(input_usd_per_mtok=1, output_usd_per_mtok=10)


def ladder(server, *efforts, model="m", price=PRICE, cap=2048):
    endpoint = Endpoint(name="mine", base_url=server.base_url)
    return [
        Arm(
            name=f"{model}@{effort}",
            model=model,
            effort=effort,
            endpoint=endpoint,
            api="chat",
            price=price,
            max_output_tokens=cap,
        )
        for effort in efforts
    ]


def thinking(**by_effort):
    """A responder that thinks about so many tokens, give or take a quarter."""

    def respond(request):
        typical = by_effort[request.effort]
        spread = random.Random(request.n).uniform(0.75, 1.25)
        return MockReply("12", reasoning_tokens=int(typical * spread))

    return respond


def test_a_knob_that_works_separates_every_pair():
    with MockServer(thinking(low=40, medium=150, high=600)) as server:
        found = probe_efforts(ladder(server, "low", "medium", "high"), budget="$1")
        assert server.count() == 15
        assert found.cost_usd == server.billed_usd({"m": PRICE})
    assert found.measure == "reasoning"
    assert [(c.lower, c.higher, c.separate) for c in found.comparisons] == [
        ("m@low", "m@medium", True),
        ("m@medium", "m@high", True),
    ]
    assert found.merge == ()
    assert found.stopped is None


def test_a_knob_that_does_nothing_is_found_and_its_arms_are_merged():
    with MockServer(thinking(none=100, low=100, medium=100)) as server:
        found = probe_efforts(ladder(server, "medium", "none", "low"), budget="$1")
    assert found.merge == (("m@none", "m@low", "m@medium"),)
    assert not any(pair.separate for pair in found.comparisons)


def test_only_the_arms_that_are_alike_are_merged():
    with MockServer(thinking(low=50, medium=50, high=900, xhigh=900)) as server:
        found = probe_efforts(ladder(server, "low", "medium", "high", "xhigh"), budget="$1", k=6)
    assert found.merge == (("m@low", "m@medium"), ("m@high", "m@xhigh"))


def pretended(reply):
    """A ladder of two efforts whose answers are made here, without a server."""
    arms = [Arm(name=f"m@{e}", model="m", effort=e, price=PRICE) for e in ("low", "high")]
    return arms, {"openai": FakeBackend(reply)}


def test_a_knob_that_does_nothing_is_rarely_taken_for_one_that_works():
    rng = random.Random(5)

    def reply(call):
        thought = rng.randint(1, 400)
        return answer("1", usage=Usage(output_tokens=thought + 9, reasoning_tokens=thought))

    arms, backends = pretended(reply)
    false = 0
    for _ in range(100):
        found = probe_efforts(arms, budget="$9", k=4, backends=backends)
        false += found.comparisons[0].separate
    assert false <= 12  # 5 are expected at 5 %; more than 12 happen once in 700 times


def test_where_reasoning_is_not_told_apart_output_is_compared():
    def reply(call):
        tokens = {"low": 10, "high": 100}[call.arm.effort] + len(call.task.input) % 7
        return answer("1", usage=Usage(input_tokens=5, output_tokens=tokens))

    arms, backends = pretended(reply)
    found = probe_efforts(arms, budget="$9", backends=backends)
    assert found.measure == "output"
    assert found.comparisons[0].separate


def test_the_budget_is_hard_and_what_was_learned_is_kept():
    limit = Decimal("0.03")
    with MockServer(thinking(low=40, high=600)) as server, MemoryLedger() as ledger:
        found = probe_efforts(ladder(server, "low", "high"), budget=limit, ledger=ledger)
        billed = server.billed_usd({"m": PRICE})
        booked = sum(entry.cost_usd for entry in ledger.entries())
    assert billed == booked == found.cost_usd <= limit
    assert "budget" in found.stopped
    assert found.comparisons == ()
    assert 0 < len(found.arms[0].tokens) < 5


def test_a_budget_below_one_call_makes_none():
    with MockServer() as server:
        found = probe_efforts(ladder(server, "low", "high"), budget="$0.001")
        assert server.count() == 0
    assert found.stopped
    assert found.cost_usd == 0


def test_an_arm_that_cannot_be_called_is_named_and_the_others_go_on():
    def respond(request):
        if request.effort == "medium":
            return MockReply(fault="401")
        return thinking(low=40, high=600)(request)

    with MockServer(respond) as server:
        found = probe_efforts(ladder(server, "low", "medium", "high"), budget="$1")
    low, medium, high = found.arms
    assert medium.error
    assert medium.tokens == ()
    assert len(low.tokens) == len(high.tokens) == 5
    assert found.comparisons == ()


def test_answers_that_are_cut_off_are_not_asked_for_again():
    with MockServer(thinking(low=5000, high=5000)) as server:
        found = probe_efforts(ladder(server, "low", "high", cap=256), budget="$1")
        assert server.count() == 10
    assert found.merge == (("m@low", "m@high"),)


def test_too_few_calls_are_refused_before_any_is_made():
    with MockServer() as server:
        with pytest.raises(ConfigError, match="at least 3"):
            probe_efforts(ladder(server, "low", "high"), budget="$1", k=2)
        with pytest.raises(ConfigError, match="nothing to compare"):
            probe_efforts([*ladder(server, "low"), *ladder(server, "low", model="n")], budget="$1")
        with pytest.raises(UnknownPriceError):
            probe_efforts(ladder(server, "low", "high", price=None), budget="$1")
        assert server.count() == 0


def test_neighbours_are_efforts_of_one_model_in_order():
    with MockServer() as server:
        arms = [
            *ladder(server, "high", "default", "none"),
            *ladder(server, "low", "medium", model="n"),
        ]
    assert neighbours(arms) == [("m@none", "m@high"), ("n@low", "n@medium")]


def test_no_question_comes_twice():
    asked = [question for question, _ in zip(questions(), range(200), strict=False)]
    assert len(set(asked)) == 200
    assert max(map(len, asked)) < 160
