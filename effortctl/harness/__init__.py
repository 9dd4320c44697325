"""Quality per dollar, measured."""

from effortctl.harness._demo import Event, Progress, Row, Shown, Table, recorded_arms, run_demo
from effortctl.harness._live_demo import LiveTask, run_live
from effortctl.harness._recorded_suite import (
    RecordedSuite,
    load_recorded_suite,
    recorded_case,
)
from effortctl.harness._task_checks import verifier_for

__all__ = [
    "Event",
    "LiveTask",
    "Progress",
    "RecordedSuite",
    "Row",
    "Shown",
    "Table",
    "load_recorded_suite",
    "recorded_arms",
    "recorded_case",
    "run_demo",
    "run_live",
    "verifier_for",
]
