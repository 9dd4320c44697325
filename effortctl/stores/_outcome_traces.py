"""From what happened in production to outcome rows that a policy can learn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean

from effortctl._types import Attempt, Trace
from effortctl.stores._feedback import Feedback
from effortctl.stores._judged import judged_attempts
from effortctl.stores._outcome_rows import OutcomeRow


def trace_rows(
    traces: Iterable[Trace],
    *,
    scores: Mapping[tuple[str, str], float] | None = None,
    prompts: Mapping[str, str] | None = None,
    trust_verdicts: bool = False,
    feedback: Iterable[Feedback] | None = None,
) -> list[OutcomeRow]:
    """One row per (task, arm) that was tried and whose correctness is known.

    Several samples of an arm on a task become one row of means. Answers from the cache are left out:
    they cost nothing and say nothing new.

    Args:
        traces: Finished traces.
        scores: (task id, arm name) → share of correct answers, where somebody judged them.
        prompts: Task id → prompt. Traces hold no prompt, and without one no difficulty can be learned.
        trust_verdicts: Take the check's word where there is no score: pass is correct; fail and an
            answer that was cut off or refused are wrong. Only right for an exact check.
        feedback: How good returned answers turned out to be. It is about one answer, so it comes before
            `scores`, and these before verdicts.

    Returns:
        Rows in the order the outcomes first appear.
    """
    traces = list(traces)
    known_scores, known_prompts = scores or {}, prompts or {}
    judged = judged_attempts(traces, feedback or ())
    found: dict[tuple[str, str], list[tuple[Trace, Attempt, float]]] = defaultdict(list)
    for trace in traces:
        for position, attempt in enumerate(trace.attempts):
            key = (trace.task_id, attempt.arm)
            score = judged.get((trace.id, position), known_scores.get(key))
            if score is None and trust_verdicts:
                score = _verdict_score(attempt)
            if score is not None and attempt.answer is not None and not attempt.cached:
                found[key].append((trace, attempt, score))
    return [_row(tried, prompt=known_prompts.get(task_id)) for (task_id, _), tried in found.items()]


def _verdict_score(attempt: Attempt) -> float | None:
    if attempt.answer is not None and attempt.answer.finish != "complete":
        return 0.0
    if attempt.verdict is None or attempt.verdict.status == "abstain":
        return None
    return float(attempt.passed)


def _row(tried: list[tuple[Trace, Attempt, float]], *, prompt: str | None) -> OutcomeRow:
    trace, first, _ = tried[0]
    attempts = [attempt for _, attempt, _ in tried]
    answers = [attempt.answer for attempt in attempts if attempt.answer is not None]
    usages = [answer.usage for answer in answers if answer.usage is not None]
    verdicts = {attempt.verdict.status if attempt.verdict else None for attempt in attempts}
    reasoning = [u.reasoning_tokens for u in usages if u.reasoning_tokens is not None]
    return OutcomeRow(
        query_id=trace.task_id,
        arm=first.arm,
        score=fmean(score for _, _, score in tried),
        query=prompt,
        category=trace.category,
        model=first.model,
        effort=first.requested_effort,
        verdict=verdicts.pop() if len(verdicts) == 1 else None,
        cost_usd=fmean(float(attempt.cost_usd) for attempt in attempts),
        input_tokens=_mean([usage.input_tokens for usage in usages]),
        output_tokens=_mean([usage.output_tokens for usage in usages]),
        reasoning_tokens=_mean(reasoning),
        cached_tokens=_mean([usage.cached_tokens for usage in usages]),
        latency_s=_mean([answer.latency_s for answer in answers]),
        n_samples=len(tried),
    )


def _mean(values: list[int] | list[float]) -> float | None:
    return fmean(values) if values else None
