"""Both controllers against an OpenAI-compatible server on loopback: Responses and Chat."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from decimal import Decimal

import pytest

from effortctl import (
    Arm,
    AsyncController,
    BackendError,
    Budget,
    BudgetExceededError,
    Controller,
    DeadlineExceededError,
    EffortctlWarning,
    Endpoint,
    TransientBackendError,
    UnsupportedEffortError,
)
from effortctl._pricing import GenaiPriceBook
from effortctl.stores import MemoryLedger
from effortctl.testing import FakeClock, MockReply, MockServer

PROMPT = "What is 17*24?"
CAP_FIELD = {"responses": "max_output_tokens", "chat": "max_completion_tokens"}
TEAM = Budget(limit_usd=Decimal(10), scope="team")


def by_effort(request):
    return "408" if request.effort == "high" else "41"


@pytest.fixture
def server():
    with MockServer(by_effort) as running:
        yield running


class Wire:
    """A ladder of two arms at the mock server, run by one of the controllers."""

    def __init__(self, server, api, kind):
        self.server, self.api, self.kind = server, api, kind
        self.clock, self.ledger = FakeClock(), MemoryLedger()
        endpoint = Endpoint(name="mock", base_url=server.base_url, price_provider="openai")
        self.arms = [
            Arm(name="low", model="gpt-6-luna", effort="low", endpoint=endpoint, api=api),
            Arm(name="high", model="gpt-6-sol", effort="high", endpoint=endpoint, api=api),
        ]

    def run(self, prompt=PROMPT, *, arms=None, **options):
        given = {"verify": "number:408", "ledger": self.ledger, "budget": TEAM} | options
        if self.kind == "sync":
            with Controller(arms or self.arms, sleep=self.clock.sleep, **given) as controller:
                return controller.run(prompt)
        return asyncio.run(self._arun(prompt, arms=arms or self.arms, options=given))

    async def _arun(self, prompt, *, arms, options):
        async with AsyncController(arms, sleep=self.clock.asleep, **options) as controller:
            return await controller.run(prompt)

    def fails(self, error, **options):
        with pytest.raises(error) as caught:
            self.run(**options)
        return caught.value

    @property
    def bodies(self):
        return [hit.body for hit in self.server.hits]


@pytest.fixture(params=["responses", "chat"])
def api(request):
    return request.param


@pytest.fixture(params=["sync", "async"])
def wire(request, server, api):
    return Wire(server, api, request.param)


def test_a_rate_limit_is_retried_once_on_the_same_arm_after_the_wait_it_names(wire):
    wire.server.script(["429:retry-after=3"])
    outcome = wire.run(verify="number:41")
    (attempt,) = outcome.trace.attempts
    assert (attempt.arm, attempt.calls, attempt.answer.text) == ("low", 2, "41")
    assert wire.clock.sleeps == [3.0]
    assert [hit.status for hit in wire.server.hits] == [429, 200]
    assert {hit.effort for hit in wire.server.hits} == {"low"}


def test_a_wrong_answer_is_escalated_with_its_feedback(wire):
    outcome = wire.run()
    assert outcome.value == "408"
    assert [(a.arm, a.verdict.status) for a in outcome.trace.attempts] == [
        ("low", "fail"),
        ("high", "pass"),
    ]
    assert [(h.model, h.effort) for h in wire.server.hits] == [
        ("gpt-6-luna", "low"),
        ("gpt-6-sol", "high"),
    ]
    feedback = outcome.trace.attempts[0].verdict.feedback
    sent = json.dumps(wire.bodies[1])
    assert json.dumps(feedback)[1:-1] in sent
    assert PROMPT in sent
    assert feedback not in json.dumps(wire.bodies[0])
    assert "408" not in sent, "the reference answer must never travel"


def test_a_truncated_answer_raises_the_cap_in_the_request(wire):
    wire.server.script(["truncated", "ok"])
    outcome = wire.run(verify="number:41")
    field = CAP_FIELD[wire.api]
    assert [body[field] for body in wire.bodies] == [4096, 8192]
    assert {hit.effort for hit in wire.server.hits} == {"low"}
    assert [a.answer.finish for a in outcome.trace.attempts] == ["truncated", "complete"]


def test_an_answer_that_stays_truncated_goes_sideways(wire):
    wire.server.script(["truncated-empty"] * 3, model="gpt-6-luna")
    outcome = wire.run()
    assert outcome.value == "408"
    assert [body[CAP_FIELD[wire.api]] for body in wire.bodies] == [4096, 8192, 16384, 4096]


@pytest.mark.parametrize("fault", ["refusal", "content-filter"])
def test_a_refusal_stops(wire, fault):
    wire.server.script([fault])
    outcome = wire.run()
    assert outcome.trace.outcome == "refused"
    assert not outcome.accepted
    assert wire.server.count() == 1


@pytest.mark.parametrize("fault", ["insufficient-quota", "400", "401", "403", "404", "422"])
def test_what_no_repetition_cures_is_asked_exactly_once(wire, fault):
    wire.server.script([fault], repeat=True)
    error = wire.fails(BackendError)
    assert not isinstance(error, TransientBackendError)
    assert wire.server.count() == 1
    assert wire.clock.sleeps == []
    assert error.trace.outcome == "failed"
    assert error.trace.cost_usd == 0


@pytest.mark.parametrize("fault", ["500", "503", "529", "reset", "truncated-body"])
def test_a_fault_that_never_passes_is_asked_three_times_per_arm(wire, fault):
    wire.server.script([fault], repeat=True)
    error = wire.fails(TransientBackendError)
    assert wire.server.count(model="gpt-6-luna") == 3
    assert wire.server.count(model="gpt-6-sol") == 3
    assert len(wire.clock.sleeps) == 4
    assert [(a.arm, a.calls, a.answer) for a in error.trace.attempts] == [
        ("low", 3, None),
        ("high", 3, None),
    ]


@pytest.mark.parametrize(("fault", "free"), [("500", True), ("reset", False), ("504", False)])
def test_a_fault_is_free_only_when_nothing_can_have_been_generated(wire, fault, free):
    wire.server.script([fault])
    trace = wire.run(verify="number:41").trace
    lost, answered = wire.ledger.entries()
    assert (lost.cost_usd == 0) == free
    assert lost.price_source == ("rejected" if free else "worst_case")
    assert answered.price_source == "genai-prices"
    assert trace.cost_usd == lost.cost_usd + answered.cost_usd


def test_a_conversation_that_does_not_fit_moves_to_another_model(wire):
    wire.server.script(["context-length-exceeded"], model="gpt-6-luna", repeat=True)
    trace = wire.run().trace
    assert [a.answer.finish for a in trace.attempts] == ["context_exceeded", "complete"]
    assert wire.server.count(model="gpt-6-luna") == 1


def test_a_rejected_effort_is_resolved_again_once_and_both_are_recorded(wire):
    wire.server.script(
        ["unsupported-effort:supported=medium/high"], model="gpt-6-luna", repeat=True
    )
    (attempt,) = wire.run(verify="number:41").trace.attempts
    assert (attempt.requested_effort, attempt.effective_effort) == ("low", "medium")
    assert (attempt.calls, attempt.answer.text) == (2, "41")
    assert [hit.effort for hit in wire.server.hits] == ["low", "medium"]
    assert [entry.effective_effort for entry in wire.ledger.entries()] == ["low", "medium"]


def test_an_effort_rejected_twice_fails(wire):
    wire.server.script(
        ["unsupported-effort:supported=high", "unsupported-effort:supported=none"],
        model="gpt-6-luna",
    )
    wire.fails(UnsupportedEffortError)
    assert wire.server.count() == 2


def test_an_endpoint_that_names_no_effort_gets_none(wire):
    wire.server.script(["unsupported-effort:style=openai-parameter"], model="gpt-6-luna")
    low = wire.arms[0].model_copy(update={"effort": "max"})
    with pytest.warns(EffortctlWarning, match="none at all"):
        (attempt,) = wire.run(verify="number:41", arms=[low]).trace.attempts
    assert (attempt.requested_effort, attempt.effective_effort) == ("max", "default")
    assert [hit.effort for hit in wire.server.hits] == ["max", "default"]


@pytest.mark.parametrize("fault", ["hang", "hang-after-headers", "drip-body", "drip-headers"])
def test_a_reply_that_never_ends_is_cut_off_by_the_deadline_and_not_booked_as_free(wire, fault):
    wire.server.script([fault], repeat=True)
    began = time.monotonic()
    error = wire.fails(DeadlineExceededError, deadline_s=0.5)
    assert time.monotonic() - began < 2.5
    assert error.trace.outcome == "past_deadline"
    (row,) = wire.ledger.entries()
    assert row.price_source == "worst_case"
    assert row.cost_usd == error.trace.cost_usd > 0
    assert wire.ledger.reserved(TEAM) == 0


def test_a_wait_longer_than_the_deadline_is_not_waited_for(wire):
    wire.server.script(["429:retry-after=600"], model="gpt-6-luna", repeat=True)
    outcome = wire.run(deadline_s=30.0)
    assert outcome.value == "408"
    assert wire.clock.sleeps == []
    assert wire.server.count(model="gpt-6-luna") == 1


MALFORMED = ["null-choices", "empty-choices", "json-array", "json-scalar", "null-content"]


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_reply_is_neither_accepted_nor_free(wire, fault):
    wire.server.script([fault], repeat=True)
    traces = []
    with contextlib.suppress(
        BackendError
    ):  # a null content is an empty answer, the rest are faults
        wire.run(verify=None, traces=Sink(traces))
    (trace,) = traces
    assert trace.outcome in {"failed", "exhausted"}
    assert trace.cost_usd > 0


class Sink:
    def __init__(self, traces):
        self.write = traces.append


# --- money -----------------------------------------------------------------------------------------


def test_a_call_over_the_budget_never_reaches_the_wire(wire):
    error = wire.fails(BudgetExceededError, budget="$0.000001")
    assert wire.server.count() == 0
    assert error.needed > error.left == Decimal("0.000001")
    assert error.trace.outcome == "over_budget"


def test_the_bill_is_what_the_provider_would_send(wire):
    trace = wire.run().trace
    book = GenaiPriceBook()
    for attempt, arm, hit in zip(trace.attempts, wire.arms, wire.server.hits, strict=True):
        assert attempt.answer.usage == hit.would_bill_usage
        assert attempt.cost.usd == book.cost(arm, attempt.answer).usd
    assert sum(entry.cost_usd for entry in wire.ledger.entries()) == trace.cost_usd
    assert trace.attempts[1].answer.usage.reasoning_tokens > 0


def test_the_tier_that_was_billed_is_the_tier_that_is_charged(wire):
    wire.server.script([MockReply("41"), MockReply("41", service_tier="priority")])
    plain, dear = (wire.run(verify="number:41").cost_usd for _ in range(2))
    assert dear > plain


def test_minutes_are_waited_without_a_deadline_and_a_day_is_not(wire):
    wire.server.script(["429:retry-after=120"])
    assert wire.run(verify="number:41").accepted
    assert wire.clock.sleeps == [120.0]
    wire.server.script(["429:retry-after=86400"])
    trace = wire.run(verify="number:408").trace
    assert [attempt.arm for attempt in trace.attempts] == [arm.name for arm in wire.arms]
    assert wire.clock.sleeps == [120.0]


def test_tasks_of_many_coroutines_share_one_client(server, api):
    wire = Wire(server, api, "async")

    async def main():
        async with AsyncController(
            wire.arms, verify="number:408", ledger=wire.ledger
        ) as controller:
            return await asyncio.gather(*(controller.run(f"{PROMPT} #{i}") for i in range(20)))

    outcomes = asyncio.run(main())
    assert {o.value for o in outcomes} == {"408"}
    assert server.count() == 40
    assert sum(o.cost_usd for o in outcomes) == sum(e.cost_usd for e in wire.ledger.entries())
