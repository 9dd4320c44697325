"""The driver for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import tenacity

from effortctl import backends as _backends
from effortctl._asking import Check, asks
from effortctl._controller._cancelled import cancelled, cut_short, ended
from effortctl._controller._learned import LearnedPolicy, learned
from effortctl._controller._retries import retry_options
from effortctl._driver import BudgetLike, Driver, LadderLike, Run, VerifyLike
from effortctl._engine import Ended
from effortctl._errors import (
    EffortctlError,
    UnsupportedEffortError,
)
from effortctl._limits import TOO_SLOW, in_thread
from effortctl._pricing import Bill
from effortctl._types import Answer, Ask, Call, Outcome, Reply, Stopped, Task, Verdict, Verify
from effortctl.protocols import AsyncBackend, Backend
from effortctl.verifiers import is_async

T = TypeVar("T")


class AsyncController(Driver):
    """`Controller` for asyncio: the same options, the same methods, awaited.

    Blocking parts (ledger, cache, sync verifiers) run in threads, so the event loop never waits for a
    disk.
    """

    _make_backend = staticmethod(_backends.async_backend_for)

    @classmethod
    def from_policy(
        cls, policy: LearnedPolicy | str | Path, ladder: LadderLike, **options: Any
    ) -> Self:
        """As `Controller.from_policy`."""
        return cls(**{**learned(policy).controller_options(ladder), **options})

    async def run(
        self,
        task: Task | str,
        *,
        verify: VerifyLike = None,
        budget: BudgetLike | None = None,
        deadline_s: float | None = None,
    ) -> Outcome[str]:
        """As `Controller.run`; verifiers may be async too."""
        run = self._begin(task, verify=verify, budget=budget, deadline_s=deadline_s)
        return await self._drive(run)

    async def run_with(
        self,
        backend: AsyncBackend,
        task: Task | str,
        *,
        verify: VerifyLike = None,
        deadline_s: float | None = None,
        at_endpoint: bool = False,
    ) -> Outcome[Any]:
        """As `Controller.run_with`."""
        run = self._begin(task, verify=verify, deadline_s=deadline_s, backend=backend)
        run.at_endpoint = at_endpoint
        return await self._drive(run)

    def with_options(self, **options: Any) -> AsyncController:
        """As `Controller.with_options`."""
        return AsyncController(**self._options | options)

    async def _drive(self, run: Run) -> Outcome[Any]:
        step = run.advance(None)
        try:
            async with contextlib.AsyncExitStack() as lead:
                while not isinstance(step, Ended):
                    if isinstance(step, Call):
                        step = run.advance(await self._look_up_or_call(run, step, lead))
                    else:
                        step = run.advance(await self._verify(run, step))
                if run.cache_key is not None:
                    await asyncio.to_thread(self._keep, run, step.trace)
        except asyncio.CancelledError:
            await _booked(partial(self._write, ended(run, step).trace))
            raise
        return await _booked(partial(self._finish, step)) if self._traces else self._finish(step)

    async def _look_up_or_call(
        self, run: Run, call: Call, lead: contextlib.AsyncExitStack
    ) -> Reply:
        """Answer from the cache, or call; of equal calls at the same time only one goes out."""
        if self._flight is None or run.backend is not None:
            return await self._call(run, call)
        await lead.aclose()
        hit = await asyncio.to_thread(self._look_up, run, call)
        if hit is None and run.cache_key is not None:
            left = run.seconds_left()
            await lead.enter_async_context(self._flight.alead(run.cache_key, timeout_s=left))
            hit = await asyncio.to_thread(self._look_up, run, call)
        return hit or await self._call(run, call)

    async def _call(self, run: Run, call: Call) -> Reply:
        bill = Bill()
        refusal = self.breaker.refusal(call.arm) if run.at_endpoint else None
        if refusal is not None:
            return bill.reply(None, error=refusal, arm=call.arm)
        try:
            try:
                answer = await self._with_retries(run, call, bill)
            except UnsupportedEffortError as error:
                call = self._renarrowed(call, error)
                answer = await self._with_retries(run, call, bill)
        except EffortctlError as error:
            self.breaker.note(call.arm, error)
            return bill.reply(None, error=error, arm=call.arm)
        except asyncio.CancelledError:
            run.cut.append(bill.reply(None, error=cancelled(), arm=call.arm))
            raise
        self.breaker.note(call.arm, None)
        run.answer = answer
        return bill.reply(answer, arm=call.arm)

    async def _with_retries(self, run: Run, call: Call, bill: Bill) -> Answer:
        before = bill.calls
        options = retry_options(self, run, call)
        retrying = tenacity.AsyncRetrying(sleep=self._sleep or asyncio.sleep, **options)
        answer: Answer = await retrying(self._request, run, call, bill)
        self.retries.succeeded(call.arm.endpoint.name, retried=bill.calls > before + 1)
        return answer

    async def _request(self, run: Run, call: Call, bill: Bill) -> Answer:
        async with self.slots.ahold(run.seconds_left()):
            return await self._request_now(run, call, bill)

    async def _request_now(self, run: Run, call: Call, bill: Bill) -> Answer:
        """One wire request: reserve, call, settle."""
        call = self._timed(run, call)
        backend: AsyncBackend = self._backend(run, call.arm)
        ledger = self._ledger
        if ledger is None:
            ledger = await asyncio.to_thread(self._store, run.budgets)
        needed = self._needed(run, call)
        ticket = await ledger.areserve(
            needed, budgets=run.budgets, trace_id=run.id, wait_s=run.seconds_left()
        )
        try:
            call = self._timed(run, call)  # the ledger may have made us wait
            bill.calls += 1
            answer = await backend.complete(call)
        except GeneratorExit as fault:  # the loop is gone, so there is nothing left to wait with
            bill.add(self._settle_fault(run, call, ticket, fault=fault))
            raise
        except BaseException as fault:
            bill.add(await _booked(partial(self._settle_fault, run, call, ticket, fault=fault)))
            raise
        bill.add(await _booked(partial(self._settle, run, call, ticket, answer=answer)))
        return answer

    async def _verify(self, run: Run, verify: Verify) -> Verdict | Stopped:
        if not asks(run.verifier):
            return await self._verify_by(run.verifier, run, verify)
        check = Check(run.verifier, verify)
        step = check.advance(None)
        try:
            while not isinstance(step, Verdict | Stopped):
                if isinstance(step, Ask):
                    step = check.advance(await self._call(self._asking(run, step), step.call))
                else:
                    verify = replace(verify, timeout_s=run.seconds_left())
                    step = check.advance(await self._verify_by(step, run, verify))
        except asyncio.CancelledError:
            run.cut.append(cast("Stopped", check.advance(cut_short(run))))
            raise
        return step

    async def _verify_by(self, verifier: Any, run: Run, verify: Verify) -> Verdict:
        if is_async(verifier):
            checked: Awaitable[Verdict] = verifier(verify.task, verify.answer)
        else:
            checked = in_thread(lambda: verifier(verify.task, verify.answer), verify.timeout_s)
        try:
            async with asyncio.timeout(verify.timeout_s) as limit:
                verdict = await checked
        except TimeoutError:
            if not limit.expired():
                raise
            verdict = TOO_SLOW
        if verdict.cost_usd:
            await asyncio.to_thread(self._book_verdict, run, verify, verdict)
        return verdict

    def _fit(self, backend: Any) -> Any:
        return backend if inspect.iscoroutinefunction(backend.complete) else _InThread(backend)

    async def close(self) -> None:
        """Close the backends this controller made."""
        for backend in self._made_backends.values():
            if hasattr(backend, "aclose"):
                await backend.aclose()
        self._made_backends.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _InThread:
    """A sync backend for asyncio."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def complete(self, call: Call) -> Answer:
        answer: Any = await asyncio.to_thread(self._backend.complete, call)
        return cast("Answer", await answer if inspect.isawaitable(answer) else answer)


async def _booked(book: Callable[[], T]) -> T:
    """Book in a thread, to the end even when the task is cancelled: the money was spent.

    Not a task of its own, because a loop that shuts down could cancel that before it begins.
    """
    settling = asyncio.get_running_loop().run_in_executor(
        None, contextvars.copy_context().run, book
    )
    try:
        return await asyncio.shield(settling)
    except asyncio.CancelledError:
        await asyncio.wait({settling})
        if not settling.cancelled():
            settling.exception()  # nobody is left to be told
        raise
