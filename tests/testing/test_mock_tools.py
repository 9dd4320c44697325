"""The mock server calls tools, in both APIs, at once and as events; the official client reads them."""

import json

import openai
import pytest

from effortctl.testing import MockReply, MockServer

CALLS = (("weather", '{"city": "Oslo"}'), ("time", "{}"))


@pytest.fixture
def client():
    with (
        MockServer(lambda _: MockReply(tool_calls=CALLS)) as server,
        openai.OpenAI(base_url=server.base_url, api_key="k") as made,
    ):
        yield made


def in_chat(completion):
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    return [(call.function.name, call.function.arguments) for call in choice.message.tool_calls]


def in_responses(response):
    assert response.status == "completed"
    return [(i.name, i.arguments) for i in response.output if i.type == "function_call"]


def test_chat_completions_call_tools(client):
    asked = {"model": "gpt-6-sol", "messages": [{"role": "user", "content": "x"}]}
    assert tuple(in_chat(client.chat.completions.create(**asked))) == CALLS
    with client.chat.completions.stream(**asked) as stream:
        assert tuple(in_chat(stream.get_final_completion())) == CALLS


def test_responses_call_tools(client):
    asked = {"model": "gpt-6-sol", "input": "x"}
    assert tuple(in_responses(client.responses.create(**asked))) == CALLS
    with client.responses.stream(**asked) as stream:
        events = list(stream)
        assert tuple(in_responses(stream.get_final_response())) == CALLS
    done = [e for e in events if e.type == "response.function_call_arguments.done"]
    assert [json.loads(event.arguments) for event in done] == [{"city": "Oslo"}, {}]


def test_arguments_count_as_output(client):
    reply = client.responses.create(model="gpt-6-sol", input="x")
    visible = reply.usage.output_tokens - reply.usage.output_tokens_details.reasoning_tokens
    assert visible > 0


def test_text_and_calls_come_together():
    reply = MockReply("Let me see.", tool_calls=CALLS[:1])
    with MockServer(lambda _: reply) as server:
        made = openai.OpenAI(base_url=server.base_url, api_key="k")
        response = made.responses.create(model="gpt-6-sol", input="x")
        made.close()
    assert response.output_text == "Let me see."
    assert in_responses(response) == [CALLS[0]]
