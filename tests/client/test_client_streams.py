"""Streams: shown as they come or held back until checked, and always booked."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from decimal import Decimal

import openai
import pytest
from sdk_calls import API

import effortctl
from effortctl import NotAcceptedError
from effortctl.stores import MemoryLedger
from effortctl.testing import FakeClock, MockServer

LADDER = ["gpt-6-luna@none", "gpt-6-luna@medium", "gpt-6-sol@high"]
PROMPT = "What is 17*24?"
ASK = {
    "chat": {"messages": [{"role": "user", "content": PROMPT}]},
    "responses": {"input": PROMPT},
}
CAP = {"chat": "max_completion_tokens", "responses": "max_output_tokens"}


def by_effort(request):
    return "The answer is 408" if request.effort == "high" else "The answer is 41"


@pytest.fixture
def server():
    with MockServer(by_effort) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


@pytest.fixture(params=["chat", "responses"])
def api(request):
    return request.param


class Streams:
    """Reads streams of a wrapped client of either kind in the same way."""

    def __init__(self, server, kind, **options):
        self.kind, self.url = kind, server.base_url
        self.ledger = MemoryLedger()
        clock = FakeClock()
        sleep = clock.sleep if kind == "sync" else clock.asleep
        self.options = {"ladder": LADDER, "ledger": self.ledger, "sleep": sleep} | options

    def read(self, api, *, most=None, close=True, **kwargs):
        """The stream and its events; at most so many."""
        kwargs = ASK[api] | kwargs
        if self.kind == "sync":
            client = effortctl.wrap(openai.OpenAI(base_url=self.url, api_key="k"), **self.options)
            with client:
                return self._read(API[api](client), most, close=close, kwargs=kwargs)
        return asyncio.run(self._aread(api, most, close, kwargs))

    def _read(self, resource, most, *, close, kwargs):
        events = []
        stream = resource.create(stream=True, **kwargs)
        for event in stream:
            events.append(event)
            if len(events) == most:
                break
        if close:
            stream.close()
        return stream, events

    async def _aread(self, api, most, close, kwargs):
        cls = openai.AsyncOpenAI(base_url=self.url, api_key="k")
        events = []
        async with effortctl.wrap(cls, **self.options) as client:
            stream = await API[api](client).create(stream=True, **kwargs)
            async for event in stream:
                events.append(event)
                if len(events) == most:
                    break
            if close:
                await stream.close()
        return stream, events

    @property
    def entries(self):
        return list(self.ledger.entries())

    @property
    def booked(self):
        return sum((entry.cost_usd for entry in self.entries), Decimal(0))


def shown(api, events):
    if api == "chat":
        return "".join(c.choices[0].delta.content or "" for c in events if c.choices)
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


# --- passed through --------------------------------------------------------------------------------


def test_a_passed_stream_is_booked_exactly(server, kind, api):
    streams = Streams(server, kind)
    stream, events = streams.read(api, model="gpt-6-sol")
    assert shown(api, events) == "The answer is 41"
    (entry,) = streams.entries
    billed = server.billed_usage
    assert (entry.input_tokens, entry.output_tokens) == (billed.input_tokens, billed.output_tokens)
    known = effortctl.info(stream)
    assert (known.managed, known.estimated) == (False, False)
    assert known.cost_usd == streams.booked > 0


def test_usage_is_asked_for_but_only_shown_to_those_who_want_it(server, kind):
    streams = Streams(server, kind)
    _, events = streams.read("chat", model="gpt-6-sol")
    assert server.hits[0].body["stream_options"] == {"include_usage": True}
    assert all(chunk.choices for chunk in events)
    _, events = streams.read("chat", model="gpt-6-sol", stream_options={"include_usage": True})
    assert events[-1].usage.total_tokens > 0


@pytest.mark.parametrize("close", [True, False])
def test_a_stream_the_caller_leaves_is_booked_as_estimated(server, kind, api, close):
    streams = Streams(server, kind)
    stream, _ = streams.read(api, model="gpt-6-sol", most=3, close=close, **{CAP[api]: 200})
    if not close:
        del stream
        gc.collect()
    (entry,) = streams.entries
    assert entry.estimated
    assert entry.cost_usd > 0


@pytest.mark.parametrize("fault", ["stream-cut", "stream-cut-chunked", "stream-reset"])
def test_a_stream_that_is_cut_is_booked_as_estimated_and_ends_as_the_sdk_ends_it(
    server, kind, api, fault
):
    streams = Streams(server, kind)
    server.script([fault])
    with contextlib.suppress(openai.APIConnectionError):  # a plain cut ends silently there
        streams.read(api, model="gpt-6-sol", **{CAP[api]: 200})
    (entry,) = streams.entries
    assert entry.estimated
    assert entry.cost_usd > 0


@pytest.mark.parametrize("helper", ["early", "whole"])
def test_the_stream_helper_is_booked_however_it_ends(server, api, helper):
    ledger = MemoryLedger()
    client = effortctl.wrap(openai.OpenAI(base_url=server.base_url, api_key="k"), ledger=ledger)
    with client, API[api](client).stream(model="gpt-6-sol", **ASK[api]) as stream:
        for _ in stream:
            if helper == "early":
                break
    (entry,) = ledger.entries()
    assert entry.estimated == (helper == "early")


def test_errors_before_a_stream_begins_are_the_sdks_own(server, kind, api):
    streams = Streams(server, kind)
    server.script(["401"])
    with pytest.raises(openai.AuthenticationError):
        streams.read(api, model="gpt-6-sol")
    (entry,) = streams.entries
    assert entry.cost_usd == 0


# --- commit_first ----------------------------------------------------------------------------------


def test_the_first_stream_is_shown_and_its_verdict_recorded(server, kind, api):
    streams = Streams(server, kind, verify="number:408")
    stream, events = streams.read(api, model="auto")
    assert shown(api, events) == "The answer is 41"
    assert server.count() == 1, "there is no taking back what was shown"
    known = effortctl.info(stream)
    assert (known.attempts, known.accepted, known.managed) == (1, False, True)
    assert known.trace.attempts[0].verdict.status == "fail"
    assert known.cost_usd == streams.booked


def test_an_accepted_stream_says_so(server, kind, api):
    stream, _ = Streams(server, kind, verify="number:41").read(api, model="auto")
    assert effortctl.info(stream).verified


@pytest.mark.parametrize("fault", ["429:retry-after=1", "500", "disconnect"])
def test_before_the_first_token_faults_are_retried(server, kind, api, fault):
    streams = Streams(server, kind)
    server.script([fault])
    stream, events = streams.read(api, model="auto")
    assert shown(api, events) == "The answer is 41"
    assert effortctl.info(stream).trace.calls == 2


def test_before_the_first_token_another_arm_may_answer(server, kind, api):
    streams = Streams(server, kind)
    server.script(["500"] * 3)
    stream, events = streams.read(api, model="auto")
    assert shown(api, events) == "The answer is 41"
    assert effortctl.info(stream).arm == "gpt-6-luna@medium"


@pytest.mark.parametrize("fault", ["stream-cut", "stream-cut-chunked", "stream-reset"])
def test_after_the_first_token_a_cut_is_an_error_and_estimated(server, kind, api, fault):
    streams = Streams(server, kind)
    server.script([fault])
    with pytest.raises(effortctl.BackendError, match="shown already") as caught:
        streams.read(api, model="auto")
    assert server.count() == 1
    (entry,) = streams.entries
    assert entry.estimated
    assert entry.cost_usd > 0
    assert effortctl.info(caught.value).estimated


def test_truncation_is_an_error_after_what_there_was(server, kind, api):
    streams = Streams(server, kind)
    server.script(["truncated"])
    with pytest.raises(NotAcceptedError, match="cut off at"):
        streams.read(api, model="auto")
    assert server.count() == 1
    assert streams.booked > 0


def test_a_managed_stream_the_caller_closes_is_booked(server, kind, api):
    server.script(["stream-slow"])
    streams = Streams(server, kind)
    stream, _ = streams.read(api, model="auto", most=2)
    known = effortctl.info(stream)
    assert known.estimated
    assert known.cost_usd == streams.booked > 0


def test_a_rejected_managed_stream_raises_ours_when_it_is_made(server, kind, api):
    server.script(["401"])
    with pytest.raises(effortctl.BackendError, match="refused the key"):
        Streams(server, kind).read(api, model="auto")


def test_a_budget_stops_a_stream_before_it_begins(server, kind, api):
    for name in ("auto", "gpt-6-sol"):
        with pytest.raises(effortctl.BudgetExceededError):
            Streams(server, kind, budget="$0.0000001").read(api, model=name)
    assert server.count() == 0


# --- buffer_until_verified -------------------------------------------------------------------------


def held(server, kind, **options):
    return Streams(server, kind, stream="buffer_until_verified", **options)


def test_nothing_is_shown_before_its_check_has_passed(server, kind, api):
    streams = held(server, kind, verify="number:408")
    stream, events = streams.read(api, model="auto")
    assert shown(api, events) == "The answer is 408"
    known = effortctl.info(stream)
    assert (known.attempts, known.verified) == (3, True)
    assert known.cost_usd == streams.booked
    assert not any(entry.estimated for entry in streams.entries)


def test_a_stream_no_arm_passes_raises_when_it_is_made(server, kind, api):
    with pytest.raises(NotAcceptedError):
        held(server, kind, verify="number:1").read(api, model="auto")
    assert server.count() == 3


def test_or_the_best_one_is_played(server, kind, api):
    streams = held(server, kind, verify="number:1", on_not_accepted="return")
    stream, events = streams.read(api, model="auto")
    assert shown(api, events).startswith("The answer is")
    assert not effortctl.info(stream).accepted


def test_a_held_stream_that_is_cut_is_tried_again(server, kind, api):
    server.script(["stream-cut"])
    streams = held(server, kind)
    stream, events = streams.read(api, model="auto")
    assert shown(api, events) == "The answer is 41"
    assert effortctl.info(stream).trace.calls == 2


@pytest.mark.parametrize("mode", ["commit_first", "buffer_until_verified"])
def test_the_helpers_work_on_managed_streams(server, api, mode):
    client = effortctl.wrap(
        openai.OpenAI(base_url=server.base_url, api_key="k"), ladder=LADDER, stream=mode
    )
    with client, API[api](client).stream(model="auto", **ASK[api]) as stream:
        final = stream.get_final_response() if api == "responses" else stream.get_final_completion()
    text = final.output_text if api == "responses" else final.choices[0].message.content
    assert text == "The answer is 41"
    assert effortctl.info(final).arm == "gpt-6-luna@none"


@pytest.mark.parametrize("mode", ["commit_first", "buffer_until_verified"])
def test_the_async_helpers_work_on_managed_streams(server, api, mode):
    async def run():
        inner = openai.AsyncOpenAI(base_url=server.base_url, api_key="k")
        async with (
            effortctl.wrap(inner, ladder=LADDER, stream=mode) as client,
            API[api](client).stream(model="auto", **ASK[api]) as stream,
        ):
            name = "get_final_response" if api == "responses" else "get_final_completion"
            final = await getattr(stream, name)()
        return effortctl.info(final).arm

    assert asyncio.run(run()) == "gpt-6-luna@none"


def test_a_stream_that_is_not_over_is_not_known_yet(server):
    client = effortctl.wrap(openai.OpenAI(base_url=server.base_url, api_key="k"))
    stream = client.responses.create(model="gpt-6-sol", input="x", stream=True)
    with client, stream:
        next(iter(stream))
        with pytest.raises(effortctl.ConfigError, match="once it is over"):
            effortctl.info(stream)


def test_many_streams_at_once_do_not_mix(server):
    async def one(client, number):
        stream = await client.responses.create(
            model="auto" if number % 2 else "gpt-6-sol", input=f"{PROMPT} {number}", stream=True
        )
        events = [event async for event in stream]
        return shown("responses", events), effortctl.info(stream).managed

    async def run():
        inner = openai.AsyncOpenAI(base_url=server.base_url, api_key="k")
        async with effortctl.wrap(inner, ladder=LADDER) as client:
            return await asyncio.gather(*(one(client, n) for n in range(40)))

    assert asyncio.run(run()) == [("The answer is 41", bool(n % 2)) for n in range(40)]


@pytest.mark.parametrize("name", ["auto", "gpt-6-sol"])
def test_a_stream_nobody_reads_to_its_end_does_not_keep_its_reservation(server, name):
    ledger = MemoryLedger()
    budget = effortctl.Budget(limit_usd=Decimal(5), scope="team")
    client = effortctl.wrap(
        openai.OpenAI(base_url=server.base_url, api_key="k"),
        ladder=LADDER,
        ledger=ledger,
        budget=budget,
    )
    stream = client.responses.create(model=name, input=PROMPT, stream=True, max_output_tokens=200)
    next(iter(stream))
    del stream
    deadline = time.monotonic() + 10
    while ledger.reserved(budget) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert ledger.reserved(budget) == 0
    assert ledger.spent(budget) > 0
    client.close()
