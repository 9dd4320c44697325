"""The demo without its printing: recorded answers through the real loop, then one table.

Nothing is replayed but the answers. The policy chooses, the engine escalates, every verdict is made
now by the exact check of the task, and every attempt is priced and booked. Each fixed arm then does
the same tasks with the same checks, so that the rows of the table can be compared.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from statistics import NormalDist
from typing import Literal, TypeAlias

from effortctl._controller import Controller
from effortctl._errors import BackendError, ConfigError
from effortctl._types import Answer, Arm, Case, Price, Task, Trace, Verdict
from effortctl.catalog import load_ladder
from effortctl.harness._recorded_suite import RecordedSuite
from effortctl.harness._task_checks import verifier_for
from effortctl.policies import Fixed, LadderPolicy
from effortctl.protocols import AnyVerifier, Backend, Ledger, TraceSink

ORDER_SEED = 11
"""Order of the tasks; fixed, so that every run shows the same ones."""

THREADS = 2
LADDER = "local"
ALL_ARMS = "local-all"

Story = Literal["first try", "escalated", "exhausted"]
_WANTED: Mapping[Story, int] = {"first try": 2, "escalated": 6, "exhausted": 2}
_LOOK_AT_MOST = 120
_ALIKE = 2


@dataclass(frozen=True, slots=True)
class Shown:
    """One task whose decisions are worth reading."""

    case: Case
    trace: Trace
    story: Story


@dataclass(frozen=True, slots=True)
class Progress:
    """So many tasks are done."""

    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one way of choosing arms achieved on all tasks.

    Attributes:
        name: The fixed arm, or the ladder.
        tasks: How many tasks were tried.
        accepted: How many ended with an answer that passed its check.
        compute_s: Recorded CPU-seconds of all attempts.
        usd: Dollars booked for them.
        output_tokens: Tokens generated.
        wall_s: Recorded wall-clock seconds.
        escalations: How often the next arm was tried.
        resamples: How often the same arm was sampled again.
    """

    name: str
    tasks: int
    accepted: int
    compute_s: float
    usd: Decimal
    output_tokens: int
    wall_s: float
    escalations: int
    resamples: int

    @property
    def quality(self) -> float:
        """Share of tasks accepted."""
        return self.accepted / self.tasks

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the quality (Wilson 1927), were the tasks a random sample."""
        z2 = NormalDist().inv_cdf(0.975) ** 2
        n, p = self.tasks, self.quality
        middle = p + z2 / (2 * n)
        half = (z2 * (p * (1 - p) / n + z2 / (4 * n * n))) ** 0.5
        low, high = ((middle + sign * half) / (1 + z2 / n) for sign in (-1, 1))
        return max(0.0, low), min(1.0, high)

    @property
    def usd_per_1000(self) -> Decimal:
        """Dollars per thousand tasks."""
        return self.usd * 1000 / self.tasks


@dataclass(frozen=True, slots=True)
class Table:
    """The result: every fixed arm, then the ladder, on the same tasks.

    Attributes:
        fixed: In the order of the ladder `local-all`.
        ladder: The fixed ladder.
        checks: Verdicts made now; equal answers to one task are checked once.
        incomplete: Tasks left out because an answer that one of the rows needs was not recorded.
    """

    fixed: tuple[Row, ...]
    ladder: Row
    checks: int
    incomplete: int

    @property
    def best_fixed(self) -> Row:
        """The fixed arm of the highest quality; of equal ones the cheapest."""
        return max(self.fixed, key=lambda row: (row.accepted, -row.compute_s))


Event: TypeAlias = Shown | Progress | Table


def run_demo(
    suite: RecordedSuite,
    *,
    usd_per_hour: Decimal,
    ledger: Ledger | None = None,
    traces: TraceSink | None = None,
) -> Iterator[Event]:
    """Run the ladder and every fixed arm over the recorded tasks.

    Args:
        suite: The tasks and the answers.
        usd_per_hour: What an hour of the machine costs.
        ledger: Books every attempt. None: in memory.
        traces: Receives the traces of the ladder.

    Yields:
        `Shown` for about ten tasks that tell different stories, `Progress` for the rest, and the
        `Table` at the end.
    """
    demo = _Demo(suite, usd_per_hour=usd_per_hour, ledger=ledger, traces=traces)
    yield from demo.tell()
    yield from demo.finish()
    yield demo.table()


def recorded_arms(arms: Sequence[Arm], *, usd_per_hour: Decimal) -> list[Arm]:
    """The arms with an hourly price."""
    price = Price(usd_per_hour=usd_per_hour)
    return [arm.model_copy(update={"price": price}) for arm in arms]


class CheckedOnce:
    """A verifier that remembers its verdicts on the answers to one task.

    The ladder and the fixed arms give the same recorded answers; running the same unit tests on the
    same program again would tell nothing new.
    """

    def __init__(self, verifier: AnyVerifier) -> None:
        self.name = str(getattr(verifier, "name", "check"))
        self._verifier = verifier
        self._known: dict[str, Verdict] = {}

    def __call__(self, task: Task, answer: Answer, /) -> Verdict:
        """The verdict on this text."""
        verdict = self._known.get(answer.text)
        if verdict is None:
            found = self._verifier(task, answer)
            assert isinstance(found, Verdict)  # noqa: S101 - the suite's checks are not async
            verdict = self._known[answer.text] = found
        return verdict

    @property
    def checks(self) -> int:
        """How many answers were checked."""
        return len(self._known)


def _row(name: str, traces: Sequence[Trace]) -> Row:
    attempts = [attempt for trace in traces for attempt in trace.attempts]
    answers = [attempt.answer for attempt in attempts if attempt.answer]
    return Row(
        name=name,
        tasks=len(traces),
        accepted=sum(trace.outcome == "accepted" for trace in traces),
        compute_s=sum(trace.compute_s for trace in traces),
        usd=sum((trace.cost_usd for trace in traces), Decimal(0)),
        output_tokens=sum(a.usage.output_tokens for a in answers if a.usage),
        wall_s=sum(answer.latency_s for answer in answers),
        escalations=sum(escalations(trace) for trace in traces),
        resamples=sum(attempt.sample_index > 0 for attempt in attempts),
    )


def escalations(trace: Trace) -> int:
    """How often a trace went on to another arm."""
    arms = [attempt.arm for attempt in trace.attempts]
    return sum(before != after for before, after in pairwise(arms))


class _Demo:
    def __init__(
        self,
        suite: RecordedSuite,
        *,
        usd_per_hour: Decimal,
        ledger: Ledger | None,
        traces: TraceSink | None,
    ) -> None:
        self._cases = random.Random(ORDER_SEED).sample(suite.cases, len(suite.cases))
        self._checks = {case.task.id: CheckedOnce(verifier_for(case)) for case in suite.cases}
        arms = recorded_arms(load_ladder(ALL_ARMS).arms, usd_per_hour=usd_per_hour)
        rungs = recorded_arms(load_ladder(LADDER).arms, usd_per_hour=usd_per_hour)
        self._ladder = _controller(rungs, suite.backend, ledger=ledger, traces=traces)
        self._fixed = {arm.name: _controller([arm], suite.backend, ledger=ledger) for arm in arms}
        self._results: dict[str, dict[str, Trace]] = {case.task.id: {} for case in suite.cases}

    def tell(self) -> Iterator[Shown]:
        """Climb task after task until enough different stories were seen."""
        wanted, told = Counter(_WANTED), Counter[tuple[Story, str | None]]()
        for case in self._cases[:_LOOK_AT_MOST]:
            if not wanted.total():
                return
            trace = self._climb(case)
            if trace is None:
                continue
            story = _story(trace)
            kind = (story, case.task.category)
            if wanted[story] and told[kind] < _ALIKE:
                wanted[story] -= 1
                told[kind] += 1
                yield Shown(case, trace, story)

    def finish(self) -> Iterator[Progress]:
        """The rest of the ladder's tasks, and all of them with every fixed arm."""
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = [pool.submit(self._play, case) for case in self._cases]
            try:
                for done, job in enumerate(as_completed(jobs), start=1):
                    job.result()
                    yield Progress(done, len(jobs))
            finally:
                # Reached early when the reader has gone or Ctrl-C was pressed.
                pool.shutdown(wait=False, cancel_futures=True)

    def table(self) -> Table:
        """One row for each way of choosing, over the tasks that all of them could be tried on."""
        names = [*self._fixed, LADDER]
        whole = [result for result in self._results.values() if len(result) == len(names)]
        if not whole:
            raise ConfigError("no task was recorded with every arm, so there is nothing to compare")
        *fixed, ladder = (_row(name, [result[name] for result in whole]) for name in names)
        return Table(
            fixed=tuple(fixed),
            ladder=ladder,
            checks=sum(check.checks for check in self._checks.values()),
            incomplete=len(self._results) - len(whole),
        )

    def _play(self, case: Case) -> None:
        """Everything that is still to be done with one task."""
        if LADDER not in self._results[case.task.id]:
            self._climb(case)
        for name, controller in self._fixed.items():
            self._run(name, controller, case)

    def _climb(self, case: Case) -> Trace | None:
        return self._run(LADDER, self._ladder, case)

    def _run(self, name: str, controller: Controller, case: Case) -> Trace | None:
        """One task one way; None when an answer that this way needs was not recorded."""
        try:
            outcome = controller.run(case.task, verify=self._checks[case.task.id])
        except BackendError:
            return None
        self._results[case.task.id][name] = outcome.trace
        return outcome.trace


def _controller(
    arms: Sequence[Arm],
    backend: Backend,
    *,
    ledger: Ledger | None,
    traces: TraceSink | None = None,
) -> Controller:
    """A controller over recorded answers; they were given without feedback, so none is carried.

    A check that cannot tell (say, its sandbox crashed) counts as failed: it must not flatter a row.
    """
    return Controller(
        arms,
        policy=LadderPolicy() if len(arms) > 1 else Fixed(arms[0].name),
        backends={arm.endpoint.name: backend for arm in arms},
        ledger=ledger,
        traces=traces,
        carry="none",
        fail_closed=True,
    )


def _story(trace: Trace) -> Story:
    if trace.outcome != "accepted":
        return "exhausted"
    return "escalated" if escalations(trace) else "first try"
