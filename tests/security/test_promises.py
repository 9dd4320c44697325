"""What SECURITY.md and the reliability guide say is there, is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from artefact_formats import FORMATS

from effortctl.testing import FAULTS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "reliability.md"
PAGES = [ROOT / "SECURITY.md", GUIDE]
LINK = re.compile(r"\[([^\]]+)\]\((?!http)([^)#]+)")
ROW = re.compile(r"^\| (?!promise|-)(.+) \|$", re.MULTILINE)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    links = LINK.findall(text_of(page))
    assert len(links) > 10
    for label, target in links:
        found = (page.parent / target).resolve()
        assert found.is_file(), target
        if label.startswith("`"):
            assert label.strip("`") == found.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_is_a_link_and_has_tests(page):
    text = text_of(page)
    linked = {Path(target).name: target for _, target in LINK.findall(text)}
    for name in set(re.findall(r"\btest_\w+\.py\b", text)):
        assert name in linked, name
        assert "\ndef test_" in (page.parent / linked[name]).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_promise_names_the_test_that_keeps_it(page):
    rows = [row.split(" | ") for row in ROW.findall(text_of(page))]
    assert len(rows) >= 12
    for cells in rows:
        assert "test_" in cells[1], cells[0]
        assert len(cells) == (3 if page is GUIDE else 2), cells[0]


def test_figures_of_the_guide_are_those_of_the_committed_run():
    found = json.loads((ROOT / "evals" / "fuzz" / "result.json").read_text(encoding="utf-8"))
    text = text_of(GUIDE)
    for part, kind in (("bodies", "replies"), ("streams", "cuts"), ("wrapped", "cuts")):
        assert found[part]["escapes"] == found[part]["fooled"] == []
        assert f"{found[part][kind]:,}" in text
    assert f"{found['coverage_guided']['replies']:,}" in text
    assert found["coverage_guided"]["crashes"] == 0


def test_counts_in_the_guide_are_those_of_the_tests(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "verifiers"))
    from cheats import CHEATS
    from judges import INJECTIONS
    from test_canaries import KINDS, specs

    text = text_of(GUIDE)
    for words in (
        f"{len(FAULTS)} faults",
        f"0 of {len(CHEATS)}",
        f"accepted of {len(INJECTIONS)}",
        f"{len(FORMATS)} formats",
        f"{len(specs())} situations",
        f"{len(KINDS)} servers",
    ):
        assert words in text


def test_the_example_of_the_guide_runs():
    (code,) = re.findall(r"```python\n(.*?)```", text_of(GUIDE), re.DOTALL)
    exec(compile(code, "reliability.md", "exec"), {})
