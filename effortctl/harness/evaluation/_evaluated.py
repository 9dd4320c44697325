"""All an evaluation starts from once everything is learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from effortctl._policy_parts import Target
from effortctl.harness.evaluation._bench import Bench
from effortctl.harness.evaluation._check import Check
from effortctl.harness.evaluation._field import Field
from effortctl.harness.evaluation._folds import Fold
from effortctl.harness.evaluation._intervals import Sample
from effortctl.harness.evaluation._lives import Lives
from effortctl.harness.evaluation._tuning import baseline_arm, best_arm


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Evaluated:
    """All an evaluation starts from once everything is learned.

    Attributes:
        name: For people.
        field: Tasks and arms.
        folds: What was learned.
        lives: What happened on the test tasks.
        check: What checks answers.
        target: What policies are set for.
        level: Nominal coverage.
        seed: Of everything drawn.
        own_value: A given policy's price of quality.
        include_prompts: Keep prompts.
        notes: What a reader must know.
    """

    name: str
    field: Field
    folds: Sequence[Fold]
    lives: Lives
    check: Check
    target: Target
    level: float
    seed: int
    own_value: float | None
    include_prompts: bool
    notes: tuple[str, ...]

    def bench(self) -> Bench:
        """What policies are held against; where folds differ, arms are chosen on all tasks."""
        if len(self.folds) == 1:
            cost, quality = self.folds[0].arm_cost, self.folds[0].arm_quality
        else:
            cost, quality = self.lives.cost_usd.mean(axis=0), self.lives.score.mean(axis=0)
        return Bench(
            self.field.test.arms,
            self.lives,
            Sample(self.field.clusters, len(self.lives)),
            best_arm(cost, quality),
            baseline_arm(self.target, cost, quality),
            self.target,
            self.level,
            self.seed,
        )
