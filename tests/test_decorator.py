"""`adaptive` around functions that use the real openai client and its real response objects."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from effortctl import (
    Arm,
    BackendError,
    Budget,
    ConfigError,
    Endpoint,
    NotAcceptedError,
    Price,
    TransientBackendError,
    UsageError,
    adaptive,
)
from effortctl.stores import MemoryLedger
from effortctl.testing import FakeClock, MockServer

PRICE = Price(
    input_usd_per_mtok=Decimal(10),
    cached_input_usd_per_mtok=Decimal(1),
    output_usd_per_mtok=Decimal(50),
)
OWN = Endpoint(name="own")


def arm(name, effort, **more):
    return Arm(
        name=name, model=f"m-{name}", effort=effort, endpoint=OWN, price=PRICE,
        **({"max_output_tokens": 100} | more),
    )  # fmt: skip


ARMS = [arm("small", "low"), arm("large", "high")]
TEAM = Budget(limit_usd=Decimal(10), scope="team")


def chat(text, *, finish="stop", usage=(100, 40, 20, 8)):
    total, cached, out, reasoning = usage
    return ChatCompletion.model_validate(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish,
                    "message": {"role": "assistant", "content": text},
                    "logprobs": None,
                }
            ],
            "usage": {
                "prompt_tokens": total,
                "completion_tokens": out,
                "total_tokens": total + out,
                "prompt_tokens_details": {"cached_tokens": cached},
                "completion_tokens_details": {"reasoning_tokens": reasoning},
            },
        }
    )


def response(text, *, status="completed", usage=(100, 40, 20, 8)):
    total, cached, out, reasoning = usage
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    document = {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "model": "m",
        "status": status,
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": total,
            "output_tokens": out,
            "total_tokens": total + out,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": reasoning},
        },
    }
    if status == "incomplete":
        document["incomplete_details"] = {"reason": "max_output_tokens"}
    return Response.model_validate(document)


COST = Decimal("0.00164")  # 60 fresh, 40 cached, 20 out (reasoning among them)


# --- the loop around a function --------------------------------------------------------------------


def test_the_first_accepted_result_is_returned():
    @adaptive(ARMS, verify=lambda value: value > 3)
    def double(arm, x):
        return x * (1 if arm.effort == "low" else 10)

    assert double(1) == 10
    assert [a.arm for a in double.run(1).trace.attempts] == ["small", "large"]
    assert [a.arm for a in double.run(5).trace.attempts] == ["small"]


def test_results_keep_their_type():
    @adaptive(ARMS, verify=lambda value: value == {"n": 408})
    def ask(arm):
        return {"n": 408}

    assert ask() == {"n": 408}
    assert ask.run().verified


@pytest.mark.parametrize("value", ["", "  ", None])
def test_an_empty_result_is_not_accepted(value):
    @adaptive(ARMS)
    def ask(arm):
        return value

    with pytest.raises(NotAcceptedError, match="empty"):
        ask()


@pytest.mark.parametrize("value", [0, False, [], {}])
def test_a_falsy_result_is_a_result(value):
    @adaptive(ARMS)
    def ask(arm):
        return value

    assert ask() == value


def test_the_function_keeps_its_name_and_words():
    @adaptive(ARMS)
    def ask(arm, question: str) -> str:
        """Ask a question."""
        return question

    assert ask.__name__ == "ask"
    assert ask.__doc__ == "Ask a question."
    assert ask.run("q").trace.category == "ask"


def test_a_coroutine_function_is_awaited():
    @adaptive(ARMS, verify=lambda value: value == "big")
    async def ask(arm):
        await asyncio.sleep(0)
        return "big" if arm.name == "large" else "small"

    async def main():
        assert await ask() == "big"
        return await ask.run()

    assert [a.arm for a in asyncio.run(main()).trace.attempts] == ["small", "large"]


class Service:
    def __init__(self, answer):
        self.answer = answer

    @adaptive(ARMS, verify=lambda value: value > 3)
    def ask(self, arm, x):
        """Ask."""
        return self.answer + x

    @adaptive(ARMS)
    async def ask_async(self, arm, x):
        return self.answer + x


def test_methods_know_their_instance():
    one, two = Service(10), Service(20)
    assert (one.ask(1), two.ask(1)) == (11, 21)
    assert one.ask.run(1).accepted
    assert asyncio.run(two.ask_async(2)) == 22


def test_a_method_looked_up_on_its_class_is_the_method_itself():
    assert Service.ask is Service.__dict__["ask"]
    assert Service.ask_async is Service.__dict__["ask_async"]
    assert Service.ask.__doc__ == "Ask."


def test_bindings_of_a_method_share_one_controller():
    assert Service(1).ask.controller is Service(2).ask.controller


def test_options_can_be_replaced_for_a_variant():
    @adaptive(ARMS, verify=lambda value: value > 3)
    def ask(arm, x):
        return x

    with pytest.raises(NotAcceptedError):
        ask(1)
    assert ask.with_options(verify=lambda value: value == 1)(1) == 1
    assert Service(1).ask.with_options(verify=lambda value: value == 1)(0) == 1
    lenient = Service(1).ask_async.with_options(verify=lambda value: value == 1)
    assert asyncio.run(lenient(0)) == 1


def test_a_result_that_is_not_accepted_comes_with_the_error():
    @adaptive(ARMS, verify=lambda value: (False, f"{value} is too small"))
    def ask(arm):
        return arm.record(chat("41")) and arm.name

    with pytest.raises(NotAcceptedError, match="large is too small") as caught:
        ask()
    error = caught.value
    assert error.best.arm == "large"
    assert error.best.answer.text == "large"
    assert error.trace.outcome == "exhausted"
    assert error.trace.cost_usd == 2 * COST
    assert ask.run().value == "large"


def test_a_function_without_arguments_is_refused_when_it_is_decorated():
    with pytest.raises(ConfigError, match="first one must be the chosen arm"):
        adaptive(ARMS)(lambda: 1)
    with pytest.raises(ConfigError, match="unknown ladder"):
        adaptive("no-such-ladder")(lambda arm: 1)


def test_the_texts_among_the_arguments_are_the_task():
    seen = []

    def verify(task, answer):
        seen.append(task.text)
        return True

    @adaptive(ARMS, verify=verify)
    def ask(arm, question, *, n, context):
        return "x"

    ask("why?", n=3, context="because")
    assert seen == ["why?\nbecause"]


# --- what the function is told ---------------------------------------------------------------------


def test_the_chosen_arm_speaks_both_apis():
    seen = []

    @adaptive([arm("small", "low")])
    def ask(arm):
        seen.append((arm.name, arm.model, arm.effort, arm.responses_kwargs(), arm.chat_kwargs()))
        return "x"

    ask()
    assert seen == [
        (
            "small",
            "m-small",
            "low",
            {"model": "m-small", "max_output_tokens": 100, "reasoning": {"effort": "low"}},
            {"model": "m-small", "max_completion_tokens": 100, "reasoning_effort": "low"},
        )
    ]


def test_a_raised_cap_is_seen_by_the_function():
    caps = []

    @adaptive(ARMS)
    def ask(arm):
        caps.append((arm.name, arm.responses_kwargs()["max_output_tokens"],
                     arm.chat_kwargs()["max_completion_tokens"]))  # fmt: skip
        status = "incomplete" if len(caps) < 3 else "completed"
        return arm.record(response("408", status=status)).output_text

    assert ask() == "408"
    assert caps == [("small", 100, 100), ("small", 200, 200), ("small", 400, 400)]


def test_feedback_reaches_the_next_arm():
    told = []

    def ask(arm):
        told.append(arm.feedback)
        return arm.name

    checks = {"verify": lambda value: (value == "large", "Say large.")}
    assert adaptive(ARMS, **checks)(ask)() == "large"
    assert told[0] is None
    assert "Say large." in told[1]
    told.clear()
    assert adaptive(ARMS, carry="none", **checks)(ask)() == "large"
    assert told == [None, None]


def test_resamples_get_their_own_temperature():
    seen = []

    @adaptive(
        [arm("small", "low", samples=3, temperature=0.0, resample_temperature=0.8)],
        verify=lambda value: value == 3,
    )
    def ask(arm):
        seen.append((arm.responses_kwargs()["temperature"], arm.chat_kwargs()["temperature"]))
        return len(seen)

    assert ask() == 3
    assert seen == [(0.0, 0.0), (0.8, 0.8), (0.8, 0.8)]


# --- exact cost ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [chat("408"), response("408"), chat("408").model_dump(), response("408").model_dump()],
    ids=["chat", "responses", "chat as dict", "responses as dict"],
)
def test_a_recorded_response_gives_the_exact_cost(reply):
    ledger = MemoryLedger()

    @adaptive([arm("small", "low")], ledger=ledger, budget=TEAM)
    def ask(arm):
        assert arm.record(reply) is reply
        return "408"

    (attempt,) = ask.run().trace.attempts
    assert attempt.cost.usd == COST == ledger.spent(TEAM)
    usage = attempt.answer.usage
    assert (usage.input_tokens, usage.cached_tokens) == (100, 40)
    assert (usage.output_tokens, usage.reasoning_tokens) == (20, 8)


def test_everything_a_function_records_adds_up():
    @adaptive([arm("small", "low")])
    def ask(arm):
        arm.record(chat("plan"))
        return arm.record(response("408")).output_text

    assert ask.run().cost_usd == 2 * COST


def test_a_response_without_usage_makes_the_cost_unknown_not_smaller():
    blind = chat("408").model_copy(update={"usage": None})

    @adaptive([arm("small", "low")])
    def ask(arm):
        arm.record(chat("plan"))
        return arm.record(blind).choices[0].message.content

    (attempt,) = ask.run().trace.attempts
    assert attempt.cost.source == "worst_case"
    assert attempt.cost.usd > COST


def test_a_function_that_records_nothing_is_charged_the_worst_case():
    ledger = MemoryLedger()

    @adaptive([arm("small", "low")], ledger=ledger, budget=TEAM)
    def ask(arm):
        return "408"

    (attempt,) = ask.run().trace.attempts
    assert attempt.cost.source == "worst_case"
    assert ledger.reserved(TEAM) == 0
    assert ledger.spent(TEAM) == attempt.cost.usd > 0


@pytest.mark.parametrize("thing", ["text", None, 7, [chat("x")]], ids=str)
def test_only_responses_can_be_recorded(thing):
    @adaptive([arm("small", "low")])
    def ask(arm):
        arm.record(thing)

    with pytest.raises(UsageError, match="record"):
        ask()


@pytest.mark.parametrize("finish", ["content_filter"])
def test_a_filtered_response_stops_the_loop(finish):
    @adaptive(ARMS)
    def ask(arm):
        return arm.record(chat("", finish=finish)).choices[0].message.content

    assert ask.run().trace.outcome == "refused"


# --- faults ----------------------------------------------------------------------------------------

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/responses")


def status_error(kind, status, *, code=None, message="no", headers=None):
    body = {"error": {"message": message, "type": "invalid_request_error", "code": code}}
    reply = httpx2.Response(status, json=body, headers=headers or {}, request=REQUEST)
    return kind(message, response=reply, body=body["error"])


def raising(*items, arms=ARMS, **options):
    """An adapted function that raises or returns one item after another, and its record."""
    calls, script, clock = [], iter(items), FakeClock()
    ledger = MemoryLedger()

    @adaptive(arms, sleep=clock.sleep, ledger=ledger, budget=TEAM, **options)
    def ask(arm):
        calls.append(arm.name)
        item = next(script)
        if isinstance(item, BaseException):
            raise item
        return arm.record(chat(item)).choices[0].message.content

    return ask, calls, clock, ledger


def test_a_rate_limit_of_the_users_client_is_retried():
    error = status_error(openai.RateLimitError, 429, headers={"retry-after": "3"})
    ask, calls, clock, ledger = raising(error, "408")
    assert ask() == "408"
    assert calls == ["small", "small"]
    assert clock.sleeps == [3.0]
    assert ledger.spent(TEAM) == COST


def test_a_server_fault_of_the_users_client_is_retried_and_then_escalated():
    error = status_error(openai.InternalServerError, 500)
    ask, calls, _, _ = raising(error, error, error, "408")
    assert ask() == "408"
    assert calls == ["small"] * 3 + ["large"]


def test_a_timeout_of_the_users_client_is_booked_as_the_worst_case():
    ask, calls, _, ledger = raising(openai.APITimeoutError(request=REQUEST), "408")
    assert ask() == "408"
    assert calls == ["small", "small"]
    lost, answered = ledger.entries()
    assert (lost.price_source, answered.price_source) == ("worst_case", "user")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (status_error(openai.AuthenticationError, 401), "auth"),
        (status_error(openai.NotFoundError, 404), "not_found"),
        (status_error(openai.BadRequestError, 400), "bad_request"),
        (status_error(openai.RateLimitError, 429, code="insufficient_quota"), "quota"),
    ],
    ids=["auth", "not found", "bad request", "quota"],
)
def test_a_fault_no_repetition_cures_is_raised_as_ours(error, kind):
    ask, calls, _, ledger = raising(error)
    with pytest.raises(BackendError) as caught:
        ask()
    assert not isinstance(caught.value, TransientBackendError)
    assert caught.value.kind == kind
    assert caught.value.trace.outcome == "failed"
    assert calls == ["small"]
    assert ledger.spent(TEAM) == ledger.reserved(TEAM) == 0


def test_a_prompt_too_long_for_one_model_moves_to_another():
    error = status_error(openai.BadRequestError, 400, code="context_length_exceeded")
    ask, calls, _, _ = raising(error, "408")
    assert ask() == "408"
    assert calls == ["small", "large"]


def test_an_effort_the_endpoint_rejects_is_resolved_again():
    message = "'reasoning_effort' does not support 'low' with this model. Supported values are: 'medium' and 'high'."
    error = status_error(openai.BadRequestError, 400, code="unsupported_value", message=message)
    efforts = []

    @adaptive([arm("one", "low")])
    def ask(arm):
        efforts.append(arm.effort)
        if arm.effort == "low":
            raise error
        return "408"

    (attempt,) = ask.run().trace.attempts
    assert efforts == ["low", "medium"]
    assert (attempt.requested_effort, attempt.effective_effort) == ("low", "medium")


class OwnError(Exception):
    """Not from any client."""


@pytest.mark.parametrize("error", [OwnError("mine"), ValueError("mine"), KeyboardInterrupt()])
def test_the_functions_own_exceptions_pass_through_with_the_money_booked(error):
    ask, calls, _, ledger = raising(error)
    with pytest.raises(type(error)) as caught:
        ask()
    assert caught.value is error
    assert calls == ["small"]
    assert ledger.reserved(TEAM) == 0
    assert ledger.spent(TEAM) > 0


def test_the_same_holds_for_coroutine_functions():
    clock, ledger, error = FakeClock(), MemoryLedger(), OwnError("mine")
    script = iter([status_error(openai.InternalServerError, 500), "408", error])

    @adaptive(ARMS, sleep=clock.asleep, ledger=ledger, budget=TEAM)
    async def ask(arm):
        item = next(script)
        if isinstance(item, BaseException):
            raise item
        return arm.record(chat(item)).choices[0].message.content

    assert asyncio.run(ask()) == "408"
    assert ledger.spent(TEAM) == COST
    with pytest.raises(OwnError) as caught:
        asyncio.run(ask())
    assert caught.value is error
    assert ledger.reserved(TEAM) == 0


# --- end to end ------------------------------------------------------------------------------------


def test_a_function_with_a_real_client_is_escalated_and_priced():
    with (
        MockServer(lambda request: "408" if request.effort == "high" else "41") as server,
        openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client,
    ):
        roomy = [
            arm("small", "low", max_output_tokens=2000),
            arm("large", "high", max_output_tokens=2000),
        ]

        @adaptive(roomy, verify="number:408", sleep=FakeClock().sleep)
        def ask(arm, question):
            text = f"{question}\n{arm.feedback}" if arm.feedback else question
            return arm.record(
                client.responses.create(input=text, **arm.responses_kwargs())
            ).output_text

        server.script(["429:retry-after=1"])
        outcome = ask.run("What is 17*24?")
        assert outcome.value == "408"
        assert [h.effort for h in server.hits] == ["low", "low", "high"]
        assert "A check rejected this answer" in server.hits[2].body["input"]
        prices = dict.fromkeys(("m-small", "m-large"), PRICE)
        assert outcome.cost_usd == server.billed_usd(prices)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")
def test_types_survive_decoration(tmp_path):
    root = Path(__file__).parent.parent
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        f"--cache-dir={tmp_path}",
        "tests/typing/api.py",
    ]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
