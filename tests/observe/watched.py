"""Traces of tasks that never were, for everything that looks at traces."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from effortctl._types import Answer, Attempt, Cost, Estimate, Trace, Usage, Verdict

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


def attempt(
    status="pass",
    *,
    arm="gpt-6-luna@low",
    usd="0.01",
    finish="complete",
    cached=False,
    at=None,
    latency_s=2.0,
    expected=None,
    answered=True,
):
    usage = Usage(input_tokens=40, cached_tokens=8, output_tokens=20, reasoning_tokens=12)
    answer = Answer(
        text="the secret answer",
        finish=finish,
        usage=usage,
        latency_s=latency_s,
        started_at=at,
        model=f"{arm.partition('@')[0]}-2026-11-01",
        request_id="req_1",
        service_tier="default",
    )
    verdict = None
    if answered and finish == "complete" and status is not None:
        verdict = Verdict(
            status=status,
            feedback="the secret feedback",
            verifier="number",
            score=1.0 if status == "pass" else None,
            latency_s=0.5,
        )
    effort = arm.partition("@")[2] or "default"
    return Attempt(
        arm=arm,
        model=arm.partition("@")[0],
        requested_effort=effort,
        effective_effort=effort,
        max_output_tokens=500,
        answer=answer if answered else None,
        verdict=verdict,
        cost=Cost(usd=Decimal(usd), source="user"),
        calls=0 if cached else 1,
        cached=cached,
        error=None if answered else "TransientBackendError: 503 of the secret host",
        expected=expected,
    )


def expecting(p, *, arm="gpt-6-luna@low", usd=0.01):
    return Estimate(arm=arm, p_correct=p, cost_usd=usd)


def trace(*attempts, number=0, outcome=None, started_at=None, latency_s=10.0):
    accepted = bool(attempts) and attempts[-1].passed
    return Trace(
        id=f"trace-{number}",
        task_id=f"task-{number}",
        category="sums",
        outcome=outcome or ("accepted" if accepted else "exhausted"),
        attempts=attempts,
        policy="plan",
        started_at=started_at or START + timedelta(minutes=number),
        latency_s=latency_s,
        metadata={"ticket": "the secret metadata"},
    )
