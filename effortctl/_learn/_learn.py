"""Outcomes in, a certified policy out.

Nothing may be judged on what it was chosen by, so tasks are parted in two. One part fits the model, tunes
lambda and chooses the fixed ladders to compare with; it can do all three because lambda is tuned on
out-of-fold forecasts, as if every task were new. The other part is touched once, to decide whether the
plan may replace the best fixed choice.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from effortctl._errors import ConfigError
from effortctl._features import FeatureFunction
from effortctl._fitted_policy import FittedPolicy
from effortctl._held_out import (
    HeldOut,
    Means,
    VerifierChoice,
    complete,
)
from effortctl._learn._choices import fixed_choices, likely_choice
from effortctl._learn._crossed import Learned, Progress, cross_fit, tune
from effortctl._policy_parts import (
    HeldOutResult,
    Histogram,
    NamedComparison,
    Provenance,
    Target,
)
from effortctl.catalog import load_ladder
from effortctl.estimators import FittedModel, Prior, load_prior
from effortctl.estimators._fit import fingerprint
from effortctl.estimators._folds import GroupBy, labelled
from effortctl.policies import (
    AgreementTables,
    Certificate,
    Contender,
    Criteria,
    certify,
)
from effortctl.stores import OutcomeMatrix, outcome_matrix, trace_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl._driver import LadderLike
    from effortctl._types import Trace

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

SHARES = (0.7, 0.3)
"""Of the tasks: to learn from, to certify."""

FEWEST_TASKS = 30
"""Tasks every arm was tried on. Fewer cannot show anything of a plan."""

_BINS = 16
PLAN = "the plan"
"""Its name where it is compared."""


def learn(  # noqa: PLR0913 - one keyword per decision, each with a default that works
    outcomes: OutcomeMatrix | Iterable[Trace],
    *,
    prompts: Mapping[str, str] | None = None,
    scores: Mapping[tuple[str, str], float] | None = None,
    arms: Sequence[str] | None = None,
    value_usd: float | None = None,
    max_cost_usd: float | None = None,
    min_quality: float | None = None,
    usd_per_second: float = 0.0,
    switch_usd: Mapping[str, float] | None = None,
    verifier: VerifierChoice = "exact",
    same_answer: NamedComparison = "text",
    criteria: Criteria | None = None,
    cluster_by: GroupBy = "cluster",
    features: FeatureFunction | None = None,
    prior: Prior | None = None,
    ladder: LadderLike | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FittedPolicy:
    """Learn when to try which arm.

    With no target the policy is tuned to reach the quality of the best single arm for less. Tasks that some arm was not tried on, as in traces of a running controller,
    only help to fit the model; with fewer than `FEWEST_TASKS` others there is a policy, but no
    certificate, so it climbs a fixed ladder until there are more.

    Args:
        outcomes: What every arm did on every task: an outcome matrix, or traces.
        prompts: Of traces only: task id → prompt, which traces do not hold. Without prompts the policy
            is one plan for all tasks.
        scores: Of traces only: (task id, arm name) → share of correct answers. None: the verdicts say
            what was correct, which they may only where the verifier is `exact`.
        arms: Arms to choose from. None: all; if a plan cannot hold them, those that are best together.
        value_usd: Dollars an accepted correct answer is worth.
        max_cost_usd: Highest quality for mean dollars per task of at most this.
        min_quality: Lowest cost at a mean quality of at least this.
        usd_per_second: Dollars a second of waiting costs; all dollars compared then include it.
        switch_usd: Dollars lost when an arm has no warm prompt cache, by arm; see `FittedPolicy.policy`.
        verifier: What will check answers at run time.
        same_answer: When two answers are the same, where the verifier is `agreement`.
        criteria: What the certificate has to show. None: the defaults of `Criteria`.
        cluster_by: Tasks that stand or fall together. They are held out together while learning, and are
            one observation for the certificate. `cluster` where tasks to come are of the same categories
            as these; then a category, if there is one, is looked at like a feature. `category` where
            they are of other ones: that takes dozens of categories to certify.
        features: Your own feature function; it must then also be passed to `FittedPolicy.load`.
        prior: What is believed of tasks and arms beforehand; it counts the less, the more outcomes there
            are. None: nothing, or the shipped prior if a ladder is given.
        ladder: The arms as a controller has them. Their prices and efforts are where the prior begins.
        seed: Makes splits, fits and drawn verdicts repeatable.
        progress: Told of every step.
        now: Wall clock.

    Raises:
        ConfigError: An arm has no outcomes, dollars, verdicts, answers or seconds that are needed,
            several targets were given, or the target is out of reach.
    """
    tell = progress or (lambda _step, _done: None)
    wanted = wanted_target(value_usd, max_cost_usd, min_quality)
    matrix = _matrix_of(outcomes, prompts=prompts, scores=scores, verifier=verifier)
    offered = matrix if arms is None else matrix.select_arms(arms)
    whole = complete(offered, verifier)
    known = () if ladder is None else load_ladder(ladder).arms
    split = _split(whole, labelled(offered, cluster_by), seed=seed)
    learned = cross_fit(
        offered.select_tasks(split.learn),
        verifier=verifier,
        same_answer=same_answer,
        usd_per_second=usd_per_second,
        cluster_by=cluster_by,
        features=features,
        prior=load_prior() if prior is None and known else prior,
        arms=known,
        seed=seed,
        progress=lambda step, done: tell(step, 0.7 * done),
    )
    tell("lambda", 0.8)
    learned, target, value = tune(learned, wanted)
    tell("certificate", 0.95)
    contenders: list[Contender] = []
    if len(split.certify):
        judged = learned.held_out(offered.select_tasks(split.certify))
        contenders, certificate = judge(
            learned, judged, target=target, value_usd=value, criteria=criteria, seed=seed
        )
    else:
        certificate = _unjudged(
            learned, target=target, complete_tasks=int(whole.sum()), criteria=criteria
        )
    tell("done", 1.0)
    model = learned.model
    return FittedPolicy(
        model=model,
        value_usd=value,
        usd_per_second=usd_per_second,
        latency_s=learned.latency_s,
        switch_usd=dict(switch_usd or {}),
        agreement=_named(learned),
        same_answer=same_answer,
        target=target,
        certificate=certificate,
        results=tuple(_result(each) for each in contenders),
        difficulty=_histogram(learned.difficulty),
        provenance=Provenance(
            created=now().date().isoformat(),
            fingerprint=fingerprint(offered),
            feature_hash=model.scorer.feature_hash,
            tasks=len(offered),
            outcomes=offered.rows,
            learn_tasks=len(split.learn),
            certify_tasks=len(split.certify),
            seed=seed,
            libraries=_libraries(model),
            prices=dict(zip(offered.arms, Means.of(offered).cost_usd.tolist(), strict=True)),
        ),
    )


def _matrix_of(
    outcomes: OutcomeMatrix | Iterable[Trace],
    *,
    prompts: Mapping[str, str] | None,
    scores: Mapping[tuple[str, str], float] | None,
    verifier: VerifierChoice,
) -> OutcomeMatrix:
    if isinstance(outcomes, OutcomeMatrix):
        return outcomes
    if scores is None and verifier != "exact":
        raise ConfigError(
            f"traces tell what was correct only where the verifier is exact, and it is {verifier!r}; "
            "pass scores={(task id, arm): share of correct answers}"
        )
    rows = trace_rows(outcomes, scores=scores, prompts=prompts, trust_verdicts=scores is None)
    if not rows:
        raise ConfigError(
            "the traces hold no attempt whose correctness is known; run with a verifier, or pass scores="
        )
    return outcome_matrix(rows)


# --- two parts -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Split:
    """Positions of the tasks of each part; `certify` is empty where there are too few tasks."""

    learn: Rows
    certify: Rows


def _split(whole: NDArray[np.bool_], clusters: Sequence[str], *, seed: int) -> _Split:
    """Deal whole clusters, the largest first, to the part that is furthest below its share.

    Only tasks without a hole can be replayed, so those are what the shares are of; the others are
    learned from, unless their cluster is kept for the certificate.
    """
    names, member = np.unique(clusters, return_inverse=True)
    size = np.bincount(member, weights=whole)
    if whole.sum() < FEWEST_TASKS or np.count_nonzero(size) < len(SHARES):
        return _Split(np.arange(len(whole)), np.arange(0))
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-size[order], kind="stable")]
    part = np.zeros(len(names), dtype=np.intp)
    load = np.zeros(len(SHARES))
    for group in order[: np.count_nonzero(size)]:
        part[group] = np.argmin(load / SHARES)
        load[part[group]] += size[group]
    home = part[member]
    return _Split(np.flatnonzero(home == 0), np.flatnonzero((home == 1) & whole))


def wanted_target(
    value_usd: float | None = None,
    max_cost_usd: float | None = None,
    min_quality: float | None = None,
) -> Target | None:
    """The user's target; None: as good as the best arm.

    Raises:
        ConfigError: Several were given.
    """
    given = [
        target
        for target in (
            None if value_usd is None else Target("value_usd", value_usd),
            None if max_cost_usd is None else Target("max_cost_usd", max_cost_usd),
            None if min_quality is None else Target("min_quality", min_quality),
        )
        if target is not None
    ]
    if len(given) > 1:
        raise ConfigError("give one of value_usd, max_cost_usd and min_quality, or none of them")
    return given[0] if given else None


# --- the certificate -------------------------------------------------------------------------------


def judge(
    learned: Learned,
    judged: HeldOut,
    *,
    target: Target,
    value_usd: float,
    criteria: Criteria | None = None,
    seed: int = 0,
) -> tuple[list[Contender], Certificate]:
    """Run the plan and the fixed choices on tasks that had no part in any of them, and compare.

    Args:
        learned: What the plan and the choices come from.
        judged: New tasks.
        target: What the choices are best at.
        value_usd: What a correct answer is worth to the plan.
        criteria: What the certificate has to show. None: the defaults of `Criteria`.
        seed: Of the order in which the tasks enter the tests.
    """
    replay = learned.run_plan(judged, value_usd)
    plan = Contender(PLAN, replay.cost_usd, replay.quality)
    fixed = [choice.run(judged) for choice in fixed_choices(learned.tasks, target)]
    clusters = labelled(judged.matrix, learned.cluster_by)
    certificate = certify(
        [plan],
        fixed,
        criteria=criteria,
        clusters=None if clusters == judged.matrix.task_ids else clusters,
        seed=seed,
    )
    return [plan, *fixed], certificate


def _unjudged(
    learned: Learned, *, target: Target, complete_tasks: int, criteria: Criteria | None
) -> Certificate:
    """No certificate, because there is too little to replay; says what would be enough."""
    choice = likely_choice(learned, target)
    return Certificate.without_tasks(
        PLAN,
        choice.arms,
        reason=(
            f"do not route yet: {complete_tasks} tasks were tried (and checked, where that is recorded) by "
            f"every arm, whatever the others answered; {FEWEST_TASKS} such tasks in {len(SHARES)} clusters "
            f"or more are the least that can show anything; until then use {choice.name}"
        ),
        n_needed=FEWEST_TASKS,
        criteria=criteria,
    )


def _result(contender: Contender) -> HeldOutResult:
    cost, quality = (np.asarray(side).mean() for side in (contender.cost_usd, contender.quality))
    return HeldOutResult(contender.name, contender.arms, float(cost), float(quality))


def _histogram(difficulty: NDArray[np.float64]) -> Histogram:
    counts, edges = np.histogram(difficulty, bins=_BINS)
    return Histogram(float(edges[0]), float(edges[-1]), tuple(counts.tolist()))


def _named(learned: Learned) -> AgreementTables | None:
    agreement = learned.belief.agreement
    return None if agreement is None else AgreementTables.of(learned.model.arm_names, agreement)


def _libraries(model: FittedModel) -> dict[str, str]:
    return {
        "effortctl": version("effortctl"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "scikit-learn": str(model.provenance["scikit_learn"]),
    }
