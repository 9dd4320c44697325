"""The official Python client, sync and async, talks to `effortctl serve` as to its provider."""

from __future__ import annotations

import asyncio

import openai
import pytest

MESSAGES = [{"role": "user", "content": "What is 17*24?"}]


def by_effort(request):
    return "408" if request.effort == "high" else "41"


def test_auto_escalates_until_the_check_passes_and_headers_tell_so(serve):
    proxy = serve(by_effort, verify=["number:408"])
    raw = proxy.client().chat.completions.with_raw_response.create(
        model="effortctl/auto", messages=MESSAGES
    )
    assert raw.parse().choices[0].message.content == "408"
    assert raw.headers["x-effortctl-attempts"] == "2"
    assert raw.headers["x-effortctl-arm"] == "gpt-6-sol@high"
    assert raw.headers["x-effortctl-effort"] == "high"
    assert raw.headers["x-effortctl-verified"] == "true"
    assert float(raw.headers["x-effortctl-cost-usd"]) > 0
    assert len(raw.headers["x-effortctl-decision"]) == 32


def test_responses_api_answers_too(serve):
    proxy = serve(by_effort)
    reply = proxy.client().responses.create(
        model="effortctl/auto",
        input="What is 17*24?",
        extra_body={"effortctl": {"verify": "number:408"}},
    )
    assert reply.output_text == "408"
    assert [hit.effort for hit in proxy.mock.hits] == ["low", "high"]
    assert "effortctl" not in proxy.mock.hits[0].body


@pytest.mark.parametrize("mode", ["buffer_until_verified", "commit_first"])
def test_a_chat_stream_ends_with_its_usage(serve, mode):
    proxy = serve(lambda request: "one two three", stream=mode)
    stream = proxy.client().chat.completions.create(
        model="effortctl/auto",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "one two three"
    assert chunks[-1].usage.completion_tokens > 0


def test_a_held_back_stream_shows_only_the_answer_that_passed(serve):
    proxy = serve(by_effort, verify=["number:408"])
    with proxy.client().responses.stream(model="effortctl/auto", input="17*24?") as stream:
        shown = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == shown == "408"
    assert len(proxy.mock.hits) == 2


def test_the_async_client_streams_many_at_once(serve):
    proxy = serve(lambda request: "hello there")

    async def ask(client):
        stream = await client.chat.completions.create(
            model="effortctl/auto", messages=MESSAGES, stream=True
        )
        return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    async def main():
        async with proxy.aclient() as client:
            return await asyncio.gather(*(ask(client) for _ in range(20)))

    assert asyncio.run(main()) == ["hello there"] * 20


def test_a_known_model_is_one_arm_and_passes_through(serve):
    proxy = serve(by_effort, verify=["number:7"])
    raw = proxy.client().chat.completions.with_raw_response.create(
        model="gpt-6-sol", reasoning_effort="high", messages=MESSAGES
    )
    assert raw.parse().choices[0].message.content == "408"
    assert raw.headers["x-effortctl-effort"] == "high"
    assert len(proxy.mock.hits) == 1
    assert len(list(proxy.ledger.entries())) == 1


@pytest.mark.parametrize("model", ["gpt-6-sol@high", "gpt-6-sol@low", "gpt-6-luna@low"])
def test_model_at_effort_is_one_arm(serve, model):
    proxy = serve(by_effort)
    raw = proxy.client().responses.with_raw_response.create(model=model, input="17*24?")
    assert raw.headers["x-effortctl-arm"] == model
    (hit,) = proxy.mock.hits
    assert f"{hit.model}@{hit.effort}" == model


def test_a_stream_that_passes_through_tells_its_cost_in_a_comment(serve):
    proxy = serve()
    with proxy.client().chat.completions.with_streaming_response.create(
        model="gpt-6-sol", messages=MESSAGES, stream=True
    ) as raw:
        text = "".join(raw.iter_text())
    assert ": x-effortctl-cost-usd: 0.0" in text
    assert text.endswith("data: [DONE]\n\n")
    assert len(list(proxy.ledger.entries())) == 1


def test_tools_reach_the_model_and_its_calls_come_back(serve):
    from effortctl.testing import MockReply

    proxy = serve(lambda request: MockReply("", tool_calls=(("add", '{"a": 1}'),)))
    tools = [{"type": "function", "name": "add", "parameters": {"type": "object"}}]
    reply = proxy.client().responses.create(model="effortctl/auto", input="Add 1.", tools=tools)
    (call,) = [item for item in reply.output if item.type == "function_call"]
    assert (call.name, call.arguments) == ("add", '{"a": 1}')


@pytest.mark.parametrize(
    "extra",
    [{"functions": [{"name": "add"}]}, {"modalities": ["audio"]}, {"audio": {"voice": "alloy"}}],
)
def test_what_cannot_be_managed_is_a_clear_400(serve, extra):
    with pytest.raises(openai.BadRequestError, match="auto"):
        serve().client().chat.completions.create(
            model="effortctl/auto", messages=MESSAGES, extra_body=extra
        )


def test_tools_stream_in_chat(serve):
    from effortctl.testing import MockReply

    proxy = serve(lambda request: MockReply("", tool_calls=(("add", '{"a": 1}'),)))
    function = {"name": "add", "parameters": {"type": "object"}}
    stream = proxy.client().chat.completions.create(
        model="effortctl/auto",
        messages=MESSAGES,
        tools=[{"type": "function", "function": function}],
        stream=True,
    )
    pieces = [p for c in stream for p in (c.choices[0].delta.tool_calls or [])]
    assert pieces[0].function.name == "add"
    assert "".join(p.function.arguments or "" for p in pieces) == '{"a": 1}'


def test_models_are_listed_with_ours_first(serve):
    client = serve().client()
    ids = [model.id for model in client.models.list()]
    assert ids[0] == "effortctl/auto"
    assert {"gpt-6-luna", "gpt-6-luna@low", "gpt-6-sol@high"} <= set(ids)
    assert client.models.retrieve("effortctl/auto").owned_by == "effortctl"
