"""From what happened in production to outcome rows that a policy can learn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from effortctl._types import Answer, Attempt, Trace, Usage
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

    All attempts of an arm on a task, with further samples and larger caps, are one try: it costs what
    they cost together, and it is as good as the last of them. Tries of the same task in several traces
    become one row of means. Answers from the cache are left out: they cost nothing and say nothing new.

    An arm that was asked because another had failed saw a task that is harder than most. Its row is
    marked as `escalated`, and is left out where the same arm also tried the task for other reasons.

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
    found: dict[tuple[str, str], list[tuple[_Try, float]]] = defaultdict(list)
    for trace in traces:
        for each in _tries(trace):
            key = (trace.task_id, each.arm)
            told = [judged[trace.id, at] for at in each.positions if (trace.id, at) in judged]
            score = told[0] if told else known_scores.get(key)
            if score is None and trust_verdicts:
                score = _verdict_score(each.last)
            if score is not None:
                found[key].append((each, score))
    return [_row(tries, prompt=known_prompts.get(task_id)) for (task_id, _), tries in found.items()]


@dataclass(frozen=True, slots=True)
class _Try:
    """What one arm did on one task in one trace: a sample or several, each with its answer.

    Attributes:
        trace: Where it happened.
        positions: Of its attempts in the trace.
        escalated: The arm was asked because of what an earlier one had answered.
    """

    trace: Trace
    positions: Sequence[int]
    escalated: bool

    @property
    def attempts(self) -> list[Attempt]:
        return [self.trace.attempts[at] for at in self.positions]

    @property
    def last(self) -> Attempt:
        return self.trace.attempts[self.positions[-1]]

    @property
    def arm(self) -> str:
        return self.last.arm

    @property
    def answers(self) -> list[Answer]:
        return [attempt.answer for attempt in self.attempts if attempt.answer is not None]

    @property
    def usage(self) -> Usage | None:
        """All tokens; None where the endpoint did not say."""
        usages = [answer.usage for answer in self.answers if answer.usage is not None]
        return sum(usages[1:], usages[0]) if usages else None


def _tries(trace: Trace) -> Iterator[_Try]:
    """Tries with an answer that was paid for, in order."""
    positions: dict[str, list[int]] = defaultdict(list)
    for at, attempt in enumerate(trace.attempts):
        if attempt.answer is not None:
            positions[attempt.arm].append(at)
    before: list[Attempt] = []
    for mine in positions.values():
        attempts = [trace.attempts[at] for at in mine]
        if not any(attempt.cached for attempt in attempts):
            yield _Try(trace, mine, _decides(before))
        before += attempts


def _decides(before: Sequence[Attempt]) -> bool:
    """Did what was answered before decide that the next arm is asked?

    A check had its say, or an answer was cut off, or there are two answers to compare. A single answer
    that nothing was said about is as good a reason to ask for another opinion as any other.
    """
    told = any(a.verdict or (a.answer and a.answer.finish != "complete") for a in before)
    return told or len({attempt.arm for attempt in before}) > 1


def _verdict_score(attempt: Attempt) -> float | None:
    if attempt.answer is not None and attempt.answer.finish != "complete":
        return 0.0
    if attempt.verdict is None or attempt.verdict.status == "abstain":
        return None
    return float(attempt.passed)


def _row(found: list[tuple[_Try, float]], *, prompt: str | None) -> OutcomeRow:
    escalated = all(each.escalated for each, _ in found)
    kept = found if escalated else [pair for pair in found if not pair[0].escalated]
    tries = [each for each, _ in kept]
    trace, last = tries[0].trace, tries[0].last
    usages = [usage for each in tries if (usage := each.usage) is not None]
    verdicts = {each.last.verdict.status if each.last.verdict else None for each in tries}
    reasoning = [u.reasoning_tokens for u in usages if u.reasoning_tokens is not None]
    return OutcomeRow(
        query_id=trace.task_id,
        arm=last.arm,
        score=fmean(score for _, score in kept),
        query=prompt,
        category=trace.category,
        model=last.model,
        effort=last.requested_effort,
        verdict=verdicts.pop() if len(verdicts) == 1 else None,
        cost_usd=fmean(float(sum(a.cost_usd for a in each.attempts)) for each in tries),
        input_tokens=_mean([usage.input_tokens for usage in usages]),
        output_tokens=_mean([usage.output_tokens for usage in usages]),
        reasoning_tokens=_mean(reasoning),
        cached_tokens=_mean([usage.cached_tokens for usage in usages]),
        latency_s=_mean([sum(answer.latency_s for answer in each.answers) for each in tries]),
        escalated=escalated,
        n_samples=len(tries),
    )


def _mean(values: list[int] | list[float]) -> float | None:
    return fmean(values) if values else None
