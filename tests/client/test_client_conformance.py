"""A wrapped client returns what the bare client returns, sends what it sends, raises what it raises."""

from __future__ import annotations

import asyncio
import contextlib

import openai
import pytest
from sdk_calls import API, CREATES, HELPERS, STREAMS, USER

import effortctl
from effortctl.testing import MockReply, MockServer

MODEL = "gpt-6-luna"
CHANGES = {"created", "created_at"}
HEADERS = {"content-length", "host", "x-stainless-read-timeout"}


def model(request):
    """Answers by what is asked: an invoice, a tool call, or ok."""
    if request.text.endswith("bill"):
        return '{"number": "A1", "total": 9.5}'
    if request.text.endswith("call"):
        return MockReply(tool_calls=(("weather", '{"city": "Oslo"}'),))
    return "ok, it is done"


def plain(value):
    """A result as comparable data: types all the way down, without the moment it was made."""
    if isinstance(value, openai.BaseModel):
        fields = {name: plain(getattr(value, name)) for name in sorted(value.model_fields_set)}
        return type(value).__name__, {k: v for k, v in fields.items() if k not in CHANGES}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {k: plain(item) for k, item in value.items() if k not in CHANGES}
    return type(value).__name__, value


def outcome(call):
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


def sent(server):
    return [
        (hit.path, hit.body, {k: v for k, v in hit.headers.items() if k not in HEADERS})
        for hit in server.hits
    ]


@contextlib.contextmanager
def both(kind=openai.OpenAI, **options):
    """A bare and a wrapped client, each at a server of its own that answers alike."""
    with MockServer(model) as one, MockServer(model) as two:
        bare = kind(base_url=one.base_url, api_key="k", max_retries=0)
        inner = kind(base_url=two.base_url, api_key="k", max_retries=0)
        wrapped = effortctl.wrap(inner, **options)
        yield (bare, one), (wrapped, two)


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda c: "-".join(map(str, c[:-1])))


def test_the_table_has_at_least_sixty_calls():
    assert len(CREATES) + len(STREAMS) + len(HELPERS) >= 60


@named(CREATES)
def test_a_call_returns_and_sends_the_same(case):
    api, method, _, kwargs = case
    seen = []
    with both() as clients:
        for client, server in clients:
            call = getattr(API[api](client), method)
            result = outcome(lambda call=call: call(model=MODEL, **kwargs))
            seen.append((plain(result), getattr(result, "_request_id", None), sent(server)))
            client.close()
    assert seen[0] == seen[1]


@named(CREATES)
def test_an_async_call_returns_and_sends_the_same(case):
    api, method, _, kwargs = case

    async def run(client, server):
        call = getattr(API[api](client), method)
        try:
            result = await call(model=MODEL, **kwargs)
        except Exception as error:
            result = type(error), str(error)
        await client.close()
        return plain(result), getattr(result, "_request_id", None), sent(server)

    with both(openai.AsyncOpenAI) as (bare, wrapped):
        assert asyncio.run(run(*bare)) == asyncio.run(run(*wrapped))


def without_usage_wish(requests):
    """Bodies without what a wrapped client adds to every chat stream."""
    return [
        (path, {k: v for k, v in body.items() if k != "stream_options"})
        for path, body, _ in requests
    ]


@named(STREAMS)
def test_a_stream_yields_the_same_events(case):
    api, _, _, kwargs = case
    seen = []
    with both() as clients:
        for client, server in clients:
            stream = API[api](client).create(model=MODEL, stream=True, **kwargs)
            assert isinstance(stream, openai.Stream)
            seen.append((plain(list(stream)), without_usage_wish(sent(server))))
            client.close()
    assert seen[0] == seen[1]


@named(STREAMS)
def test_an_async_stream_yields_the_same_events(case):
    api, _, _, kwargs = case

    async def run(client, server):
        stream = await API[api](client).create(model=MODEL, stream=True, **kwargs)
        assert isinstance(stream, openai.AsyncStream)
        events = [event async for event in stream]
        await client.close()
        return plain(events), without_usage_wish(sent(server))

    with both(openai.AsyncOpenAI) as (bare, wrapped):
        assert asyncio.run(run(*bare)) == asyncio.run(run(*wrapped))


@named(HELPERS)
def test_the_stream_helper_gives_the_same_events_and_final_response(case):
    api, _, kwargs = case
    seen = []
    with both() as clients:
        for client, _ in clients:
            with API[api](client).stream(model=MODEL, **kwargs) as stream:
                events = list(stream)
                final = getattr(
                    stream, "get_final_response" if api == "responses" else "get_final_completion"
                )()
            seen.append((type(stream), plain(events), plain(final)))
            client.close()
    assert seen[0] == seen[1]


@named(HELPERS)
def test_the_async_stream_helper_gives_the_same_events_and_final_response(case):
    api, _, kwargs = case

    async def run(client):
        async with API[api](client).stream(model=MODEL, **kwargs) as stream:
            events = [event async for event in stream]
            name = "get_final_response" if api == "responses" else "get_final_completion"
            final = await getattr(stream, name)()
        await client.close()
        return type(stream), plain(events), plain(final)

    with both(openai.AsyncOpenAI) as (bare, wrapped):
        assert asyncio.run(run(bare[0])) == asyncio.run(run(wrapped[0]))


@pytest.mark.parametrize(
    "fault",
    [
        "400",
        "401",
        "403",
        "404",
        "429",
        "500",
        "insufficient-quota",
        "html-200",
        "empty-body",
        "malformed-json",
    ],
)
def test_errors_arrive_as_the_sdk_raises_them(fault):
    seen = []
    with both() as clients:
        for client, server in clients:
            server.script([fault])
            result = outcome(lambda client=client: client.responses.create(model=MODEL, input="x"))
            seen.append(plain(result))
            client.close()
    assert seen[0] == seen[1]


def test_the_sdk_keeps_its_own_retries_where_it_is_passed_through():
    with MockServer(model) as server:
        server.script(["429:retry-after=0", "500:retry-after=0"])
        client = effortctl.wrap(openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=2))
        assert client.responses.create(model=MODEL, input="x").output_text
        assert server.count() == 3
        client.close()


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("way", ["with_raw_response", "with_streaming_response"])
def test_raw_responses_pass_through_and_are_booked(api, way):
    ledger = effortctl.stores.MemoryLedger()
    kwargs = {"messages": USER} if api == "chat" else {"input": "x"}
    with both(ledger=ledger) as clients:
        seen = []
        for client, _ in clients:
            made = getattr(API[api](client), way).create(model=MODEL, **kwargs)
            if way == "with_raw_response":
                seen.append((type(made), plain(made.parse())))
            else:
                with made as response:
                    seen.append((type(response), plain(response.parse())))
            client.close()
    assert seen[0] == seen[1]
    (entry,) = ledger.entries()
    assert entry.model == MODEL
    assert not entry.estimated


def test_a_raw_call_reads_and_sends_the_same_whatever_its_options():
    with both() as clients:
        for api, method, name, kwargs in CREATES:
            seen = []
            for client, server in clients:
                call = getattr(API[api](client).with_raw_response, method)
                made = outcome(lambda call=call: call(model=MODEL, **kwargs))  # noqa: B023 - called at once
                seen.append((type(made), plain(made.parse()), made.text[:1], sent(server)[-1]))
            assert seen[0] == seen[1], (api, method, name)
        for client, _ in clients:
            client.close()


def test_a_deadline_and_a_budget_change_nothing_while_they_hold():
    with both(deadline_s=60.0, budget="$5/day") as clients:
        for api, method, name, kwargs in CREATES:
            seen = []
            for client, _ in clients:
                call = getattr(API[api](client), method)
                seen.append(plain(outcome(lambda call=call: call(model=MODEL, **kwargs))))  # noqa: B023 - as above
            assert seen[0] == seen[1], (api, method, name)
        for client, _ in clients:
            client.close()


@named(STREAMS)
def test_a_deadline_and_a_budget_change_no_stream_while_they_hold(case):
    api, _, _, kwargs = case
    seen = []
    with both(deadline_s=60.0, budget="$5/day") as clients:
        for client, _ in clients:
            seen.append(plain(list(API[api](client).create(model=MODEL, stream=True, **kwargs))))
            client.close()
    assert seen[0] == seen[1]


MANAGED = [
    case
    for case in CREATES
    if case[1] == "create" and case[2] in ("plain", "tools", "metadata", "verbosity")
]


@named(MANAGED)
@pytest.mark.parametrize("way", ["create", "raw", "stream"])
def test_a_managed_call_returns_what_the_bare_client_does_for_that_arm(case, way):
    api, method, _, kwargs = case
    cap = {"chat": "max_completion_tokens", "responses": "max_output_tokens"}[api]
    named_arm = {
        "chat": {"reasoning_effort": "none"},
        "responses": {"reasoning": {"effort": "none"}},
    }[api]
    asked = [{"model": MODEL, cap: 2048, **named_arm}, {"model": "auto"}]
    seen = []
    with both(ladder=[f"{MODEL}@none"]) as clients:
        for (client, server), arm in zip(clients, asked, strict=True):
            calls = API[api](client)
            if way == "stream":
                made = calls.create(stream=True, **arm, **kwargs)
                seen.append((isinstance(made, openai.Stream), plain(list(made))))
            elif way == "raw":
                made = calls.with_raw_response.create(**arm, **kwargs)
                seen.append((type(made), plain(made.parse())))
            else:
                made = getattr(calls, method)(**arm, **kwargs)
                seen.append((type(made), plain(made)))
            bodies = [
                {k: v for k, v in h.body.items() if k != "stream_options"} for h in server.hits
            ]
            seen[-1] += (bodies,)
            client.close()
    assert seen[0] == seen[1]


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_an_async_raw_response_is_booked_from_what_was_read(api):
    ledger = effortctl.stores.MemoryLedger()
    kwargs = {"messages": USER} if api == "chat" else {"input": "x"}

    async def run(client):
        async with API[api](client).with_streaming_response.create(model=MODEL, **kwargs) as made:
            parsed = await made.parse()
        await client.close()
        return plain(parsed)

    with both(openai.AsyncOpenAI, ledger=ledger) as (bare, wrapped):
        assert asyncio.run(run(bare[0])) == asyncio.run(run(wrapped[0]))
    (entry,) = ledger.entries()
    assert not entry.estimated


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_raw_stream_that_is_parsed_is_booked_exactly(api):
    ledger = effortctl.stores.MemoryLedger()
    kwargs = {"messages": USER} if api == "chat" else {"input": "x"}
    with both(ledger=ledger) as clients:
        seen = []
        for client, _ in clients:
            raw = API[api](client).with_raw_response.create(model=MODEL, stream=True, **kwargs)
            seen.append(plain(list(raw.parse())))
            client.close()
    assert seen[0] == seen[1]
    (entry,) = ledger.entries()
    assert not entry.estimated


def test_everything_else_is_the_clients_own():
    with both() as ((bare, _), (wrapped, _)):
        assert type(wrapped).__name__ == "OpenAI"
        assert isinstance(wrapped, openai.OpenAI)
        assert plain(list(bare.models.list())) == plain(list(wrapped.models.list()))
        assert wrapped.api_key == bare.api_key
        assert wrapped.embeddings is not None


def test_the_client_that_was_wrapped_is_not_changed():
    with MockServer(model) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="k")
        before = client.chat
        ledger = effortctl.stores.MemoryLedger()
        wrapped = effortctl.wrap(client, ledger=ledger)
        assert client.chat is before
        assert wrapped.chat is not before
        client.responses.create(model=MODEL, input="x")
        assert list(ledger.entries()) == []
        client.close()


def test_copies_stay_wrapped_and_take_the_sdks_options():
    ledger = effortctl.stores.MemoryLedger()
    with both(ledger=ledger) as (_, (wrapped, server)):
        copied = wrapped.with_options(default_headers={"x-team": "blue"}).copy(timeout=3.0)
        assert isinstance(copied, openai.OpenAI)
        assert copied.timeout == 3.0
        copied.responses.create(model=MODEL, input="x")
        assert server.hits[0].headers["x-team"] == "blue"
        assert len(list(ledger.entries())) == 1
        assert effortctl.info(copied.responses.create(model="auto", input="x")).managed
        assert server.hits[-1].headers["x-team"] == "blue"


def test_closing_and_the_context_manager_are_the_sdks_own():
    with MockServer(model) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="k")
        with effortctl.wrap(client) as wrapped:
            wrapped.responses.create(model=MODEL, input="x")
            assert not wrapped.is_closed()
        assert wrapped.is_closed()
        assert client.is_closed(), "they share their connections"


def test_azure_clients_keep_their_urls_and_keys():
    with MockServer(model) as server:
        client = openai.AzureOpenAI(
            azure_endpoint=server.base_url.removesuffix("/v1"),
            api_key="k",
            api_version="2026-10-01",
        )
        wrapped = effortctl.wrap(client)
        assert isinstance(wrapped, openai.AzureOpenAI)
        urls = [str(each._prepare_url("/responses")) for each in (client, wrapped)]
        assert urls[0] == urls[1]
        request = wrapped._build_request(
            openai._models.FinalRequestOptions.construct(
                method="post", url="/chat/completions", json_data={"model": "my-deployment"}
            )
        )
        assert "/deployments/my-deployment/chat/completions" in str(request.url)
        client.close()


def test_wrapping_twice_or_something_else_is_refused():
    client = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k")
    wrapped = effortctl.wrap(client)
    with pytest.raises(effortctl.ConfigError, match="wrapped already"):
        effortctl.wrap(wrapped)
    with pytest.raises(effortctl.ConfigError, match=r"expected an openai\.OpenAI"):
        effortctl.wrap("client")
    client.close()
