"""The site can be built, without a warning and without loading anything from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from docs_pages import DOCS
from docs_scripts import load

SITE = {"docs/a.md": "a.md", "evals/README.md": "evals/index.md", "evals/x/README.md": "evals/x.md"}


def test_links_of_staged_pages_point_to_pages_of_the_site():
    moved = load("make_site").rewritten
    assert moved("[x](../evals/x/README.md#y)", "docs/a.md", SITE) == "[x](evals/x.md#y)"
    assert moved("[x](x/README.md)", "evals/README.md", SITE) == "[x](x.md)"
    assert moved("[x](x)", "evals/README.md", SITE) == "[x](x.md)"
    assert moved("[x](#y) [z](https://a.b)", "docs/a.md", SITE) == "[x](#y) [z](https://a.b)"


def test_a_link_to_a_file_that_is_no_page_becomes_its_name():
    moved = load("make_site").rewritten
    assert moved("[run](../tests/t.py)", "docs/a.md", SITE) == "run (`tests/t.py`)"
    assert moved("[`t.py`](../tests/t.py)", "docs/a.md", SITE) == "`t.py`"


def test_code_is_staged_as_it_is_and_its_fence_without_a_label():
    moved = load("make_site").rewritten
    assert moved("```python app\nx[0](../a)\n```\n", "docs/a.md", SITE) == (
        "```python\nx[0](../a)\n```\n"
    )


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("zensical", reason="needs effortctl[docs]")
    done = subprocess.run(
        [sys.executable, str(DOCS / "make_site.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "arning" not in done.stdout + done.stderr
    assert "not fetched: https://keepachangelog.com" in done.stdout
    for page in (tmp_path / "site").rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"?https?://[^>]*>", html)
        assert "<p>```" not in html, f"{page.name}: a fence was not understood"
