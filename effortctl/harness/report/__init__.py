"""A result shown: as one HTML page, as a picture, and on a terminal. Reads `EvalResult` only."""

from effortctl.harness.report._facts import Headline, headline
from effortctl.harness.report._figure import write_figure
from effortctl.harness.report._page import html_report
from effortctl.harness.report._terminal import TerminalReport, TerminalRow, terminal_report

__all__ = [
    "Headline",
    "TerminalReport",
    "TerminalRow",
    "headline",
    "html_report",
    "terminal_report",
    "write_figure",
]
