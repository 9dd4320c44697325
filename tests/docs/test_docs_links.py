"""Links of the documentation lead somewhere, and nothing in it belongs to one machine only."""

from __future__ import annotations

import re
import tomllib

import pytest
from docs_pages import DOCS, ROOT, name_of, pages

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
MACHINE = re.compile(
    r"(?<![\w.:/-])/(?:work|tmp|root|home|Users|var|opt|usr|private)/\w|[A-Z]:\\\\"
)


def anchors(page):
    """The anchors of a page's headings, as GitHub and the site make them."""
    found = set()
    for heading in HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_to_a_file_and_a_heading(page):
    dead = []
    for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        target, _, anchor = link.partition("#")
        if "://" in target or link.startswith("mailto:"):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(link)
    assert not dead


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_page_shows_no_path_of_the_machine_it_was_written_on(page):
    assert not MACHINE.findall(page.read_text(encoding="utf-8"))


def test_a_dead_link_and_a_path_would_be_noticed():
    assert "the-verdict" in anchors(DOCS / "metrics.md")
    assert MACHINE.search("in /tmp/pytest-1/runs/first")
    assert not MACHINE.search("`metrics.md`, evals/home/x and http://a.b/tmp/c")


def entries(nav):
    """The files of a navigation, in order."""
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else entries(value)


def test_every_page_is_in_the_navigation_of_the_site_once():
    from docs_scripts import load

    site = load("make_site")
    listed = list(entries(tomllib.loads(site.config())["project"]["nav"]))
    assert sorted(listed) == sorted(set(site.sources().values()))


def test_a_promise_names_a_test_or_an_eval_that_exists():
    for page in pages():
        for file in re.findall(r"`((?:tests|evals)/[\w/.-]+\.(?:py|md))`", page.read_text("utf-8")):
            assert (ROOT / file).is_file(), f"{name_of(page)}: {file}"
