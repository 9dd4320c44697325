"""What both controllers share: configuration, money, retries' arithmetic and the cache. It never waits.

`_controller.Controller` and `_controller.AsyncController` add the waiting. Money is reserved before every
wire request and settled the moment it ends, before the answer is checked, so that neither a crash nor a
cancellation loses a cent.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from effortctl._asking import arms_asked
from effortctl._engine import Action, Ended, Flow, Result, Rules, escalate
from effortctl._errors import (
    ConfigError,
    EffortctlWarning,
    StoreError,
    TransientBackendError,
    UnsupportedEffortError,
)
from effortctl._limits import QuotaBreaker, RetryBudget, Slots, checked_deadline
from effortctl._pricing import GenaiPriceBook, answered, total_usage, unanswered
from effortctl._types import (
    Answer,
    Arm,
    Ask,
    Attempt,
    Budget,
    Call,
    Cost,
    Endpoint,
    Outcome,
    Reply,
    Task,
    Trace,
    Verdict,
    Verify,
)
from effortctl.catalog import Ladder, Rung, load_ladder, narrow, sunset_notes
from effortctl.policies import LadderPolicy
from effortctl.protocols import (
    AnyVerifier,
    Cache,
    Estimator,
    Ledger,
    Policy,
    PriceBook,
    TraceSink,
    VerifierLike,
)
from effortctl.stores import MemoryLedger, SingleFlight, SqliteLedger, cache_key, ledger_row
from effortctl.verifiers import as_verifier, guarded

LadderLike: TypeAlias = str | Path | Ladder | Sequence[Rung]
BudgetLike: TypeAlias = Budget | Decimal | float | str
VerifyLike: TypeAlias = VerifierLike | AnyVerifier | str | Sequence[Any] | None

MAX_CALLS = 3
"""Wire requests per attempt: the first and two retries."""

RETRY_BUDGET = 100
"""Retries an endpoint may get before its successes must pay for more."""

FROM_CACHE = Cost(usd=Decimal(0), source="cache")


@dataclass(slots=True)
class Run:
    """One task on its way through a driver."""

    id: str
    flow: Flow
    verifier: AnyVerifier | None
    budgets: Sequence[Budget]
    deadline_at: float | None
    clock: Callable[[], float]
    backend: Any = None
    at_endpoint: bool = True
    cache_key: str | None = None
    answer: Answer | None = None
    cut: list[Result] = field(default_factory=list)

    def seconds_left(self) -> float | None:
        return None if self.deadline_at is None else self.deadline_at - self.clock()

    def advance(self, result: Result | None) -> Action | Ended:
        """Hand a result to the engine; return its next wish, or how it ended."""
        try:
            return self.flow.send(result)  # type: ignore[arg-type]  # a generator starts with None
        except StopIteration as stop:
            return cast("Ended", stop.value)


class Driver:
    """Everything `Controller` and `AsyncController` share; nothing here waits for a reply."""

    _make_backend: Callable[[Endpoint], Any]

    def __init__(  # noqa: PLR0913 - one keyword per part of the loop, each with a default that works
        self,
        ladder: LadderLike,
        *,
        verify: VerifyLike = None,
        policy: Policy | None = None,
        budget: BudgetLike | None = None,
        deadline_s: float | None = None,
        backends: Mapping[str, Any] | None = None,
        estimator: Estimator | None = None,
        prices: PriceBook | None = None,
        ledger: Ledger | None = None,
        cache: Cache | None = None,
        namespace: str = "default",
        traces: TraceSink | None = None,
        carry: Literal["feedback", "none"] = "feedback",
        fail_closed: bool = False,
        max_calls: int = MAX_CALLS,
        max_concurrency: int | None = None,
        retry_budget: int | None = RETRY_BUDGET,
        on_attempt: Callable[[Attempt], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
    ) -> None:
        """Configure the loop; nothing is called and nothing is spent yet.

        Args:
            ladder: Name of a ladder, path of a ladder file, or arms.
            verify: What accepts an answer: a verifier, any function of the answer, a spec such as
                `"number:408"`, or a list of these (all must pass). None: any complete answer.
            policy: Chooses among the arms. None: climb the ladder from first to last.
            budget: Hard limit in dollars, e.g. `"$0.05"` per task or `"$5/day"` for all.
            deadline_s: Seconds one task may take, retries and checks included.
            backends: By endpoint name; what is missing is made from the endpoint's own description.
            estimator: Predicts quality and cost per arm for the policy.
            prices: Knows what calls cost. None: the user's prices, then the `genai-prices` book.
            ledger: Keeps money. None: in memory, or on disk when the budget is shared.
            cache: Keeps accepted answers. None: no caching.
            namespace: Callers with different namespaces never share a cached answer.
            traces: Receives every finished trace.
            carry: `feedback` shows the failed answer and its feedback to the next arm.
            fail_closed: True treats an abstaining (or crashing) verifier as a failed check.
            max_calls: Wire requests per attempt, retries included.
            max_concurrency: Most calls in flight at a time, over all tasks. None: no limit.
            retry_budget: Retries an endpoint may get beyond those its successes pay for, so that an
                outage is not multiplied. None: no limit.
            on_attempt: Told of each attempt once its verdict is known, e.g. to show progress.
            clock: Monotonic seconds.
            sleep: Waits between retries. None: `time.sleep`, or `asyncio.sleep` in `AsyncController`.
            now: Wall clock, UTC.
            rng: Jitters the waits between retries.

        Raises:
            ConfigError: The ladder is empty or unknown, or an option makes no sense.
        """
        self._options = {name: value for name, value in locals().items() if name != "self"}
        if max_calls < 1:
            raise ConfigError(f"max_calls must be at least 1, got {max_calls!r}")
        self.ladder = load_ladder(ladder)
        _warn_of_ended(self.ladder.arms, now())
        self._verifier = as_verifier(verify)
        self._policy = policy or LadderPolicy()
        self._budget = None if budget is None else Budget.parse(budget)
        self._deadline_s = checked_deadline(deadline_s)
        self._given_backends = dict(backends or {})
        self._made_backends: dict[str, Any] = {}
        self._narrowed: dict[tuple[str, ...], Arm] = {}
        self._lock = threading.Lock()
        self._estimator = estimator
        self._prices = prices or GenaiPriceBook()
        self._ledger = ledger
        self._cache = cache
        self._flight = _flight_of(cache)
        self._namespace = namespace
        self._traces = traces
        self._carry = carry
        self._fail_closed = fail_closed
        self.max_calls = max_calls
        self.slots = Slots(max_concurrency)
        self.retries = RetryBudget(retry_budget)
        self.breaker = QuotaBreaker(clock)
        self._on_attempt = on_attempt
        self._clock = clock
        self._sleep = sleep
        self._now = now
        self.rng = rng or random.Random()
        self._priced = False

    # --- starting and ending a task ---

    def _begin(
        self,
        task: Task | str,
        *,
        verify: VerifyLike = None,
        budget: BudgetLike | None = None,
        deadline_s: float | None = None,
        backend: Any = None,
    ) -> Run:
        task = Task(input=task) if isinstance(task, str) else task
        trace_id = uuid.uuid4().hex
        if not task.id:
            task = task.model_copy(update={"id": trace_id})
        verifier = self._verifier if verify is None else as_verifier(verify)
        self._check_verifier(verifier)
        own = [self._budget] if self._budget else []
        budgets = [*own, *([Budget.parse(budget)] if budget is not None else [])]
        self._check_prices(task, budgets, asked=arms_asked(verifier, self.ladder.arms))
        deadline_s = self._deadline_s if deadline_s is None else checked_deadline(deadline_s)
        arms = [self._narrowed.get(_identity(arm), arm) for arm in self.ladder.arms]
        rules = Rules(
            arms=arms,
            policy=self._policy,
            estimates=self._estimator.estimate(task, arms) if self._estimator else {},
            carry=self._carry,
            check=verifier is not None,
            fail_closed=self._fail_closed,
            budget_usd=min((b.limit_usd for b in budgets if b.scope is None), default=None),
            deadline_s=deadline_s,
            on_attempt=self._on_attempt,
        )
        return Run(
            id=trace_id,
            flow=escalate(task, rules, trace_id=trace_id, now=self._now, clock=self._clock),
            verifier=None if verifier is None else guarded(verifier),
            budgets=budgets,
            deadline_at=None if deadline_s is None else self._clock() + deadline_s,
            clock=self._clock,
            backend=backend,
        )

    def _check_verifier(self, verifier: AnyVerifier | None) -> None:
        """Refuse what this driver cannot run."""

    def _check_prices(self, task: Task, budgets: Sequence[Budget], asked: Sequence[Arm]) -> None:
        """With a budget, every arm must have a price before the first dollar is spent."""
        if not budgets:
            return
        for arm in (*(() if self._priced else self.ladder.arms), *asked):
            self._prices.worst_case(Call(task, arm, task.messages, 0, arm.max_output_tokens, 0.0))
        self._priced = True

    def _finish(self, ended: Ended) -> Outcome[Any]:
        self._write(ended.trace)
        if ended.error is not None:
            ended.error.trace = ended.trace
            raise ended.error
        best = ended.trace.best
        keep = getattr(self._traces, "record_feedback", None)
        if best is None or best.answer is None:
            return Outcome(None, ended.trace, keep)
        answer = best.answer
        return Outcome(answer.text if answer.value is None else answer.value, ended.trace, keep)

    def _write(self, trace: Trace) -> None:
        """Hand the trace over; a full disk must not cost the caller an answer that is paid for."""
        try:
            if self._traces is not None:
                self._traces.write(trace)
        except StoreError as error:
            warnings.warn(f"{error}. The task goes on without it", EffortctlWarning, stacklevel=4)

    # --- money ---

    def _store(self, budgets: Sequence[Budget]) -> Ledger:
        """The ledger; made on first use, on disk when a budget is shared between tasks."""
        with self._lock:
            if self._ledger is None:
                shared = any(budget.scope is not None for budget in budgets)
                self._ledger = SqliteLedger() if shared else MemoryLedger()
            return self._ledger

    def _needed(self, run: Run, call: Call) -> Decimal:
        """Dollars to set aside for one wire request."""
        return self._prices.worst_case(call).usd if run.budgets else Decimal(0)

    def _settle(self, run: Run, call: Call, ticket: str, *, answer: Answer) -> Cost:
        """Book what an answered request cost."""
        cost = answered(self._prices, call, _reported(run) or [answer])
        self._store(run.budgets).settle(ticket, cost, row=ledger_row(call, answer))
        return cost

    def _settle_fault(self, run: Run, call: Call, ticket: str, *, fault: BaseException) -> Cost:
        """Book a request that gave no answer."""
        parts = _reported(run)
        cost = unanswered(self._prices, call, fault, parts=parts)
        last = parts[-1].model_copy(update={"usage": total_usage(parts)}) if parts else None
        self._store(run.budgets).settle(ticket, cost, row=ledger_row(call, last))
        return cost

    def _book_verdict(self, run: Run, verify: Verify, verdict: Verdict) -> None:
        """Book what a check cost; it was already spent, so it cannot be refused."""
        if not verdict.cost_usd:
            return
        ledger = self._store(run.budgets)
        ticket = ledger.reserve(Decimal(0), budgets=run.budgets, trace_id=run.id)
        cost = Cost(usd=verdict.cost_usd, source="verifier")
        ledger.settle(ticket, cost, row={"task_id": verify.task.id, "arm": verdict.verifier})

    def _asking(self, run: Run, ask: Ask) -> Run:
        """The task as seen by a call that its check makes: same money, same time, no cache."""
        backend = ask.backend or (run.backend if ask.as_maker else None)
        at_endpoint = backend is None or (backend is run.backend and run.at_endpoint)
        return replace(run, backend=backend, at_endpoint=at_endpoint, cache_key=None, answer=None)

    # --- calling ---

    def _backend(self, run: Run, arm: Arm) -> Any:
        if run.backend is not None:
            return self._fit(run.backend)
        name = arm.endpoint.name
        if name in self._given_backends:
            return self._given_backends[name]
        with self._lock:
            if name not in self._made_backends:
                self._made_backends[name] = type(self)._make_backend(arm.endpoint)  # noqa: SLF001 - own class
                self._adopt(self._made_backends[name])
            return self._made_backends[name]

    def _fit(self, backend: Any) -> Any:
        """A backend the caller brought, as this driver can call it."""
        return backend

    def _adopt(self, backend: Any) -> None:
        """Take care of a backend this driver made."""

    def _timed(self, run: Run, call: Call) -> Call:
        """The call with the time that is left for it.

        Raises:
            TransientBackendError: There is none, so the call is not made.
        """
        left = run.seconds_left()
        if left is not None and left <= 0:
            raise TransientBackendError(
                f"{call.arm.name}: no time was left for the call", arm=call.arm.name, kind="timeout"
            )
        return replace(call, timeout_s=left)

    def _renarrowed(self, call: Call, error: UnsupportedEffortError) -> Call:
        """The call with an effort its endpoint takes; later tasks start from there.

        Raises:
            UnsupportedEffortError: There is no other effort to try.
        """
        arm = narrow(call.arm, error.supported)
        if arm == call.arm:
            raise error
        self._narrowed[_identity(arm)] = arm
        return replace(call, arm=arm)

    # --- caching ---

    def _look_up(self, run: Run, call: Call) -> Reply | None:
        """The cached answer to this call; remembers the key, so that the answer can be kept later."""
        if self._cache is None:
            return None
        run.cache_key = cache_key(call, namespace=self._namespace)
        answer = self._cache.get(run.cache_key)
        if answer is None:
            return None
        run.cache_key = None
        return Reply(answer, FROM_CACHE, calls=0, cached=True)

    def _keep(self, run: Run, trace: Trace) -> None:
        """Store the answer that was made last, if it is the one that was accepted."""
        key, answer = run.cache_key, run.answer
        run.cache_key = run.answer = None
        best = trace.best
        accepted = trace.outcome == "accepted" and best is not None and best.answer is answer
        if accepted and self._cache and key and answer and answer.finish == "complete":
            self._cache.set(key, answer)


def _reported(run: Run) -> Sequence[Answer]:
    """What the task's own backend got from each request of its last call, where it makes several."""
    take: Callable[[], Sequence[Answer]] | None = getattr(run.backend, "take_reported", None)
    return take() if take else ()


def _identity(arm: Arm) -> tuple[str, ...]:
    """What an arm is known by; the arm of a verifier may share the name of one in the ladder."""
    return (arm.name, arm.model, arm.api, arm.endpoint.name)


def _warn_of_ended(arms: Sequence[Arm], now: datetime) -> None:
    """Name the models that are no longer served; Python tells each of them once."""
    for note in sunset_notes(arms, now.date(), notice=timedelta(0)):
        warnings.warn(note, EffortctlWarning, stacklevel=1)


def _flight_of(cache: Cache | None) -> SingleFlight | None:
    """Joins equal requests: across processes where the cache can, else within this one."""
    if cache is None:
        return None
    flight = getattr(cache, "flight", None)
    return flight if isinstance(flight, SingleFlight) else SingleFlight()
