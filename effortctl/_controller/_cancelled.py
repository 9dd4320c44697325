"""A task that is cancelled half-way: the engine is told, so that what was spent gets its trace."""

from __future__ import annotations

from decimal import Decimal

from effortctl._driver import Run
from effortctl._engine import Action, Ended, Result
from effortctl._errors import EffortctlError
from effortctl._types import Call, Cost, Reply, Stopped, Verdict

_NO_COST = Cost(usd=Decimal(0), source="none")


def cancelled() -> EffortctlError:
    """What ends the task. It is no fault of the endpoint, so nothing is tried instead."""
    return EffortctlError("the task was cancelled")


def cut_short(run: Run) -> Reply:
    """What became of the call that was under way: what it cost, if it was made at all."""
    last = run.cut.pop() if run.cut else None
    return last if isinstance(last, Reply) else Reply(None, _NO_COST, calls=0, error=cancelled())


def ended(run: Run, step: Action | Ended) -> Ended:
    """How a task ends that was cancelled during a step."""
    while not isinstance(step, Ended):
        step = run.advance(_result(run, step))
    return step


def _result(run: Run, step: Action) -> Result:
    if isinstance(step, Call):
        return cut_short(run)
    if run.cut:
        return run.cut.pop()
    error = cancelled()
    return Stopped(Verdict(status="abstain", verifier="cancelled", error=str(error)), error)
