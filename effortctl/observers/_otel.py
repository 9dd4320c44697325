"""Finished tasks as OpenTelemetry spans and metrics, in the words of its conventions for generative AI.

One span for the task (`invoke_workflow effortctl`) holds one per attempt (`chat MODEL`). They are made
when the task has ended, with the times at which things happened, below whatever span is current then.

Dollars have no name in the conventions yet. Those of calls are `operation.cost`, which other tools sum
up, so it is on attempts only; the rest begins with `effortctl.`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from effortctl._errors import ConfigError
from effortctl._types import Arm, Attempt, Trace
from effortctl.observers import _names
from effortctl.observers._meters import Meters
from effortctl.observers._providers import Providers
from effortctl.observers._times import Times, end_of, times_of

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider

_SCOPE = "effortctl"


class OtelObserver:
    """Turns each finished trace into spans and metrics. Needs the extra `otel`.

    Neither prompts, answers, feedback of verifiers nor the task's metadata are written unless asked for.
    """

    def __init__(
        self,
        arms: Iterable[Arm] = (),
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        record_text: bool = False,
        prompt_of: Callable[[Trace], str | None] | None = None,
    ) -> None:
        """Find tracer and meter; nothing is exported that the program's own providers do not export.

        Args:
            arms: Those of the ladder, whose endpoints name the provider. Of other arms it is the one
                the catalog knows for the model, else `_OTHER`.
            tracer_provider: None: the global one.
            meter_provider: None: the global one.
            record_text: Write answers, what verifiers said of them, and what faults say.
            prompt_of: Gives the prompt of a trace, which holds none, to be written too.

        Raises:
            ConfigError: OpenTelemetry is not installed.
        """
        self._tracer, self._meters = _instruments(tracer_provider, meter_provider)
        self._provider_of = Providers(arms)
        self._record_text = record_text
        self._prompt_of = prompt_of

    def write(self, trace: Trace) -> None:
        """Emit the spans of a trace, and count its attempts."""
        from opentelemetry.trace import SpanKind, set_span_in_context  # noqa: PLC0415 - an extra

        times = times_of(trace)
        task = self._tracer.start_span(
            f"invoke_workflow {_names.WORKFLOW}",
            kind=SpanKind.INTERNAL,
            start_time=_nanoseconds(trace.started_at),
            attributes=_names.of_task(trace),
        )
        fault = _names.fault_of_task(trace)
        if fault is not None:
            _fail(task, fault)
        inside = set_span_in_context(task)
        for attempt, when in zip(trace.attempts, times, strict=True):
            provider = self._provider_of(attempt)
            span = self._tracer.start_span(
                f"chat {attempt.model}",
                context=inside,
                kind=SpanKind.CLIENT,
                start_time=_nanoseconds(when.start),
                attributes=_names.of_attempt(trace.id, attempt, provider)
                | self._texts(trace, attempt),
            )
            self._add_verdict(span, attempt, when)
            if attempt.error is not None:
                kind = attempt.error.partition(":")[0]
                _fail(span, kind, attempt.error if self._record_text else kind)
            span.end(_nanoseconds(when.end))
            self._meters.record(attempt, provider=provider, seconds=when.seconds)
        task.end(_nanoseconds(max([end_of(trace), *(when.end for when in times)])))

    def _texts(self, trace: Trace, attempt: Attempt) -> dict[str, Any]:
        prompt = self._prompt_of(trace) if self._prompt_of else None
        text = attempt.answer.text if self._record_text and attempt.answer else None
        return _names.of_texts(attempt, prompt=prompt, answer=text)

    def _add_verdict(self, span: Span, attempt: Attempt, when: Times) -> None:
        if attempt.verdict is None:
            return
        after = when.end + timedelta(seconds=attempt.verdict.latency_s)
        span.add_event(
            "gen_ai.evaluation.result",
            _names.of_verdict(attempt.verdict, with_text=self._record_text),
            timestamp=_nanoseconds(after),
        )


def _instruments(
    tracers: TracerProvider | None, meters: MeterProvider | None
) -> tuple[Tracer, Meters]:
    try:
        from opentelemetry import metrics, trace  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "OtelObserver needs OpenTelemetry; run: pip install 'effortctl[otel]'"
        ) from error
    ours = version("effortctl")
    return (
        trace.get_tracer(_SCOPE, ours, tracer_provider=tracers),
        Meters(metrics.get_meter(_SCOPE, ours, meter_provider=meters)),
    )


def _fail(span: Span, kind: str, why: str | None = None) -> None:
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - an extra

    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, why or kind))


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1_000
