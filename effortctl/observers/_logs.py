"""Finished tasks in the log of the program: names, numbers and words of ours, never a prompt."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TypeAlias

from effortctl._types import Attempt, Trace

Field: TypeAlias = str | int | float | bool | None

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:@/+#")


class LogObserver:
    """Logs one record per task and one per attempt, as `key=value` and as fields of the record.

    The text of a record is `attempt decision=... arm=...` or `task decision=... outcome=...`. The same
    values are attributes of the record with the prefix `effortctl_`, for formatters that write JSON.
    Neither prompts, answers, feedback of verifiers nor the task's metadata are among them.

    Records are made when the task has ended, so each of them has the id of the decision.

    Attributes:
        logger: Where records go.
        task_level: Level of the record of a task.
        attempt_level: Level of the record of an attempt.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        task_level: int = logging.INFO,
        attempt_level: int = logging.DEBUG,
    ) -> None:
        """Choose logger and levels; no handler is added and no level is set.

        Args:
            logger: None: the logger `effortctl`.
            task_level: Level of the record of a task.
            attempt_level: Level of the record of an attempt.
        """
        self.logger = logger or logging.getLogger("effortctl")
        self.task_level = task_level
        self.attempt_level = attempt_level

    def write(self, trace: Trace) -> None:
        """Log a trace."""
        if self.logger.isEnabledFor(self.attempt_level):
            for number, attempt in enumerate(trace.attempts, start=1):
                self._log("attempt", _attempt_fields(trace, attempt, number), self.attempt_level)
        if self.logger.isEnabledFor(self.task_level):
            self._log("task", _task_fields(trace), self.task_level)

    def _log(self, event: str, fields: Mapping[str, Field], level: int) -> None:
        told = {name: value for name, value in fields.items() if value is not None}
        words = " ".join(f"{name}={_word(value)}" for name, value in told.items())
        extra = {f"effortctl_{name}": value for name, value in told.items()}
        self.logger.log(level, "%s %s", event, words, extra={"effortctl_event": event, **extra})


def _task_fields(trace: Trace) -> dict[str, Field]:
    best = trace.best
    return {
        "decision": trace.id,
        "task_id": trace.task_id,
        "category": trace.category,
        "outcome": trace.outcome,
        "verified": best is not None and best.passed,
        "policy": trace.policy,
        "arm": best.arm if best else None,
        "attempts": len(trace.attempts),
        "calls": trace.calls,
        "cost_usd": f"{trace.cost_usd:f}",
        "latency_s": round(trace.latency_s, 6),
    }


def _attempt_fields(trace: Trace, attempt: Attempt, number: int) -> dict[str, Field]:
    answer = attempt.answer
    usage = answer.usage if answer else None
    return {
        "decision": trace.id,
        "attempt": number,
        "arm": attempt.arm,
        "model": attempt.model,
        "requested_effort": attempt.requested_effort,
        "effort": attempt.effective_effort,
        "finish": answer.finish if answer else None,
        "verdict": attempt.verdict.status if attempt.verdict else None,
        "verifier": (attempt.verdict.verifier or None) if attempt.verdict else None,
        "error": attempt.error.partition(":")[0] if attempt.error else None,
        "calls": attempt.calls,
        "cached": attempt.cached,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "reasoning_tokens": usage.reasoning_tokens if usage else None,
        "cost_usd": f"{attempt.cost_usd:f}",
        "latency_s": round(answer.latency_s, 6) if answer else None,
        "request_id": answer.request_id if answer else None,
    }


def _word(value: Field) -> str:
    """One word, quoted where a reader of `key=value` could be misled, e.g. by a line break."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text)
