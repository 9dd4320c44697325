"""Policies run live: the real loop, the real check, fresh answers; their rows sit beside the arms'.

What they do can be compared with what replay says they would have done. Nothing is taken from the
response cache, and no feedback is carried over: replay knows neither.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from effortctl._controller import AsyncController
from effortctl._errors import BudgetExceededError, ConfigError, EffortctlError
from effortctl._types import Budget, Trace, Usage
from effortctl.harness.runner._checks import Checks
from effortctl.harness.runner._config import PolicySpec
from effortctl.harness.runner._inputs import Inputs
from effortctl.harness.runner._limits import Sleep
from effortctl.harness.runner._sample import Cell, Sample
from effortctl.protocols import PriceBook
from effortctl.stores import SqliteLedger

_MESSAGE_CHARS = 300


class LivePolicies:
    """The policies of a run, each with its controller.

    Args:
        inputs: The run.
        checks: Gives each task its run-time check.
        backends: By endpoint name, behind their gates.
        ledger: Where their dollars are booked.
        budget: The limit of the run.
        prices: Knows what calls cost.
        sleep: Waits between retries.
        rng: Jitters those waits.

    Attributes:
        busy: Tasks in progress.
        spent: Dollars they paid in this session.
    """

    def __init__(
        self,
        inputs: Inputs,
        checks: Checks,
        *,
        backends: Mapping[str, Any],
        ledger: SqliteLedger,
        budget: Budget,
        prices: PriceBook,
        sleep: Sleep,
        rng: random.Random,
    ) -> None:
        self._inputs = inputs
        self._checks = checks
        self.busy = 0
        self.spent = Decimal(0)
        options: dict[str, Any] = {
            "backends": dict(backends),
            "ledger": ledger,
            "budget": budget if inputs.config.budget_usd is not None else None,
            "prices": prices,
            "carry": "none",
            "sleep": sleep,
            "rng": rng,
            "max_calls": inputs.config.max_calls,
        }
        self._controllers = {
            spec.label: self._controller(spec, options) for spec in inputs.config.policy
        }

    def __contains__(self, name: object) -> bool:
        return name in self._controllers

    async def sample(self, cell: Cell) -> Sample:
        """Run one task through a policy.

        Raises:
            BudgetExceededError: The run's budget cannot hold its next call.
            ConfigError: The task has no check, so the policy cannot tell when to stop.
        """
        case = self._inputs.cases[cell.case]
        verifier = self._checks.verifier(case)
        if verifier is None:
            raise ConfigError(
                f"{cell.arm} cannot be run live on task {cell.case!r}: it has no run-time check; add a "
                "column `verify` or a `verify` for all tasks"
            )
        self.busy += 1
        try:
            outcome = await self._controllers[cell.arm].run(
                case.task, verify=verifier, deadline_s=None
            )
        except BudgetExceededError as error:
            self._book(error.trace)
            raise
        except EffortctlError as error:
            if error.trace is None:
                raise
            self._book(error.trace)
            return self._sample(cell, error.trace, error)
        finally:
            self.busy -= 1
        self._book(outcome.trace)
        return self._sample(cell, outcome.trace, None)

    def _book(self, trace: Trace | None) -> None:
        self.spent += trace.cost_usd if trace is not None else Decimal(0)

    def _controller(self, spec: PolicySpec, options: Mapping[str, Any]) -> AsyncController:
        arms = list(self._inputs.arms)
        if spec.arms is not None:
            named = self._inputs.arm_named
            arms = [named[name] for name in spec.arms]
        cap = self._inputs.config.max_output_tokens
        if cap is not None:
            arms = [arm.model_copy(update={"max_output_tokens": cap}) for arm in arms]
        learned = self._inputs.learned.get(spec.label)
        if learned is None:
            return AsyncController(arms, **options)
        return learned.async_controller(arms, **options)

    def _sample(self, cell: Cell, trace: Trace, error: EffortctlError | None) -> Sample:
        best = trace.best
        answer = best.answer if best is not None else None
        usages = [a.answer.usage for a in trace.attempts if a.answer and a.answer.usage]
        fault = error or (None if answer else ConfigError("no arm gave an answer"))
        return Sample(
            cell=cell,
            arm_key=self._inputs.arm_keys[cell.arm],
            case_key=self._inputs.case_key(cell.case),
            cost_usd=trace.cost_usd,
            spent_usd=trace.cost_usd,
            priced=all(attempt.cost.source != "unknown" for attempt in trace.attempts),
            calls=trace.calls,
            text=None if answer is None or error is not None else answer.text,
            finish="complete" if answer is None else answer.finish,
            usage=sum(usages, Usage()) if usages else None,
            latency_s=trace.latency_s,
            compute_s=trace.compute_s or None,
            tried=tuple(attempt.arm for attempt in trace.attempts),
            error=None if fault is None else type(fault).__name__,
            kind=None if fault is None else str(getattr(fault, "kind", "policy")),
            message=None if fault is None else str(fault)[:_MESSAGE_CHARS],
        )
