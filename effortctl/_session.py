"""The steps of one agent run, taken together: one budget, one deadline, one estimate of how hard it is.

```
Session(client) -> session.client -- step --> wrap's loop --> Trace --> steps, difficulty --> next step
                                                 |--- Books ---> ledger: the budget of all steps
```
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from effortctl._client import CallInfo, wrap
from effortctl._client._carry import Carried, LadderCarry
from effortctl._client._meter import POLICY
from effortctl._errors import ConfigError
from effortctl._types import Budget, Cost, Trace
from effortctl.catalog import load_ladder
from effortctl.stores import MemoryLedger, SqliteLedger
from effortctl.stores._run_scores import SESSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    import openai

    from effortctl._driver import BudgetLike
    from effortctl.protocols import Ledger, TraceSink

ClientT = TypeVar("ClientT", bound="openai.OpenAI | openai.AsyncOpenAI")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """How a run ended.

    Attributes:
        id: The session's id; `metadata["session"]` of the trace of each of its steps.
        score: 0 (failed) to 1 (succeeded). None: nobody said.
        steps: Calls that were made.
        escalations: Steps that took more than one attempt.
        spent_usd: Dollars of all calls, those without an answer included.
        difficulty: The last estimate, see `Session.difficulty`.
    """

    id: str
    score: float | None
    steps: int
    escalations: int
    spent_usd: Decimal
    difficulty: float | None


class Session(Generic[ClientT]):
    """The calls of one agent run through one wrapped client.

    All steps share a hard budget and a deadline, and each starts where the steps before it suggest.
    Steps may run at the same time, in threads or in tasks.

    Args:
        client: `OpenAI` or `AsyncOpenAI`, not wrapped yet, as for `wrap`. It is neither changed nor closed.
        budget: Hard limit in dollars over all steps, e.g. `"$0.50"`. A `Budget` with a scope, or a window as
            in `"$5/day"`, is shared with whoever else names it.
        deadline_s: Seconds from now that all steps together may take. A step under way is cut off then.
        carry: Start each step where the steps before it suggest. False: each as `wrap` would alone.
        ladder: As for `wrap`.
        policy: As for `wrap`. Difficulty is carried with the ladder (None) and with what `learn` returned;
            another policy of yours chooses each step as it likes.
        id: Identifies the run. None: a new id.
        **options: Further options of `wrap`, e.g. `verify`, `traces` and `ledger`.

    Raises:
        ConfigError: As `wrap`.
        StoreError: As `wrap`.

    Attributes:
        id: Identifies the run, in traces and feedback.
        client: The client to use: of the type given, wrapped.

    Example:
        ```python
        with effortctl.Session(OpenAI(), budget="$2") as session:
            reply = session.client.responses.create(model="auto", input="What is 17*24?")
            session.finish("408" in reply.output_text)
        print(session.spent_usd, len(session.steps))
        ```
    """

    id: str
    client: ClientT

    def __init__(
        self,
        client: ClientT,
        *,
        budget: BudgetLike | None = None,
        deadline_s: float | None = None,
        carry: bool = True,
        ladder: Any = "openai",
        policy: Any = None,
        id: str | None = None,  # noqa: A002 - what it is called everywhere in this package
        **options: Any,
    ) -> None:
        if deadline_s is not None and not deadline_s > 0:
            raise ConfigError(f"deadline_s={deadline_s!r} leaves no time; expected seconds above 0")
        self.id = uuid.uuid4().hex if id is None else id
        self._lock = threading.Lock()
        self._steps: list[CallInfo] = []
        self._record: SessionRecord | None = None
        self._clock: Callable[[], float] = options.get("clock", time.monotonic)
        self._deadline_at = None if deadline_s is None else self._clock() + deadline_s
        self._sink: TraceSink | None = options.pop("traces", None)
        limit, own = self._limit(budget)
        ledger = options.pop("ledger", None) or (MemoryLedger() if own else SqliteLedger())
        self._books = _Books(ledger)
        policy = _loaded(policy)
        estimator: dict[str, Any] = {}
        self._carried: Carried | None = None
        if carry:
            policy, estimator = self._carrying(policy, ladder)
        self.client = wrap(
            client,
            ladder=ladder,
            policy=policy,
            budget=limit,
            traces=_Steps(self),
            ledger=self._books,
            seconds_left=self._seconds_left,
            **(estimator | options),
        )

    # --- how it goes ---

    @property
    def steps(self) -> tuple[CallInfo, ...]:
        """Calls that have ended, in the order they did; passed through or managed."""
        with self._lock:
            return tuple(self._steps)

    @property
    def spent_usd(self) -> Decimal:
        """Dollars booked so far, those of calls that were cancelled or failed included."""
        return self._books.spent_usd

    @property
    def difficulty(self) -> float | None:
        """How hard the run seems, 0 to 1. None: nothing is carried.

        With a ladder: the position at which the next step starts, 0 for its first arm. With what `learn`
        returned: the probability that the run is harder than its requests look.
        """
        return None if self._carried is None else self._carried.difficulty

    # --- how it ends ---

    def finish(
        self,
        success: bool | None = None,  # noqa: FBT001 - finish(True) says it all
        *,
        score: float | None = None,
        note: str | None = None,
    ) -> SessionRecord:
        """End the run and say how good its result was; no call may begin any more.

        The score is kept under the session's id beside the traces, if they are kept in a `TraceStore`.
        `trace_rows` makes of it what it says of the steps that no check has judged: those of a run that
        succeeded were right, and of one that failed each is as likely to be the one to blame as its arm
        is to be wrong.

        Args:
            success: Did the run do what it was for? None: not known.
            score: 0 (failed) to 1 (succeeded), in place of `success`.
            note: Why, for people. It is written as it is.

        Raises:
            ConfigError: The session has ended already, or the score is not within 0..1.
            StoreError: The score cannot be written; the session has ended all the same.
        """
        if score is None and success is not None:
            score = float(success)
        if score is not None and not 0 <= score <= 1:
            raise ConfigError(f"score {score!r} is no share of success; expected 0 to 1")
        with self._lock:
            if self._record is not None:
                raise ConfigError("this session has ended already; finish() is called once")
            steps = tuple(self._steps)
            self._record = record = SessionRecord(
                id=self.id,
                score=score,
                steps=len(steps),
                escalations=sum(step.attempts > 1 for step in steps),
                spent_usd=self.spent_usd,
                difficulty=self.difficulty,
            )
        keep = getattr(self._sink, "record_feedback", None)
        if score is not None and keep is not None:
            keep(self.id, score, note)
        return record

    @property
    def record(self) -> SessionRecord | None:
        """What `finish` returned; None while the session runs."""
        return self._record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the run, without a score if `finish` was not called."""
        if self._record is None:
            self.finish()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__(*exc_info)

    # --- inside ---

    def _limit(self, budget: BudgetLike | None) -> tuple[Budget | None, bool]:
        """The limit, and whether this session has it for itself."""
        if budget is None:
            return None, True
        limit = Budget.parse(budget)
        if limit.scope is not None:
            return limit, False
        return limit.model_copy(update={"scope": f"session:{self.id}"}), True

    def _carrying(self, policy: Any, ladder: Any) -> tuple[Any, dict[str, Any]]:
        """The policy that carries difficulty, and the estimator it needs."""
        if policy is None:
            carried = LadderCarry([arm.name for arm in load_ladder(ladder).arms])
            self._carried = carried
            return carried, {}
        if hasattr(policy, "controller_options"):
            from effortctl._client._theta import ThetaCarry  # noqa: PLC0415 - NumPy is slow to load

            estimator = ThetaCarry(policy)
            self._carried = estimator
            return policy, {"estimator": estimator}
        return policy, {}

    def _seconds_left(self) -> float | None:
        if self._record is not None:
            raise ConfigError("the session has ended; start another one for further calls")
        return None if self._deadline_at is None else self._deadline_at - self._clock()

    def _ended(self, trace: Trace) -> None:
        """A step is over, however it went."""
        with self._lock:
            number = len(self._steps) + 1
            told = {**trace.metadata, SESSION: self.id, "session_step": str(number)}
            trace = trace.model_copy(update={"metadata": told})
            keep = getattr(self._sink, "record_feedback", None)
            self._steps.append(
                CallInfo(trace, managed=trace.policy != POLICY, record_feedback=keep)
            )
            if self._carried is not None and trace.policy != POLICY:
                self._carried.learn_from(trace)
        if self._sink is not None:
            self._sink.write(trace)


def _loaded(policy: Any) -> Any:
    if not isinstance(policy, str | Path):
        return policy
    from effortctl._fitted_policy import FittedPolicy  # noqa: PLC0415 - NumPy is slow to load

    return FittedPolicy.load(policy)


class _Steps:
    """Where the wrapped client's traces go."""

    def __init__(self, session: Session[Any]) -> None:
        self._session = session

    def write(self, trace: Trace) -> None:
        self._session._ended(trace)  # noqa: SLF001 - a part of the session

    @property
    def record_feedback(self) -> Any:
        """What the session's own sink has for it."""
        return getattr(self._session._sink, "record_feedback", None)  # noqa: SLF001 - as above


class _Books:
    """A ledger that also adds up what went through this session."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._spent = Decimal(0)

    @property
    def spent_usd(self) -> Decimal:
        with self._lock:
            return self._spent

    def reserve(self, needed: Decimal, **options: Any) -> str:
        return self._ledger.reserve(needed, **options)

    async def areserve(self, needed: Decimal, **options: Any) -> str:
        return await self._ledger.areserve(needed, **options)

    def settle(self, reservation: str, cost: Cost, *, row: Mapping[str, object]) -> None:
        with self._lock:
            self._spent += cost.usd
        self._ledger.settle(reservation, cost, row=row)
