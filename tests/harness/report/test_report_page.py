"""The page as text: one file that loads nothing, escapes everything and stays small."""

import json
import re
from html.parser import HTMLParser

import pytest
from harness.report.result_data import DEGENERATE, HOSTILE, bare, build, never_reached, realistic
from hypothesis import given, settings
from hypothesis import strategies as st

from effortctl.harness.report import headline, html_report, terminal_report
from effortctl.harness.report._svg import tag, text
from effortctl.harness.report._tasks import task_data

_VOID = {"meta", "link", "input", "hr", "br", "col"}
_TEMPLATE_KB = 300


class Reader(HTMLParser):
    """Checks that elements nest, and collects them with their text."""

    def __init__(self, page):
        super().__init__()
        self.open = []
        self.elements = []
        self.text = []
        self.ids = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.text.append(data)


@pytest.fixture(scope="module")
def page():
    return html_report(realistic())


@pytest.mark.parametrize("name", ["realistic", *DEGENERATE])
def test_elements_nest_and_ids_are_unique(name):
    reader = Reader(html_report(realistic() if name == "realistic" else DEGENERATE[name]()))
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))


def test_the_page_is_small_and_refers_to_nothing_outside(page):
    data = task_data(realistic())
    assert len(page.encode()) - len(data.script) <= _TEMPLATE_KB * 1000
    for element, attributes in Reader(page).elements:
        assert "style" not in attributes, "the page's own policy forbids style attributes"
        assert not any(name.startswith("on") for name in attributes)
        target = attributes.get("src") or attributes.get("href")
        assert target in {None, "data:,"}, (element, target)
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_allows_only_its_own_script_and_style(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert policy.count("sha256-") == 2


def test_the_verdict_comes_first(page):
    result = realistic()
    words = [part.strip() for part in Reader(page).text if part.strip()]
    said = headline(result)
    assert words.index(said.word) < 5
    assert words.index(said.sentence) < 6


def test_every_arm_and_policy_is_in_the_table(page):
    words = {part.strip() for part in Reader(page).text}
    assert set(realistic().arms) <= words
    assert {"plan", "routing only", "fixed ladder", "random mix", "oracle"} <= words


def test_every_drawing_has_a_name_and_a_description(page):
    reader = Reader(page)
    charts = [
        attributes
        for name, attributes in reader.elements
        if name == "svg" and "chart" in attributes.get("class", "")
    ]
    assert len(charts) == 9
    for chart in charts:
        assert chart["aria-labelledby"] in reader.ids
        assert chart["aria-describedby"] in reader.ids


def test_hostile_text_becomes_neither_markup_nor_script():
    page = html_report(DEGENERATE["hostile"]())
    reader = Reader(page)
    names = [name for name, _ in reader.elements]
    assert names.count("script") == 2
    assert "img" not in names
    shown = "".join(reader.text)
    assert HOSTILE[0] in shown
    assert "{{tasks}}" in shown
    for character in "\x00\x1b\x07\u202e\u2066\u2028":
        assert character not in page


def test_the_embedded_tasks_are_json_that_no_parser_takes_for_markup():
    page = html_report(DEGENERATE["hostile"]())
    raw = re.search(r'id="tasks-data">(.*?)</script>', page, re.DOTALL)[1]
    assert not set("<>&") & set(raw)
    data = json.loads(raw)
    assert len(data["ids"]) == 25
    assert data["prompts"][0] == HOSTILE[0]


def test_prompts_are_shown_only_where_the_result_has_them():
    secret = "the customer's own words"
    assert secret not in html_report(realistic())
    assert secret in html_report(realistic(prompts=(secret,)))
    assert secret not in html_report(realistic(prompts=(secret,)), with_tasks=False)


def test_too_many_tasks_are_cut_to_size_and_the_page_says_so():
    result = build(n_tasks=300, prompts=("word " * 300,))
    data = task_data(result, max_bytes=100_000)
    assert len(data.script) <= 100_000
    assert data.total == 300
    assert 30 < data.shown < 300
    page = html_report(result, max_task_bytes=100_000)
    assert f"holds {data.shown:,} of 300 tasks" in page
    plan, best = result.tasks.policies["plan"], result.tasks.scores[result.best_fixed_arm]
    pairs = zip(result.tasks.ids, plan.quality, best, strict=True)
    differing = {task for task, mine, other in pairs if mine != other}
    assert 0 < len(differing) < data.shown
    assert differing <= set(json.loads(data.script)["ids"])


def test_a_long_prompt_is_cut_and_says_how_long_it_was():
    data = json.loads(task_data(realistic(prompts=("x" * 5000,))).script)
    assert data["prompts"][0].endswith("(5,000 characters)")
    assert len(data["prompts"][0]) < 2100


def test_parts_that_a_result_lacks_are_left_out():
    page = html_report(bare())
    for heading in ("What routing adds", "Can its predictions", "Task by task", "What to know"):
        assert heading not in page
    assert "What quality costs" in page


def test_a_quality_that_is_never_reached_is_called_so():
    assert "never reached" in html_report(never_reached())


def test_no_saving_is_drawn_unless_the_verdict_says_that_routing_pays():
    assert "of the cost" in html_report(realistic())
    assert "of the cost<" not in html_report(never_reached())


def test_the_same_result_makes_the_same_page():
    assert html_report(realistic()) == html_report(realistic())


@given(st.text(max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_text_survives_escaping_as_text(value):
    reader = Reader(tag("p", text(value), title=value))
    assert [name for name, _ in reader.elements] == ["p"]
    assert "".join(reader.text).split() == reader.elements[0][1]["title"].split()


def test_the_arm_the_verdict_is_held_against_is_shown_where_it_is_not_the_best_one():
    result = realistic()
    other = result.verdict.model_copy(update={"baseline": "luna-6@high"})
    page = html_report(result.model_copy(update={"verdict": other}))
    assert "held against luna-6@high" in page
    assert "held against" not in html_report(result)


def test_intervals_are_called_by_the_level_they_have():
    result = realistic()
    assert html_report(result).count("95% interval") >= 4
    wide = result.model_copy(update={"provenance": {**result.provenance, "level": 0.9}})
    assert html_report(wide).count("90% interval") >= 4
    assert "95%" not in html_report(wide)
    assert terminal_report(wide, width=100).columns[3] == "90%\nrange"


def test_quality_that_was_not_shown_to_be_equal_is_not_called_so():
    result = realistic()
    unsure = result.verdict.model_copy(update={"quality_ci95": (-0.12, 0.15)})
    page = html_report(result.model_copy(update={"verdict": unsure}))
    assert "equal quality (" in html_report(result)
    assert "equal quality (" not in page
    assert "; quality changes by +1.5 points [\u221212.0, +15.0]." in page
