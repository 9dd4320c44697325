"""The Python in the README runs, and its commands exist."""

import functools
import re
from pathlib import Path
from types import SimpleNamespace

import effortctl
from effortctl.testing import FakeBackend

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_first_example_escalates_and_prints_its_attempts(monkeypatch, capsys):
    backend = FakeBackend(["24", "408"])
    offline = functools.partial(effortctl.Controller, backends={"openai": backend})
    monkeypatch.setattr(effortctl, "Controller", offline)
    exec(BLOCKS[0], {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("408 True 0.00")
    assert [line.split()[:3] for line in lines[1:]] == [
        ["gpt-6-luna@none", "none", "fail"],
        ["gpt-6-luna@medium", "medium", "pass"],
    ]


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
        "is_valid_sql": lambda answer: answer.startswith("select"),
    }
    exec(BLOCKS[1], names)
    outcome = names["ask"].run("top five customers by revenue")
    assert (outcome.value, outcome.verified) == ("select 1", True)
    assert asked[0]["model"] == "gpt-6-luna"
    assert outcome.trace.attempts[0].answer.usage.output_tokens == 4


def test_every_block_is_tried_here():
    assert len(BLOCKS) == 2
