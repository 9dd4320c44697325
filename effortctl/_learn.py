"""Outcomes in, a certified policy out.

The tasks are parted in three, because nothing may be judged on what it was chosen by: one part fits the
model, one tunes lambda, one decides whether the plan may replace the best fixed choice.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effortctl._errors import ConfigError
from effortctl._features import FeatureFunction
from effortctl._fitted_policy import FittedPolicy
from effortctl._held_out import (
    HeldOut,
    VerifierChoice,
    belief_of,
    complete,
    forecast_of,
    mean_costs,
    reliability_of,
)
from effortctl._policy_parts import HeldOutResult, Histogram, Provenance, Target
from effortctl.estimators import FittedModel, fit_model
from effortctl.estimators._fit import fingerprint
from effortctl.policies import (
    Certificate,
    Contender,
    Criteria,
    LadderTable,
    Terms,
    all_ladders,
    certify,
    pick_arms,
    run_ladder,
    tune_lambda,
)
from effortctl.policies._ladders import MOST_LADDERS
from effortctl.policies._plan import MAX_ARMS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.stores import OutcomeMatrix

    Rows = NDArray[np.intp]

Progress: TypeAlias = Callable[[str, float], None]
"""Called with the name of the step that begins and the share of the work done before it."""

SHARES = (0.5, 0.2, 0.3)
"""Of the tasks: to fit the model, to tune lambda, to certify."""

FEWEST_TASKS = 30
"""Tasks every arm was tried on. Fewer could not certify anything, and would hardly fit anything."""

_DEAREST = 1e4
"""Dollars for a correct answer at which the plan spares no arm."""

_LIKELY_VALUE = 20.0
"""How many calls of the dearest arm a correct answer is worth, where the user set another target;
only used to choose among more arms than a plan can hold."""

_LONGEST_LADDER = 4
_BINS = 16


def learn(  # noqa: PLR0913 - one keyword per decision, each with a default that works
    matrix: OutcomeMatrix,
    *,
    arms: Sequence[str] | None = None,
    value_usd: float | None = None,
    max_cost_usd: float | None = None,
    min_quality: float | None = None,
    verifier: VerifierChoice = "exact",
    criteria: Criteria | None = None,
    features: FeatureFunction | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FittedPolicy:
    """Learn when to try which arm.

    With no target the policy is tuned to reach the quality of the best single arm for less. Tasks of one
    cluster stay together in one of the three parts. Tasks that some arm was not tried on only help to
    fit the model.

    Args:
        matrix: What every arm did on every task.
        arms: Arms to choose from. None: all; if a plan cannot hold them, those that are best together.
        value_usd: Dollars an accepted correct answer is worth.
        max_cost_usd: Highest quality for mean dollars per task of at most this.
        min_quality: Lowest cost at a mean quality of at least this.
        verifier: What will check answers at run time.
        criteria: What the certificate has to show. None: the defaults of `Criteria`.
        features: Your own feature function; it must then also be passed to `FittedPolicy.load`.
        seed: Makes splits, fits and drawn verdicts repeatable.
        progress: Told of every step.
        now: Wall clock.

    Raises:
        ConfigError: There are too few tasks that every arm was tried on, dollars or verdicts are
            missing, several targets were given, or the target is out of reach.
    """
    tell = progress or (lambda _step, _done: None)
    wanted = _wanted(value_usd, max_cost_usd, min_quality)
    offered = matrix if arms is None else matrix.select_arms(arms)
    checks = reliability_of(verifier, arms=len(offered.arms))
    prices = mean_costs(offered)
    whole = complete(offered, with_verdicts=checks is None)
    split = _split(offered, whole, seed=seed)
    mean_costs(offered.select_tasks(split.fit))  # refuses an arm whose dollars this part lacks
    fitted = fit_model(
        offered.select_tasks(split.fit),
        reliability=checks,
        features=features,
        seed=seed,
        progress=lambda step, done: tell(step, 0.7 * done),
    )
    at = np.flatnonzero(whole)
    held_out = HeldOut.of(offered.select_tasks(at), checks, mean_cost_usd=prices, seed=seed)
    tell("fixed choices", 0.7)
    seen = held_out.rows(np.flatnonzero(~np.isin(at, split.certify)))
    tuning = held_out.rows(np.flatnonzero(np.isin(at, split.tune)))
    table = _ladders(seen)
    model = _plannable(fitted, seen, value_usd or _LIKELY_VALUE * float(prices.max()))
    tell("lambda", 0.8)
    target, value = _tune(model, tuning, wanted, best_arm=table.best(min_quality=1.0, longest=1)[0])
    tell("certificate", 0.95)
    judged = held_out.rows(np.flatnonzero(np.isin(at, split.certify)))
    contenders = [_run_plan(model, judged, value), *_baselines(table, seen, judged, target)]
    certificate = _certify(contenders, judged, criteria, seed)
    tell("done", 1.0)
    return FittedPolicy(
        model=model,
        value_usd=value,
        target=target,
        certificate=certificate,
        results=tuple(_result(each) for each in contenders),
        difficulty=_histogram(model.estimates(offered.tasks()).difficulty),
        provenance=Provenance(
            created=now().date().isoformat(),
            fingerprint=fingerprint(offered),
            feature_hash=model.scorer.feature_hash,
            tasks=len(offered),
            outcomes=offered.rows,
            fit_tasks=len(split.fit),
            tune_tasks=len(split.tune),
            certify_tasks=len(split.certify),
            seed=seed,
            libraries=_libraries(model),
            prices=dict(zip(offered.arms, prices.tolist(), strict=True)),
        ),
    )


# --- the three parts -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Split:
    """Positions of the tasks of each part."""

    fit: Rows
    tune: Rows
    certify: Rows


def _split(matrix: OutcomeMatrix, whole: NDArray[np.bool_], *, seed: int) -> _Split:
    """Deal whole clusters, the largest first, to the part that is furthest below its share.

    Only tasks without a hole can be replayed, so those are what the shares are of; the others go to the
    fit, unless their cluster is in another part.
    """
    names, member = np.unique(_clusters(matrix), return_inverse=True)
    size = np.bincount(member, weights=whole)
    if whole.sum() < FEWEST_TASKS or np.count_nonzero(size) < len(SHARES):
        raise ConfigError(
            f"{int(whole.sum())} tasks in {np.count_nonzero(size)} clusters were tried (and checked, "
            f"where verdicts are recorded) by every arm; {FEWEST_TASKS} tasks in {len(SHARES)} clusters "
            "are the least to learn from. Name fewer arms in arms=, or record more outcomes"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-size[order], kind="stable")]
    part = np.zeros(len(names), dtype=np.intp)
    load = np.zeros(len(SHARES))
    for group in order[: np.count_nonzero(size)]:
        part[group] = np.argmin(load / SHARES)
        load[part[group]] += size[group]
    home = part[member]
    return _Split(*(np.flatnonzero((home == k) & (whole | (k == 0))) for k in range(len(SHARES))))


def _clusters(matrix: OutcomeMatrix) -> list[str]:
    return [
        f"cluster:{cluster}" if cluster else f"task:{task}"
        for cluster, task in zip(matrix.clusters, matrix.task_ids, strict=True)
    ]


# --- choices ---------------------------------------------------------------------------------------


def _wanted(
    value_usd: float | None, max_cost_usd: float | None, min_quality: float | None
) -> Target | None:
    """The user's target; None: as good as the best arm."""
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


def _plannable(model: FittedModel, seen: HeldOut, value_usd: float) -> FittedModel:
    """The model of as many arms as an exact plan can hold."""
    if len(model.arms) <= MAX_ARMS:
        return model
    forecast = forecast_of(model, seen.matrix.tasks())
    picked = pick_arms(forecast, belief_of(model), Terms(value_usd))
    best = int(np.argmax(seen.matrix.score.mean(axis=0)))
    return model.select_arms([model.arm_names[j] for j in sorted(picked or (best,))])


def _tune(
    model: FittedModel, tuning: HeldOut, wanted: Target | None, *, best_arm: int
) -> tuple[Target, float]:
    """Find value_usd on the tuning tasks; returns the target with its amount, too."""

    def evaluate(value: float) -> tuple[float, float]:
        replay = tuning.replay(model, Terms(value))
        return float(replay.cost_usd.mean()), float(replay.quality.mean())

    if wanted is not None:
        tuned = tune_lambda(
            evaluate,
            value_usd=wanted.only("value_usd"),
            max_cost_usd=wanted.only("max_cost_usd"),
            min_quality=wanted.only("min_quality"),
        )
        return wanted, tuned.value_usd
    # The plan may fall short of the arm by a task or two of this small part; that is no mistake of
    # the user's, so the nearest feasible quality will do.
    quality = min(float(tuning.matrix.score[:, best_arm].mean()), evaluate(_DEAREST)[1])
    tuned = tune_lambda(evaluate, min_quality=quality, bounds=(1e-6, _DEAREST))
    return Target("best_arm", quality), tuned.value_usd


def _ladders(seen: HeldOut) -> LadderTable:
    """Every ladder of every offered arm, up to the length that can be searched."""
    arms, longest, number, level = len(seen.matrix.arms), 0, 0, 1
    while longest < min(_LONGEST_LADDER, arms):
        level *= arms - longest
        number += level
        if number > MOST_LADDERS:
            break
        longest += 1
    return all_ladders(seen.matrix.score, seen.passed, seen.cost_usd, longest=longest)


def _baselines(
    table: LadderTable, seen: HeldOut, judged: HeldOut, target: Target
) -> list[Contender]:
    """The best fixed arm and the best fixed ladder for the same target, run on other tasks."""
    same = target
    if target.kind == "best_arm":
        same = Target("min_quality", float(seen.matrix.score.mean(axis=0).max()))
    names = judged.matrix.arms
    found: list[Contender] = []
    for kind, longest in (("best fixed arm", 1), ("best fixed ladder", None)):
        chosen = table.best(
            value_usd=same.only("value_usd"),
            max_cost_usd=same.only("max_cost_usd"),
            min_quality=same.only("min_quality"),
            longest=longest,
        )
        chosen = _reached(chosen, seen)
        arms = tuple(names[j] for j in chosen)
        cost, quality_of = run_ladder(
            chosen, judged.matrix.score, judged.passed, cost_usd=judged.cost_usd
        )
        if not found or arms != found[0].arms:
            found.append(Contender(f"{kind} {' > '.join(arms)}", cost, quality_of, arms))
    return found


def _reached(ladder: Sequence[int], seen: HeldOut) -> tuple[int, ...]:
    """The ladder without the rungs no task got to: they cost nothing, but mean nothing either."""
    left = np.ones(len(seen), dtype=np.bool_)
    rungs: list[int] = []
    for arm in ladder:
        if not left.any():
            break
        rungs.append(arm)
        left &= ~seen.passed[:, arm]
    return tuple(rungs)


# --- the certificate -------------------------------------------------------------------------------


def _run_plan(model: FittedModel, judged: HeldOut, value_usd: float) -> Contender:
    replay = judged.replay(model, Terms(value_usd))
    return Contender("the plan", replay.cost_usd, replay.quality)


def _certify(
    contenders: Sequence[Contender], judged: HeldOut, criteria: Criteria | None, seed: int
) -> Certificate:
    clustered = any(judged.matrix.clusters)
    return certify(
        contenders[:1],
        contenders[1:],
        criteria=criteria,
        clusters=_clusters(judged.matrix) if clustered else None,
        seed=seed,
    )


def _result(contender: Contender) -> HeldOutResult:
    cost, quality = (np.asarray(side).mean() for side in (contender.cost_usd, contender.quality))
    return HeldOutResult(contender.name, contender.arms, float(cost), float(quality))


def _histogram(difficulty: NDArray[np.float64]) -> Histogram:
    counts, edges = np.histogram(difficulty, bins=_BINS)
    return Histogram(float(edges[0]), float(edges[-1]), tuple(counts.tolist()))


def _libraries(model: FittedModel) -> dict[str, str]:
    return {
        "effortctl": version("effortctl"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "scikit-learn": str(model.provenance["scikit_learn"]),
    }
