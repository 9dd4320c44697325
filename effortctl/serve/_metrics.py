"""Counters of the endpoint in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from effortctl._types import Trace

Labels = tuple[tuple[str, str], ...]

_HELP: Final[Mapping[str, str]] = {
    "effortctl_requests_total": "HTTP requests by path and status.",
    "effortctl_tasks_total": "Finished tasks by outcome and by the arm that gave the answer.",
    "effortctl_calls_total": "Wire requests by arm, retries included.",
    "effortctl_cost_usd_total": "Dollars by arm, checks included.",
    "effortctl_escalations_total": "Tasks that needed a further arm, by the arm that gave the answer.",
    "effortctl_verified_total": "Tasks whose answer passed a check, by arm.",
}
_IN_FLIGHT: Final = "effortctl_requests_in_flight"


class Metrics:
    """Counts traces and requests; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[Labels]] = {name: Counter() for name in _HELP}
        self._usd: dict[Labels, Decimal] = {}

    def add(self, trace: Trace) -> None:
        """Count a finished task."""
        best = trace.best
        answered: Labels = (("arm", best.arm if best else ""),)
        with self._lock:
            self._counts["effortctl_tasks_total"][(*answered, ("outcome", trace.outcome))] += 1
            for attempt in trace.attempts:
                arm: Labels = (("arm", attempt.arm),)
                self._counts["effortctl_calls_total"][arm] += attempt.calls
                self._usd[arm] = self._usd.get(arm, Decimal(0)) + attempt.cost_usd
            if len({attempt.arm for attempt in trace.attempts}) > 1:
                self._counts["effortctl_escalations_total"][answered] += 1
            if best is not None and best.passed:
                self._counts["effortctl_verified_total"][answered] += 1

    def request(self, path: str, status: int) -> None:
        """Count an HTTP request."""
        with self._lock:
            labels = (("path", path), ("status", str(status)))
            self._counts["effortctl_requests_total"][labels] += 1

    def text(self, *, in_flight: int) -> str:
        """All counters, for a scraper."""
        with self._lock:
            lines = [line for name in _HELP for line in self._family(name)]
        lines += [
            f"# HELP {_IN_FLIGHT} Requests that are being answered.",
            f"# TYPE {_IN_FLIGHT} gauge",
            f"{_IN_FLIGHT} {in_flight}",
        ]
        return "\n".join(lines) + "\n"

    def _family(self, name: str) -> Iterator[str]:
        yield f"# HELP {name} {_HELP[name]}"
        yield f"# TYPE {name} counter"
        if name == "effortctl_cost_usd_total":
            for labels, usd in sorted(self._usd.items()):
                yield f"{name}{_labels(labels)} {usd:f}"
        for labels, count in sorted(self._counts[name].items()):
            yield f"{name}{_labels(labels)} {count}"


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
