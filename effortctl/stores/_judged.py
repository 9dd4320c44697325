"""Feedback and the traces it is about, brought together by the id of the decision."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import fmean

from effortctl._errors import ConfigError, StoreError
from effortctl._types import Trace
from effortctl.stores._feedback import Feedback, FeedbackStore, feedback_path, latest_feedback
from effortctl.stores._run_scores import SESSION, run_scores
from effortctl.stores._traces import parse_trace


def add_feedback(
    traces: str | Path,
    trace_id: str,
    score: float,
    *,
    note: str | None = None,
    feedback: str | Path | None = None,
) -> Feedback:
    """Judge a decision of a file of traces, or a whole agent run.

    Args:
        traces: The file its trace was written to.
        trace_id: Which decision; the id of a `Session` judges the run, see `Session.finish`.
        score: 0 (wrong) to 1 (right).
        note: Why. It is written as it is.
        feedback: Where it is kept. None: beside the traces, see `feedback_path`.

    Raises:
        ConfigError: There is no such trace or session in the file, or the score is not within 0..1.
        StoreError: A file cannot be read or written.
    """
    about = _mentioning(traces, trace_id)
    if not any(trace_id in (trace.id, trace.metadata.get(SESSION)) for trace in about):
        raise ConfigError(
            f"no trace in {traces} has the id {trace_id!r}; the id is `outcome.trace.id`, or `id` in "
            "the output of `effortctl run --json` and in each line of the file, or that of a session"
        )
    store = FeedbackStore(feedback_path(traces) if feedback is None else feedback)
    return store.write(trace_id, score, note=note)


def find_trace(path: str | Path, trace_id: str) -> Trace | None:
    """The trace with this id, or None; only lines that mention the id are parsed.

    Raises:
        StoreError: The file cannot be read.
    """
    return next((trace for trace in _mentioning(path, trace_id) if trace.id == trace_id), None)


def _mentioning(path: str | Path, name: str) -> Iterator[Trace]:
    """Traces in whose line a name stands, in order."""
    quoted = json.dumps(name).encode("ascii")
    try:
        with Path(path).expanduser().open("rb") as file:
            for number, line in enumerate(file, start=1):
                if quoted in line and (trace := parse_trace(line, f"{path}, line {number}")):
                    yield trace
    except OSError as error:
        raise StoreError(f"traces cannot be read from {path}: {error.strerror or error}") from error


def judged_attempts(
    traces: Iterable[Trace], feedback: Iterable[Feedback]
) -> dict[tuple[str, int], float]:
    """Scores by (trace id, position of the attempt): feedback is about the answer that was returned.

    Feedback on a whole agent run says something of those of its steps that nobody judged, see
    `run_scores`.
    """
    traces, scores = list(traces), _scores(feedback)
    found = run_scores(traces, scores)
    for trace in traces:
        best = trace.best
        if trace.id in scores and best is not None:
            position = next(i for i, attempt in enumerate(trace.attempts) if attempt is best)
            found[trace.id, position] = scores[trace.id]
    return found


def feedback_scores(
    traces: Iterable[Trace], feedback: Iterable[Feedback]
) -> dict[tuple[str, str], float]:
    """(task id, arm) → mean score of its returned answers: what `learn(traces, scores=...)` takes.

    Feedback on decisions that are not among the traces is left out.
    """
    scores = _scores(feedback)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for trace in traces:
        best = trace.best
        if trace.id in scores and best is not None:
            found[trace.task_id, best.arm].append(scores[trace.id])
    return {key: fmean(values) for key, values in found.items()}


def _scores(feedback: Iterable[Feedback]) -> Mapping[str, float]:
    return {trace_id: given.score for trace_id, given in latest_feedback(feedback).items()}
