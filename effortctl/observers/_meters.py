"""Tokens and seconds of attempts as the metrics that the conventions for generative AI define.

Names, units and buckets are those of `gen_ai.client.token.usage` and `gen_ai.client.operation.duration`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from effortctl._types import Attempt
from effortctl.observers import _names

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

_TOKEN_BOUNDS: Final = [4**power for power in range(14)]
_SECOND_BOUNDS: Final = [0.01 * 2**power for power in range(14)]


class Meters:
    """Two histograms: tokens and seconds."""

    def __init__(self, meter: Meter) -> None:
        """Make the instruments."""
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKEN_BOUNDS,
        )
        self._seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECOND_BOUNDS,
        )

    def record(self, attempt: Attempt, *, provider: str, seconds: float) -> None:
        """Count an attempt; a cached answer made no call, so it counts for nothing."""
        if attempt.cached:
            return
        shared = _names.of_metrics(attempt, provider)
        self._seconds.record(seconds, shared | _names.of_fault(attempt.error))
        usage = attempt.answer.usage if attempt.answer else None
        # The conventions want no count where there is none; ours would be an upper bound.
        if usage is None or usage.estimated:
            return
        counts: dict[str, Any] = {"input": usage.input_tokens, "output": usage.output_tokens}
        for kind, count in counts.items():
            self._tokens.record(count, shared | {"gen_ai.token.type": kind})
