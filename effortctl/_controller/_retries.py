"""When a call is repeated on the same arm, and after how long."""

from __future__ import annotations

from typing import Any

import tenacity

from effortctl._driver import Driver, Run
from effortctl._errors import TransientBackendError
from effortctl._types import Call

WAIT_FIRST_S = 0.5
WAIT_MAX_S = 8.0

ASKED_MAX_S = 120.0
"""Longest wait an endpoint may ask for; one that asks for hours is left for another arm instead."""


def retry_options(driver: Driver, run: Run, call: Call) -> dict[str, Any]:
    """Options of a tenacity retrying object for one call."""

    def stop(state: tenacity.RetryCallState) -> bool:
        left = run.seconds_left()
        too_late = left is not None and left <= state.upcoming_sleep
        if too_late or state.upcoming_sleep > ASKED_MAX_S:
            return True
        if state.attempt_number >= driver.max_calls:
            return True
        return not driver.retries.take(call.arm.endpoint.name)

    def wait_s(state: tenacity.RetryCallState) -> float:
        """What the endpoint asked for, else exponential with jitter."""
        fault = state.outcome.exception() if state.outcome else None
        if isinstance(fault, TransientBackendError) and fault.retry_after_s is not None:
            return fault.retry_after_s
        ceiling: float = min(WAIT_MAX_S, WAIT_FIRST_S * 2.0 ** (state.attempt_number - 1))
        return ceiling * driver.rng.uniform(0.5, 1.0)

    return {
        "retry": tenacity.retry_if_exception_type(TransientBackendError),
        "stop": stop,
        "wait": wait_s,
        "reraise": True,
    }
