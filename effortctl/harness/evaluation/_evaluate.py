"""Judge policies on recorded outcomes: what is chosen is chosen on other tasks than it is judged on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from effortctl._errors import ConfigError
from effortctl.estimators._fit import fingerprint
from effortctl.harness._result import EvalResult
from effortctl.harness.evaluation._assemble import assemble
from effortctl.harness.evaluation._check import DRAWS, Check, Verifier, fractional
from effortctl.harness.evaluation._evaluated import Evaluated
from effortctl.harness.evaluation._field import Field, deal, lay_out
from effortctl.harness.evaluation._folds import Fold, Teacher
from effortctl.harness.evaluation._lives import Lives
from effortctl.harness.evaluation._policy_fold import fold_of_policy
from effortctl.harness.evaluation._tuning import target_of

if TYPE_CHECKING:
    from effortctl._fitted_policy import FittedPolicy
    from effortctl._policy_parts import Target
    from effortctl.stores import OutcomeMatrix

Progress: TypeAlias = Callable[[str, float], None]
"""Called with the name of the step that begins and the share of the work done before it."""

_TEACHING = 0.5


def evaluate(  # noqa: PLR0913 - one keyword per decision, each with a default that works
    test: OutcomeMatrix,
    *,
    learn: OutcomeMatrix | None = None,
    policy: FittedPolicy | None = None,
    arms: Sequence[str] | None = None,
    verifier: Verifier = "exact",
    value_usd: float | None = None,
    max_cost_usd: float | None = None,
    min_quality: float | None = None,
    cluster_by_category: bool = False,
    include_prompts: bool = False,
    name: str = "replay",
    seed: int = 0,
    level: float = 0.95,
    progress: Progress | None = None,
) -> EvalResult:
    """Replay every policy over recorded outcomes and come to a verdict. Nothing is called.

    The model, the ladders and the price of quality come from `learn` and are judged on `test`. Without
    `learn` the tasks are dealt to five folds, whole clusters together, and every task is judged by what
    was learned without its fold.

    Args:
        test: What every arm did on the tasks to judge on.
        learn: The same for tasks to learn from. Those that are also in `test` are left out.
        policy: A learned policy to judge instead of one learned here. Its fixed arms and ladders are
            then known from its file, or from `learn` if that is given, too.
        arms: Arms to choose from; each must be there. None: all that have scores and dollars.
        verifier: What checks answers at run time.
        value_usd: Dollars an accepted correct answer is worth.
        max_cost_usd: Best quality for at most so many dollars per task.
        min_quality: Lowest cost at no less than this quality.
        cluster_by_category: Tasks of one category are not independent of each other.
        include_prompts: Keep prompts in the result.
        name: What was evaluated, for people.
        seed: Of folds, fits, drawn verdicts and resampling.
        level: Nominal coverage of intervals; one minus it is the accepted chance of a false `ROUTE`.
        progress: Told of every step.

    Raises:
        ConfigError: An arm is missing, too few tasks are left, or options contradict each other.
    """
    if not 0.5 <= level < 1:
        raise ConfigError(f"level is {level!r}; expected a number from 0.5 to below 1, e.g. 0.95")
    tell = progress or (lambda _step, _done: None)
    check = Check.of(verifier)
    target = _target(policy, target_of(value_usd, max_cost_usd, min_quality))
    field = lay_out(
        test,
        learn,
        arms=arms,
        needed=() if policy is None else policy.arms,
        check=check,
        by_category=cluster_by_category,
    )
    lives = check.live(field.test, seed=[seed, 0])
    teacher = Teacher(
        check,
        seed,
        model=None if policy is None else policy.model,
        by_category=cluster_by_category,
    )
    folds, how = _folds(field, lives, teacher, policy=policy, tell=tell)
    done = Evaluated(
        name=name,
        field=field,
        folds=folds,
        lives=lives,
        check=check,
        target=target,
        level=level,
        seed=seed,
        own_value=None if policy is None else policy.value_usd,
        include_prompts=include_prompts,
        notes=(*how, *_warnings(field, policy, check, by_category=cluster_by_category)),
    )
    return assemble(done, tell=lambda step, share: tell(step, _TEACHING * (1 + share)))


def _target(policy: FittedPolicy | None, asked: Target) -> Target:
    """The user's target, else the policy's own."""
    if policy is None or asked.kind != "best_arm":
        return asked
    return policy.target


def _folds(
    field: Field,
    lives: Lives,
    teacher: Teacher,
    *,
    policy: FittedPolicy | None,
    tell: Progress,
) -> tuple[list[Fold], tuple[str, ...]]:
    """What is learned, and a sentence on how."""
    import numpy as np  # noqa: PLC0415 - kept out of the import of the command line

    everything = np.arange(len(field.test))
    if field.learn is not None:
        tell("learning", 0.0)
        fold = teacher.teach(field.learn, field.test, rows=everything, lives=lives)
        source = "the given policy" if policy else f"{len(field.learn):,} learning tasks"
        return [fold], (
            f"Everything was chosen on {source} and judged on {len(field.test):,} other tasks."
            if not policy
            else "The given policy was judged; ladders and fixed arms were chosen on the learning tasks.",
        )
    if policy is not None:
        tell("reading the policy", 0.0)
        return [fold_of_policy(policy, field.test, lives, teacher.check)], (
            "The given policy was judged; the fixed arm and the ladder are those its file knows of.",
        )
    parts = deal(field.clusters, len(field.test), seed=teacher.seed)
    folds = []
    for k, rows in enumerate(parts):
        tell("learning", _TEACHING * k / len(parts))
        rest = np.setdiff1d(everything, rows)
        folds.append(
            teacher.teach(
                field.test.select_tasks(rest),
                field.test.select_tasks(rows),
                rows=rows,
                lives=lives.rows(rows),
            )
        )
    how = (
        f"No learning tasks were given, so this is a {len(parts)}-fold cross-fit: every task was judged "
        "by what was learned without its fold. best_fixed_arm is that of all tasks, best_fixed_ladder the "
        "one most folds chose."
    )
    return folds, (how,)


def _warnings(
    field: Field, policy: FittedPolicy | None, check: Check, *, by_category: bool
) -> tuple[str, ...]:
    notes = []
    if check.kind == "rates":
        notes.append(
            f"Verdicts are simulated: drawn from P(pass | correct) {check.tpr:g} and P(pass | wrong) "
            f"{check.fpr:g}; costs and qualities are means over {DRAWS} draws."
        )
    elif check.kind == "exact":
        notes.append("The check is assumed to be exact: it passes right answers and no others.")
    elif check.kind == "none":
        notes.append(
            "Nothing checks answers, so the first answer is returned and nothing escalates."
        )
    elif check.kind == "agreement":
        notes.append("The only evidence at run time is whether two arms gave the same answer.")
    if fractional(field.test.score) and check.kind in ("exact", "rates"):
        notes.append(
            "A fractional score was taken as the chance of a right answer; where a verdict depends on it, "
            f"outcomes are means over {DRAWS} draws."
        )
    if policy is not None and policy.provenance.fingerprint == fingerprint(field.test):
        notes.append(
            "These are the very outcomes the policy was learned from: expect less on new tasks."
        )
    if (
        field.clusters is None
        and len({c for c in field.test.categories if c}) > 1
        and not by_category
    ):
        notes.append(
            "Tasks were taken as independent; if its categories stand for others to come, cluster by "
            "category."
        )
    return tuple(notes)
