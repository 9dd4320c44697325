"""What is kept on disk: money in the ledger, accepted answers in the cache, traces of every task.

Outcome files hold what arms did on tasks, to learn from. The ledger fails closed (no reading, no spending); the cache fails open (no reading, no harm).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from effortctl.stores._activity import Activity, ArmActivity, TaskActivity, booked_activity
from effortctl.stores._entries import LedgerEntry, LedgerTotal, ledger_row
from effortctl.stores._feedback import (
    Feedback,
    FeedbackStore,
    feedback_path,
    latest_feedback,
    read_feedback,
)
from effortctl.stores._judged import add_feedback, feedback_scores, find_trace
from effortctl.stores._key import cache_key
from effortctl.stores._ledger import MemoryLedger, SqliteLedger, default_ledger_path
from effortctl.stores._matrix import OutcomeMatrix
from effortctl.stores._outcome_rows import OutcomeRow
from effortctl.stores._outcome_traces import trace_rows
from effortctl.stores._outcomes import matrix_rows, outcome_matrix, read_outcomes, write_outcomes
from effortctl.stores._provider_csv import read_bills
from effortctl.stores._reconcile import Adjustment, Line, adjustments, reconcile
from effortctl.stores._singleflight import SingleFlight
from effortctl.stores._tail import TraceTail
from effortctl.stores._traces import TraceStore, read_traces

if TYPE_CHECKING:
    from effortctl.stores._cache import DiskCache

__all__ = [
    "Activity",
    "Adjustment",
    "ArmActivity",
    "DiskCache",
    "Feedback",
    "FeedbackStore",
    "LedgerEntry",
    "LedgerTotal",
    "Line",
    "MemoryLedger",
    "OutcomeMatrix",
    "OutcomeRow",
    "SingleFlight",
    "SqliteLedger",
    "TaskActivity",
    "TraceStore",
    "TraceTail",
    "add_feedback",
    "adjustments",
    "booked_activity",
    "cache_key",
    "default_ledger_path",
    "feedback_path",
    "feedback_scores",
    "find_trace",
    "latest_feedback",
    "ledger_row",
    "matrix_rows",
    "outcome_matrix",
    "read_bills",
    "read_feedback",
    "read_outcomes",
    "read_traces",
    "reconcile",
    "trace_rows",
    "write_outcomes",
]


def __getattr__(name: str) -> Any:
    """Import the cache when it is first asked for, because diskcache is slow to load."""
    if name == "DiskCache":
        from effortctl.stores._cache import DiskCache  # noqa: PLC0415 - lazy on purpose

        return DiskCache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
