"""The driver that blocks."""

from __future__ import annotations

import contextlib
import inspect
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import tenacity

from effortctl import backends as _backends
from effortctl._asking import Check, asks
from effortctl._controller._learned import LearnedPolicy, learned
from effortctl._controller._retries import retry_options
from effortctl._driver import BudgetLike, Driver, LadderLike, Run, VerifyLike
from effortctl._engine import Ended
from effortctl._errors import (
    ConfigError,
    EffortctlError,
    UnsupportedEffortError,
)
from effortctl._limits import within
from effortctl._pricing import Bill
from effortctl._types import Answer, Ask, Call, Outcome, Reply, Stopped, Task, Verdict, Verify
from effortctl.protocols import AnyVerifier, Backend
from effortctl.verifiers import is_async


class Controller(Driver):
    """Runs tasks up a ladder of arms until an answer passes its check.

    Safe to share between threads. See `Driver.__init__` for the options; `AsyncController` takes the
    same ones.

    Example:
        ```python
        ctl = Controller("openai", verify="number:408", budget="$0.02")
        outcome = ctl.run("What is 17*24?")
        print(outcome.value, outcome.cost_usd)
        ```
    """

    _make_backend = staticmethod(_backends.backend_for)

    @classmethod
    def from_policy(
        cls, policy: LearnedPolicy | str | Path, ladder: LadderLike, **options: Any
    ) -> Self:
        """A controller that follows a learned policy.

        Args:
            policy: What `learn` returned, or the file it was saved to.
            ladder: As for `Controller`; must have every arm of the policy, by name.
            **options: Further options of the constructor, e.g. `verify` and `budget`.

        Raises:
            StoreError: The file is missing, damaged or of another version.
            ConfigError: The ladder lacks an arm, or an option makes no sense.

        Example:
            ```python
            ctl = Controller.from_policy("policy.json", "openai", verify="number:408")
            ```
        """
        return cls(**{**learned(policy).controller_options(ladder), **options})

    def run(
        self,
        task: Task | str,
        *,
        verify: VerifyLike = None,
        budget: BudgetLike | None = None,
        deadline_s: float | None = None,
    ) -> Outcome[str]:
        """Run one task to its end.

        Args:
            task: What is asked, or just the prompt.
            verify: Replaces the controller's own verifier for this task.
            budget: A further limit for this task.
            deadline_s: Replaces the controller's own deadline.

        Returns:
            The accepted answer, or the best one seen when every arm failed its check
            (`outcome.accepted` tells which), with the trace.

        Raises:
            BudgetExceededError: The next call could break a limit. `.trace` holds what was spent.
            DeadlineExceededError: Time is over. `.trace.best` holds the best answer so far.
            BackendError: An arm failed in a way that another arm would not cure, or every arm did.
            ConfigError: The options make no sense.
        """
        return self._drive(self._begin(task, verify=verify, budget=budget, deadline_s=deadline_s))

    def run_with(
        self,
        backend: Backend,
        task: Task | str,
        *,
        verify: VerifyLike = None,
        deadline_s: float | None = None,
        at_endpoint: bool = False,
    ) -> Outcome[Any]:
        """As `run`, but make every call through this backend, whatever the arm's endpoint.

        Nothing is cached: answers of a foreign backend may be any Python object.

        Args:
            backend: Makes the calls.
            task: As for `run`.
            verify: As for `run`.
            deadline_s: As for `run`.
            at_endpoint: The backend does call the arm's endpoint, so it makes no call while that one says
                that the account has no credit.
        """
        run = self._begin(task, verify=verify, deadline_s=deadline_s, backend=backend)
        run.at_endpoint = at_endpoint
        return self._drive(run)

    def with_options(self, **options: Any) -> Controller:
        """A copy with some of the constructor's options replaced."""
        return Controller(**self._options | options)

    def _drive(self, run: Run) -> Outcome[Any]:
        with contextlib.ExitStack() as lead:
            step = run.advance(None)
            while not isinstance(step, Ended):
                if isinstance(step, Call):
                    step = run.advance(self._look_up_or_call(run, step, lead))
                else:
                    step = run.advance(self._verify(run, step))
            self._keep(run, step.trace)
        return self._finish(step)

    def _look_up_or_call(self, run: Run, call: Call, lead: contextlib.ExitStack) -> Reply:
        """Answer from the cache, or call; of equal calls at the same time only one goes out."""
        if self._flight is None or run.backend is not None:
            return self._call(run, call)
        lead.close()
        hit = self._look_up(run, call)
        if hit is None and run.cache_key is not None:
            left = run.seconds_left()
            lead.enter_context(self._flight.lead(run.cache_key, timeout_s=left))
            hit = self._look_up(run, call)
        return hit or self._call(run, call)

    def _call(self, run: Run, call: Call) -> Reply:
        bill = Bill()
        refusal = self.breaker.refusal(call.arm) if run.at_endpoint else None
        if refusal is not None:
            return bill.reply(None, error=refusal, arm=call.arm)
        try:
            try:
                answer = self._with_retries(run, call, bill)
            except UnsupportedEffortError as error:
                call = self._renarrowed(call, error)
                answer = self._with_retries(run, call, bill)
        except EffortctlError as error:
            self.breaker.note(call.arm, error)
            return bill.reply(None, error=error, arm=call.arm)
        self.breaker.note(call.arm, None)
        run.answer = answer
        return bill.reply(answer, arm=call.arm)

    def _with_retries(self, run: Run, call: Call, bill: Bill) -> Answer:
        before = bill.calls
        options = retry_options(self, run, call)
        retrying = tenacity.Retrying(sleep=self._sleep or time.sleep, **options)
        answer = retrying(self._request, run, call, bill)
        self.retries.succeeded(call.arm.endpoint.name, retried=bill.calls > before + 1)
        return answer

    def _request(self, run: Run, call: Call, bill: Bill) -> Answer:
        with self.slots.hold(run.seconds_left()):
            return self._request_now(run, call, bill)

    def _request_now(self, run: Run, call: Call, bill: Bill) -> Answer:
        """One wire request: reserve, call, settle."""
        call = self._timed(run, call)
        backend: Backend = self._backend(run, call.arm)
        ledger, needed = self._store(run.budgets), self._needed(run, call)
        ticket = ledger.reserve(
            needed, budgets=run.budgets, trace_id=run.id, wait_s=run.seconds_left()
        )
        try:
            call = self._timed(run, call)  # the ledger may have made us wait
            bill.calls += 1
            answer = backend.complete(call)
        except BaseException as fault:
            bill.add(self._settle_fault(run, call, ticket, fault=fault))
            raise
        bill.add(self._settle(run, call, ticket, answer=answer))
        return answer

    def _verify(self, run: Run, verify: Verify) -> Verdict | Stopped:
        if not asks(run.verifier):
            return self._verify_by(run.verifier, run, verify)
        check = Check(run.verifier, verify)
        step = check.advance(None)
        while not isinstance(step, Verdict | Stopped):
            if isinstance(step, Ask):
                step = check.advance(self._call(self._asking(run, step), step.call))
            else:
                verify = replace(verify, timeout_s=run.seconds_left())
                step = check.advance(self._verify_by(step, run, verify))
        return step

    def _verify_by(self, verifier: Any, run: Run, verify: Verify) -> Verdict:
        verdict = within(lambda: verifier(verify.task, verify.answer), verify.timeout_s)
        self._book_verdict(run, verify, verdict)
        return verdict

    def _fit(self, backend: Any) -> Any:
        if inspect.iscoroutinefunction(backend.complete):
            raise ConfigError(
                f"{type(backend).__name__} is async, which Controller cannot call; use AsyncController"
            )
        return backend

    def _check_verifier(self, verifier: AnyVerifier | None) -> None:
        if verifier is not None and is_async(verifier):
            raise ConfigError(
                f"{verifier!r} is async, which Controller cannot run; use AsyncController"
            )

    def _adopt(self, backend: Any) -> None:
        # Whoever does not call close() leaves no open sockets behind either.
        if hasattr(backend, "close"):
            weakref.finalize(self, backend.close)

    def close(self) -> None:
        """Close the backends this controller made."""
        for backend in self._made_backends.values():
            if hasattr(backend, "close"):
                backend.close()
        self._made_backends.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
