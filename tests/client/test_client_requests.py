"""Every request the SDK makes for a call that is passed through is booked, paid for, and held to its time."""

from __future__ import annotations

import asyncio
import re
import time
from decimal import Decimal

import openai
import pytest
from sdk_calls import API

import effortctl
from effortctl import BackendError, Budget, BudgetExceededError, DeadlineExceededError, Session
from effortctl.stores import MemoryLedger
from effortctl.testing import FakeClock, MockServer

MODEL = "gpt-6-luna"
CALL = {"input": "x", "max_output_tokens": 100}
DAY = Budget(limit_usd=Decimal(5), scope="team")


@pytest.fixture
def server():
    with MockServer(lambda _: "ok") as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


class Client:
    """A wrapped client of either kind, called in the same way."""

    def __init__(self, server, kind, *, timeout=None, retries=2, **options):
        cls = openai.OpenAI if kind == "sync" else openai.AsyncOpenAI
        inner = cls(base_url=server.base_url, api_key="k", timeout=timeout, max_retries=retries)
        self.ledger = options.setdefault("ledger", MemoryLedger())
        self.client = effortctl.wrap(inner, **options)
        self.is_async = kind == "async"

    def calls(self, *requests):
        """Make calls one after the other; what each returned or raised."""
        return asyncio.run(self._acalls(requests)) if self.is_async else self._calls(requests)

    def call(self, **kwargs):
        (result,) = self.calls({"model": MODEL, **CALL, **kwargs})
        return result

    def _calls(self, requests):
        found = []
        with self.client as client:
            for kwargs in requests:
                try:
                    reply = client.responses.create(**kwargs)
                    if kwargs.get("stream"):
                        list(reply)
                except Exception as error:
                    reply = error
                found.append(reply)
        return found

    async def _acalls(self, requests):
        found = []
        async with self.client as client:
            for kwargs in requests:
                try:
                    reply = await client.responses.create(**kwargs)
                    if kwargs.get("stream"):
                        _ = [event async for event in reply]
                except Exception as error:
                    reply = error
                found.append(reply)
        return found

    @property
    def booked(self):
        """Which requests were booked at their worst case, and which at nothing."""
        names = {True: "worst case", False: "exact"}
        return [names[e.estimated] if e.cost_usd else "nothing" for e in self.ledger.entries()]


@pytest.mark.parametrize(
    ("faults", "booked"),
    [
        (["500:retry-after=0"], ["nothing", "exact"]),
        (["429:retry-after=0", "500:retry-after=0"], ["nothing", "nothing", "exact"]),
        (["504:retry-after=0"], ["worst case", "exact"]),
        (["hang"], ["worst case", "exact"]),
        (["500:retry-after=0"] * 3, ["nothing"] * 3),
    ],
    ids=["500", "429-500", "504", "timeout", "to-the-end"],
)
def test_every_request_is_booked_for_what_it_may_have_cost(server, kind, faults, booked):
    server.script(faults)
    client = Client(server, kind, timeout=1.0 if faults == ["hang"] else None, budget=DAY)
    known = effortctl.info(client.call())
    assert client.booked == booked
    assert known.trace.attempts[0].calls == server.count() == len(booked)
    assert known.cost_usd == sum(entry.cost_usd for entry in client.ledger.entries())
    assert known.estimated == ("worst case" in booked)
    assert client.ledger.reserved(DAY) == 0


def test_a_request_is_not_repeated_when_the_budget_cannot_hold_it(server, kind):
    server.script(["504:retry-after=0"])
    day = Budget(limit_usd=Decimal("0.0001"), scope="team")  # one call may cost $0.00006
    client = Client(server, kind, budget=day)
    error = client.call()
    assert isinstance(error, BudgetExceededError)
    assert server.count() == 1
    assert client.booked == ["worst case"]
    assert error.trace.cost_usd == effortctl.info(error).cost_usd > 0
    assert client.ledger.reserved(day) == 0


@pytest.mark.parametrize(
    ("fault", "error"),
    [("500:retry-after=0", openai.InternalServerError), ("hang", openai.APITimeoutError)],
)
def test_retries_of_the_sdk_are_paid_from_the_retry_budget(server, kind, fault, error):
    server.script([fault, fault])
    client = Client(server, kind, timeout=1.0, retry_budget=1)
    assert isinstance(client.call(), error)
    assert server.count() == 2, "the first and one retry; a second one was not to be had"


def test_managed_calls_and_others_share_the_retry_budget(server, kind):
    server.script(["500:retry-after=0"] * 4)
    client = Client(server, kind, retry_budget=1, ladder=["gpt-6-luna@low"])
    first, second = client.calls({"model": MODEL, **CALL}, {"model": "auto", "input": "x"})
    assert isinstance(first, openai.InternalServerError)
    assert isinstance(second, BackendError)
    assert server.count() == 3, "one retry for the first, none for the second"


@pytest.mark.parametrize("first", ["auto", MODEL])
@pytest.mark.parametrize("then", ["auto", MODEL])
def test_an_account_without_credit_is_not_called_again_for_a_while(server, kind, first, then):
    server.script(["insufficient-quota"])
    clock = FakeClock()
    client = Client(server, kind, retries=0, ladder=["gpt-6-luna@none"], clock=clock)
    one, two = client.calls({"model": first, **CALL}, {"model": then, **CALL})
    assert server.count() == 1
    assert isinstance(two, BackendError if then == "auto" else openai.RateLimitError)
    assert isinstance(one, BackendError if first == "auto" else openai.RateLimitError)
    assert "no credit" in str(two)


def test_an_account_without_credit_is_asked_again_after_a_minute(server):
    server.script(["insufficient-quota"])
    clock = FakeClock()
    client = Client(server, "sync", retries=0, clock=clock)
    with client.client as wrapped:
        for _ in range(2):
            with pytest.raises(openai.RateLimitError):
                wrapped.responses.create(model=MODEL, **CALL)
        clock.advance(61)
        wrapped.responses.create(model=MODEL, **CALL)
        wrapped.responses.create(model=MODEL, **CALL)
    assert server.count() == 3


@pytest.mark.parametrize(
    ("fault", "stream"),
    [("hang", False), ("hang-mid-body", False), ("hang", True), ("stream-stall", True)],
)
def test_a_call_in_flight_is_cut_off_at_the_deadline(server, kind, fault, stream):
    server.script([fault])
    client = Client(server, kind, deadline_s=1.0, budget=DAY)
    error = client.call(stream=stream)
    assert isinstance(error, DeadlineExceededError)
    assert server.count() == 1
    assert client.booked == ["worst case"]
    assert error.trace.outcome == "failed"
    assert effortctl.info(error).trace == error.trace
    assert client.ledger.reserved(DAY) == 0


def test_a_stream_that_is_closed_after_its_deadline_closes_quietly(server):
    server.script(["stream-stall"])
    client = Client(server, "sync", deadline_s=1.0)
    with client.client as wrapped:
        stream = wrapped.responses.create(model=MODEL, stream=True, **CALL)
        events = iter(stream)
        next(events)
        time.sleep(1.2)
        events.close()
        stream.close()
        assert effortctl.info(stream).estimated
    assert client.booked == ["worst case"]


def test_a_raw_reply_that_is_read_too_slowly_is_cut_off_at_the_deadline(server):
    server.script(["hang-mid-body"])
    client = Client(server, "sync", deadline_s=1.0)
    with (
        client.client as wrapped,
        wrapped.responses.with_streaming_response.create(model=MODEL, **CALL) as response,
        pytest.raises(Exception, match="peer closed connection"),
    ):
        response.read()
    assert client.booked == ["worst case"]


def test_an_async_raw_reply_that_is_read_too_slowly_is_cut_off_at_the_deadline(server):
    server.script(["hang-mid-body"])
    client = Client(server, "async", deadline_s=1.0)

    async def go():
        async with (
            client.client as wrapped,
            wrapped.responses.with_streaming_response.create(model=MODEL, **CALL) as response,
        ):
            with pytest.raises(DeadlineExceededError):
                await response.read()

    asyncio.run(go())
    assert client.booked == ["worst case"]


def test_a_session_cuts_off_what_is_passed_through_at_its_deadline(server):
    server.script(["hang"])
    inner = openai.OpenAI(base_url=server.base_url, api_key="k")
    with Session(inner, deadline_s=1.0, budget="$1") as session:
        with pytest.raises(DeadlineExceededError):
            session.client.responses.create(model=MODEL, **CALL)
        with pytest.raises(DeadlineExceededError, match="not made"):
            session.client.responses.create(model=MODEL, **CALL)
    assert server.count() == 1
    assert session.spent_usd > 0
    inner.close()


def test_a_deadline_leaves_the_shorter_timeouts_of_the_client_alone(server, kind):
    server.script(["hang", "ok"])
    client = Client(server, kind, timeout=1.0, deadline_s=30.0, ladder=["gpt-6-luna@none"])
    managed, passed = client.calls({"model": "auto", "input": "x"}, {"model": MODEL, **CALL})
    assert effortctl.info(managed).trace.attempts[0].calls == 2
    assert effortctl.info(passed).trace.attempts[0].calls == 1


@pytest.mark.parametrize("model", ["auto", MODEL])
def test_a_copy_with_other_retries_makes_so_many(server, model):
    client = Client(server, "sync", retry_budget=None, ladder=["gpt-6-luna@none"], sleep=_no_wait)
    with client.client as wrapped:
        for retries in (0, 1, 3):
            server.script(["500:retry-after=0"] * 4)
            before = server.count()
            with pytest.raises((openai.InternalServerError, BackendError)):
                wrapped.with_options(max_retries=min(retries, 3)).responses.create(
                    model=model, **CALL
                )
            assert server.count() - before == 1 + retries
            server.script([])


def _no_wait(_):
    return None


def test_a_call_without_a_cap_fits_a_budget_that_can_pay_its_worst_case(server, kind):
    client = Client(server, kind, budget="$0.50")
    (reply,) = client.calls({"model": MODEL, "input": "x"})
    assert effortctl.info(reply).cost_usd < Decimal("0.01")


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_refusal_says_which_cap_the_budget_could_pay(server, kind, api):
    names = {"chat": "max_completion_tokens", "responses": "max_output_tokens"}
    body = {
        "chat": {"messages": [{"role": "user", "content": "x"}]},
        "responses": {"input": "x"},
    }[api]
    client = Client(server, kind, budget="$0.01")

    def make(**kwargs):
        if kind == "sync":
            return API[api](client.client).create(model=MODEL, **body, **kwargs)

        async def go():
            async with client.client.copy(http_client=openai.DefaultAsyncHttpxClient()) as copied:
                return await API[api](copied).create(model=MODEL, **body, **kwargs)

        return asyncio.run(go())

    with pytest.raises(BudgetExceededError, match="has no output cap") as refused:
        make()
    assert server.count() == 0
    cap = int(re.search(rf"{names[api]}=(\d+)", str(refused.value))[1])
    make(**{names[api]: cap})
    with pytest.raises(BudgetExceededError):
        make(**{names[api]: cap + 2})
    assert server.count() == 1
