"""Which value goes under which attribute.

Source: the OpenTelemetry repository semantic-conventions-genai (in development); the names are those of the
package opentelemetry-semantic-conventions 0.66b2, and `gen_ai.request.reasoning.level`, which that
repository has had since 2026-06 and the package does not have yet.
"""

from __future__ import annotations

import json
from typing import Any, Final

from effortctl._types import Attempt, Finish, Trace, Usage, Verdict

WORKFLOW: Final = "effortctl"

_NO_FAULT: Final = frozenset({"accepted", "refused"})

_FINISH: Final[dict[Finish, str]] = {
    "complete": "stop",
    "truncated": "length",
    "refused": "content_filter",
    "filtered": "content_filter",
    "context_exceeded": "length",
}


def of_task(trace: Trace) -> dict[str, Any]:
    """Attributes of the span of a task."""
    best = trace.best
    return _known(
        {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": WORKFLOW,
            "effortctl.decision": trace.id,
            "effortctl.task_id": trace.task_id,
            "effortctl.category": trace.category,
            "effortctl.policy": trace.policy,
            "effortctl.outcome": trace.outcome,
            "effortctl.verified": best is not None and best.passed,
            "effortctl.arm": best.arm if best else None,
            "effortctl.attempts": len(trace.attempts),
            "effortctl.calls": trace.calls,
            "effortctl.cost_usd": float(trace.cost_usd),
        }
    )


def of_attempt(decision: str, attempt: Attempt, provider: str) -> dict[str, Any]:
    """Attributes of the span of an attempt, without any text."""
    answer, expected = attempt.answer, attempt.expected
    return _known(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": attempt.model,
            "gen_ai.request.max_tokens": attempt.max_output_tokens,
            "gen_ai.request.reasoning.level": _level(attempt),
            "gen_ai.response.model": answer.model if answer else None,
            "gen_ai.response.finish_reasons": [_FINISH[answer.finish]] if answer else None,
            "operation.cost": float(attempt.cost.usd),
            "effortctl.decision": decision,
            "effortctl.arm": attempt.arm,
            "effortctl.effort": attempt.effective_effort,
            "effortctl.requested_effort": attempt.requested_effort,
            "effortctl.sample_index": attempt.sample_index,
            "effortctl.calls": attempt.calls,
            "effortctl.cached": attempt.cached,
            "effortctl.cost_source": attempt.cost.source,
            "effortctl.request_id": answer.request_id if answer else None,
            "effortctl.verdict": attempt.verdict.status if attempt.verdict else None,
            "effortctl.verdict.cost_usd": float(attempt.verdict.cost_usd)
            if attempt.verdict
            else None,
            "effortctl.expected.p_correct": expected.p_correct if expected else None,
            "effortctl.expected.cost_usd": expected.cost_usd if expected else None,
            # A cached answer was billed when it was made; its tokens must not be counted again.
            **_of_usage(None if answer is None or attempt.cached else answer.usage),
            **_of_tier(attempt, provider),
        }
    )


def of_metrics(attempt: Attempt, provider: str) -> dict[str, Any]:
    """Attributes that measurements of an attempt are grouped by."""
    return _known(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": attempt.model,
            "gen_ai.request.reasoning.level": _level(attempt),
            "gen_ai.response.model": attempt.answer.model if attempt.answer else None,
        }
    )


def of_fault(error: str | None) -> dict[str, str]:
    """The class of a fault, from its type and message; the message may quote anything."""
    return {} if error is None else {"error.type": error.partition(":")[0]}


def fault_of_task(trace: Trace) -> str | None:
    """Why a task failed. None: it did not, for an answer that no check passed is no fault."""
    if trace.outcome in _NO_FAULT:
        return None
    if trace.outcome != "exhausted":
        return trace.outcome
    answered = any(attempt.answer is not None for attempt in trace.attempts)
    errors = [attempt.error for attempt in trace.attempts if attempt.error is not None]
    return None if answered or not errors else errors[-1].partition(":")[0]


def _level(attempt: Attempt) -> str | None:
    return None if attempt.effective_effort == "default" else attempt.effective_effort


def _of_usage(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "effortctl.usage_estimated": usage.estimated,
    }


def _of_tier(attempt: Attempt, provider: str) -> dict[str, Any]:
    tier = attempt.answer.service_tier if attempt.answer else None
    return {"openai.response.service_tier": tier} if provider == "openai" else {}


def of_verdict(verdict: Verdict, *, with_text: bool) -> dict[str, Any]:
    """Attributes of the event that tells what a verifier said."""
    return _known(
        {
            "gen_ai.evaluation.name": verdict.verifier or "verifier",
            "gen_ai.evaluation.score.label": verdict.status,
            "gen_ai.evaluation.score.value": verdict.score,
            "gen_ai.evaluation.explanation": (verdict.feedback or None) if with_text else None,
        }
    ) | of_fault(verdict.error)


def of_texts(attempt: Attempt, *, prompt: str | None, answer: str | None) -> dict[str, Any]:
    """Attributes for what was asked and answered, where that was asked for."""
    return _known(
        {
            "gen_ai.input.messages": None if prompt is None else _turn("user", prompt),
            "gen_ai.output.messages": (
                None
                if answer is None or attempt.answer is None
                else _turn("assistant", answer, finish_reason=_FINISH[attempt.answer.finish])
            ),
        }
    )


def _turn(role: str, text: str, **more: str) -> str:
    turn = {"role": role, "parts": [{"type": "text", "content": text}], **more}
    return json.dumps([turn], ensure_ascii=False)


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
