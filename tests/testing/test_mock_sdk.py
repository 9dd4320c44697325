"""The mock server's honest replies are what the openai package expects, strictly validated."""

import asyncio

import openai
import pytest

from effortctl._types import Usage
from effortctl.testing import MockReply, MockServer


def client_of(server: MockServer) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=server.base_url,
        api_key="test",
        max_retries=0,
        _strict_response_validation=True,
    )


def test_a_chat_completion_passes_strict_validation(mock_server):
    with client_of(mock_server) as client:
        reply = client.chat.completions.create(
            model="gpt-6-sol", messages=[{"role": "user", "content": "hi there"}]
        )
    assert reply.choices[0].message.content == "hi there"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_response_passes_strict_validation(mock_server):
    with client_of(mock_server) as client:
        reply = client.responses.create(
            model="gpt-6-sol", input="hi", instructions="be brief", reasoning={"effort": "high"}
        )
    assert reply.output_text == "hi"
    assert reply.status == "completed"
    assert mock_server.hits[0].effort == "high"


def test_decisions_pass_strict_validation_and_follow_the_decider():
    questions = [
        {"type": "predicate", "instructions": "is it right?", "name": "right"},
        {
            "type": "choice",
            "instructions": "which?",
            "choices": [{"value": "a"}, {"value": "b"}, {"value": "c"}],
        },
        {"type": "score", "instructions": "how?", "levels": [{"label": "bad"}, {"label": "good"}]},
        {"type": "predicate", "instructions": "refuse", "name": "no"},
    ]

    def decide(_request, question):
        if question["instructions"] == "refuse":
            return {"type": "refusal"}
        return {"predicate": 0.9, "choice": 0.6, "score": 1.0}[question["type"]]

    with MockServer(decider=decide) as server, client_of(server) as client:
        reply = client.decisions.create(model="gpt-6-luna", input="x", questions=questions)
    right, which, how, refused = reply.answers
    assert (right.name, right.probability) == ("right", 0.9)
    assert which.choice == "a"
    assert sum(share.probability for share in which.probabilities) == pytest.approx(1)
    assert how.score == 1.0
    assert (refused.type, refused.name) == ("refusal", "no")


def test_undirected_decisions_are_probabilities_that_depend_on_the_seed():
    questions = [{"type": "predicate", "instructions": "?"}]

    def ask(seed):
        with MockServer(seed=seed) as server, client_of(server) as client:
            reply = client.decisions.create(model="gpt-6-luna", input="x", questions=questions)
        return reply.answers[0].probability

    assert ask(1) == ask(1) != ask(2)
    assert 0 <= ask(1) <= 1


def test_models_are_listed(mock_server):
    with client_of(mock_server) as client:
        assert "gpt-6-sol" in [model.id for model in client.models.list()]


def test_a_chat_stream_carries_text_finish_and_usage(mock_server):
    text = "a somewhat longer answer, täglich"
    with client_of(mock_server) as client:
        chunks = list(
            client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": text}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(pieces) == text
    assert len(pieces) > 3
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens > 0


def test_a_chat_stream_has_no_usage_unless_asked(mock_server):
    with client_of(mock_server) as client:
        chunks = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        )
        assert all(chunk.usage is None for chunk in chunks)


def test_a_responses_stream_has_the_events_in_order(mock_server):
    with client_of(mock_server) as client:
        events = list(client.responses.create(model="m", input="hello world", stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "hello world" == events[-1].response.output_text
    assert events[-1].response.usage.total_tokens > 0


def test_the_sdks_stream_helper_accumulates_the_same_response(mock_server):
    with (
        client_of(mock_server) as client,
        client.responses.stream(model="m", input="hello world") as stream,
    ):
        stream.until_done()
        assert stream.get_final_response().output_text == "hello world"


@pytest.mark.parametrize(
    ("finish", "reason", "detail"),
    [
        ("truncated", "length", "max_output_tokens"),
        ("filtered", "content_filter", "content_filter"),
    ],
)
def test_incomplete_answers_say_why_in_both_apis(finish, reason, detail):
    with MockServer(lambda _: MockReply("x", finish=finish)) as server, client_of(server) as client:
        chat = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "q"}]
        )
        response = client.responses.create(model="m", input="q")
        streamed = list(client.responses.create(model="m", input="q", stream=True))
    assert chat.choices[0].finish_reason == reason
    assert (response.status, response.incomplete_details.reason) == ("incomplete", detail)
    assert streamed[-1].type == "response.incomplete"


def test_refusals_are_refusals_in_both_apis_and_streams():
    with (
        MockServer(lambda _: MockReply("No.", finish="refused")) as server,
        client_of(server) as client,
    ):
        chat = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "q"}]
        )
        response = client.responses.create(model="m", input="q")
        streamed = list(client.responses.create(model="m", input="q", stream=True))
    assert chat.choices[0].message.refusal == "No."
    assert chat.choices[0].message.content is None
    assert response.output[-1].content[0].refusal == "No."
    assert any(event.type == "response.refusal.done" for event in streamed)


def test_a_reply_may_set_its_usage_and_tier():
    usage = Usage(input_tokens=2000, cached_tokens=1024, output_tokens=9, reasoning_tokens=7)
    reply = MockReply("x", usage=usage, service_tier="flex")
    with MockServer(lambda _: reply) as server, client_of(server) as client:
        response = client.responses.create(model="m", input="q")
        assert server.billed_usage == usage
    assert response.service_tier == "flex"
    assert response.usage.input_tokens_details.cached_tokens == 1024
    assert response.usage.output_tokens_details.reasoning_tokens == 7


def test_the_async_client_is_served_too(mock_server):
    async def ask() -> str:
        async with openai.AsyncOpenAI(
            base_url=mock_server.base_url, api_key="test", max_retries=0
        ) as client:
            reply = await client.responses.create(model="m", input="hi")
            return reply.output_text

    assert asyncio.run(ask()) == "hi"
