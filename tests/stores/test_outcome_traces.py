"""Traces turn into outcome rows only where correctness is known."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from effortctl import Answer, Attempt, Trace, Usage, Verdict
from effortctl._types import Cost
from effortctl.stores import trace_rows


def attempt(status="pass", *, arm="m@low", finish="complete", cached=False, usd="0.5"):
    return Attempt(
        arm=arm,
        model="m",
        requested_effort="low",
        effective_effort="low",
        max_output_tokens=10,
        answer=Answer(
            text="42",
            finish=finish,
            usage=Usage(input_tokens=4, output_tokens=8),
            latency_s=2.0,
        ),
        verdict=None if status is None else Verdict(status=status),
        cost=Cost(usd=Decimal(usd), source="user"),
        cached=cached,
    )


def trace(*attempts, task_id="t"):
    return Trace(
        id="x",
        task_id=task_id,
        category="c",
        outcome="accepted",
        attempts=attempts,
        policy="p",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_nothing_is_exported_when_nobody_knows_what_was_correct():
    assert trace_rows([trace(attempt())]) == []


def test_an_exact_check_is_taken_at_its_word():
    traces = [trace(attempt("fail"), attempt("pass", arm="m@high"), attempt("abstain", arm="n"))]
    rows = trace_rows(traces, prompts={"t": "why?"}, trust_verdicts=True)
    assert [(row.arm, row.score, row.verdict) for row in rows] == [
        ("m@low", 0, "fail"),
        ("m@high", 1, "pass"),
    ]
    assert rows[0].query == "why?"
    assert (rows[0].category, rows[0].effort, rows[0].cost_usd) == ("c", "low", 0.5)
    assert (rows[0].input_tokens, rows[0].reasoning_tokens, rows[0].latency_s) == (4, None, 2)


def test_a_cut_off_answer_is_wrong():
    cut = attempt(None, finish="truncated")
    assert trace_rows([trace(cut)], trust_verdicts=True)[0].score == 0


def test_scores_overrule_verdicts_and_keep_them_for_reliability():
    rows = trace_rows([trace(attempt("pass"))], scores={("t", "m@low"): 0.0}, trust_verdicts=True)
    assert (rows[0].score, rows[0].verdict) == (0, "pass")


def test_further_samples_and_larger_caps_are_one_try_that_costs_what_they_cost():
    cut, failed = attempt(None, finish="truncated", usd="1"), attempt("fail", usd="2")
    (row,) = trace_rows([trace(cut, failed, attempt("pass", usd="4"))], trust_verdicts=True)
    assert (row.score, row.cost_usd, row.n_samples, row.verdict) == (1, 7, 1, "pass")
    assert (row.output_tokens, row.latency_s) == (24, 6)


def test_tries_in_several_traces_become_one_row_of_means():
    traces = [trace(attempt("fail", usd="1")), trace(attempt("pass", usd="2"))]
    (row,) = trace_rows(traces, trust_verdicts=True)
    assert (row.score, row.cost_usd, row.n_samples, row.verdict) == (0.5, 1.5, 2, None)


@pytest.mark.parametrize(
    ("before", "escalated"),
    [
        (("fail",), True),
        (("abstain",), True),
        ((None,), False),
        ((None, None), True),
        ((), False),
    ],
)
def test_an_arm_is_escalated_to_if_earlier_answers_decided_that_it_is_asked(before, escalated):
    earlier = [attempt(status, arm=f"a{n}") for n, status in enumerate(before)]
    rows = trace_rows([trace(*earlier, attempt("pass", arm="last"))], scores={("t", "last"): 1.0})
    assert [row.escalated for row in rows] == [escalated]


def test_a_fault_or_a_cut_answer_before_it():
    fault = attempt("fail", arm="a").model_copy(update={"answer": None, "verdict": None})
    cut = attempt(None, arm="a", finish="truncated")
    for earlier, escalated in ((fault, False), (cut, True)):
        rows = trace_rows([trace(earlier, attempt(arm="b"))], trust_verdicts=True)
        assert [row.escalated for row in rows if row.arm == "b"] == [escalated]


def test_of_tries_for_different_reasons_those_not_caused_by_a_failure_count():
    chain = trace(attempt("fail", arm="a"), attempt("fail", arm="b", usd="8"))
    (row,) = (
        row
        for row in trace_rows(
            [chain, trace(attempt("pass", arm="b", usd="2"))], trust_verdicts=True
        )
        if row.arm == "b"
    )
    assert (row.score, row.cost_usd, row.n_samples, row.escalated) == (1, 2, 1, False)


def test_cached_answers_are_left_out():
    assert trace_rows([trace(attempt(cached=True))], trust_verdicts=True) == []
