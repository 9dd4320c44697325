"""Outcomes in, a certified policy out.

`learn` does it all, and `cold_start` is for when there are no outcomes yet. The parts of `learn` serve those who replay on splits of their own: `cross_fit` learns from some
tasks, `tune` finds what a correct answer must be worth, `fixed_choices` finds what the plan has to beat,
and `judge` compares them on other tasks.
"""

from effortctl._learn._choices import FixedChoice, fixed_choices, likely_choice
from effortctl._learn._cold_start import cold_start
from effortctl._learn._crossed import Learned, Progress, cross_fit, tune
from effortctl._learn._learn import FEWEST_TASKS, SHARES, judge, learn, wanted_target

__all__ = [
    "FEWEST_TASKS",
    "SHARES",
    "FixedChoice",
    "Learned",
    "Progress",
    "cold_start",
    "cross_fit",
    "fixed_choices",
    "judge",
    "learn",
    "likely_choice",
    "tune",
    "wanted_target",
]
