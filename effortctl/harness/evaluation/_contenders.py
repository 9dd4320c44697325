"""The policies an evaluation compares: each has one dial, is set on learning tasks, judged on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from effortctl.harness.evaluation._folds import Fold
from effortctl.harness.evaluation._lives import Expected, Lives, Run, join
from effortctl.harness.evaluation._walks import run_ladder, run_plan, run_routing, run_single

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

SETTINGS = 60
"""Values of a correct answer at which plans and routing are tried; solving them is the cost of a replay."""

WIDEST = 300.0
"""The dial ends where a correct answer is worth so many calls of the dearest arm."""


class Play(Protocol):
    """Runs a policy with what a fold has learned."""

    def __call__(self, fold: Fold, lives: Lives, expected: Expected, *, setting: float) -> Run:
        """Run it on some tasks with its dial at a setting."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A policy with a dial.

    Attributes:
        name: As in results.
        dial: [S] settings, from little to much spending.
        play: How it is run.
        priced: The dial is what a correct answer is taken to be worth, in dollars.
    """

    name: str
    dial: Floats
    play: Play
    priced: bool


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """A contender at every setting of its dial, on the test tasks.

    Attributes:
        contender: Which.
        cost_usd: [S, T] dollars.
        quality: [S, T] score.
        tried: [S, K] share of the tasks on which the arm was tried.
    """

    contender: Contender
    cost_usd: Floats
    quality: Floats
    tried: Floats

    @property
    def points(self) -> tuple[Floats, Floats]:
        """[S] mean dollars and [S] mean quality."""
        return self.cost_usd.mean(axis=1), self.quality.mean(axis=1)


def contenders(folds: Sequence[Fold], *, also: Sequence[float] = ()) -> list[Contender]:
    """The plan, routing, fixed ladders and random mixing, with dials that fit these arms.

    Args:
        folds: What was learned.
        also: Values the dials of plan and routing must contain.
    """
    cost = np.mean([fold.arm_cost for fold in folds], axis=0)
    positive = cost[cost > 0]
    low, high = (positive.min(), positive.max()) if positive.size else (1e-6, 1e-6)
    values = np.unique([*np.geomspace(low, WIDEST * high, SETTINGS), *also])
    arms = _steps([(f.arm_cost[f.arm_hull], f.arm_quality[f.arm_hull]) for f in folds])
    return [
        Contender("plan", values, _plan, priced=True),
        Contender("routing_only", values, _routing, priced=True),
        Contender("fixed_ladder", _spending(folds), _ladder, priced=False),
        Contender("random_mix", arms, _mix, priced=True),
    ]


def _spending(folds: Sequence[Fold]) -> Floats:
    """Mean dollars at which the best ladder of one of the folds changes, thinned out evenly."""
    every = np.unique(np.concatenate([fold.ladders.cost_usd for fold in folds]))
    if len(every) <= SETTINGS:
        return every
    keep = np.unique(np.linspace(0, len(every) - 1, SETTINGS).round().astype(int))
    return np.asarray(every[keep])


def _steps(curves: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Values between those at which the best corner of one of some hulls changes."""
    turns = np.unique(
        np.concatenate([np.diff(cost) / np.diff(quality) for cost, quality in curves])
    )
    turns = turns[turns > 0]
    if not turns.size:
        return np.array([1.0])
    inner = np.sqrt(turns[1:] * turns[:-1])
    return np.concatenate([[turns[0] / 2], inner, [turns[-1] * 2]])


def _plan(fold: Fold, lives: Lives, expected: Expected, *, setting: float) -> Run:
    keep, belief = fold.offered.at(setting)
    run = run_plan(lives.arms(keep), expected.arms(keep), belief, value_usd=setting)
    return run if len(keep) == lives.score.shape[1] else _widen(run, keep, lives.score.shape[1])


def _widen(run: Run, keep: Rows, arms: int) -> Run:
    """The same run, with the columns of arms that were never offered."""
    names = np.append(keep, -1)
    tried = np.zeros((len(run.cost_usd), arms))
    tried[:, keep] = run.tried
    order = np.full((len(run.cost_usd), arms), -1)
    order[:, : len(keep)] = names[run.order]
    changed = {"tried": tried, "order": order, "answer": names[run.answer]}
    return Run(**{name: getattr(run, name) for name in Run.__dataclass_fields__} | changed)


def _routing(fold: Fold, lives: Lives, expected: Expected, *, setting: float) -> Run:  # noqa: ARG001 - the signature of a play
    return run_routing(lives, expected, value_usd=setting)


def _ladder(fold: Fold, lives: Lives, expected: Expected, *, setting: float) -> Run:  # noqa: ARG001 - the signature of a play
    return run_ladder(lives, fold.ladders.at(setting))


def _mix(fold: Fold, lives: Lives, expected: Expected, *, setting: float) -> Run:  # noqa: ARG001 - the signature of a play
    corners = fold.arm_hull
    worth = setting * fold.arm_quality[corners] - fold.arm_cost[corners]
    return run_single(lives, np.full(len(lives), corners[int(np.argmax(worth))]))


def sweep(contender: Contender, folds: Sequence[Fold]) -> Sweep:
    """Run a contender at every setting on the test tasks of every fold."""
    tasks = sum(len(fold.rows) for fold in folds)
    arms = folds[0].lives.score.shape[1]
    settings = len(contender.dial)
    cost, quality = np.empty((settings, tasks)), np.empty((settings, tasks))
    tried = np.zeros((settings, arms))
    for s, value in enumerate(contender.dial):
        for fold in folds:
            run = contender.play(fold, fold.lives, fold.expected, setting=float(value))
            cost[s, fold.rows], quality[s, fold.rows] = run.cost_usd, run.quality
            tried[s] += run.tried.sum(axis=0) / tasks
    return Sweep(contender, cost, quality, tried)


def run_at(contender: Contender, folds: Sequence[Fold], values: Sequence[float]) -> Run:
    """Run a contender on the test tasks with the setting that each fold chose."""
    runs = [
        contender.play(fold, fold.lives, fold.expected, setting=value)
        for fold, value in zip(folds, values, strict=True)
    ]
    return join(runs, [fold.rows for fold in folds])


def run_shuffled(
    contender: Contender, folds: Sequence[Fold], values: Sequence[float], *, seed: int
) -> Run:
    """The same with forecasts of other tasks: what is left is not due to prediction."""
    runs = []
    for k, (fold, value) in enumerate(zip(folds, values, strict=True)):
        order = np.random.default_rng([seed, 2, k]).permutation(len(fold.rows))
        other = fold.expected.rows(order)
        runs.append(contender.play(fold, fold.lives, other, setting=value))
    return join(runs, [fold.rows for fold in folds])
