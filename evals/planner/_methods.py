"""Everything that is compared: each method is a family of policies with one dial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from _parts import OURS, Part

from effortctl.harness.evaluation._contenders import SETTINGS, WIDEST
from effortctl.policies import (
    ArmMenu,
    BeliefModel,
    Forecast,
    Recorded,
    Terms,
    all_ladders,
    replay_plan,
    run_ladder,
)

if TYPE_CHECKING:
    from _sets import Check
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Run: TypeAlias = "tuple[Floats, Floats]"
"""Dollars and quality per task."""


@dataclass(frozen=True, slots=True)
class Method:
    """A family of policies.

    Attributes:
        name: For tables.
        dial: Settings to try: a value per correct answer, a threshold, a ladder, …
        run: Lives through one side of a split at one setting.
        smooth: The dial has no steps, so what lies between two settings may be had by tossing a coin.
    """

    name: str
    dial: Sequence[Any]
    run: Callable[[Part, Any], Run]
    smooth: bool = False


def methods(train: Part, check: Check, model: BeliefModel, *, longest: int) -> list[Method]:
    """All methods for one split and check; nothing but `train` and `model` is learned from."""
    values = _values(train)
    routers = [
        _routing("routing only" if name == OURS else f"{name} router", name, values)
        for name in train.forecasts
    ]
    plain = [_one_arm(train), _mixing(train), *routers]
    if check.evidence == "none":
        return [*plain, _oracle()]
    if check.evidence == "agreement":
        few = values[:: max(1, SETTINGS // 12)]
        return [*plain, _agreeing_pair(train), _plan(train, model, few), _oracle()]
    front = _ladder_front(train, longest)
    ladders = [_ladders(front), _mixed_ladders(train, front)]
    return [*plain, *ladders, _threshold(train), _plan(train, model, values), _oracle()]


def _values(train: Part) -> list[float]:
    cost = train.cost_usd.mean(axis=0)
    return [float(v) for v in np.geomspace(cost.min(), WIDEST * cost.max(), SETTINGS)]


def _chosen(part: Part, arm: NDArray[np.intp]) -> Run:
    rows = np.arange(len(arm))
    return part.cost_usd[rows, arm], part.score[rows, arm]


def _one_arm(train: Part) -> Method:
    """The fixed arms; the judge turns the dial on train, like that of any other method."""
    return Method("best fixed arm", range(train.score.shape[1]), Part.alone)


def _mixing(train: Part) -> Method:
    """Toss a coin between two fixed arms next to each other on the hull of train."""
    hull = lower_hull(train.cost_usd.mean(axis=0), train.score.mean(axis=0))
    shares = np.linspace(0.0, 1.0, 11)
    pairs = list(pairwise(hull)) or [(hull[0], hull[0])]
    dial = [(low, high, float(share)) for low, high in pairs for share in shares]

    def run(part: Part, setting: tuple[int, int, float]) -> Run:
        low, high, share = setting
        return (
            (1 - share) * part.cost_usd[:, low] + share * part.cost_usd[:, high],
            (1 - share) * part.score[:, low] + share * part.score[:, high],
        )

    return Method("random mixing", dial, run, smooth=True)


def lower_hull(cost: Floats, quality: Floats) -> list[int]:
    """Fixed arms that no mixture of others beats, cheapest first."""
    order = sorted(range(len(cost)), key=lambda j: (cost[j], -quality[j]))
    hull: list[int] = []
    for j in order:
        if hull and quality[j] <= quality[hull[-1]]:
            continue
        while len(hull) > 1 and _below(hull[-2], hull[-1], j, (cost, quality)):
            hull.pop()
        hull.append(j)
    return hull


def _below(first: int, middle: int, last: int, points: tuple[Floats, Floats]) -> bool:
    cost, quality = points
    rise = (quality[last] - quality[first]) * (cost[middle] - cost[first])
    return bool(quality[middle] - quality[first] <= rise / max(cost[last] - cost[first], 1e-300))


def _routing(name: str, predictor: str, values: Sequence[float]) -> Method:
    """One call to the arm with the highest `value * P(correct) - dollars`."""

    def run(part: Part, value: float) -> Run:
        p, cost = part.forecasts[predictor]
        return _chosen(part, (value * p - cost).argmax(axis=1))

    return Method(name, values, run, smooth=True)


def _ladder_front(train: Part, longest: int) -> list[tuple[int, ...]]:
    """Fixed ladders that no other ladder beats on train, cheapest first."""
    table = all_ladders(train.score, train.passed, train.cost_usd, longest=longest)
    order = np.lexsort((-table.quality, table.cost_usd))
    front: list[tuple[int, ...]] = []
    reached = -1.0
    for index in order:
        if table.quality[index] > reached + 1e-12:
            reached = float(table.quality[index])
            front.append(table.ladders[int(index)])
    return front


def _climb(part: Part, ladder: tuple[int, ...]) -> Run:
    return run_ladder(ladder, part.score, part.passed, cost_usd=part.cost_usd)


def _ladders(front: Sequence[tuple[int, ...]]) -> Method:
    return Method("best fixed ladder", front, _climb)


def _mixed_ladders(train: Part, front: Sequence[tuple[int, ...]]) -> Method:
    """Toss a coin between two fixed ladders: as fine a dial as the plan's, and nothing predicted."""
    lived = [_climb(train, ladder) for ladder in front]
    cost, quality = (np.array([run[side].mean() for run in lived]) for side in (0, 1))
    hull = [front[j] for j in lower_hull(cost, quality)]
    pairs = list(pairwise(hull)) or [(hull[0], hull[0])]
    dial = [(*pair, float(share)) for pair in pairs for share in np.linspace(0.0, 1.0, 11)]

    def run(part: Part, setting: tuple[tuple[int, ...], tuple[int, ...], float]) -> Run:
        low, high, share = setting
        (low_cost, low_quality), (high_cost, high_quality) = _climb(part, low), _climb(part, high)
        return (
            (1 - share) * low_cost + share * high_cost,
            (1 - share) * low_quality + share * high_quality,
        )

    return Method("mixed ladders", dial, run, smooth=True)


def _threshold(train: Part) -> Method:
    """Skip arms whose P(correct) is below a threshold, then climb while the check fails."""
    quality, cost = train.score.mean(axis=0), train.cost_usd.mean(axis=0)
    rungs: list[int] = []
    for j in np.argsort(cost):
        if not rungs or quality[j] > quality[rungs[-1]]:
            rungs.append(int(j))

    def run(part: Part, threshold: float) -> Run:
        promising = part.forecasts[OURS][0][:, rungs] >= threshold
        start = np.where(promising.any(axis=1), promising.argmax(axis=1), len(rungs) - 1)
        cost, quality = np.zeros(len(start)), np.zeros(len(start))
        left = np.ones(len(start), dtype=np.bool_)
        for place, arm in enumerate(rungs):
            here = left & (start <= place)
            cost += here * part.cost_usd[:, arm]
            quality = np.where(here, part.score[:, arm], quality)
            left &= ~(here & part.passed[:, arm])
        return cost, quality

    dial = [float(t) for t in np.linspace(0, 1, SETTINGS + 1)]
    return Method("threshold cascade", dial, run, smooth=True)


def _plan(train: Part, model: BeliefModel, values: Sequence[float]) -> Method:
    """Our exact plan, over at most eight arms picked on train."""
    table = model.table(train.score.shape[1])
    p, cost = train.forecasts[OURS]
    menu = ArmMenu(Forecast(p_correct=p, cost_usd=cost), table)

    def run(part: Part, value: float) -> Run:
        keep = list(menu.at(value))
        p, cost = (side[:, keep] for side in part.forecasts[OURS])
        passed = part.passed[:, keep]
        recorded = Recorded(
            score=part.score[:, keep],
            verdicts=passed if passed.ndim == 2 else passed[:, :, keep],
            cost_usd=part.cost_usd[:, keep],
        )
        done = replay_plan(
            Forecast(p_correct=p, cost_usd=cost),
            table.only(keep),
            Terms(value),
            recorded=recorded,
        )
        return done.cost_usd, done.quality

    return Method("our plan", values, run, smooth=True)


def _agreeing_pair(train: Part) -> Method:
    """Ask two fixed arms; return their answer when they agree, else that of a third."""
    arms = range(train.score.shape[1])
    triples = [(a, b, c) for a in arms for b in arms for c in arms if len({a, b, c}) == 3 and a < b]

    def run(part: Part, setting: tuple[int, int, int]) -> Run:
        first, second, third = setting
        agree = part.passed[:, first, second]
        cost = part.cost_usd[:, first] + part.cost_usd[:, second]
        return (
            cost + ~agree * part.cost_usd[:, third],
            np.where(agree, part.score[:, first], part.score[:, third]),
        )

    return Method("two agree, else a third", triples, run)


def _oracle() -> Method:
    """Knows every outcome: the cheapest correct arm, or the cheapest where none is correct."""

    def run(part: Part, _setting: None) -> Run:
        right = part.score > 0.5
        priced = np.where(right, part.cost_usd, np.inf)
        arm = np.where(right.any(axis=1), priced.argmin(axis=1), part.cost_usd.argmin(axis=1))
        return _chosen(part, arm)

    return Method("oracle", [None], run)
