"""Raw responses of calls whose model or effort is handed over: the SDK's own types, with our headers."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from openai._legacy_response import LegacyAPIResponse
from openai._response import APIResponse, AsyncAPIResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import ParsedResponse, Response
from sdk_calls import API, CHAT_TOOL, Invoice

import effortctl
from effortctl import NotAcceptedError
from effortctl.stores import MemoryLedger
from effortctl.testing import MockReply, MockServer

LADDER = ["gpt-6-luna@none", "gpt-6-luna@medium"]
ASK = {
    "chat": {"messages": [{"role": "user", "content": "What is 17*24?"}]},
    "responses": {"input": "What is 17*24?"},
}
TYPES = {"chat": ChatCompletion, "responses": Response}
WAYS = ("with_raw_response", "with_streaming_response")
MODES = ("commit_first", "buffer_until_verified")
ALONE = {"with_raw_response": LegacyAPIResponse, "with_streaming_response": APIResponse}
SHARED = {"with_raw_response": LegacyAPIResponse, "with_streaming_response": AsyncAPIResponse}


def by_effort(request):
    return "it is 41" if request.effort == "none" else "it is 408"


@pytest.fixture(params=sorted(API))
def api(request):
    return request.param


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture
def server():
    with MockServer(by_effort) as running:
        yield running
        assert not running.errors


def wrapped(server, cls=openai.OpenAI, **options):
    client = cls(base_url=server.base_url, api_key="k")
    return effortctl.wrap(client, **{"ladder": LADDER, "verify": "number:408"} | options)


def sync_raw(client, api, way, read, **kwargs):
    """What `read` gets of a raw response, and the response."""
    made = getattr(API[api](client), way).create(model="auto", **ASK[api], **kwargs)
    if way == "with_raw_response":
        return read(made), made
    with made as response:
        return read(response), response


async def async_raw(client, api, way, read, **kwargs):
    made = getattr(API[api](client), way).create(model="auto", **ASK[api], **kwargs)
    if way == "with_raw_response":
        response = await made
        return await read(response), response
    async with made as response:
        return await read(response), response


async def parsed(response):
    value = response.parse()
    return value if isinstance(response, LegacyAPIResponse) else await value


def text_of(events, api):
    if api == "chat":
        return "".join(c.choices[0].delta.content or "" for c in events if c.choices)
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


def text_of_lines(lines, api):
    """As `text_of`, from what the endpoint would have sent."""
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    if api == "chat":
        assert data.pop() == "[DONE]"
        deltas = [json.loads(each)["choices"] for each in data]
        return "".join(choice[0]["delta"].get("content") or "" for choice in deltas if choice)
    events = [json.loads(each) for each in data]
    return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


def told(response):
    prefix = "x-effortctl-"
    return {k.removeprefix(prefix): v for k, v in response.headers.items() if k.startswith(prefix)}


def expected(known):
    return {
        "cost-usd": f"{known.cost_usd:f}",
        "attempts": str(known.attempts),
        "decision": known.decision_id,
        "arm": known.arm,
        "effort": known.effort,
        "verified": str(known.verified).lower(),
    }


def test_a_reply_comes_in_the_sdks_own_raw_type_with_headers_that_tell(server, api, way):
    with wrapped(server) as client:
        reply, response = sync_raw(client, api, way, lambda r: r.parse())
        assert type(response) is ALONE[way]
        assert type(reply) is TYPES[api]
        known = effortctl.info(response)
        assert effortctl.info(reply) == known
        assert (known.attempts, known.arm) == (2, LADDER[1])
        assert told(response) == expected(known)
        assert response.status_code == 200
        assert response.request_id == reply._request_id == "req_mock00000002"
        assert json.loads(response.http_response.content)["id"] == reply.id
        assert response.http_response.request.url.path.startswith("/v1/")


def test_an_async_reply_comes_in_the_sdks_own_raw_type_with_headers_that_tell(server, api, way):
    async def go():
        async with wrapped(server, openai.AsyncOpenAI) as client:
            return await async_raw(client, api, way, parsed)

    reply, response = asyncio.run(go())
    assert type(response) is SHARED[way]
    assert type(reply) is TYPES[api]
    assert told(response) == expected(effortctl.info(response))
    assert effortctl.info(reply).attempts == 2


def test_a_raw_reply_that_is_no_stream_can_be_read_in_every_way(server, api):
    with wrapped(server) as client:
        for read in (lambda r: r.json()["id"], lambda r: json.loads(r.read())["id"]):
            name, response = sync_raw(client, api, "with_streaming_response", read)
            assert name == response.parse().id
            assert response.is_closed


def test_a_raw_parse_returns_the_callers_type():
    with (
        MockServer(lambda _: '{"number": "A1", "total": 9.5}') as server,
        wrapped(server, verify=None) as client,
    ):
        raw = client.responses.with_raw_response.parse(
            model="auto", input="bill", text_format=Invoice
        )
        reply = raw.parse()
        assert isinstance(reply, ParsedResponse)
        assert reply.output_parsed == Invoice(number="A1", total=9.5)
        assert effortctl.info(reply).decision_id == told(raw)["decision"]


def test_a_raw_stream_is_the_managed_stream_and_tells_when_it_is_over(server, api, way, mode):
    with wrapped(server, stream=mode) as client:
        events, response = sync_raw(client, api, way, lambda r: list(r.parse()), stream=True)
        assert type(response) is ALONE[way]
        assert isinstance(response.parse(), openai.Stream)
        known = effortctl.info(response)
        assert effortctl.info(response.parse()) == known
        assert told(response) == expected(known)
        assert response.is_closed
    buffered = mode == "buffer_until_verified"
    assert text_of(events, api) == ("it is 408" if buffered else "it is 41")
    assert known.attempts == (2 if buffered else 1)


def test_a_raw_async_stream_is_the_managed_stream(server, api, way, mode):
    async def read(response):
        return [event async for event in await parsed(response)]

    async def go():
        async with wrapped(server, openai.AsyncOpenAI, stream=mode) as client:
            return await async_raw(client, api, way, read, stream=True)

    events, response = asyncio.run(go())
    assert type(response) is SHARED[way]
    assert text_of(events, api) == ("it is 41" if mode == "commit_first" else "it is 408")
    assert told(response) == expected(effortctl.info(response))


def test_the_headers_of_a_stream_that_was_held_back_tell_from_the_start(server, api):
    with wrapped(server, stream="buffer_until_verified") as client:
        before, response = sync_raw(client, api, "with_streaming_response", told, stream=True)
        assert before["verified"] == "true"
        assert before == told(response)


def test_lines_of_a_raw_stream_are_what_the_endpoint_would_have_sent(server, api, mode):
    way = "with_streaming_response"
    with wrapped(server, stream=mode) as client:
        lines, response = sync_raw(client, api, way, lambda r: list(r.iter_lines()), stream=True)
        assert effortctl.info(response).attempts == (1 if mode == "commit_first" else 2)
    assert text_of_lines(lines, api) == ("it is 41" if mode == "commit_first" else "it is 408")


def test_lines_of_a_raw_async_stream_are_what_the_endpoint_would_have_sent(server, api, mode):
    async def read(response):
        return [line async for line in response.iter_lines()]

    async def go():
        async with wrapped(server, openai.AsyncOpenAI, stream=mode) as client:
            return await async_raw(client, api, "with_streaming_response", read, stream=True)

    lines, response = asyncio.run(go())
    assert text_of_lines(lines, api) == ("it is 41" if mode == "commit_first" else "it is 408")
    assert told(response) == expected(effortctl.info(response))


def test_a_raw_stream_can_be_parsed_as_another_stream_type(server, api):
    with wrapped(server) as client:
        raw = API[api](client).with_raw_response.create(model="auto", stream=True, **ASK[api])
        other = openai.Stream[dict[str, object]]
        assert all(isinstance(event, dict) for event in raw.parse(to=other))


def test_leaving_a_raw_stream_early_closes_it_and_books_it(server, api):
    with wrapped(server) as client:
        _, response = sync_raw(
            client, api, "with_streaming_response", lambda r: next(iter(r.parse())), stream=True
        )
        assert response.is_closed
        assert effortctl.info(response).cost_usd > 0


def test_leaving_the_lines_of_a_raw_async_stream_early_closes_it_and_books_it(server, api):
    async def read(response):
        return await anext(response.iter_lines())

    async def go():
        async with wrapped(server, openai.AsyncOpenAI) as client:
            return await async_raw(client, api, "with_streaming_response", read, stream=True)

    _, response = asyncio.run(go())
    assert effortctl.info(response).cost_usd > 0


def test_a_raw_chat_call_that_went_to_responses_reads_as_a_chat_reply(way):
    def calls_tool(_):
        return MockReply(tool_calls=(("weather", '{"city": "Oslo"}'),))

    with (
        MockServer(calls_tool) as server,
        wrapped(server, ladder=["gpt-6-luna@medium"], verify=None) as client,
    ):
        reply, response = sync_raw(client, "chat", way, lambda r: r.parse(), tools=[CHAT_TOOL])
        assert server.hits[0].path.endswith("/responses")
        assert type(reply) is ChatCompletion
        body = json.loads(response.http_response.content)
        assert body["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather"
        assert reply.choices[0].message.tool_calls[0].function.name == "weather"
        lines, _ = sync_raw(
            client,
            "chat",
            "with_streaming_response",
            lambda r: list(r.iter_lines()),
            tools=[CHAT_TOOL],
            stream=True,
        )
        assert lines[0].startswith('data: {"')
        assert '"chat.completion.chunk"' in lines[0]


READS = {
    "lines": lambda r: list(r.iter_lines()),
    "text": lambda r: list(r.iter_text()),
    "small bytes": lambda r: list(r.iter_bytes(7)),
    "everything": lambda r: r.read(),
    "stream": lambda r: list(r.parse()),
    "another stream": lambda r: list(r.parse(to=openai.Stream[dict[str, object]])),
}


@pytest.mark.parametrize("read", sorted(READS))
def test_a_raw_stream_that_passes_through_is_booked_exactly_however_it_is_read(server, api, read):
    ledger = MemoryLedger()
    ask = {"model": "gpt-6-luna", "stream": True, **ASK[api]}
    with wrapped(server, ledger=ledger) as client:
        with API[api](client).with_streaming_response.create(**ask) as response:
            assert READS[read](response)
        (entry,) = ledger.entries()
        assert (entry.estimated, entry.cost_usd > 0) == (False, True)


def test_a_raw_async_stream_that_passes_through_is_booked_exactly_from_its_lines(server, api):
    ledger = MemoryLedger()

    async def go():
        async with (
            wrapped(server, openai.AsyncOpenAI, ledger=ledger) as client,
            API[api](client).with_streaming_response.create(
                model="gpt-6-luna", stream=True, **ASK[api]
            ) as response,
        ):
            return [line async for line in response.iter_lines()]

    lines = asyncio.run(go())
    assert text_of_lines([line for line in lines if '"choices":[]' not in line], api) == "it is 408"
    (entry,) = ledger.entries()
    assert not entry.estimated


def test_a_raw_stream_that_passes_through_and_is_left_early_is_booked_as_estimated(server, api):
    ledger = MemoryLedger()
    ask = {"model": "gpt-6-luna", "stream": True, **ASK[api]}
    with wrapped(server, ledger=ledger) as client:
        with API[api](client).with_streaming_response.create(**ask) as response:
            next(response.iter_lines())
        (entry,) = ledger.entries()
        assert entry.estimated


def test_a_raw_call_without_an_accepted_answer_raises_as_any_other(server, api, way):
    with (
        wrapped(server, verify="number:9") as client,
        pytest.raises(NotAcceptedError) as caught,
    ):
        sync_raw(client, api, way, lambda r: r.parse())
    assert effortctl.info(caught.value).attempts == 2


def test_the_wire_carries_the_callers_headers_beside_the_wish_for_a_raw_reply(server, api):
    extra = {"extra_headers": {"x-team": "blue"}}
    with wrapped(server) as client:
        sync_raw(client, api, "with_streaming_response", lambda r: r.parse(), **extra)
        sync_raw(client, api, "with_raw_response", lambda r: list(r.parse()), stream=True, **extra)
    assert all(hit.headers["x-team"] == "blue" for hit in server.hits)
    assert [hit.headers.get("x-stainless-raw-response") for hit in server.hits] == [
        "true",
        "true",
        None,
    ]
