"""Do live results still look like what a policy was learned from?

`drift(traces, policy)` compares them; `excess` is the test behind it, numbers in and numbers out.
"""

from effortctl._drift._report import DriftReport, Shift, drift
from effortctl._drift._sequential import Evidence, excess

__all__ = ["DriftReport", "Evidence", "Shift", "drift", "excess"]
