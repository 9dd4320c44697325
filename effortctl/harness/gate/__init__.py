"""May this change be merged? A non-inferiority test of one evaluation against another, or against limits.

Every criterion has a limit and an interval. It passes only if the whole interval keeps the limit, fails
only if the whole interval breaks it, and is inconclusive otherwise. "No significant difference" is not a
pass: few tasks show nothing.

A pass needs every criterion, so each is tested at `alpha` (intersection-union, no correction); one
failed criterion fails the gate, so they share `alpha` on the failing side (Bonferroni).
"""

from effortctl.harness.gate._gate import gate
from effortctl.harness.gate._text import junit_xml, markdown, sentence
from effortctl.harness.gate._values import Criterion, GateReport, Limits, Status

__all__ = [
    "Criterion",
    "GateReport",
    "Limits",
    "Status",
    "gate",
    "junit_xml",
    "markdown",
    "sentence",
]
