"""Replay policies over recorded outcomes, and say whether they pay."""

from effortctl.harness.evaluation._check import Verifier
from effortctl.harness.evaluation._duckdb import Replayable, Replayed, Threshold, replay_parquet
from effortctl.harness.evaluation._evaluate import evaluate

__all__ = ["Replayable", "Replayed", "Threshold", "Verifier", "evaluate", "replay_parquet"]
