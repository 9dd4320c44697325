"""The values that flow through effortctl. All are frozen; nothing here does I/O.

What may be written to disk is a pydantic model and refuses unknown fields. What only travels between
the engine and its driver (`Call`, `Reply`, `Verify`, `Situation`) is a plain dataclass.
"""

from effortctl._types._actions import Ask, Call, Reply, Situation, Stopped, Verify
from effortctl._types._arm import Arm, EffortStyle, Endpoint, OnUnsupported, Price, UsageRules
from effortctl._types._base import (
    EFFORTS,
    EXACT,
    Count,
    Effort,
    Finish,
    Seconds,
    TraceOutcome,
    Usd,
    VerdictStatus,
    total_usd,
)
from effortctl._types._budget import Budget, Window
from effortctl._types._task import Case, Message, Task
from effortctl._types._trace import (
    Answer,
    Attempt,
    Cost,
    Estimate,
    Outcome,
    Trace,
    Usage,
    Verdict,
)

__all__ = [
    "EFFORTS",
    "EXACT",
    "Answer",
    "Arm",
    "Ask",
    "Attempt",
    "Budget",
    "Call",
    "Case",
    "Cost",
    "Count",
    "Effort",
    "EffortStyle",
    "Endpoint",
    "Estimate",
    "Finish",
    "Message",
    "OnUnsupported",
    "Outcome",
    "Price",
    "Reply",
    "Seconds",
    "Situation",
    "Stopped",
    "Task",
    "Trace",
    "TraceOutcome",
    "Usage",
    "UsageRules",
    "Usd",
    "Verdict",
    "VerdictStatus",
    "Verify",
    "Window",
    "total_usd",
]
