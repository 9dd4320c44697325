"""The generated pages are as new as what they are generated from."""

from __future__ import annotations

import re

import pytest
from docs_pages import DOCS
from docs_scripts import load

import effortctl

STALE = "is out of date; run: make reference"


def test_the_reference_of_the_command_line_is_up_to_date():
    assert (DOCS / "cli.md").read_text("utf-8") == load("make_cli").page(), f"docs/cli.md {STALE}"


def test_the_reference_of_the_library_is_up_to_date():
    pytest.importorskip("griffe", reason="needs effortctl[docs]")
    wanted = load("make_api").pages()
    have = {f"api/{file.name}" for file in (DOCS / "api").glob("*.md")} | {"api.md"}
    assert have == set(wanted)
    stale = [name for name, text in wanted.items() if (DOCS / name).read_text("utf-8") != text]
    assert not stale, f"{stale} {STALE}"


def test_every_command_and_every_public_name_has_an_entry():
    cli = (DOCS / "cli.md").read_text("utf-8")
    program = load("make_cli").get_command(load("make_cli").app)
    for path, _ in load("make_cli").leaves(program, ()):
        assert f"\n## effortctl {' '.join(path)}\n" in cli
    listed = re.findall(
        r"^## (\w+)$", (DOCS / "api" / "effortctl.md").read_text("utf-8"), re.MULTILINE
    )
    assert set(listed) == {name for name in effortctl.__all__ if name != "__version__"}


def test_examples_in_docstrings_are_python():
    texts = [file.read_text("utf-8") for file in (DOCS / "api").glob("*.md")]
    examples = [
        code
        for text in texts
        for code in re.findall(
            r"\*\*Example\*\*\n\n```py\n(.*?)^```", text, re.DOTALL | re.MULTILINE
        )
    ]
    assert len(examples) >= 5
    for code in examples:
        compile(code, "example", "exec")
