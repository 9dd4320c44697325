"""A session carries money, time, difficulty and outcome over the steps of a run."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import openai
import pytest
from agent_clients import client_of
from hypothesis import given, settings
from hypothesis import strategies as st

import effortctl
from effortctl import (
    BudgetExceededError,
    ConfigError,
    DeadlineExceededError,
    NotAcceptedError,
    Session,
)
from effortctl._client._carry import LadderCarry
from effortctl.stores import (
    MemoryLedger,
    TraceStore,
    add_feedback,
    feedback_path,
    read_feedback,
    read_traces,
    trace_rows,
)
from effortctl.testing import FakeClock, MockReply, MockServer

LADDER = ["gpt-6-luna@none", "gpt-6-luna@medium", "gpt-6-sol@high"]


def hard_or_easy(request):
    """Hard questions need high effort; easy ones none."""
    return "408" if request.effort == "high" or "easy" in str(request.body) else "41"


@pytest.fixture
def server():
    with MockServer(hard_or_easy) as running:
        yield running


def session(server, kind=openai.OpenAI, **options):
    return Session(client_of(server, kind), **{"ladder": LADDER, "verify": "number:408"} | options)


def ask(client, text, **more):
    return client.responses.create(**{"model": "auto", "input": text} | more)


def arms_of(run):
    return [[attempt.arm for attempt in step.trace.attempts] for step in run.steps]


def test_the_next_step_starts_where_a_hard_one_ended_and_comes_down_again(server):
    with session(server) as run:
        seen = [run.difficulty]
        for text in ("hard", "hard", "easy", "easy", "easy"):
            ask(run.client, text)
            seen.append(run.difficulty)
    none, medium, high = LADDER
    assert arms_of(run) == [LADDER, [high], [medium], [none], [none]]
    assert seen == [0.0, 1.0, 0.5, 0.0, 0.0, 0.0]


def test_without_carry_each_step_starts_at_the_bottom(server):
    with session(server, carry=False) as run:
        ask(run.client, "hard")
        ask(run.client, "hard")
    assert arms_of(run) == [LADDER, LADDER]
    assert run.difficulty is None


def test_the_client_is_of_the_same_type_and_the_one_given_stays_as_it_is(server):
    client = openai.AsyncOpenAI(base_url=server.base_url, api_key="k")
    with Session(client, ladder=LADDER) as run:
        assert isinstance(run.client, openai.AsyncOpenAI)
        with pytest.raises(ConfigError, match="wrapped already"):
            Session(run.client)
    assert type(client) is openai.AsyncOpenAI


def test_spend_is_that_of_all_steps_and_of_the_ledger(server):
    ledger = MemoryLedger()
    with session(server, ledger=ledger, budget="$0.50") as run:
        ask(run.client, "easy", max_output_tokens=100)
        ask(run.client, "easy", model="gpt-6-luna", max_output_tokens=100)
    assert run.spent_usd == sum(step.cost_usd for step in run.steps) > 0
    assert run.spent_usd == sum(entry.cost_usd for entry in ledger.entries())
    assert [step.managed for step in run.steps] == [True, False]


def test_threads_never_spend_more_than_the_budget_together(server):
    limit = Decimal("0.0001")
    ledger = MemoryLedger(wait_s=0.0)
    ended = []

    def step(number):
        try:
            ask(run.client, f"easy {number}", max_output_tokens=50)
        except (BudgetExceededError, NotAcceptedError) as error:
            ended.append(error)

    with session(server, budget=str(limit), ledger=ledger) as run, ThreadPoolExecutor(8) as pool:
        list(pool.map(step, range(200)))
    assert 0 < run.spent_usd <= limit
    assert any(isinstance(error, BudgetExceededError) for error in ended)


def test_tasks_share_the_books(server):
    async def go():
        async with session(server, openai.AsyncOpenAI) as run, run.client:
            await asyncio.gather(*(ask(run.client, f"easy {n}") for n in range(10)))
        return run

    run = asyncio.run(go())
    assert len(run.steps) == 10
    assert run.spent_usd == sum(step.cost_usd for step in run.steps)


def test_an_exception_inside_keeps_the_books(server):
    run = session(server)

    def agent():
        with run:
            ask(run.client, "easy")
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        agent()
    assert run.record.score is None
    assert run.record.steps == 1
    assert run.record.spent_usd == run.spent_usd > 0


def test_a_step_that_fails_is_a_step_and_makes_the_next_one_start_higher():
    with MockServer(lambda request: "41") as server, session(server) as run:
        with pytest.raises(NotAcceptedError):
            ask(run.client, "hard")
        assert run.difficulty == 1.0
        assert len(run.steps) == 1
        assert run.spent_usd == run.steps[0].cost_usd > 0


@pytest.mark.parametrize("model", ["auto", "gpt-6-luna"])
def test_no_step_begins_after_the_deadline(server, model):
    clock = FakeClock()
    with session(server, deadline_s=60, clock=clock) as run:
        ask(run.client, "easy", model=model)
        clock.advance(61)
        with pytest.raises(DeadlineExceededError):
            ask(run.client, "easy", model=model)
    assert len(server.hits) == 1


def test_a_session_that_has_ended_takes_no_more_calls(server):
    with session(server) as run:
        run.finish(True)
        with pytest.raises(ConfigError, match="has ended"):
            ask(run.client, "easy")
        with pytest.raises(ConfigError, match="once"):
            run.finish(True)
    assert not server.hits


def test_traces_name_the_session_and_its_score_joins_them(server, tmp_path):
    path = tmp_path / "traces.jsonl"
    with session(server, traces=TraceStore(path), verify=None, id="run-17") as run:
        ask(run.client, "easy")
        ask(run.client, "easy")
        record = run.finish(False, note="wrong city")
    traces = list(read_traces(path))
    assert [trace.metadata["session"] for trace in traces] == ["run-17", "run-17"]
    assert [trace.metadata["session_step"] for trace in traces] == ["1", "2"]
    (told,) = read_feedback(feedback_path(path))
    assert (told.trace_id, told.score, told.note) == ("run-17", 0.0, "wrong city")
    rows = trace_rows(traces, feedback=[told])
    assert [row.score for row in rows] == [pytest.approx(0.4, abs=0.1)] * 2, "one of them failed"
    assert (record.id, record.score, record.steps, record.escalations) == ("run-17", 0.0, 2, 0)


def test_a_run_can_be_judged_hours_later_by_its_id(server, tmp_path):
    path = tmp_path / "traces.jsonl"
    with session(server, traces=TraceStore(path), verify=None, id="run-18") as run:
        ask(run.client, "easy")
    told = add_feedback(path, "run-18", 1)
    (row,) = trace_rows(read_traces(path), feedback=[told])
    assert row.score == 1.0
    with pytest.raises(ConfigError, match="no trace"):
        add_feedback(path, "run-19", 1)


def test_the_score_of_a_run_does_not_overrule_a_check(server, tmp_path):
    path = tmp_path / "traces.jsonl"
    with session(server, traces=TraceStore(path)) as run:
        ask(run.client, "easy")
        run.finish(score=0.25)
    told = list(read_feedback(feedback_path(path)))
    assert [each.trace_id for each in told] == [run.id]
    assert trace_rows(read_traces(path), feedback=told) == []


def test_what_makes_no_sense_is_refused(server):
    with pytest.raises(ConfigError, match="deadline_s"):
        session(server, deadline_s=0)
    with session(server) as run:
        with pytest.raises(ConfigError, match="share of success"):
            run.finish(score=2)
        run.finish(score=0.5)


def test_streams_are_steps(server):
    with session(server) as run:
        text = "".join(
            event.delta
            for event in ask(run.client, "easy", stream=True)
            if event.type == "response.output_text.delta"
        )
    assert text == "408"
    assert len(run.steps) == 1


def test_a_fault_of_the_endpoint_moves_nothing():
    with (
        MockServer(lambda request: MockReply(status=400)) as server,
        session(server, verify=None) as run,
    ):
        with pytest.raises(effortctl.EffortctlError):
            ask(run.client, "easy")
        assert run.difficulty == 0.0


@settings(deadline=None)
@given(st.lists(st.sampled_from(["hard", "easy"]), max_size=6))
def test_the_start_stays_on_the_ladder(texts):
    with MockServer(hard_or_easy) as server, session(server) as run:
        for text in texts:
            ask(run.client, text)
            assert 0.0 <= run.difficulty <= 1.0


def test_an_unknown_arm_is_below_all_others():
    assert LadderCarry([]).difficulty == 0.0
