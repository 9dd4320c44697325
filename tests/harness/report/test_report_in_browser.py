"""The page as a browser shows it: quiet, whole, and usable at a desk and on a phone."""

import pytest
from harness.report.chromium import Chromium, find_chromium
from harness.report.result_data import DEGENERATE, realistic

from effortctl.harness.report import html_report

WIDTHS = (1280, 390)
PROMPTS = ("How do I get my money back?\nI bought it yesterday.", "Where is my parcel?")

pytestmark = [
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine"),
    pytest.mark.slow,
]

_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# Text of a visible chart that leaves its drawing, and names that lie on one another, by the fonts
# this browser really has. A box is as tall as a line, so a few pixels are taken off first.
_BAD_LABELS = """
[...document.querySelectorAll("svg.chart")].filter((svg) => svg.getClientRects().length).flatMap((svg) => {
  const frame = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].map((text) => [text, text.getBoundingClientRect()]);
  const clipped = texts.filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1
      || box.top < frame.top - 2 || box.bottom > frame.bottom + 2).map(([text]) => `clipped: ${text.textContent}`);
  const names = texts.filter(([text]) => text.matches(".label, .saving-text"));
  const crossed = names.flatMap(([a, p], i) => names.slice(i + 1).filter(([, q]) =>
      p.left < q.right - 1 && q.left < p.right - 1 && p.top + 3 < q.bottom - 3 && q.top + 3 < p.bottom - 3)
      .map(([b]) => `crossed: ${a.textContent} | ${b.textContent}`));
  return [...clipped, ...crossed];
})
"""

# Elements that stick out to the right, except inside frames that scroll.
_STICKING_OUT = """
[...document.querySelectorAll("body *")].filter((element) => !element.closest(".scroll, svg, #tip")
  && element.getClientRects().length
  && element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((element) => `${element.tagName}.${element.className}: ${element.textContent.slice(0, 40)}`)
"""


@pytest.fixture(scope="module")
def browser():
    with Chromium(find_chromium()) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser):
    return browser.new_page()


@pytest.fixture
def show(page, tmp_path):
    """Writes a result's page, opens it, and gives the tab."""

    def opened(result, *, width=1280, dark=False):
        path = tmp_path / "report.html"
        path.write_text(html_report(result), encoding="utf-8")
        page.complaints.clear()
        page.requests.clear()
        page.open(path, width=width, dark=dark)
        page.evaluate("try { localStorage.clear() } catch {}")
        assert page.requests == [path.as_uri()]
        return page

    return opened


def looks_right(tab):
    assert tab.complaints == []
    assert tab.evaluate(_OVERFLOW) == 0
    assert tab.evaluate(_STICKING_OUT) == []
    for axis in ("log", "linear"):
        tab.evaluate(f"document.documentElement.dataset.axis = '{axis}'")
        assert tab.evaluate(_BAD_LABELS) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_realistic_report_is_whole_and_quiet(show, width, dark):
    tab = show(realistic(prompts=PROMPTS), width=width, dark=dark)
    looks_right(tab)
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", DEGENERATE)
def test_an_odd_result_is_whole_and_quiet(show, name, width):
    looks_right(show(DEGENERATE[name](), width=width))


def test_nothing_that_a_result_says_is_run_or_becomes_markup(show):
    tab = show(DEGENERATE["hostile"]())
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    tab.evaluate("new Promise((done) => setTimeout(done, 50))")
    assert tab.evaluate("window.hacked === undefined")
    assert tab.evaluate("document.querySelectorAll('img, iframe, a, b b').length") == 0
    assert tab.evaluate("document.scripts.length") == 2
    assert tab.evaluate("document.querySelector('.name').textContent").startswith("</script>")
    assert tab.complaints == []


def test_the_axis_switches_between_log_and_linear(show):
    tab = show(realistic())
    visible = "[...document.querySelectorAll('svg.chart')].filter((one) => one.getClientRects().length).map((one) => one.classList.contains('linear'))"
    assert tab.evaluate(visible)[:2] == [False, False]
    tab.evaluate("document.querySelector('[data-axis-button=linear]').click()")
    assert tab.evaluate(visible)[:2] == [True, True]
    pressed = "document.querySelector('[data-axis-button=linear]').getAttribute('aria-pressed')"
    assert tab.evaluate(pressed) == "true"


def test_the_colours_switch_and_the_choice_is_stronger_than_the_system(show):
    tab = show(realistic(), dark=True)
    ground = "getComputedStyle(document.body).backgroundColor"
    tab.evaluate("document.getElementById('theme').click()")
    assert tab.evaluate(ground) == "rgb(255, 255, 255)"
    tab.evaluate("document.getElementById('theme').click()")
    assert tab.evaluate(ground) == "rgb(20, 23, 27)"
    tab.evaluate("try { localStorage.clear() } catch {}")


def test_tables_sort_both_ways_and_keep_empty_cells_last(show):
    tab = show(realistic())
    column = "[...document.querySelectorAll('table.sortable tbody tr')].map((row) => row.cells[2].dataset.v).map(Number)"
    click = "document.querySelectorAll('table.sortable thead button')[2].click()"
    tab.evaluate(click)
    assert tab.evaluate(column) == sorted(tab.evaluate(column))
    tab.evaluate(click)
    assert tab.evaluate(column) == sorted(tab.evaluate(column), reverse=True)
    tab.evaluate("document.querySelectorAll('table.sortable thead button')[7].click()")
    cells = "[...document.querySelectorAll('table.sortable tbody tr')].map((row) => row.cells[7].dataset.v === undefined)"
    assert tab.evaluate(cells) == sorted(tab.evaluate(cells))


def test_tasks_can_be_filtered_ordered_and_opened(show):
    result = realistic(prompts=PROMPTS)
    tab = show(result)
    count = "document.querySelectorAll('#task-list details').length"
    choose = "(id, value) => { const it = document.getElementById(id); it.value = value; it.dispatchEvent(new Event('input')); }"
    assert tab.evaluate(count) == 25
    tab.evaluate("document.getElementById('more').click()")
    assert tab.evaluate(count) == 50
    tab.evaluate(f"({choose})('task-text', 'ticket-00007')")
    assert tab.evaluate(count) == 1
    tab.evaluate("document.querySelector('#task-list details').open = true")
    tab.evaluate("document.querySelector('#task-list details').dispatchEvent(new Event('toggle'))")
    assert tab.evaluate("document.querySelector('#task-list .prompt').textContent") == PROMPTS[1]
    assert tab.evaluate("document.querySelectorAll('#task-list tbody tr').length") == 14
    tab.evaluate(f"({choose})('task-text', '')")
    tab.evaluate(f"({choose})('task-only', 'wrong')")
    wrong = sum(value < 1 for value in result.tasks.policies["plan"].quality)
    assert tab.evaluate("document.getElementById('task-count').textContent").endswith(
        f"of {wrong} shown"
    )


def test_a_mark_explains_itself_to_the_keyboard(show):
    tab = show(realistic())
    tab.evaluate("document.querySelector('svg.wide.log .mark.arm').focus()")
    said = tab.evaluate("document.getElementById('tip').textContent")
    assert "per 1,000 tasks" in said
    assert not tab.evaluate("document.getElementById('tip').hidden")


def test_it_prints_on_white_even_from_the_dark(show):
    tab = show(realistic(), dark=True)
    tab.call("Emulation.setEmulatedMedia", media="print")
    try:
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(255, 255, 255)"
        assert (
            tab.evaluate("getComputedStyle(document.querySelector('.controls')).display") == "none"
        )
    finally:
        tab.call("Emulation.setEmulatedMedia", media="")


def test_a_name_from_right_to_left_leaves_its_figures_as_they_are(show):
    result = realistic()
    name = "\u062f\u0639\u0645-\u0645\u0648\u062f\u064a\u0644"
    written = result.model_dump_json().replace("luna-6@high", name)
    tab = show(type(result).model_validate_json(written))
    starts = """
    [...document.querySelectorAll("svg.chart.wide.log .label")].filter((label) => label.textContent.includes(NAME))
      .map((label) => [...label.querySelectorAll("tspan")].map((part) => part.getBoundingClientRect().left))
    """
    found = tab.evaluate(starts.replace("NAME", f"'{name}'"))
    assert found
    assert all(parts == sorted(parts) and len(parts) == 2 for parts in found)
