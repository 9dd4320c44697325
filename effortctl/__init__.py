"""Spend LLM reasoning where it pays.

```
Task -> features -> estimator -> policy -> Arm -> backend -> Answer -> verifiers -> Verdict -> Trace
                                   ^---------- not accepted: attempts so far, feedback, $ left ----/
```

`Controller` runs a task up a ladder of arms (model + effort + price) until an answer passes its check;
`adaptive` does the same around your own function. Every call is priced exactly, hard budgets are
reserved before a call is made, and everything that happened is in the `Trace`.
"""

from effortctl._controller import AsyncController, Controller
from effortctl._decorator import ChosenArm, adaptive
from effortctl._errors import (
    BackendError,
    BudgetExceededError,
    ConfigError,
    DeadlineExceededError,
    EffortctlError,
    EffortctlWarning,
    NotAcceptedError,
    SandboxUnavailableError,
    StoreError,
    TransientBackendError,
    UnknownPriceError,
    UnsupportedEffortError,
    UsageError,
    VerifierError,
)
from effortctl._types import (
    EFFORTS,
    Answer,
    Arm,
    Attempt,
    Budget,
    Case,
    Effort,
    Endpoint,
    Estimate,
    Message,
    Outcome,
    Price,
    Task,
    Trace,
    Usage,
    Verdict,
)
from effortctl.catalog import Ladder, load_ladder

__version__ = "0.1.0"

__all__ = [
    "EFFORTS",
    "Answer",
    "Arm",
    "AsyncController",
    "Attempt",
    "BackendError",
    "Budget",
    "BudgetExceededError",
    "Case",
    "ChosenArm",
    "ConfigError",
    "Controller",
    "DeadlineExceededError",
    "Effort",
    "EffortctlError",
    "EffortctlWarning",
    "Endpoint",
    "Estimate",
    "Ladder",
    "Message",
    "NotAcceptedError",
    "Outcome",
    "Price",
    "SandboxUnavailableError",
    "StoreError",
    "Task",
    "Trace",
    "TransientBackendError",
    "UnknownPriceError",
    "UnsupportedEffortError",
    "Usage",
    "UsageError",
    "Verdict",
    "VerifierError",
    "__version__",
    "adaptive",
    "load_ladder",
]
