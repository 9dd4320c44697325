"""The values that flow through effortctl: what they refuse, what they derive, how they travel."""

from __future__ import annotations

import pickle
import typing
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import effortctl
from effortctl._errors import (
    BackendError,
    BudgetExceededError,
    ConfigError,
    EffortctlError,
    NotAcceptedError,
    TransientBackendError,
    UnsupportedEffortError,
    VerifierError,
)
from effortctl._types import (
    EFFORTS,
    Answer,
    Arm,
    Attempt,
    Budget,
    Cost,
    Endpoint,
    Message,
    Outcome,
    Task,
    Trace,
    Usage,
    Verdict,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def attempt(
    text="x", *, finish="complete", verdict=None, usd="0.01", calls=1, answered=True, **more
):
    return Attempt(
        arm="a",
        model="m",
        requested_effort="low",
        effective_effort="low",
        max_output_tokens=10,
        answer=Answer(text=text, finish=finish, **more) if answered else None,
        verdict=verdict,
        cost=Cost(usd=Decimal(usd), source="user"),
        calls=calls,
    )


def trace(*attempts, outcome="exhausted"):
    return Trace(
        id="i", task_id="t", outcome=outcome, attempts=attempts, policy="p", started_at=NOW
    )


def verdict(status, **more):
    return Verdict(status=status, **more)


def test_efforts_are_those_of_the_openai_api_and_default():
    from openai.types.shared import ReasoningEffort

    values = set()
    for part in typing.get_args(ReasoningEffort):
        values |= set(typing.get_args(part))
    assert set(EFFORTS) == values - {type(None)} | {"default"}


def test_everything_public_is_listed_once_and_exists():
    assert len(set(effortctl.__all__)) == len(effortctl.__all__)
    for name in effortctl.__all__:
        assert getattr(effortctl, name) is not None


# --- tasks -----------------------------------------------------------------------------------------


def test_instructions_come_first():
    task = Task(input="2+2?", instructions="Be brief.")
    assert [m.role for m in task.messages] == ["system", "user"]
    assert task.text == "Be brief.\n2+2?"


def test_a_conversation_is_kept_as_it_is():
    turns = (Message(role="user", content="a"), Message(role="assistant", content="b"))
    assert Task(input=turns).messages == turns


def test_the_text_of_a_message_leaves_out_what_is_not_text():
    parts = ({"type": "text", "text": "look:"}, {"type": "image_url", "image_url": {"url": "x"}})
    assert Message(role="user", content=parts).text == "look:"


@pytest.mark.parametrize(
    "fields", [{"inptu": "x"}, {"input": 3}, {"input": "x", "max_output_tokens": 0}]
)
def test_a_task_refuses_what_it_does_not_know(fields):
    with pytest.raises(ValidationError):
        Task(**fields)


def test_values_are_frozen():
    with pytest.raises(ValidationError):
        Task(input="x").input = "y"


# --- arms ------------------------------------------------------------------------------------------


def test_an_arm_sends_its_effort_in_the_words_of_each_api():
    arm = Arm(name="a", model="m", effort="high", max_output_tokens=7, temperature=0.5)
    assert arm.responses_kwargs() == {
        "model": "m",
        "temperature": 0.5,
        "max_output_tokens": 7,
        "reasoning": {"effort": "high"},
    }
    assert arm.chat_kwargs() == {
        "model": "m",
        "temperature": 0.5,
        "max_completion_tokens": 7,
        "reasoning_effort": "high",
    }


def test_the_effective_effort_is_the_one_that_is_sent():
    arm = Arm(name="a", model="m", effort="xhigh", effective_effort="high")
    assert arm.sent_effort == "high"
    assert arm.chat_kwargs()["reasoning_effort"] == "high"


@pytest.mark.parametrize(
    "arm",
    [
        Arm(name="a", model="m"),
        Arm(name="a", model="m", effort="low", effort_style="prompt"),
        Arm(name="a", model="m", effort="low", effort_style="toggle", extra_body={"think": True}),
    ],
    ids=["default", "prompt", "toggle"],
)
def test_an_effort_that_is_not_a_parameter_is_not_sent_as_one(arm):
    assert "reasoning_effort" not in arm.chat_kwargs()
    assert "reasoning" not in arm.responses_kwargs()
    assert arm.chat_kwargs().get("extra_body", {}) == arm.extra_body


def test_older_servers_get_the_older_name_of_the_cap():
    arm = Arm(name="a", model="m", endpoint=Endpoint(name="x", max_tokens_field="max_tokens"))
    assert arm.chat_kwargs()["max_tokens"] == arm.max_output_tokens


# --- usage -----------------------------------------------------------------------------------------

counts = st.integers(0, 10**9)


@st.composite
def usages(draw):
    total, out = draw(counts), draw(counts)
    cached = draw(st.integers(0, total))
    return Usage(
        input_tokens=total,
        cached_tokens=cached,
        cache_write_tokens=draw(st.integers(0, total - cached)),
        output_tokens=out,
        reasoning_tokens=draw(st.none() | st.integers(0, out)),
    )


@given(usages(), usages(), usages())
def test_usages_add_up_in_any_order(one, two, three):
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + Usage() == one


@pytest.mark.parametrize(
    "fields",
    [
        {"input_tokens": 1, "cached_tokens": 2},
        {"input_tokens": 3, "cached_tokens": 2, "cache_write_tokens": 2},
        {"output_tokens": 1, "reasoning_tokens": 2},
        {"input_tokens": -1},
    ],
)
def test_a_part_larger_than_its_whole_is_no_usage(fields):
    with pytest.raises(ValidationError):
        Usage(**fields)


# --- traces ----------------------------------------------------------------------------------------


def test_a_trace_adds_up_calls_checks_and_compute():
    run = trace(
        attempt(verdict=verdict("fail", cost_usd=Decimal("0.002")), compute_s=1.5),
        attempt(answered=False, calls=3),
    )
    assert run.cost_usd == Decimal("0.022")
    with localcontext(Context(prec=1, traps=[Inexact])):
        assert run.cost_usd == Decimal("0.022")
    assert run.calls == 4
    assert run.compute_s == 1.5


BEST = {
    "accepted before all": ([verdict("fail", score=1.0), verdict("pass", score=0.0)], 1),
    "abstain before fail": ([verdict("abstain"), verdict("fail", score=1.0)], 0),
    "higher score": ([verdict("fail", score=0.7), verdict("fail", score=0.2)], 0),
    "later among equals": ([verdict("fail"), verdict("fail")], 1),
    "a score before none": ([verdict("fail", score=0.1), verdict("fail")], 0),
}


@pytest.mark.parametrize(("verdicts", "best"), BEST.values(), ids=BEST.keys())
def test_the_best_attempt_is_the_one_closest_to_acceptance(verdicts, best):
    run = trace(*(attempt(str(i), verdict=v) for i, v in enumerate(verdicts)))
    assert run.best.answer.text == str(best)


def test_a_complete_answer_is_better_than_one_cut_off():
    run = trace(attempt("whole", verdict=verdict("fail")), attempt("cut", finish="truncated"))
    assert run.best.answer.text == "whole"


def test_a_trace_without_answers_has_no_best():
    assert trace(attempt(answered=False)).best is None
    assert trace().best is None


def test_a_trace_survives_json():
    run = trace(attempt(verdict=verdict("fail", feedback="no")), attempt(answered=False))
    assert Trace.model_validate_json(run.model_dump_json()) == run


def test_the_value_of_a_decorated_function_is_never_written():
    run = trace(attempt("", value=object()))
    assert "value" not in run.model_dump()["attempts"][0]["answer"]
    run.model_dump_json()


def test_accepted_is_not_the_same_as_verified():
    unchecked = Outcome("x", trace(attempt(), outcome="accepted"))
    checked = Outcome("x", trace(attempt(verdict=verdict("pass")), outcome="accepted"))
    assert (unchecked.accepted, unchecked.verified) == (True, False)
    assert (checked.accepted, checked.verified) == (True, True)


# --- budgets ---------------------------------------------------------------------------------------

BUDGETS = {
    "$0.05": ("0.05", None, None),
    "0.05": ("0.05", None, None),
    ".05": ("0.05", None, None),
    " $ 5 ": ("5", None, None),
    "5$": ("5", None, None),
    "$5/day": ("5", "day", "default"),
    "0.5/hour": ("0.5", "hour", "default"),
    "$20/month": ("20", "month", "default"),
}


@pytest.mark.parametrize(("text", "parsed"), BUDGETS.items(), ids=BUDGETS.keys())
def test_a_budget_is_read_from_text(text, parsed):
    budget = Budget.parse(text)
    assert (str(budget.limit_usd), budget.window, budget.scope) == parsed


def test_a_budget_is_read_from_numbers_exactly():
    assert Budget.parse(0.1).limit_usd == Decimal("0.1")
    assert Budget.parse(2).limit_usd == Decimal(2)
    assert Budget.parse(Decimal("0.00001")).limit_usd == Decimal("0.00001")


@pytest.mark.parametrize("tiny", [Decimal("1e-7"), 1e-7, Decimal("1E+2"), Decimal("0E-9")], ids=str)
def test_a_number_in_scientific_notation_is_a_number(tiny):
    assert Budget.parse(tiny).limit_usd == Decimal(str(tiny))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        -1,
        "free",
        "$5/week",
        "$",
        "1,50",
        "$1 $2",
        "nan",
        float("nan"),
        "inf",
        float("inf"),
    ],
)
def test_what_is_no_amount_of_dollars_is_refused_with_the_fix(text):
    with pytest.raises(ConfigError, match="dollars"):
        Budget.parse(text)


def test_a_window_needs_a_scope():
    with pytest.raises(ValidationError, match="scope"):
        Budget(limit_usd=Decimal(1), window="day")


def test_a_parsed_budget_can_be_given_a_scope():
    budget = Budget(limit_usd=Decimal(1))
    assert Budget.parse(budget) is budget
    assert Budget.parse(budget, scope="team").scope == "team"
    assert Budget.parse("$5/day", scope="team").scope == "team"


# --- errors ----------------------------------------------------------------------------------------

ERRORS = [
    EffortctlError("x"),
    ConfigError("x"),
    BackendError("x", arm="a", kind="auth", status=401, request_id="r", billed=True),
    TransientBackendError("x", retry_after_s=2.5, kind="rate_limit", status=429),
    UnsupportedEffortError("x", supported=["low", "high"], arm="a"),
    VerifierError("x", verifier="v"),
    BudgetExceededError("x", needed=Decimal(2), left=Decimal(1), trace=trace()),
    NotAcceptedError("x", best=attempt(), trace=trace(attempt())),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_with_all_they_know(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
