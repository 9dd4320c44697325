"""Tools and schemas that a request asks for are checks of their own; conversations go on."""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from sdk_calls import API, CHAT_TOOL, RESPONSES_TOOL, SCHEMA

import effortctl
from effortctl import ConfigError, NotAcceptedError
from effortctl.policies import PlanPolicy
from effortctl.testing import MockReply, MockServer

LADDER = ["gpt-6-luna@none", "gpt-6-luna@medium", "gpt-6-sol@high"]
TOOL = {"chat": CHAT_TOOL, "responses": RESPONSES_TOOL}
ASK = {
    "chat": {"messages": [{"role": "user", "content": "Weather in Oslo?"}]},
    "responses": {"input": "Weather in Oslo?"},
}


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


@pytest.fixture(params=["chat", "responses"])
def api(request):
    return request.param


def ask(server, kind, api, **kwargs):
    options = {"ladder": LADDER} | kwargs.pop("options", {})
    if kind == "sync":
        with effortctl.wrap(openai.OpenAI(base_url=server.base_url, api_key="k"), **options) as c:
            return API[api](c).create(model="auto", **kwargs)

    async def run():
        inner = openai.AsyncOpenAI(base_url=server.base_url, api_key="k")
        async with effortctl.wrap(inner, **options) as c:
            return await API[api](c).create(model="auto", **kwargs)

    return asyncio.run(run())


def called(reply):
    if hasattr(reply, "choices"):
        calls = reply.choices[0].message.tool_calls or []
        return [(call.function.name, json.loads(call.function.arguments)) for call in calls]
    items = [item for item in reply.output if item.type == "function_call"]
    return [(item.name, json.loads(item.arguments)) for item in items]


def calls_with(*by_effort):
    """A model that calls with these (name, arguments), weakest effort first."""
    order = ["none", "medium", "high"]

    def model(request):
        index = min(order.index(request.effort), len(by_effort) - 1)
        return MockReply(tool_calls=(by_effort[index],))

    return model


GOOD = ("weather", '{"city": "Oslo"}')


def test_a_right_tool_call_comes_back_at_once(kind, api):
    with MockServer(calls_with(GOOD)) as server:
        reply = ask(server, kind, api, tools=[TOOL[api]], **ASK[api])
    assert called(reply) == [("weather", {"city": "Oslo"})]
    known = effortctl.info(reply)
    assert (known.attempts, known.verified) == (1, True)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (("weather", '{"town": "Oslo"}'), "'city' is a required property"),
        (("weather", '{"city": 5}'), "5 is not of type 'string'"),
        (("weather", '{"city": '), "not valid JSON"),
        (("weather", '["Oslo"]'), "must be one JSON object"),
        (("wether", '{"city": "Oslo"}'), "There is no tool 'wether'; there are: weather."),
    ],
)
def test_a_wrong_tool_call_escalates_with_what_is_wrong(kind, api, bad, told):
    with MockServer(calls_with(bad, GOOD)) as server:
        reply = ask(server, kind, api, tools=[TOOL[api]], **ASK[api])
    assert called(reply) == [("weather", {"city": "Oslo"})]
    assert effortctl.info(reply).attempts == 2
    body = server.hits[1].body  # in Chat Completions the second arm needs the Responses API
    turns = body.get("messages") or body["input"]
    assert bad[0] in turns[1]["content"], "the failed call is shown"
    assert told in turns[2]["content"]


def test_a_tool_call_is_no_answer_so_the_callers_check_is_not_asked(kind, api):
    with MockServer(calls_with(GOOD)) as server:
        options = {"verify": "number:408"}
        reply = ask(server, kind, api, tools=[TOOL[api]], options=options, **ASK[api])
    assert effortctl.info(reply).attempts == 1


def test_an_answer_without_a_call_is_checked_by_the_caller(kind, api):
    with MockServer(lambda r: "408" if r.effort == "high" else "41") as server:
        options = {"verify": "number:408"}
        reply = ask(server, kind, api, tools=[TOOL[api]], options=options, **ASK[api])
    assert effortctl.info(reply).attempts == 3


def responses_only(model):
    """A model that takes tools and effort together in the Responses API only, as the catalog says."""
    return MockServer(model, enforce_catalog=True)


def test_tools_in_chat_go_through_responses_where_chat_refuses_them(kind):
    with responses_only(calls_with(GOOD)) as server:
        options = {"ladder": ["gpt-6-luna@medium"]}
        reply = ask(server, kind, "chat", tools=[CHAT_TOOL], options=options, **ASK["chat"])
        assert [hit.path for hit in server.hits] == ["/v1/responses"]
    assert isinstance(reply, ChatCompletion)
    assert called(reply) == [("weather", {"city": "Oslo"})]
    assert reply.choices[0].finish_reason == "tool_calls"
    billed = server.billed_usage
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (
        billed.input_tokens,
        billed.output_tokens,
    )
    assert reply._request_id
    assert effortctl.info(reply).effort == "medium"


def test_a_tool_result_and_everything_around_it_is_translated(kind):
    talk = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Where is this?"},
                {"type": "image_url", "image_url": {"url": "data:,x", "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    with MockServer(lambda _: '{"number": "A1", "total": 9}') as server:
        reply = ask(
            server,
            kind,
            "chat",
            messages=talk,
            tools=[CHAT_TOOL],
            tool_choice={"type": "function", "function": {"name": "weather"}},
            metadata={"k": "v"},
            verbosity="low",
            max_completion_tokens=700,
            options={"ladder": ["gpt-6-luna@medium"]},
            **FORMAT["chat"],
        )
    (hit,) = server.hits
    assert hit.body["input"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Where is this?"},
                {"type": "input_image", "image_url": "data:,x", "detail": "low"},
            ],
        },
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
    ]
    assert hit.body["tools"][0]["name"] == "weather"
    assert hit.body["tool_choice"] == {"type": "function", "name": "weather"}
    assert hit.body["reasoning"] == {"effort": "medium"}
    assert hit.body["text"]["format"]["type"] == "json_schema"
    assert hit.body["text"]["verbosity"] == "low"
    assert (hit.body["max_output_tokens"], hit.body["store"]) == (700, False)
    assert "messages" not in hit.body
    assert reply.choices[0].message.content == '{"number": "A1", "total": 9}'


@pytest.mark.parametrize("mode", ["commit_first", "buffer_until_verified"])
@pytest.mark.parametrize("said", ["call", "text"])
def test_a_translated_stream_is_a_chat_stream(mode, said):
    model = calls_with(GOOD) if said == "call" else (lambda _: "It rains.")
    with responses_only(model) as server:
        client = effortctl.wrap(
            openai.OpenAI(base_url=server.base_url, api_key="k"),
            ladder=["gpt-6-luna@medium"],
            stream=mode,
        )
        with (
            client,
            client.chat.completions.stream(
                model="auto", tools=[CHAT_TOOL], **ASK["chat"]
            ) as stream,
        ):
            final = stream.get_final_completion()
    message = final.choices[0].message
    if said == "call":
        assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Oslo"}
        assert final.choices[0].finish_reason == "tool_calls"
    else:
        assert message.content == "It rains."
    known = effortctl.info(final)
    assert (known.arm, known.estimated) == ("gpt-6-luna@medium", False)


def test_a_translated_stream_works_in_asyncio_too():
    async def run(server):
        inner = openai.AsyncOpenAI(base_url=server.base_url, api_key="k")
        async with effortctl.wrap(inner, ladder=["gpt-6-luna@medium"]) as client:
            stream = await client.chat.completions.create(
                model="auto", stream=True, tools=[CHAT_TOOL], **ASK["chat"]
            )
            return [chunk async for chunk in stream]

    with responses_only(calls_with(GOOD)) as server:
        chunks = asyncio.run(run(server))
    assert {type(chunk) for chunk in chunks} == {ChatCompletionChunk}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_truncation_is_translated(kind):
    with MockServer(lambda _: "It rains.") as server:
        server.script(["truncated"])
        reply = ask(
            server,
            kind,
            "chat",
            tools=[CHAT_TOOL],
            max_completion_tokens=900,
            options={"ladder": ["gpt-6-luna@medium"], "on_not_accepted": "return"},
            **ASK["chat"],
        )
    assert reply.choices[0].finish_reason == "length"


def test_what_has_no_counterpart_stays_with_arms_that_take_it_in_chat(kind):
    with responses_only(calls_with(GOOD)) as server:
        reply = ask(server, kind, "chat", tools=[CHAT_TOOL], seed=7, **ASK["chat"])
        assert [hit.path for hit in server.hits] == ["/v1/chat/completions"]
        assert effortctl.info(reply).arm == "gpt-6-luna@none"
        with pytest.raises(ConfigError, match="cannot be put to the Responses API"):
            ask(
                server,
                kind,
                "chat",
                tools=[CHAT_TOOL],
                seed=7,
                options={"ladder": ["gpt-6-luna@medium"]},
                **ASK["chat"],
            )


@pytest.mark.parametrize("mode", ["commit_first", "buffer_until_verified"])
def test_streamed_tool_calls_are_checked_where_that_helps(api, mode):
    with MockServer(calls_with(("weather", "{}"), GOOD)) as server:
        client = effortctl.wrap(
            openai.OpenAI(base_url=server.base_url, api_key="k"), ladder=LADDER, stream=mode
        )
        with client:
            stream = API[api](client).create(
                model="auto", stream=True, tools=[TOOL[api]], **ASK[api]
            )
            list(stream)
    known = effortctl.info(stream)
    held = mode == "buffer_until_verified"
    assert (known.attempts, known.accepted) == ((2, True) if held else (1, False))


FORMAT = {
    "chat": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "i", "schema": SCHEMA}}
    },
    "responses": {"text": {"format": {"type": "json_schema", "name": "i", "schema": SCHEMA}}},
}


def test_an_answer_that_breaks_its_schema_escalates(kind, api):
    def model(request):
        good = request.effort != "none"
        return '{"number": "A1", "total": 9}' if good else '{"number": "A1"}'

    with MockServer(model) as server:
        reply = ask(server, kind, api, **FORMAT[api], **ASK[api])
    assert effortctl.info(reply).attempts == 2
    assert "'total' is a required property" in str(server.hits[1].body)


def test_a_schema_that_no_arm_keeps_to_raises(kind, api):
    with MockServer(lambda _: "hello") as server, pytest.raises(NotAcceptedError, match="JSON"):
        ask(server, kind, api, **FORMAT[api], **ASK[api])


# --- conversations ---------------------------------------------------------------------------------


def by_effort(request):
    return "408" if request.effort == "high" else "41"


def wrapped(server, **options):
    inner = openai.OpenAI(base_url=server.base_url, api_key="k")
    return effortctl.wrap(inner, **({"ladder": LADDER} | options))


def test_a_short_follow_up_starts_at_the_arm_that_answered_responses():
    with MockServer(by_effort) as server, wrapped(server, verify="number:408") as client:
        first = client.responses.create(model="auto", input="What is 17*24?")
        then = client.responses.create(
            model="auto", input="And again?", previous_response_id=first.id
        )
        assert effortctl.info(then).attempts == 1
        assert effortctl.info(then).arm == "gpt-6-sol@high"
        assert server.hits[-1].body["previous_response_id"] == first.id


def test_a_short_follow_up_starts_at_the_arm_that_answered_chat():
    with MockServer(by_effort) as server, wrapped(server, verify="number:408") as client:
        talk = [{"role": "user", "content": "What is 17*24?"}]
        first = client.chat.completions.create(model="auto", messages=talk)
        talk += [first.choices[0].message, {"role": "user", "content": "And again?"}]
        then = client.chat.completions.create(model="auto", messages=talk)
        assert effortctl.info(then).arm == "gpt-6-sol@high"
        assert effortctl.info(then).attempts == 1


def test_a_long_follow_up_is_a_task_of_its_own():
    with MockServer(by_effort) as server, wrapped(server, verify="number:408") as client:
        first = client.responses.create(model="auto", input="What is 17*24?")
        then = client.responses.create(
            model="auto", input="And " + "so on " * 60, previous_response_id=first.id
        )
        assert effortctl.info(then).trace.attempts[0].arm == "gpt-6-luna@none"


def test_a_follow_up_that_fails_at_the_warm_arm_goes_up_then_down():
    def model(request):
        wanted = "medium" if "17" in request.text and "again" not in request.text else "none"
        return "408" if request.effort == wanted else "41"

    with MockServer(model) as server, wrapped(server, verify="number:408") as client:
        first = client.responses.create(model="auto", input="What is 17*24?")
        assert effortctl.info(first).arm == "gpt-6-luna@medium"
        then = client.responses.create(model="auto", input="again", previous_response_id=first.id)
        tried = [attempt.arm for attempt in effortctl.info(then).trace.attempts]
        assert tried == ["gpt-6-luna@medium", "gpt-6-sol@high", "gpt-6-luna@none"]


def test_history_the_endpoint_adds_counts_towards_the_worst_case():
    def needed(**more):
        with pytest.raises(effortctl.BudgetExceededError) as caught:
            client.responses.create(
                model="gpt-6-luna", input="x", max_output_tokens=100_000_000, **more
            )
        return caught.value.needed

    with MockServer(by_effort) as server, wrapped(server, budget="$1") as client:
        first = client.responses.create(
            model="gpt-6-luna", input="word " * 4000, max_output_tokens=50
        )
        history = first.usage.total_tokens
        more = needed(previous_response_id=first.id) - needed()
    assert more / history >= Decimal("1e-7"), "an input token of this model costs more than that"


def test_a_learned_policy_is_told_which_arm_is_warm():
    from effortctl._client._policies import warm_arm

    seen = []

    class Policy:
        name = "spy"

        def choose(self, situation):
            seen.append(warm_arm(situation.task))
            return next(iter(situation.arms), None)

    with MockServer(by_effort) as server, wrapped(server, policy=Policy()) as client:
        first = client.responses.create(model="auto", input="What is 17*24?")
        client.responses.create(model="auto", input="And?", previous_response_id=first.id)
    assert seen == [None, "gpt-6-luna@none"]


def test_the_lost_prompt_cache_is_weighed():
    """The same estimates lead to the warm arm when leaving it costs more than it gains."""

    class Known:
        def estimate(self, task, arms):
            costs = {"gpt-6-luna@none": 0.001, "gpt-6-luna@medium": 0.0015, "gpt-6-sol@high": 0.01}
            return {
                arm.name: effortctl.Estimate(arm=arm.name, p_correct=0.9, cost_usd=costs[arm.name])
                for arm in arms
            }

    from effortctl._client._policies import warm_arm

    def second_arm(switch_usd):
        plan = PlanPolicy(value_usd=1.0, switch_usd=switch_usd, warm_arm=warm_arm)
        with (
            MockServer(by_effort) as server,
            wrapped(server, policy=plan, estimator=Known()) as client,
        ):
            first = client.responses.create(
                model="auto", reasoning={"effort": "high"}, input="What is 17*24?"
            )
            then = client.responses.create(
                model="auto", input="And?", previous_response_id=first.id
            )
        return effortctl.info(then).arm

    assert second_arm({}) == "gpt-6-luna@none"
    assert second_arm(dict.fromkeys(LADDER, 0.05)) == "gpt-6-sol@high"


def test_the_estimator_judges_the_conversation_not_its_last_turn():
    seen = []

    class Spy:
        def estimate(self, task, arms):
            seen.append(task.text)
            return {}

    with MockServer(by_effort) as server, wrapped(server, estimator=Spy()) as client:
        first = client.responses.create(model="auto", input="What is 17*24?")
        client.responses.create(model="auto", input="And?", previous_response_id=first.id)
    assert seen == ["What is 17*24?", "What is 17*24?\nAnd?"]


def test_an_answer_nobody_demanded_anything_of_is_not_called_verified(kind, api):
    with MockServer(lambda _: "It rains.") as server:
        reply = ask(server, kind, api, tools=[TOOL[api]], **ASK[api])
    known = effortctl.info(reply)
    assert (known.attempts, known.accepted, known.verified) == (1, True, False)


def test_without_the_schema_library_arguments_are_not_called_checked(monkeypatch, api):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with (
        MockServer(calls_with(("weather", "{}"))) as server,
        pytest.warns(effortctl.EffortctlWarning, match="not checked"),
    ):
        reply = ask(server, "sync", api, tools=[TOOL[api]], **ASK[api])
    assert not effortctl.info(reply).verified


def test_a_policy_that_was_learned_decides(tmp_path, kind):
    learned = effortctl.cold_start(LADDER, value_usd=0.05)
    learned.save(tmp_path / "policy.json")
    seen = []
    for policy in (learned, tmp_path / "policy.json"):
        with MockServer(by_effort) as server:
            options = {"policy": policy, "verify": "number:408", "on_not_accepted": "return"}
            reply = ask(server, kind, "responses", input="What is 17*24?", options=options)
        known = effortctl.info(reply)
        assert known.trace.policy != "ladder"
        seen.append([attempt.arm for attempt in known.trace.attempts])
    assert seen[0] == seen[1]
