"""The guide to verifiers does what it shows, and names figures that are true."""

import re
from pathlib import Path

from judges import INJECTIONS, WEAK

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "verifiers.md"


def test_the_guide_does_what_it_shows(capsys):
    names = {}
    for block in re.findall(
        r"^```python\n(.*?)^```", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    ):
        exec(compile(block, "verifiers.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "Could you wait a moment, please? True"
    assert printed[-1] == "408 2"


def test_the_guide_counts_the_injections_right():
    text = GUIDE.read_text("utf-8")
    assert f"plant {len(INJECTIONS)} such answers" in text
    assert len(WEAK) == 5
