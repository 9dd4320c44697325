"""Spend LLM reasoning where it pays.

```
Task -> features -> estimator -> policy -> Arm -> backend -> Answer -> verifiers -> Verdict -> Trace
                                   ^---------- not accepted: attempts so far, feedback, $ left ----/
```

`Controller` runs a task up a ladder of arms (model + effort + price) until an answer passes its check;
`adaptive` does the same around your own function, `wrap` behind the OpenAI client you have. Every call is priced exactly, hard budgets are
reserved before a call is made, and everything that happened is in the `Trace`.

`learn` turns recorded outcomes into a `FittedPolicy`: when to try which arm, and whether that pays.
"""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from effortctl._client import AUTO, CallInfo, info, wrap
    from effortctl._drift import drift
    from effortctl._fidelity import probe_efforts
    from effortctl._fitted_policy import FittedPolicy
    from effortctl._learn import cold_start, learn
    from effortctl._session import Session, SessionRecord

__version__ = "0.1.0"

__all__ = [
    "AUTO",
    "EFFORTS",
    "Answer",
    "Arm",
    "AsyncController",
    "Attempt",
    "BackendError",
    "Budget",
    "BudgetExceededError",
    "CallInfo",
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
    "FittedPolicy",
    "Ladder",
    "Message",
    "NotAcceptedError",
    "Outcome",
    "Price",
    "SandboxUnavailableError",
    "Session",
    "SessionRecord",
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
    "cold_start",
    "drift",
    "info",
    "learn",
    "load_ladder",
    "probe_efforts",
    "wrap",
]

_LAZY = {
    "AUTO": "effortctl._client",
    "CallInfo": "effortctl._client",
    "FittedPolicy": "effortctl._fitted_policy",
    "Session": "effortctl._session",
    "SessionRecord": "effortctl._session",
    "cold_start": "effortctl._learn",
    "drift": "effortctl._drift",
    "info": "effortctl._client",
    "learn": "effortctl._learn",
    "probe_efforts": "effortctl._fidelity",
    "wrap": "effortctl._client",
}


def __getattr__(name: str) -> Any:
    """Import what learns when it is first asked for: NumPy and SciPy are slow to load."""
    from importlib import import_module  # noqa: PLC0415 - no public name of ours

    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY} - {"TYPE_CHECKING", "Any"})
