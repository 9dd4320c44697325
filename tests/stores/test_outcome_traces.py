"""Traces turn into outcome rows only where correctness is known."""

from datetime import UTC, datetime
from decimal import Decimal

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


def test_samples_become_one_row_of_means():
    row = trace_rows(
        [trace(attempt("fail", usd="1"), attempt("pass", usd="2"))], trust_verdicts=True
    )[0]
    assert (row.score, row.cost_usd, row.n_samples, row.verdict) == (0.5, 1.5, 2, None)


def test_cached_answers_are_left_out():
    assert trace_rows([trace(attempt(cached=True))], trust_verdicts=True) == []
