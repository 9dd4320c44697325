"""Agent frameworks stream through a wrapped client that leaves model and effort to us."""

from __future__ import annotations

import asyncio
from json import dumps

import pytest
from openai import AsyncOpenAI

import effortctl
from effortctl.stores import MemoryLedger
from effortctl.testing import MockReply, MockServer

LADDER = ["gpt-6-luna@none", "gpt-6-luna@medium"]
ANSWER = "It is 4 degrees in Oslo."
MODES = ("commit_first", "buffer_until_verified")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def temperature(city: str) -> str:
    """Degrees Celsius in a city."""
    return f"4 degrees in {city}"


def asks_the_tool_first(request):
    body = dumps(request.body)
    if '"function_call_output"' in body or '"role": "tool"' in body:
        return ANSWER
    tool = request.body["tools"][0]
    name = tool.get("name") or tool["function"]["name"]
    return MockReply(tool_calls=((name, '{"city": "Oslo"}'),))


def agents_with(model):
    async def ask(client):
        agents = pytest.importorskip("agents", reason="needs openai-agents")
        agents.set_tracing_disabled(True)
        agent = agents.Agent(
            name="a",
            model=getattr(agents, model)(model="auto", openai_client=client),
            tools=[agents.function_tool(temperature)],
        )
        run = agents.Runner.run_streamed(agent, "How cold is it in Oslo?")
        raw = [e.data async for e in run.stream_events() if e.type == "raw_response_event"]
        return run.final_output, "".join(
            e.delta for e in raw if e.type == "response.output_text.delta"
        )

    return ask


def pydantic_ai_with(model):
    async def ask(client):
        ai = pytest.importorskip("pydantic_ai", reason="needs pydantic-ai-slim[openai]")
        models = pytest.importorskip("pydantic_ai.models.openai")
        providers = pytest.importorskip("pydantic_ai.providers.openai")
        provider = providers.OpenAIProvider(openai_client=client)
        agent = ai.Agent(getattr(models, model)("auto", provider=provider), tools=[temperature])
        async with agent.run_stream("How cold is it in Oslo?") as run:
            shown = "".join([piece async for piece in run.stream_text(delta=True)])
            return await run.get_output(), shown

    return ask


WAYS = {
    "agents-responses": agents_with("OpenAIResponsesModel"),
    "agents-chat": agents_with("OpenAIChatCompletionsModel"),
    "pydantic-ai-responses": pydantic_ai_with("OpenAIResponsesModel"),
    "pydantic-ai-chat": pydantic_ai_with("OpenAIChatModel"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", sorted(WAYS))
def test_an_agent_streams_its_answer_and_every_step_is_booked(way, mode):
    ledger, traces = MemoryLedger(), []

    class Sink:
        def write(self, trace):
            traces.append(trace)

    async def go(server):
        client = effortctl.wrap(
            AsyncOpenAI(base_url=server.base_url, api_key="k"),
            ladder=LADDER,
            ledger=ledger,
            traces=Sink(),
            stream=mode,
        )
        async with client:
            return await WAYS[way](client)

    with MockServer(asks_the_tool_first) as server:
        assert asyncio.run(go(server)) == (ANSWER, ANSWER)
        assert not server.errors
        assert server.count() == 2
    assert [trace.outcome for trace in traces] == ["accepted", "accepted"]
    entries = list(ledger.entries())
    assert len(entries) == 2
    assert not any(entry.estimated for entry in entries)


@pytest.mark.parametrize("mode", MODES)
def test_the_agents_sdk_sees_the_request_id_of_the_reply_it_streams(mode):
    agents = pytest.importorskip("agents", reason="needs openai-agents")
    agents.set_tracing_disabled(True)

    async def go(server):
        client = effortctl.wrap(
            AsyncOpenAI(base_url=server.base_url, api_key="k"), ladder=LADDER, stream=mode
        )
        async with client:
            model = agents.OpenAIResponsesModel(model="auto", openai_client=client)
            run = agents.Runner.run_streamed(agents.Agent(name="a", model=model), "How cold?")
            async for _ in run.stream_events():
                pass
            return run.raw_responses[0].request_id

    with MockServer(lambda _: ANSWER) as server:
        assert asyncio.run(go(server)) == "req_mock00000001"
