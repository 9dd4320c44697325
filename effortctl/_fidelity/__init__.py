"""Does the effort knob do something? Asks every arm a few cheap questions and compares what they think.

`probe_efforts(ladder, k=5, budget="$0.10")` makes the calls; `compare_arms` is the test, without calls.
"""

from effortctl._fidelity._compare import Comparison, compare_arms, fewest_calls, higher_p, holm
from effortctl._fidelity._probe import ArmProbe, ProbeReport, probe_efforts

__all__ = [
    "ArmProbe",
    "Comparison",
    "ProbeReport",
    "compare_arms",
    "fewest_calls",
    "higher_p",
    "holm",
    "probe_efforts",
]
