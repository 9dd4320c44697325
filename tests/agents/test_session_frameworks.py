"""Sessions work inside the agent frameworks, through the OpenAI client these take."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from json import dumps

import pytest
from openai import AsyncOpenAI

from effortctl import BudgetExceededError, Session
from effortctl.testing import MockReply, MockServer

LADDER = ["gpt-6-luna@none", "gpt-6-luna@medium", "gpt-6-sol@high"]


def temperature(city: str) -> str:
    """Degrees Celsius in a city."""
    return f"4 degrees in {city}"


def careless_without_effort(request):
    body = dumps(request.body)
    if '"function_call_output"' in body or '"tool"' in body:
        return "It is 4 degrees in Oslo."
    tool = request.body["tools"][0]
    name = tool.get("name") or tool["function"]["name"]
    argument = "town" if request.effort == "none" else "city"
    return MockReply(tool_calls=((name, f'{{"{argument}": "Oslo"}}'),))


def session(server, **options):
    client = AsyncOpenAI(base_url=server.base_url, api_key="k")
    return Session(client, ladder=LADDER, **options)


async def agents_default_client(run):
    agents = pytest.importorskip("agents", reason="needs openai-agents")
    agents.set_tracing_disabled(True)
    agents.set_default_openai_client(run.client, use_for_tracing=False)
    agent = agents.Agent(name="a", model="auto", tools=[agents.function_tool(temperature)])
    return (await agents.Runner.run(agent, "How cold is it in Oslo?")).final_output


def agents_with(model):
    async def ask(run):
        agents = pytest.importorskip("agents", reason="needs openai-agents")
        agents.set_tracing_disabled(True)
        agent = agents.Agent(
            name="a",
            model=getattr(agents, model)(model="auto", openai_client=run.client),
            tools=[agents.function_tool(temperature)],
        )
        return (await agents.Runner.run(agent, "How cold is it in Oslo?")).final_output

    return ask


def pydantic_ai_with(model):
    async def ask(run):
        ai = pytest.importorskip("pydantic_ai", reason="needs pydantic-ai-slim[openai]")
        models = pytest.importorskip("pydantic_ai.models.openai")
        providers = pytest.importorskip("pydantic_ai.providers.openai")
        provider = providers.OpenAIProvider(openai_client=run.client)
        agent = ai.Agent(getattr(models, model)("auto", provider=provider), tools=[temperature])
        return (await agent.run("How cold is it in Oslo?")).output

    return ask


WAYS = {
    "agents-default-client": agents_default_client,
    "agents-responses": agents_with("OpenAIResponsesModel"),
    "agents-chat": agents_with("OpenAIChatCompletionsModel"),
    "pydantic-ai-responses": pydantic_ai_with("OpenAIResponsesModel"),
    "pydantic-ai-chat": pydantic_ai_with("OpenAIChatModel"),
}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(params=sorted(WAYS))
def ask(request):
    return WAYS[request.param]


def run_agent(ask, server, runs=1, **options):
    async def go():
        async with session(server, **options) as run, run.client:
            for _ in range(runs):
                assert await ask(run) == "It is 4 degrees in Oslo."
            run.finish(True)
        return run

    return asyncio.run(go())


def test_a_step_that_got_its_tool_wrong_makes_the_next_one_start_higher(ask):
    with MockServer(careless_without_effort) as server:
        run = run_agent(ask, server)
        assert not server.errors
    first, second = run.steps
    none, medium, _ = LADDER
    assert [each.arm for each in first.trace.attempts] == [none, medium]
    assert [each.arm for each in second.trace.attempts] == [medium]
    assert run.record.escalations == 1
    assert run.record.spent_usd == first.cost_usd + second.cost_usd > 0


def test_the_budget_of_a_session_ends_a_run_before_the_call_that_could_break_it(ask):
    with MockServer(careless_without_effort) as server:
        with pytest.raises(BudgetExceededError):
            run_agent(ask, server, budget="$0.0000001")
        assert not server.hits


def with_a_handoff(request):
    """The first agent hands over; the second looks the temperature up, then answers."""
    body = dumps(request.body)
    if "degrees in Oslo" in body:
        return "It is 4 degrees in Oslo."
    names = [tool.get("name") or tool["function"]["name"] for tool in request.body["tools"]]
    handoff = next((name for name in names if name.startswith("transfer_to")), None)
    if handoff is not None:
        return MockReply(tool_calls=((handoff, "{}"),))
    argument = "town" if request.effort == "none" else "city"
    return MockReply(tool_calls=((names[0], f'{{"{argument}": "Oslo"}}'),))


@pytest.mark.parametrize("model", ["OpenAIResponsesModel", "OpenAIChatCompletionsModel"])
def test_agents_that_hand_over_share_books_and_difficulty(model):
    agents = pytest.importorskip("agents", reason="needs openai-agents")
    agents.set_tracing_disabled(True)

    async def go(server):
        async with session(server) as run, run.client:
            wrapped = getattr(agents, model)(model="auto", openai_client=run.client)
            weather = agents.Agent(
                name="weather", model=wrapped, tools=[agents.function_tool(temperature)]
            )
            triage = agents.Agent(name="triage", model=wrapped, handoffs=[weather])
            result = await agents.Runner.run(triage, "How cold is it in Oslo?")
            assert result.last_agent is weather
            assert result.final_output == "It is 4 degrees in Oslo."
        return run

    with MockServer(with_a_handoff) as server:
        run = asyncio.run(go(server))
        assert not server.errors
    none, medium, _ = LADDER
    tried = [[each.arm for each in step.trace.attempts] for step in run.steps]
    assert tried == [[none], [none, medium], [medium]], (
        "the last step starts where the second ended"
    )
    assert run.spent_usd == sum(step.cost_usd for step in run.steps) > 0


def test_agents_at_the_same_time_never_spend_more_than_the_budget_together(ask):
    limit = Decimal("0.01")  # enough for one call at its worst, far too little for twelve at once

    async def go():
        async with session(server, budget=str(limit)) as run, run.client:
            ended = await asyncio.gather(*(ask(run) for _ in range(12)), return_exceptions=True)
        return run, ended

    with MockServer(careless_without_effort) as server:
        run, ended = asyncio.run(go())
        assert not server.errors
    assert 0 < run.spent_usd == sum(step.cost_usd for step in run.steps) <= limit
    assert {type(each) for each in ended} <= {str, BudgetExceededError}
    assert "It is 4 degrees in Oslo." in ended
