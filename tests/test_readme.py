"""The Python in the README runs, prints what is shown, and its links and commands exist."""

import functools
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.main import get_command

import effortctl
from effortctl import Usage
from effortctl.testing import FakeBackend, answer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHOWN = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^\$ (effortctl [^#\n]*)", README, re.MULTILINE)


def test_the_first_example_escalates_and_prints_what_is_shown(monkeypatch, capsys):
    replies = [
        answer("24", usage=Usage(input_tokens=17, output_tokens=5)),
        answer("408", usage=Usage(input_tokens=61, output_tokens=182, reasoning_tokens=170)),
    ]
    offline = functools.partial(effortctl.Controller, backends={"openai": FakeBackend(replies)})
    monkeypatch.setattr(effortctl, "Controller", offline)
    exec(BLOCKS[0], {})
    assert capsys.readouterr().out == SHOWN[0]


def test_the_decorator_example_asks_the_chosen_arm_and_books_the_reply():
    asked = []

    def create(**request):
        asked.append(request)
        usage = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
        message = {"type": "message", "content": [{"type": "output_text", "text": "select 1"}]}
        reply = {"status": "completed", "output": [message], "usage": usage}
        return SimpleNamespace(output_text="select 1", model_dump=lambda **_: reply)

    names = {
        "adaptive": effortctl.adaptive,
        "ChosenArm": effortctl.ChosenArm,
        "client": SimpleNamespace(responses=SimpleNamespace(create=create)),
        "is_valid_sql": lambda text: text.startswith("select"),
    }
    exec(BLOCKS[1], names)
    outcome = names["ask"].run("top five customers by revenue")
    assert (outcome.value, outcome.verified) == ("select 1", True)
    assert asked[0]["model"] == "gpt-6-luna"
    assert outcome.trace.attempts[0].answer.usage.output_tokens == 4


def test_every_block_is_tried_here():
    assert len(BLOCKS) == 2
    assert len(SHOWN) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists_with_its_options(command):
    from effortctl.cli._app import app

    words = shlex.split(command)[1:]
    found = get_command(app)
    while words and hasattr(found, "commands") and words[0] in found.commands:
        found = found.commands[words.pop(0)]
    runs = not hasattr(found, "commands") or found.invoke_without_command
    assert runs, f"{command}: no such command"
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_every_link_leads_to_a_file():
    targets = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).exists()] == []
