"""Judges and samples against the mock server: every dollar of a check, to the last digit."""

import asyncio
import logging
from decimal import Decimal

import pytest

from effortctl import Arm, AsyncController, BudgetExceededError, Controller, Endpoint, Price
from effortctl.stores import MemoryLedger
from effortctl.testing import MockReply, MockServer, judge_reply, judged
from effortctl.verifiers import agreement, decisions_judge, judge

PRICES = {
    "small": Price(input_usd_per_mtok=Decimal("0.5"), output_usd_per_mtok=Decimal(4)),
    "large": Price(input_usd_per_mtok=Decimal(2), output_usd_per_mtok=Decimal(16)),
    "judge": Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(8)),
}
KINDS = ["sync", "async"]


def respond(request):
    if request.model == "judge":
        right = judged(request)["answer"] == "408"
        return judge_reply(request, "pass" if right else "fail", feedback="" if right else "No.")
    return "408" if request.model == "large" else "41"


def decide(request, question):
    return 0.9 if '"answer": "408"' in request.text else 0.2


@pytest.fixture
def server():
    with MockServer(respond, decider=decide) as running:
        yield running


def arm(server, model, **fields):
    endpoint = Endpoint(name="mock", base_url=server.base_url)
    return Arm(name=model, model=model, endpoint=endpoint, price=PRICES[model], **fields)


def run(server, kind, **options):
    arms = [arm(server, "small"), arm(server, "large")]
    if kind == "sync":
        with Controller(arms, sleep=lambda _: None, **options) as controller:
            return controller.run("What is 17 * 24?")

    async def go():
        async with AsyncController(arms, sleep=lambda _: asyncio.sleep(0), **options) as controller:
            return await controller.run("What is 17 * 24?")

    return asyncio.run(go())


CHECKS = {
    "judge over Responses": lambda server: judge("Is it 408?", arm=arm(server, "judge")),
    "judge over Chat": lambda server: judge("Is it 408?", arm=arm(server, "judge", api="chat")),
    "decisions": lambda server: decisions_judge("Is it 408?", arm=arm(server, "judge")),
    "agreement": lambda server: agreement(samples=3, same_answer="number"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_outcome_trace_and_ledger_are_what_the_server_would_have_billed(server, check, kind):
    ledger = MemoryLedger()
    outcome = run(server, kind, verify=check(server), ledger=ledger, budget="$1")
    billed = server.billed_usd(PRICES)
    assert outcome.verified
    assert billed > 0
    assert outcome.cost_usd == billed
    assert sum(entry.cost_usd for entry in ledger.entries()) == billed
    assert outcome.trace.calls == server.count() == len(list(ledger.entries()))
    assert any(attempt.verdict.cost_usd > 0 for attempt in outcome.trace.attempts)
    assert server.errors == []


@pytest.mark.parametrize("kind", KINDS)
def test_faults_of_the_judge_are_paid_as_the_server_billed_them(server, kind):
    server.script(["503", "429:retry-after=0.01", "ok"], model="judge")
    outcome = run(server, kind, verify=judge("Is it 408?", arm=arm(server, "judge")), budget="$1")
    assert outcome.verified
    assert server.count(model="judge") == 4
    assert outcome.cost_usd == server.billed_usd(PRICES)


@pytest.mark.parametrize("kind", KINDS)
def test_the_endpoint_of_the_judge_sees_no_call_that_its_budget_forbids(server, kind):
    dear = arm(server, "judge", max_output_tokens=100_000)
    with pytest.raises(BudgetExceededError) as caught:
        run(server, kind, verify=judge("Is it 408?", arm=dear), budget="$0.10")
    assert server.count(model="judge") == 0
    assert caught.value.trace.cost_usd == server.billed_usd(PRICES)


def test_the_decisions_request_has_the_shape_of_the_sdk(server):
    run(server, "sync", verify=CHECKS["decisions"](server))
    hit = next(hit for hit in server.hits if hit.path == "/v1/decisions")
    assert set(hit.body) == {"model", "input", "questions"}
    (question,) = hit.body["questions"]
    assert question["type"] == "predicate"
    assert "Is it 408?" in question["instructions"]
    assert [turn["role"] for turn in hit.body["input"]] == ["user"]
    assert '"answer": "41"' in hit.body["input"][0]["content"]


@pytest.mark.parametrize(
    "answer",
    [
        {"type": "refusal"},
        {"type": "predicate", "probability": 1.5},
        {"type": "predicate", "probability": True},
        {"type": "predicate", "probability": "1"},
        {"type": "predicate"},
        {"type": "choice", "choice": True, "probability": 1, "confidence": 1, "probabilities": []},
    ],
    ids=["refusal", "above one", "true", "text", "none", "another kind"],
)
def test_a_decision_that_is_no_probability_verifies_nothing(answer):
    with MockServer(respond, decider=lambda *_: answer) as server:
        outcome = run(server, "sync", verify=CHECKS["decisions"](server))
        assert not outcome.verified
        assert outcome.trace.attempts[-1].verdict.error


def test_a_judge_that_is_cut_off_verifies_nothing(server):
    server.script([MockReply('{"token": ', finish="truncated")] * 2, model="judge")
    outcome = run(server, "sync", verify=CHECKS["judge over Responses"](server))
    assert not outcome.accepted


def test_the_judged_answer_is_in_no_log_and_no_error(server, caplog):
    canary = "CANARY-7431"
    with MockServer(
        lambda request: respond(request) if request.model == "judge" else canary
    ) as mock:
        mock.script(["malformed-json", "401"], model="judge")
        with caplog.at_level(logging.DEBUG, logger="effortctl"):
            verify = judge("Is it 408?", arm=arm(mock, "judge"))
            outcome = run(mock, "sync", verify=verify)
    assert canary not in caplog.text
    for attempt in outcome.trace.attempts:
        assert canary not in attempt.verdict.model_dump_json()
    assert canary not in repr(verify)
