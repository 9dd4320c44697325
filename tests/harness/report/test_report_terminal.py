"""The report on a terminal, from 40 columns up, with and without Unicode."""

import pytest
from harness.report.result_data import DEGENERATE, realistic

from effortctl.harness.report import terminal_report

WIDTHS = (40, 80, 120)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["realistic", *DEGENERATE])
def test_the_plot_fits_and_holds_no_control_characters(name, width):
    result = realistic() if name == "realistic" else DEGENERATE[name]()
    shown = terminal_report(result, width=width)
    for line in shown.chart:
        assert len(line) <= width
        assert line.isprintable()
    for row in shown.rows:
        assert all(cell.isprintable() for cell in row.cells)
        assert len(row.cells) == len(shown.columns)


@pytest.mark.parametrize("name", ["realistic", "hostile", "some_free"])
def test_ascii_is_enough(name):
    result = realistic() if name == "realistic" else DEGENERATE[name]()
    shown = terminal_report(result, width=80, unicode=False)
    said = [
        shown.headline.sentence,
        shown.headline.detail,
        shown.legend,
        *shown.notes,
        *shown.chart,
    ]
    said += [row.cells[1] for row in shown.rows]
    assert all(line.isascii() for line in said)


def test_every_arm_has_a_sign_that_is_in_the_plot_or_shares_a_place():
    shown = terminal_report(realistic(), width=100)
    signs = {row.cells[0] for row in shown.rows}
    assert len(signs) == len(shown.rows)
    plot = "".join(line.split("\u2502", 1)[1] for line in shown.chart if "\u2502" in line)
    assert sum(sign in plot for sign in signs) >= len(signs) - 3


def test_the_chosen_policy_stands_out_and_dominated_arms_recede():
    rows = {row.cells[1]: row.emphasis for row in terminal_report(realistic(), width=80).rows}
    assert rows["plan"] == "main"
    assert rows["terra-6@xhigh"] == "faint"
    assert rows["luna-6@low"] == "normal"


def test_what_was_left_out_is_said():
    assert (
        "Left out, no outcome of terra-6@xhigh: 3" in terminal_report(realistic(), width=80).notes
    )
