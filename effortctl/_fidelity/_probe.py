"""The calls of a probe: a few short questions per arm, within a hard budget."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from effortctl._controller import Controller
from effortctl._driver import BudgetLike, LadderLike
from effortctl._errors import BackendError, BudgetExceededError, ConfigError
from effortctl._fidelity._compare import Comparison, compare_arms, fewest_calls
from effortctl._types import EFFORTS, Arm, Budget, Task, Trace
from effortctl.catalog import load_ladder
from effortctl.protocols import Ledger
from effortctl.stores import MemoryLedger

Measure = Literal["reasoning", "output"]


@dataclass(frozen=True, slots=True)
class ArmProbe:
    """What one arm did.

    Attributes:
        arm: Name of the arm.
        model: Model id.
        effort: Effort that was sent.
        tokens: Tokens of each answered call, as `ProbeReport.measure` says.
        cost_usd: Dollars of its calls.
        error: Why there are fewer calls than wanted, or none.
    """

    arm: str
    model: str
    effort: str
    tokens: tuple[int, ...]
    cost_usd: Decimal
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a probe found.

    Attributes:
        arms: One entry per arm of the ladder.
        comparisons: Neighbouring efforts of one model at one endpoint.
        measure: Which tokens were compared: `output` where an endpoint does not tell reasoning apart.
        calls: Calls wanted per arm.
        cost_usd: Dollars of all calls.
        stopped: Why the probe ended early; None: it did not.
    """

    arms: tuple[ArmProbe, ...]
    comparisons: tuple[Comparison, ...]
    measure: Measure
    calls: int
    cost_usd: Decimal
    stopped: str | None = None

    @property
    def merge(self) -> tuple[tuple[str, ...], ...]:
        """Groups of arms that could not be told apart and are close; one arm of each is enough."""
        groups: list[list[str]] = []
        for pair in self.comparisons:
            if not pair.alike:
                continue
            if groups and groups[-1][-1] == pair.lower:
                groups[-1].append(pair.higher)
            else:
                groups.append([pair.lower, pair.higher])
        return tuple(tuple(group) for group in groups)


def probe_efforts(
    ladder: LadderLike,
    *,
    budget: BudgetLike,
    k: int = 5,
    alpha: float = 0.05,
    ledger: Ledger | None = None,
    backends: Mapping[str, Any] | None = None,
    progress: Callable[[str, int], object] | None = None,
    **options: Any,
) -> ProbeReport:
    """Ask every arm k short questions and test whether more effort means more reasoning.

    Arms are asked in turn, so that a probe that its budget ends early still knows something of each.

    Args:
        ladder: The arms; only efforts of one model at one endpoint are compared.
        budget: Hard limit of all calls together.
        k: Calls per arm.
        alpha: Chance of telling any pair apart whose efforts do the same.
        ledger: Where the calls are booked. None: in memory.
        backends: By endpoint name, as for `Controller`.
        progress: Told of each arm and how many calls it has had.
        **options: Further options of `Controller`.

    Raises:
        ConfigError: Too few calls to show anything, or no two arms to compare.
        UnknownPriceError: An arm has no known price, so no budget could hold.
    """
    arms = load_ladder(ladder).arms
    pairs = neighbours(arms)
    _refuse_useless(arms, pairs, k=k, alpha=alpha)
    limit = Budget.parse(budget).limit_usd
    purse = Budget(limit_usd=limit, scope=f"probe-{uuid.uuid4().hex}")
    found = {arm.name: _Found(arm) for arm in arms}
    with ExitStack() as stack:
        store = ledger or stack.enter_context(MemoryLedger())
        asking = {
            arm.name: stack.enter_context(
                Controller([_once(arm)], budget=purse, ledger=store, backends=backends, **options)
            )
            for arm in arms
        }
        stopped = _ask_all(found, asking, k=k, tell=progress or (lambda _arm, _done: None))
    return _report(found, pairs, k=k, alpha=alpha, stopped=stopped)


def neighbours(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """Pairs of arms next to each other in effort, the lower first; same model and endpoint.

    `default` is whatever the model takes, so it has no place in the order and is left out.
    """
    groups: dict[tuple[str, str], list[Arm]] = {}
    for arm in arms:
        if arm.sent_effort != "default":
            groups.setdefault((arm.model, arm.endpoint.name), []).append(arm)
    pairs = []
    for group in groups.values():
        rising = sorted(group, key=lambda arm: EFFORTS.index(arm.sent_effort))
        pairs += [(low.name, high.name) for low, high in pairwise(rising)]
    return pairs


def questions() -> Iterator[str]:
    """Short questions of one kind: answered with a number, easily, and gladly thought about."""
    number = 0
    while True:
        last, first, second = 40 + 7 * number, 3 + number % 3, 7 + number % 5
        yield (
            f"How many whole numbers from 1 to {last} are divisible by {first} or by {second}, but not by "
            "both? Answer with the number only."
        )
        number += 1


# --- asking ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Found:
    """What is known of an arm so far."""

    arm: Arm
    traces: list[Trace] = field(default_factory=list)
    error: str | None = None

    def answers(self) -> Iterator[Any]:
        for trace in self.traces:
            yield from (a.answer for a in trace.attempts if a.answer and a.answer.usage)

    @property
    def reasoning(self) -> list[int | None]:
        return [answer.usage.reasoning_tokens for answer in self.answers()]

    def tokens(self, measure: Measure) -> tuple[int, ...]:
        if measure == "output":
            return tuple(answer.usage.output_tokens for answer in self.answers())
        return tuple(count for count in self.reasoning if count is not None)


def _refuse_useless(
    arms: Sequence[Arm], pairs: Sequence[tuple[str, str]], *, k: int, alpha: float
) -> None:
    if not pairs:
        raise ConfigError(
            f"there is nothing to compare among {', '.join(arm.name for arm in arms)}; a probe needs two "
            "efforts of one model at one endpoint"
        )
    needed = fewest_calls(len(pairs), alpha=alpha)
    if k < needed:
        raise ConfigError(
            f"{k} calls per arm cannot show a difference between {len(pairs)} pairs of efforts; ask at "
            f"least {needed}"
        )


def _once(arm: Arm) -> Arm:
    """The arm, sampled once: an answer that is cut off must not be asked for again."""
    return arm.model_copy(update={"samples": 1, "max_output_tokens_limit": arm.max_output_tokens})


def _ask_all(
    found: Mapping[str, _Found],
    asking: Mapping[str, Controller],
    *,
    k: int,
    tell: Callable[[str, int], object],
) -> str | None:
    """Round after round; returns why it ended early, if it did."""
    for number, question in zip(range(1, k + 1), questions(), strict=False):
        for name, one in found.items():
            if one.error is not None:
                continue
            task = Task(input=question, id=f"probe/{number}")
            try:
                one.traces.append(asking[name].run(task).trace)
            except BudgetExceededError as error:
                _keep(one, error.trace)
                return str(error)
            except BackendError as error:
                one.error = str(error)
                _keep(one, error.trace)
            tell(name, number)
    return None


def _keep(one: _Found, trace: Trace | None) -> None:
    if trace is not None:
        one.traces.append(trace)


def _report(
    found: Mapping[str, _Found],
    pairs: Sequence[tuple[str, str]],
    *,
    k: int,
    alpha: float,
    stopped: str | None,
) -> ProbeReport:
    all_tell = all(count is not None for one in found.values() for count in one.reasoning)
    measure: Measure = "reasoning" if all_tell else "output"
    arms = tuple(
        ArmProbe(
            name,
            one.arm.model,
            one.arm.sent_effort,
            one.tokens(measure),
            sum((trace.cost_usd for trace in one.traces), Decimal(0)),
            one.error,
        )
        for name, one in found.items()
    )
    tokens = {arm.arm: arm.tokens for arm in arms}
    whole = [pair for pair in pairs if all(len(tokens[name]) >= k for name in pair)]
    return ProbeReport(
        arms,
        compare_arms(tokens, whole, alpha=alpha),
        measure,
        k,
        sum((arm.cost_usd for arm in arms), Decimal(0)),
        stopped,
    )
