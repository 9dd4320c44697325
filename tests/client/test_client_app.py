"""The guide's application works before and after its one line changes, against the mock server."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

import effortctl
from effortctl.testing import MockReply, MockServer

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "openai-app.md"
TEXT = GUIDE.read_text(encoding="utf-8")
APP = re.search(r"^```python app\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)[1]
DIFF = re.search(r"^```diff\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)[1]
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def model(request):
    if "Weather" in request.text:
        return MockReply(tool_calls=(("weather", '{"city": "Oslo"}'),))
    if "Invoice" in request.text:
        return '{"number": "A1", "total": 9.5}'
    return "408"


def after():
    """The application with the guide's diff applied."""
    lines = DIFF.splitlines()
    added = [line[1:] for line in lines if line.startswith("+")]
    (removed,) = [line[1:] for line in lines if line.startswith("-")]
    imported, replaced = added
    assert removed in APP
    return f"{imported}\n{APP.replace(removed, replaced)}"


@pytest.fixture(params=["before", "after"])
def app(request, monkeypatch):
    with MockServer(model) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        names = {"__name__": "chat_app", "server": server, "managed": request.param == "after"}
        source = APP if request.param == "before" else after()
        exec(compile(source, "chat_app.py", "exec"), names)
        yield names
        names["client"].close()


def test_it_asks(app):
    assert app["ask"]("What is 17*24?") == "408"


def test_it_asks_in_asyncio(app):
    async def run():
        async with app["aclient"]:
            return await app["ask_async"]("What is 17*24?")

    assert asyncio.run(run()) == "408"


def test_it_streams(app):
    assert "".join(app["stream"]("What is 17*24?")) == "408"


def test_it_calls_tools(app):
    assert app["tool_calls"]("Weather in Oslo?") == [{"city": "Oslo"}]


def test_it_extracts(app):
    assert app["extract"]("Invoice A1: 9.50") == app["Invoice"](number="A1", total=9.5)


def test_the_change_hands_the_choice_over(app):
    app["ask"]("What is 17*24?")
    asked = app["server"].hits[0].model
    assert asked == ("gpt-6-luna" if app["managed"] else "gpt-6-sol")


def test_the_application_is_as_short_as_the_guide_says():
    lines = [line for line in APP.splitlines() if line.strip()]
    assert len(lines) <= 25


def test_the_guides_example_prints_what_a_reader_would_see(monkeypatch, capsys):
    with MockServer(model) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        for block in BLOCKS:
            names = {}
            exec(compile(block, "openai-app.md", "exec"), names)
            if "client" in names:
                names["client"].close()
    assert capsys.readouterr().out == "408 gpt-6-luna@none 1 True True\n"


def test_every_option_and_field_the_guide_names_exists():
    known = set(dir(effortctl.CallInfo)) | {"trace", "managed"}
    named = "cost_usd attempts arm model effort decision_id accepted verified estimated trace"
    assert set(named.split()) <= known
