"""A plan one can read: arms in order, what each verdict leads to, and what else was possible."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from effortctl.policies._solve import STOP, Solved
from effortctl.policies._states import FAILED, PASSED
from effortctl.policies._walk import AgreementPlans, VerdictPlans

if TYPE_CHECKING:
    from effortctl.policies._inputs import Forecast, Terms
    from effortctl.policies._walk import Walkable

ROUNDING = 1e-9
"""Chances closer than this, relatively, are equal."""


@dataclass(frozen=True, slots=True)
class Then:
    """What a plan does next.

    Attributes:
        do: `try` an arm, `return` the answer of an arm, or `give_up` with nothing to return.
        arm: The arm, unless giving up.
        p_correct: P(correct) of that arm's answer, given everything seen by then.
    """

    do: Literal["try", "return", "give_up"]
    arm: str | None = None
    p_correct: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One arm on the path a plan takes while every check fails.

    Where the evidence is agreement, "passes" means that its answer agrees with the first arm's. The
    first arm has nobody to agree with yet, so both outcomes lead to the same.

    Attributes:
        arm: Name of the arm.
        p_correct: P(its answer is correct), given that the arms before it failed their checks.
        p_pass: P(its check passes), given the same.
        p_reach: P(the plan gets this far).
        cost_usd: Expected dollars of the try.
        on_pass: What happens when its check passes.
        on_fail: What happens when it fails.
    """

    arm: str
    p_correct: float
    p_pass: float
    p_reach: float
    cost_usd: float
    on_pass: Then
    on_fail: Then


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with one task, and why.

    Attributes:
        first: Arm to try first; None: no arm is worth its price.
        net_usd: Expected `value_usd * P(correct) - dollars - price of time`.
        cost_usd: Expected dollars.
        quality: P(the answer returned is correct).
        p_reach: P(each arm is tried), by name.
        p_correct: P(each arm is correct) before any is tried, by name.
        steps: The arms in order, as long as every check fails.
        alternatives: `net_usd` of starting with each arm and going on optimally, by name.
        value_usd: What a correct answer was taken to be worth.
        evidence: What decides between `on_pass` and `on_fail`: a check of the answer, or its agreement
            with the first arm's.
    """

    first: str | None
    net_usd: float
    cost_usd: float
    quality: float
    p_reach: dict[str, float]
    p_correct: dict[str, float]
    steps: tuple[Step, ...]
    alternatives: dict[str, float]
    value_usd: float
    evidence: Literal["check", "agreement"] = "check"

    @property
    def order(self) -> tuple[str, ...]:
        """Arms in the order they are tried while every check fails."""
        return tuple(step.arm for step in self.steps)

    @property
    def why(self) -> dict[str, Any]:
        """Everything above as plain data, ready for JSON."""
        return asdict(self)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The plan in words, one sentence per step."""
        if not self.steps:
            return ("Ask nobody: no arm is worth its price.",)
        first, *others = self.steps
        if self.evidence == "check":
            return tuple(_in_words(step, "its check passes") for step in self.steps)
        opening = f"Ask {first.arm}; then {_then_in_words(first.on_pass)}."
        agrees = f"it agrees with {first.arm}"
        return (opening, *(_in_words(step, agrees) for step in others))


def _in_words(step: Step, passes: str) -> str:
    yes, no = _then_in_words(step.on_pass), _then_in_words(step.on_fail)
    return f"Ask {step.arm}; if {passes}: {yes}; if not: {no}."


def _then_in_words(then: Then) -> str:
    if then.do == "give_up":
        return "give up"
    if then.do == "try":
        return f"ask {then.arm}"
    return f"return {then.arm}'s answer (correct with P = {then.p_correct:.2f})"


def explain(solved: Walkable, forecast: Forecast, terms: Terms) -> Plan:
    """Turn the solved plan of a single task into a `Plan`."""
    expected = solved.expect()
    reach = expected.reach[0]
    quality = float(expected.quality[0])
    cost = float(reach @ forecast.dollars[0])
    waiting = 0.0 if forecast.latency_s is None else float(reach @ forecast.latency_s[0])
    first = int(expected.first[0])
    steps, start = _path(solved, forecast)
    return Plan(
        first=None if first < 0 else forecast.arms[first],
        net_usd=terms.value_usd * quality - cost - terms.usd_per_second * waiting,
        cost_usd=cost,
        quality=quality,
        p_reach=_by_name(forecast, reach),
        p_correct=_by_name(forecast, forecast.p_correct[0]),
        steps=steps,
        alternatives={
            name: terms.value_usd * float(gain)
            for name, gain in zip(forecast.arms, start, strict=True)
            if np.isfinite(gain) and gain > -1e6
        },
        value_usd=terms.value_usd,
        evidence="agreement" if isinstance(solved, AgreementPlans) else "check",
    )


def _by_name(forecast: Forecast, numbers: np.ndarray[Any, Any]) -> dict[str, float]:
    return dict(zip(forecast.arms, map(float, numbers), strict=True))


def _path(solved: Walkable, forecast: Forecast) -> tuple[tuple[Step, ...], list[float]]:
    """Steps while every check fails, and the value of every possible start."""
    names = list(forecast.arms)
    costs = dict(zip(names, map(float, forecast.dollars[0]), strict=True))
    if isinstance(solved, AgreementPlans):
        return _anchored_path(solved, forecast, costs=costs)
    assert isinstance(solved, VerdictPlans)  # noqa: S101 - there are two kinds
    view = _View(solved.solved, names, names)
    return tuple(view.steps(costs)), [float(g) for g in view.gains(0)]


def _anchored_path(
    solved: AgreementPlans, forecast: Forecast, *, costs: dict[str, float]
) -> tuple[tuple[Step, ...], list[float]]:
    names = list(forecast.arms)
    start = [float(worth) for worth in solved.worth[0]]
    anchor = int(solved.first[0])
    if anchor == STOP:
        return (), start
    others = [name for name in names if name != names[anchor]]
    view = _View(solved.parts[anchor], others, [*others, names[anchor]])
    after = view.then(0)
    p = float(forecast.p_correct[0, anchor])
    first = Step(names[anchor], p, 1.0, 1.0, costs[names[anchor]], after, after)
    return (first, *view.steps(costs)), start


@dataclass(frozen=True, slots=True)
class _View:
    """One task's solved states, with names."""

    solved: Solved
    arms: list[str]
    answers: list[str]

    def gains(self, state: int) -> np.ndarray[Any, Any]:
        gains: np.ndarray[Any, Any] = self.solved.gains(np.array([0]), np.array([state]))[0]
        return gains

    def choice(self, state: int) -> int:
        return int(self.solved.choices(np.array([0]), np.array([state]))[0])

    def chance(self, state: int, arm: int) -> float:
        """P(correct) of an untried arm in a state."""
        solved, step = self.solved, int(self.solved.states.strides[arm])
        right = float(solved.right[0, arm, state + FAILED * step])
        if solved.states.digits == PASSED:
            right += float(solved.now[0, arm, state])
        else:
            right += float(solved.right[0, arm, state + PASSED * step])
        return _share(right, float(solved.mass[0, state]))

    def then(self, state: int) -> Then:
        arm = self.choice(state)
        if arm != STOP:
            return Then("try", self.arms[arm], self.chance(state, arm))
        best, quality = self.solved.answers(np.array([0]), np.array([state]))
        if best[0] == STOP:
            return Then("give_up")
        answer, mass = int(best[0]), float(self.solved.mass[0, state])
        at_hand = self.solved.held[0, :, state]
        if at_hand.size and at_hand[0] >= quality[0] * (1.0 - ROUNDING):
            answer = len(self.arms)  # answers that agree are equally good: name the first arm's
        return Then("return", self.answers[answer], _share(float(quality[0]), mass))

    def steps(self, costs: dict[str, float]) -> list[Step]:
        steps, state, arm = [], 0, self.choice(0)
        while arm != STOP:
            step = int(self.solved.states.strides[arm])
            mass = float(self.solved.mass[0, state])
            failed = float(self.solved.mass[0, state + FAILED * step])
            name = self.arms[arm]
            steps.append(
                Step(
                    arm=name,
                    p_correct=self.chance(state, arm),
                    p_pass=1.0 - _share(failed, mass),
                    p_reach=mass,
                    cost_usd=costs[name],
                    on_pass=self._after_pass(state, arm),
                    on_fail=self.then(state + FAILED * step),
                )
            )
            state += FAILED * step
            arm = self.choice(state)
        return steps

    def _after_pass(self, state: int, arm: int) -> Then:
        step = int(self.solved.states.strides[arm])
        if self.solved.states.digits > PASSED:
            return self.then(state + PASSED * step)
        mass = float(self.solved.mass[0, state] - self.solved.mass[0, state + FAILED * step])
        return Then("return", self.arms[arm], _share(float(self.solved.now[0, arm, state]), mass))


def _share(part: float, whole: float) -> float:
    """A conditional probability, kept in 0..1 against rounding."""
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
