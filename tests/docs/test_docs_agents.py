"""The guide to agents runs, with the real frameworks, against a model that first gets a tool wrong."""

from __future__ import annotations

import asyncio
from json import dumps

import pytest
from docs_pages import DOCS, blocks, without_figures

from effortctl.testing import MockReply, MockServer

PAGE = DOCS / "guides" / "agents.md"


def careless_without_effort(request):
    """Call the tool, by the wrong name of its argument unless it may think; then answer."""
    if '"function_call_output"' in dumps(request.body) or '"tool"' in dumps(request.body):
        return "It is 4 degrees in Oslo."
    if not request.body.get("tools"):
        return "408"
    name = request.body["tools"][0].get("name") or request.body["tools"][0]["function"]["name"]
    argument = "town" if request.effort == "none" else "city"
    return MockReply(tool_calls=((name, f'{{"{argument}": "Oslo"}}'),))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_agents_of_the_guide_do_what_it_shows(tmp_path, monkeypatch, capsys):
    pytest.importorskip("agents", reason="needs openai-agents")
    pytest.importorskip("pydantic_ai", reason="needs pydantic-ai-slim[openai]")
    monkeypatch.chdir(tmp_path)
    names, said = {"__name__": "agents_guide"}, ""
    with MockServer(careless_without_effort) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-pretend")
        for block in blocks(PAGE):
            if block.kind == "python":
                exec(compile(block.text, "agents.md", "exec"), names)
                said = capsys.readouterr().out
            elif block.kind == "text" and block.adjacent:
                assert without_figures(said) == without_figures(block.text)
        assert not server.errors


def test_streams_of_agents_are_managed_where_the_guide_says_so(monkeypatch):
    agents = pytest.importorskip("agents", reason="needs openai-agents")
    pytest.importorskip("pydantic_ai", reason="needs pydantic-ai-slim[openai]")
    from openai import AsyncOpenAI
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    import effortctl

    agents.set_tracing_disabled(True)

    async def typed(model, client):
        agent = Agent(model("auto", provider=OpenAIProvider(openai_client=client)))
        async with agent.run_stream("What is 17*24?") as stream:
            return await stream.get_output()

    async def untyped(model, client):
        agent = agents.Agent(name="a", model=model(model="auto", openai_client=client))
        run = agents.Runner.run_streamed(agent, "What is 17*24?")
        async for _ in run.stream_events():
            pass
        return run.final_output

    async def every():
        async with effortctl.wrap(AsyncOpenAI(), ladder="openai") as client:
            assert await typed(OpenAIChatModel, client) == "408"
            assert await typed(OpenAIResponsesModel, client) == "408"
            assert await untyped(agents.OpenAIChatCompletionsModel, client) == "408"
            assert await untyped(agents.OpenAIResponsesModel, client) == "408"

    with MockServer(lambda request: "408") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-pretend")
        asyncio.run(every())
