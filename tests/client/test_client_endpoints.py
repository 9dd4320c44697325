"""One ladder over several endpoints: each is asked by a client of its own, with a key of its own."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import openai
import pytest
from sdk_calls import API

import effortctl
from effortctl import Arm, BackendError, ConfigError, Endpoint, NotAcceptedError, Price, Session
from effortctl._types import Cost
from effortctl.stores import MemoryLedger
from effortctl.testing import FakeClock, MockServer

FLOOR_KEY, TOP_KEY = "key-of-the-floor", "key-of-the-top"
VARIABLE = "TOP_API_KEY"
PROMPT = "What is 17*24?"
ASK = {
    "chat": {"messages": [{"role": "user", "content": PROMPT}]},
    "responses": {"input": PROMPT},
}
FLOOR, TOP = "small@none", "large@high"
PRICE = Price(input_usd_per_mtok=1, output_usd_per_mtok=1)


class Places:
    """Two servers: the floor answers wrongly, the top rightly."""

    def __init__(self, floor, top):
        self.floor, self.top = floor, top
        self.at_floor = Endpoint(name="floor", base_url=floor.base_url, self_hosted=True)
        self.at_top = Endpoint(name="top", base_url=top.base_url, api_key_env=VARIABLE)

    @property
    def ladder(self):
        return [
            _arm(FLOOR, self.at_floor),
            _arm(TOP, self.at_top, price=Price(input_usd_per_mtok=100, output_usd_per_mtok=100)),
        ]

    def keys(self):
        """Every key that each server got to see."""
        return tuple(
            {hit.headers["authorization"] for hit in server.hits}
            for server in (self.floor, self.top)
        )


class PriceOfEndpoint:
    """A price book that notes whose prices were asked for."""

    def __init__(self):
        self.asked = []

    def cost(self, arm, answer):
        assert arm.price is None or arm.model == "small"
        self.asked.append(arm.endpoint.name)
        return Cost(usd=Decimal(1), source="test")


def _arm(name, endpoint, *, price=PRICE):
    model, _, effort = name.partition("@")
    return Arm(
        name=name,
        model=model,
        effort=effort,
        endpoint=endpoint,
        api="chat" if endpoint.self_hosted else "responses",
        price=price,
        max_output_tokens=2000,
    )


@pytest.fixture
def places(monkeypatch):
    monkeypatch.setenv(VARIABLE, TOP_KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody")
    with MockServer(lambda request: "41") as floor, MockServer(lambda request: "408") as top:
        yield Places(floor, top)


@pytest.fixture(params=["chat", "responses"])
def api(request):
    return request.param


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


def floor_client(places, cls=openai.OpenAI, **options):
    return cls(base_url=places.floor.base_url, api_key=FLOOR_KEY, max_retries=0, **options)


def wrapped(places, cls=openai.OpenAI, **options):
    options = {"ladder": places.ladder, "verify": "number:408"} | options
    return effortctl.wrap(floor_client(places, cls), **options)


def call(places, kind, api, options, **kwargs):
    """What one call returns, a stream as the list of its events, and what is known of it."""
    if kind == "sync":
        with wrapped(places, **options) as client:
            reply = API[api](client).create(**kwargs)
            events = list(reply) if kwargs.get("stream") else reply
            return events, effortctl.info(reply)

    async def main():
        async with wrapped(places, openai.AsyncOpenAI, **options) as client:
            reply = await API[api](client).create(**kwargs)
            events = [event async for event in reply] if kwargs.get("stream") else reply
            return events, effortctl.info(reply)

    return asyncio.run(main())


def text_of(api, reply):
    return reply.choices[0].message.content if api == "chat" else reply.output_text


def streamed(api, events):
    if api == "chat":
        return "".join(e.choices[0].delta.content or "" for e in events if e.choices)
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


def test_a_failed_check_at_the_floor_escalates_to_the_other_endpoint(places, kind, api):
    ledger = MemoryLedger()
    reply, known = call(places, kind, api, {"ledger": ledger}, model="auto", **ASK[api])
    assert text_of(api, reply) == "408"
    assert (known.arm, known.attempts, known.verified) == (TOP, 2, True)
    assert places.keys() == ({f"Bearer {FLOOR_KEY}"}, {f"Bearer {TOP_KEY}"})
    booked = list(ledger.entries())
    assert [(entry.arm, entry.model) for entry in booked] == [(FLOOR, "small"), (TOP, "large")]
    tokens = [entry.input_tokens + entry.output_tokens for entry in booked]
    assert [entry.cost_usd for entry in booked] == [
        Decimal(tokens[0] * 1) / 1_000_000,
        Decimal(tokens[1] * 100) / 1_000_000,
    ]
    assert known.cost_usd == sum(entry.cost_usd for entry in booked)


def test_a_stream_comes_from_the_answer_that_passed_where_it_is_held_back(places, kind, api):
    options = {"stream": "buffer_until_verified"}
    events, known = call(places, kind, api, options, model="auto", stream=True, **ASK[api])
    assert streamed(api, events) == "408"
    assert known.arm == TOP
    assert places.keys() == ({f"Bearer {FLOOR_KEY}"}, {f"Bearer {TOP_KEY}"})


def test_a_stream_that_is_shown_at_once_moves_on_from_a_floor_that_is_down(places, kind, api):
    places.floor.script(["503"] * 3)
    clock = FakeClock()
    sleep = clock.sleep if kind == "sync" else clock.asleep
    events, known = call(places, kind, api, {"sleep": sleep}, model="auto", stream=True, **ASK[api])
    assert streamed(api, events) == "408"
    assert known.arm == TOP
    assert places.keys() == ({f"Bearer {FLOOR_KEY}"}, {f"Bearer {TOP_KEY}"})


def test_a_stream_that_is_shown_at_once_stays_with_the_first_arm_that_speaks(places, kind, api):
    events, known = call(places, kind, api, {}, model="auto", stream=True, **ASK[api])
    assert streamed(api, events) == "41"
    assert (known.arm, known.verified) == (FLOOR, False)
    assert not places.top.hits


def test_headers_and_query_of_the_caller_go_to_the_clients_own_endpoint_only(places, kind, api):
    secret = {"extra_headers": {"authorization": "Bearer mine", "api-key": "mine", "x-mine": "1"}}
    query = {"extra_query": {"key": "mine"}}
    call(places, kind, api, {}, model="auto", **ASK[api], **secret, **query)
    (floor,), (top,) = places.floor.hits, places.top.hits
    assert floor.headers["authorization"] == "Bearer mine"
    assert top.headers["authorization"] == f"Bearer {TOP_KEY}"
    assert not [value for value in top.headers.values() if "mine" in value]
    assert not {"api-key", "x-mine", "openai-organization"} & set(top.headers)


def test_an_endpoint_without_a_key_gets_none(places, api):
    client = openai.OpenAI(base_url=places.top.base_url, api_key=TOP_KEY)
    with effortctl.wrap(client, ladder=places.ladder, verify="number:408") as wrapped_client:
        API[api](wrapped_client).create(model="auto", **ASK[api])
    assert TOP_KEY not in str([hit.headers for hit in places.floor.hits])
    assert places.top.hits[0].headers["authorization"] == f"Bearer {TOP_KEY}"


def test_a_raw_reply_of_another_endpoint_is_read_as_any_other(places, api):
    with wrapped(places) as client:
        raw = API[api](client).with_raw_response.create(model="auto", **ASK[api])
    assert raw.headers["x-effortctl-arm"] == TOP
    assert text_of(api, raw.parse()) == "408"
    assert places.top.hits[0].headers["authorization"] == f"Bearer {TOP_KEY}"


def test_a_call_that_names_its_model_goes_to_the_client_given(places, kind, api):
    prices = PriceOfEndpoint()
    call(places, kind, api, {"prices": prices}, model="small", **ASK[api])
    call(places, kind, api, {"prices": prices}, model="large", **ASK[api])
    assert [hit.model for hit in places.floor.hits] == ["small", "large"]
    assert not places.top.hits
    assert prices.asked == ["floor", "floor"], "the price of a model elsewhere says nothing here"


def test_a_client_of_the_callers_own_is_used_and_left_open(places, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    other = openai.OpenAI(base_url=places.top.base_url, api_key="my-own")
    with wrapped(places, clients={"top": other}) as client:
        reply = client.responses.create(model="auto", input=PROMPT)
    assert reply.output_text == "408"
    assert places.top.hits[0].headers["authorization"] == "Bearer my-own"
    assert not other.is_closed()
    assert other.max_retries == openai.DEFAULT_MAX_RETRIES
    other.close()


def test_closing_the_wrapped_client_closes_the_clients_it_made(places):
    client = wrapped(places)
    made = client.__dict__["_effortctl_settings"].clients.backends["top"].client
    client.close()
    assert made.is_closed()


@pytest.mark.parametrize("is_given", [False, True])
def test_the_timeout_of_the_client_holds_where_the_caller_has_no_client_of_his_own(
    places, is_given
):
    other = openai.OpenAI(base_url=places.top.base_url, api_key=TOP_KEY, timeout=44)
    with wrapped(places, clients={"top": other} if is_given else None) as client:
        asking = client.__dict__["_effortctl_settings"].clients.backends["top"].client
        seen, post = [], asking.post

        def spy(path, *, options, **how):
            seen.append(options.get("timeout", asking.timeout))
            return post(path, options=options, **how)

        asking.post = spy
        client.with_options(timeout=33).responses.create(model="auto", input=PROMPT)
        client.responses.create(model="auto", input=PROMPT, timeout=22)
    other.close()
    assert seen == [44 if is_given else 33, 22]


def test_a_missing_key_is_told_at_once_by_the_name_of_its_variable(places, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ConfigError, match=f"'top' needs a key: set .* {VARIABLE}"):
        wrapped(places)


def test_the_wrapped_clients_endpoint_is_found_by_its_address(places):
    for host in ("127.0.0.1", "localhost"):
        url = places.top.base_url.replace("127.0.0.1", host) + "/"
        client = effortctl.wrap(openai.OpenAI(base_url=url, api_key=TOP_KEY), ladder=places.ladder)
        assert client.__dict__["_effortctl_settings"].endpoint.name == "top"


def test_an_endpoint_without_an_address_is_where_the_client_is(places):
    nowhere = Endpoint(name="gateway")
    ladder = [_arm(FLOOR, places.at_floor), _arm(TOP, nowhere)]
    client = openai.OpenAI(base_url=places.top.base_url, api_key=TOP_KEY)
    reply = effortctl.wrap(client, ladder=ladder, verify="number:408").responses.create(
        model="auto", input=PROMPT
    )
    assert reply.output_text == "408"


def test_a_client_of_no_endpoint_of_the_ladder_is_refused_until_it_is_named(places):
    client = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k")
    with pytest.raises(ConfigError, match=r"cannot be told which endpoint .* clients="):
        effortctl.wrap(client, ladder=places.ladder)
    named = effortctl.wrap(client, ladder=places.ladder, clients={"top": client})
    assert named.__dict__["_effortctl_settings"].endpoint.name == "top"


def test_clients_that_make_no_sense_are_refused(places):
    other = openai.OpenAI(base_url=places.top.base_url, api_key="k")
    with pytest.raises(ConfigError, match="clients= names tpo"):
        wrapped(places, clients={"tpo": other})
    with pytest.raises(ConfigError, match=r"expected an openai\.OpenAI"):
        wrapped(places, clients={"top": openai.AsyncOpenAI(api_key="k")})
    with pytest.raises(ConfigError, match="wrapped already"):
        wrapped(places, clients={"top": effortctl.wrap(other, ladder=[places.ladder[1]])})
    inside = Endpoint(name="inside", kind="local")
    with pytest.raises(ConfigError, match="'inside' is not asked over HTTP"):
        wrapped(places, ladder=[*places.ladder, _arm("tiny@none", inside)])


def test_a_follow_up_stays_where_its_previous_response_is_kept(places):
    with wrapped(places) as client:
        first = client.responses.create(model="auto", input=PROMPT)
        client.responses.create(model="auto", input="Sure?", previous_response_id=first.id)
        assert [len(places.floor.hits), len(places.top.hits)] == [1, 2]
        assert places.top.hits[-1].body["previous_response_id"] == first.id
        with pytest.raises(ConfigError, match=r"given by endpoint 'top'.*goes to 'floor'"):
            client.responses.create(model="small", input="Sure?", previous_response_id=first.id)
        with pytest.raises(ConfigError, match="known to endpoint 'top' only"):
            client.responses.create(
                model="auto",
                reasoning={"effort": "none"},
                input="Sure?",
                previous_response_id=first.id,
            )
    assert len(places.floor.hits) == 1


def test_a_previous_response_nobody_knows_is_taken_for_one_of_the_clients_endpoint(places):
    with wrapped(places) as client, pytest.raises(NotAcceptedError):
        client.responses.create(model="auto", input="Sure?", previous_response_id="resp_1")
    assert not places.top.hits


def test_an_endpoint_out_of_credit_does_not_stop_the_other(places, kind, api):
    places.floor.script(["insufficient-quota"])
    clock = FakeClock()

    def both(client):
        return [API[api](client).create(model="auto", **ASK[api]) for _ in range(2)]

    if kind == "sync":
        with wrapped(places, clock=clock) as client:
            replies = both(client)
            with pytest.raises(openai.RateLimitError):
                API[api](client).create(model="small", **ASK[api])
    else:

        async def main():
            async with wrapped(places, openai.AsyncOpenAI, clock=clock) as client:
                replies = [await each for each in both(client)]
                with pytest.raises(openai.RateLimitError):
                    await API[api](client).create(model="small", **ASK[api])
                return replies

        replies = asyncio.run(main())
    assert [text_of(api, reply) for reply in replies] == ["408", "408"]
    assert [len(places.floor.hits), len(places.top.hits)] == [1, 2]


def test_credit_missing_at_the_other_endpoint_leaves_the_clients_own_calls_alone(places):
    places.top.script(["insufficient-quota"], repeat=True)
    with wrapped(places) as client:
        with pytest.raises(BackendError):
            client.responses.create(model="auto", input=PROMPT)
        assert client.responses.create(model="small", input=PROMPT).output_text == "41"


def test_tools_are_put_to_responses_at_the_other_endpoint_where_its_model_wants_that(places):
    ladder = [
        _arm(FLOOR, places.at_floor),
        _arm("gpt-6-luna@high", places.at_top),
    ]
    function = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    with wrapped(places, ladder=ladder) as client:
        reply = client.chat.completions.create(model="auto", tools=tools, **ASK["chat"])
    assert reply.choices[0].message.content == "408"
    assert [hit.path for hit in (*places.floor.hits, *places.top.hits)] == [
        "/v1/chat/completions",
        "/v1/responses",
    ]
    assert places.keys() == ({f"Bearer {FLOOR_KEY}"}, {f"Bearer {TOP_KEY}"})


def test_an_endpoint_that_does_not_know_responses_is_told_of(places):
    places.floor.script(["404"])
    with wrapped(places) as client, pytest.raises(BackendError, match="Chat Completions only"):
        client.responses.create(model="auto", input=PROMPT)


def test_a_check_that_samples_again_asks_the_endpoint_of_the_answer(places):
    check = effortctl.verifiers.agreement(samples=3)
    ladder = [arm.model_copy(update={"resample_temperature": 1.0}) for arm in places.ladder[1:]]
    ladder = [_arm("small@low", places.at_floor), *ladder]
    with wrapped(places, ladder=ladder, verify=check) as client:
        client.responses.create(model="auto", reasoning={"effort": "high"}, input=PROMPT)
    assert not places.floor.hits
    assert {hit.headers["authorization"] for hit in places.top.hits} == {f"Bearer {TOP_KEY}"}


def test_the_steps_of_a_session_share_money_over_all_endpoints(places):
    options = {"ladder": places.ladder, "verify": "number:408"}
    with Session(floor_client(places), budget="$5", **options) as session:
        session.client.responses.create(model="auto", input=PROMPT)
        (step,) = session.steps
    assert session.spent_usd == step.cost_usd > 0
    assert {attempt.arm for attempt in step.trace.attempts} == {FLOOR, TOP}
