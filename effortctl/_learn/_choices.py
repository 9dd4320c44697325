"""Fixed arms and ladders: what a plan has to beat, and what is used until it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl._held_out import HeldOut
from effortctl._learn._crossed import Learned
from effortctl._policy_parts import Target
from effortctl.policies import Contender, LadderTable, all_ladders, run_ladder
from effortctl.policies._ladders import MOST_LADDERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.estimators import FittedModel

    Floats = NDArray[np.float64]

_LONGEST_LADDER = 4


@dataclass(frozen=True, slots=True)
class FixedChoice:
    """A fixed arm or ladder, chosen on some tasks and to be run on others.

    Attributes:
        name: For people, e.g. `best fixed ladder small > big`.
        arms: Names, in order.
    """

    name: str
    arms: tuple[str, ...]

    def run(self, tasks: HeldOut) -> Contender:
        """Dollars and quality of every task."""
        rungs = [tasks.matrix.arm_index(arm) for arm in self.arms]
        cost, quality = run_ladder(
            rungs, tasks.matrix.score, tasks.passed, cost_usd=tasks.price_usd
        )
        return Contender(self.name, cost, quality, self.arms)


def fixed_choices(tasks: HeldOut, target: Target) -> tuple[FixedChoice, ...]:
    """The best fixed arm and, where it is another choice, the best fixed ladder.

    Args:
        tasks: To choose on; never those that the choices are judged on.
        target: What they should be best at. Under `best_arm`, the arm is the one with the highest score,
            and the ladder the cheapest that reaches it.
    """
    table = _ladders(tasks)
    highest = float(tasks.matrix.score.mean(axis=0).max())
    found: list[FixedChoice] = []
    for kind, longest in (("best fixed arm", 1), ("best fixed ladder", None)):
        chosen = _best(table, target, highest=highest, longest=longest)
        arms = tuple(tasks.matrix.arms[j] for j in _reached(chosen, tasks))
        if not found or arms != found[0].arms:
            found.append(FixedChoice(f"{kind} {' > '.join(arms)}", arms))
    return tuple(found)


def likely_choice(learned: Learned, target: Target) -> FixedChoice:
    """A fixed choice by mean forecasts, where there are no tasks to replay.

    With a check to tell when to stop: climb from the cheapest arm, leaving out those that are dearer and
    no better. Without one: the best single arm.
    """
    p, names = learned.expected.p_correct.mean(axis=0), learned.model.arm_names
    price = [learned.means.price_usd(arm, learned.usd_per_second) for arm in names]
    if np.array_equal(learned.model.tpr, learned.model.fpr):
        alone = LadderTable(tuple((j,) for j in range(len(names))), np.array(price), p)
        (best,) = _best(alone, target, highest=float(p.max()), longest=1)
        return FixedChoice(f"arm {names[best]}", (names[best],))
    arms = climb(learned.model, p, np.array(price))
    return FixedChoice(f"ladder {' > '.join(arms)}", arms)


def climb(model: FittedModel, p: Floats, price_usd: Floats) -> tuple[str, ...]:
    """Arms from the cheapest up, without those that are dearer and no better.

    Args:
        model: Of K arms.
        p: [K] P(correct) on a typical task.
        price_usd: [K] what a try costs.
    """
    rungs: list[int] = []
    for j in np.lexsort((-p, price_usd)).tolist():
        if not rungs or p[j] > p[rungs[-1]]:
            rungs.append(j)
    return tuple(model.arm_names[j] for j in rungs)


def _best(
    table: LadderTable, target: Target, *, highest: float, longest: int | None
) -> tuple[int, ...]:
    """Best under a target; under `best_arm`, that is the highest quality of a single arm."""
    return table.best(
        value_usd=target.only("value_usd"),
        max_cost_usd=target.only("max_cost_usd"),
        min_quality=highest if target.kind == "best_arm" else target.only("min_quality"),
        longest=longest,
    )


def _ladders(tasks: HeldOut) -> LadderTable:
    """Every ladder of every offered arm, up to the length that can be searched."""
    arms, longest, number, level = len(tasks.matrix.arms), 0, 0, 1
    while longest < min(_LONGEST_LADDER, arms):
        level *= arms - longest
        number += level
        if number > MOST_LADDERS:
            break
        longest += 1
    return all_ladders(tasks.matrix.score, tasks.passed, tasks.price_usd, longest=longest)


def _reached(ladder: Sequence[int], tasks: HeldOut) -> tuple[int, ...]:
    """The ladder without the rungs no task got to: they cost nothing, but mean nothing either."""
    left = np.ones(len(tasks), dtype=np.bool_)
    rungs: list[int] = []
    for arm in ladder:
        if not left.any():
            break
        rungs.append(arm)
        left &= ~tasks.passed[:, arm]
    return tuple(rungs)
