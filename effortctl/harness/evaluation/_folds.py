"""What was learned, for the test tasks it is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl.harness.evaluation._check import Check, agreement_of
from effortctl.harness.evaluation._curves import hull
from effortctl.harness.evaluation._field import clusters_of, complete
from effortctl.harness.evaluation._intervals import Sample
from effortctl.harness.evaluation._ladders import Ladders, search
from effortctl.harness.evaluation._lives import Expected, Lives
from effortctl.policies import ArmMenu, BeliefModel, Forecast

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.estimators import FittedModel
    from effortctl.stores import OutcomeMatrix

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """The learning side of a fold.

    Attributes:
        lives: [L] learning tasks that every arm was tried on.
        expected: What models without a task's own fold expect of it.
        sample: Its clusters.
    """

    lives: Lives
    expected: Expected
    sample: Sample


@dataclass(frozen=True, slots=True, eq=False)
class Offered:
    """The arms a plan chooses from, which may depend on what a correct answer is worth.

    Attributes:
        columns: Of the arms among all that are judged.
        belief: Of these arms.
        menu: Which of them, for a value of a correct answer. None: always all.
    """

    columns: Rows
    belief: BeliefModel
    menu: ArmMenu | None = None

    def at(self, value_usd: float) -> tuple[Rows, BeliefModel]:
        """Columns and belief for a value of a correct answer."""
        if self.menu is None:
            return self.columns, self.belief
        keep = list(self.menu.at(value_usd))
        return self.columns[keep], self.belief.only(keep)


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Everything that was learned without the test tasks it is judged on.

    Attributes:
        rows: Positions of these test tasks.
        lives: The test tasks.
        expected: What is expected of them. None: no model.
        offered: The arms a plan chooses from.
        arm_cost: [K] mean dollars on the learning tasks.
        arm_quality: [K] mean score there.
        ladders: The best fixed ladders there.
        difficulty: Predicted difficulty of the test tasks in logits.
        taught: The learning tasks; None where only a finished policy is known.
    """

    rows: Rows
    lives: Lives
    expected: Expected
    offered: Offered
    arm_cost: Floats
    arm_quality: Floats
    ladders: Ladders
    difficulty: Floats
    taught: Taught | None

    @property
    def arm_hull(self) -> list[int]:
        """Arms that no mixture of others beat on the learning tasks, cheapest first."""
        return hull(self.arm_cost, self.arm_quality)


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """Fits a model and everything fixed on learning tasks.

    Attributes:
        check: What checks answers.
        seed: Of fits and drawn verdicts.
        model: A model that is already there. None: fit one.
        by_category: Tasks of one category are a cluster: held out together, and one observation.
    """

    check: Check
    seed: int
    model: FittedModel | None = None
    by_category: bool = False

    def teach(self, learn: OutcomeMatrix, test: OutcomeMatrix, *, rows: Rows, lives: Lives) -> Fold:
        """Learn from some tasks what will be judged on others.

        Args:
            learn: Learning tasks; those with holes only help to fit the model.
            test: The test tasks of this fold.
            rows: Their positions.
            lives: What happened on them.

        Raises:
            ConfigError: The model cannot be fitted.
        """
        whole = np.flatnonzero(complete(learn, self.check))
        full = learn.select_tasks(whole)
        model, expected = self._model(learn, whole)
        seen = self.check.live(full, seed=[self.seed, 1, len(full)])
        means = full.cost_usd.mean(axis=0), full.score.mean(axis=0)
        ahead = _expect(model, test, learn.arms, means[0])
        belief = self._belief(model, learn, seen)
        return Fold(
            rows,
            lives,
            ahead[0],
            self._offered(learn.arms, expected, belief),
            *means,
            search(seen),
            ahead[1],
            Taught(
                seen,
                expected,
                Sample(clusters_of(full, by_category=self.by_category), len(full)),
            ),
        )

    def _model(self, learn: OutcomeMatrix, whole: Rows) -> tuple[FittedModel, Expected]:
        """A model, and what others without a task's fold expect of the tasks at some positions."""
        if self.model is not None:
            full = learn.select_tasks(whole)
            model = self.model
            return model, _expect(model, full, learn.arms, full.cost_usd.mean(axis=0))[0]
        from effortctl.estimators import fit_model_crossed  # noqa: PLC0415 - loads scikit-learn

        crossed = fit_model_crossed(
            learn,
            groups="category" if self.by_category else "cluster",
            reliability=self.check.reliability(learn),
            seed=self.seed,
        )
        expected = Expected(crossed.p[whole], crossed.cost_usd[whole])
        return crossed.model, expected

    def _offered(self, arms: Sequence[str], expected: Expected, belief: BeliefModel) -> Offered:
        """The arms of a given model, else as many as a plan can hold."""
        if self.model is not None:
            at = np.array([arms.index(arm) for arm in self.model.arm_names], dtype=np.intp)
            return Offered(at, belief.only(at.tolist()))
        forecast = Forecast(p_correct=expected.p, cost_usd=expected.cost_usd)
        return Offered(np.arange(len(arms)), belief, ArmMenu(forecast, belief))

    def _belief(self, model: FittedModel, learn: OutcomeMatrix, seen: Lives) -> BeliefModel:
        arms = len(learn.arms)
        loading = dict(zip(model.arm_names, model.rho, strict=True))
        rho = np.array([loading.get(arm, 0.0) for arm in learn.arms])
        if seen.agreeing:
            return BeliefModel(rho=rho, agreement=agreement_of(seen.score, seen.passed[0])).table(
                arms
            )
        checks = self.check.reliability(learn)
        return BeliefModel(rho=rho, tpr=checks.tpr, fpr=checks.fpr, stop_on_pass=True).table(arms)


def _expect(
    model: FittedModel, tasks: OutcomeMatrix, arms: Sequence[str], usual_usd: Floats
) -> tuple[Expected, Floats]:
    """What a model expects, in the order of these arms; of an unknown arm nothing good."""
    found = model.estimates(tasks.tasks())
    p, cost = np.zeros((len(tasks), len(arms))), np.zeros((len(tasks), len(arms)))
    for j, arm in enumerate(arms):
        if arm in model.arm_names:
            at = model.arm_names.index(arm)
            p[:, j], cost[:, j] = found.p[:, at], found.cost_usd[:, at]
        else:
            cost[:, j] = np.nan
    return Expected(p, np.where(np.isnan(cost), usual_usd, cost)), found.difficulty


def expect_all(
    model: FittedModel, tasks: OutcomeMatrix, usual_usd: Floats
) -> tuple[Expected, Floats]:
    """What a model expects of every arm of these outcomes, and the difficulty it sees."""
    return _expect(model, tasks, tasks.arms, usual_usd)
