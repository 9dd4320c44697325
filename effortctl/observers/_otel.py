"""Finished tasks as OpenTelemetry spans, in the words of its conventions for generative AI.

One span for the task (`invoke_workflow effortctl`) holds one per attempt (`chat MODEL`). They are made
when the task has ended, with the times at which things happened, below whatever span is current then.

Dollars and effort have no name in the conventions yet. Dollars of calls are `operation.cost`, which
other tools sum up, so it is on attempts only; the rest begins with `effortctl.`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from effortctl._errors import ConfigError
from effortctl._types import Arm, Attempt, Trace
from effortctl.observers import _names
from effortctl.observers._providers import Providers

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

_NO_ERROR = frozenset({"accepted", "exhausted", "refused"})


class OtelObserver:
    """Turns each finished trace into spans. Needs the extra `otel`.

    Neither prompts, answers, feedback of verifiers nor the task's metadata are written unless asked for.
    """

    def __init__(
        self,
        arms: Iterable[Arm] = (),
        *,
        tracer_provider: TracerProvider | None = None,
        record_text: bool = False,
        prompt_of: Callable[[Trace], str | None] | None = None,
    ) -> None:
        """Find the tracer; nothing is exported that the program's own provider does not export.

        Args:
            arms: Those of the ladder, whose endpoints name the provider. Of other arms it is the one
                the catalog knows for the model, else `_OTHER`.
            tracer_provider: None: the global one.
            record_text: Write answers, and what verifiers said of them.
            prompt_of: Gives the prompt of a trace, which holds none, to be written too.

        Raises:
            ConfigError: OpenTelemetry is not installed.
        """
        self._tracer = _tracer(tracer_provider)
        self._provider_of = Providers(arms)
        self._record_text = record_text
        self._prompt_of = prompt_of

    def write(self, trace: Trace) -> None:
        """Emit the spans of a trace."""
        from opentelemetry.trace import SpanKind, set_span_in_context  # noqa: PLC0415 - an extra

        ends = trace.started_at + timedelta(seconds=trace.latency_s)
        times = list(_times(trace, ends))
        task = self._tracer.start_span(
            f"invoke_workflow {_names.WORKFLOW}",
            kind=SpanKind.INTERNAL,
            start_time=_nanoseconds(trace.started_at),
            attributes=_names.of_task(trace),
        )
        if trace.outcome not in _NO_ERROR:
            _fail(task, trace.outcome)
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
                _fail(span, attempt.error.partition(":")[0])
            span.end(_nanoseconds(when.end))
        task.end(_nanoseconds(max([ends, *(when.end for when in times)])))

    def _texts(self, trace: Trace, attempt: Attempt) -> dict[str, Any]:
        prompt = self._prompt_of(trace) if self._prompt_of else None
        text = attempt.answer.text if self._record_text and attempt.answer else None
        return _names.of_texts(attempt, prompt=prompt, answer=text)

    def _add_verdict(self, span: Span, attempt: Attempt, when: _Times) -> None:
        if attempt.verdict is None:
            return
        after = when.end + timedelta(seconds=attempt.verdict.latency_s)
        span.add_event(
            "gen_ai.evaluation.result",
            _names.of_verdict(attempt.verdict, with_text=self._record_text),
            timestamp=_nanoseconds(after),
        )


def _tracer(provider: TracerProvider | None) -> Tracer:
    try:
        from opentelemetry import trace  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "OtelObserver needs OpenTelemetry; run: pip install 'effortctl[otel]'"
        ) from error
    return trace.get_tracer("effortctl", tracer_provider=provider)


def _fail(span: Span, kind: str) -> None:
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - an extra

    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))


# --- times -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Times:
    start: datetime
    end: datetime


def _times(trace: Trace, ends: datetime) -> Iterator[_Times]:
    """When each attempt was made, as far as is known.

    An answer says when its call was sent and how long it took. A cached one was sent long ago and takes
    no time now. An attempt without an answer lasts until the next one begins.
    """
    known = [_sent_at(attempt) for attempt in trace.attempts]
    cursor = trace.started_at
    for position, attempt in enumerate(trace.attempts):
        later = next((moment for moment in known[position + 1 :] if moment is not None), ends)
        start = max(cursor, known[position] or cursor)
        took_s = 0.0 if attempt.cached or attempt.answer is None else attempt.answer.latency_s
        end = start + timedelta(seconds=took_s)
        if attempt.answer is None:
            end = max(start, later)
        yield _Times(start, end)
        checked_s = attempt.verdict.latency_s if attempt.verdict else 0.0
        cursor = end + timedelta(seconds=checked_s)


def _sent_at(attempt: Attempt) -> datetime | None:
    return None if attempt.cached or attempt.answer is None else attempt.answer.started_at


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1_000
