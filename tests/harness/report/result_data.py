"""Evaluation results made from simulated tasks, for everything that reads an `EvalResult`.

Import it as `from harness.report.result_data import realistic`. Aggregates are computed from the
simulated tasks, so a result is always consistent with its own task table.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from effortctl.harness._result import (
    ArmResult,
    Bin,
    Calibration,
    EqualQuality,
    EvalResult,
    Point,
    PolicyResult,
    PolicyTasks,
    TaskTable,
    Verdict,
)

Floats = NDArray[np.float64]
_Z = 1.959964


@dataclasses.dataclass(frozen=True)
class ArmSpec:
    """What a simulated arm is like: ability in logits, mean dollars per task."""

    model: str
    effort: str
    ability: float
    cost_usd: float

    @property
    def name(self) -> str:
        return self.model if self.effort == "default" else f"{self.model}@{self.effort}"


FOURTEEN = (
    ArmSpec("nano-2", "default", -0.6, 0.00021),
    ArmSpec("luna-6", "none", 0.1, 0.0007),
    ArmSpec("luna-6", "low", 1.1, 0.0016),
    ArmSpec("luna-6", "medium", 1.7, 0.0039),
    ArmSpec("luna-6", "high", 2.0, 0.0102),
    ArmSpec("terra-6", "none", 0.7, 0.0031),
    ArmSpec("terra-6", "low", 1.6, 0.0064),
    ArmSpec("terra-6", "medium", 2.3, 0.0148),
    ArmSpec("terra-6", "high", 3.1, 0.034),
    ArmSpec("terra-6", "xhigh", 2.2, 0.081),
    ArmSpec("deepstream-v4", "none", 0.3, 0.0005),
    ArmSpec("deepstream-v4", "low", 0.9, 0.0021),
    ArmSpec("deepstream-v4", "medium", 1.2, 0.0047),
    ArmSpec("deepstream-v4", "high", 1.5, 0.0093),
)
"""Fourteen arms of four models, two orders of magnitude apart in price."""


# --- simulated tasks -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Simulated:
    """Outcomes of arms on tasks; columns follow `arms`."""

    arms: tuple[ArmSpec, ...]
    difficulty: Floats
    scores: Floats
    costs: Floats


def simulate(arms: Sequence[ArmSpec], *, n_tasks: int, seed: int) -> Simulated:
    """Draw right and wrong answers with a shared difficulty, and lognormal dollars."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 1.3, n_tasks)
    ability = np.array([arm.ability for arm in arms])
    luck = rng.logistic(size=(n_tasks, 1)) * 0.7 + rng.logistic(size=(n_tasks, len(arms))) * 0.7
    scores = (ability - 0.5 - difficulty[:, None] + luck > 0).astype(float)
    spread = rng.lognormal(0, 0.25, (n_tasks, len(arms))) * np.exp(0.25 * difficulty)[:, None]
    spread /= spread.mean(axis=0)
    return Simulated(
        tuple(arms), difficulty, scores, spread * np.array([arm.cost_usd for arm in arms])
    )


def walk(simulated: Simulated, starts: Sequence[Sequence[int]], *, checked: bool) -> PolicyTasks:
    """Try the arms listed for every task, until one is right when answers are `checked`."""
    names = [arm.name for arm in simulated.arms]
    cost, quality, calls, returned = [], [], [], []
    for task, path in enumerate(starts):
        tried = []
        for arm in path:
            tried.append(arm)
            if not checked or simulated.scores[task, arm]:
                break
        cost.append(float(simulated.costs[task, tried].sum()))
        quality.append(float(simulated.scores[task, tried[-1]]))
        calls.append(tuple(names[arm] for arm in tried))
        returned.append(names[tried[-1]])
    return PolicyTasks(
        cost_usd=tuple(cost), quality=tuple(quality), calls=tuple(calls), returned=tuple(returned)
    )


# --- aggregates ------------------------------------------------------------------------------------


def mean_range(
    values: Sequence[float] | Floats, *, floor: float, ceiling: float
) -> tuple[float, float]:
    """Normal 95 % interval of a mean, kept inside the possible range."""
    array = np.asarray(values, dtype=float)
    half = _Z * float(array.std(ddof=1)) / math.sqrt(array.size) if array.size > 1 else 0.0
    mean = float(array.mean())
    return max(floor, mean - half), min(ceiling, mean + half)


def arm_result(spec: ArmSpec, scores: Floats, costs: Floats) -> ArmResult:
    """One arm from its outcomes."""
    return ArmResult(
        cost_usd=float(costs.mean()),
        quality=float(scores.mean()),
        quality_ci95=mean_range(scores, floor=0, ceiling=1),
        cost_ci95=mean_range(costs, floor=0, ceiling=math.inf),
        model=spec.model,
        effort=spec.effort,
        latency_p50_s=1.2 + 4 * spec.cost_usd * 100,
        latency_p95_s=3.1 + 9 * spec.cost_usd * 100,
    )


def policy_result(done: PolicyTasks, *, arms: Sequence[str] = (), **more: object) -> PolicyResult:
    """One policy from what it did task by task."""
    quality, cost = np.array(done.quality), np.array(done.cost_usd)
    n_calls = np.array([len(path) for path in done.calls]) if done.calls else np.ones(1)
    metrics = {
        "cost_per_correct_usd": float(cost.sum() / quality.sum()) if quality.sum() else None,
        "escalation_rate": float((n_calls > 1).mean()),
        "apgr_usd": 0.71,
        "false_accept_rate": 0.0,
    }
    return PolicyResult(
        cost_usd=float(cost.mean()),
        quality=float(quality.mean()),
        quality_ci95=mean_range(quality, floor=0, ceiling=1),
        cost_ci95=mean_range(cost, floor=0, ceiling=math.inf),
        arms=tuple(arms),
        metrics=metrics,
        **more,
    )


def spent(simulated: Simulated, done: PolicyTasks) -> dict[str, float]:
    """Dollars per task by arm."""
    index = {arm.name: column for column, arm in enumerate(simulated.arms)}
    total: dict[str, float] = {}
    for task, path in enumerate(done.calls):
        for arm in path:
            total[arm] = total.get(arm, 0.0) + float(simulated.costs[task, index[arm]])
    return {arm: dollars / len(done.calls) for arm, dollars in total.items()}


# --- whole results ---------------------------------------------------------------------------------


def build(
    arms: Sequence[ArmSpec] = FOURTEEN,
    *,
    n_tasks: int = 200,
    seed: int = 7,
    prompts: Sequence[str] = (),
    **changes: object,
) -> EvalResult:
    """Evaluate simulated policies on simulated tasks.

    Args:
        arms: Arms, any order.
        n_tasks: Test tasks.
        seed: Of everything drawn.
        prompts: Prompts of the tasks, repeated as needed; none are kept otherwise.
        changes: Fields of the result to replace.
    """
    world = simulate(arms, n_tasks=n_tasks, seed=seed)
    names = [arm.name for arm in arms]
    by_cost = [int(i) for i in np.argsort([arm.cost_usd for arm in arms], kind="stable")]
    rank = world.scores.mean(axis=0)
    best = max(range(len(arms)), key=lambda i: (rank[i], -arms[i].cost_usd))
    rungs = _rungs(rank, by_cost, best)
    paths = {
        "plan": (_planned(world, rungs), True),
        "routing_only": ([path[:1] for path in _planned(world, rungs)], False),
        "fixed_ladder": ([rungs] * n_tasks, True),
        "random_mix": (_mixed(world, rungs, seed), False),
        f"fixed:{names[best]}": ([[best]] * n_tasks, False),
    }
    done = {name: walk(world, path, checked=check) for name, (path, check) in paths.items()}
    policies = {
        name: policy_result(tasks, spent_usd=spent(world, tasks)) for name, tasks in done.items()
    }
    arm_results = {
        arm.name: arm_result(arm, world.scores[:, i], world.costs[:, i])
        for i, arm in enumerate(arms)
    }
    fields: dict[str, object] = {
        "name": "support-tickets, held-out month",
        "n_tasks": n_tasks,
        "n_clusters": n_tasks,
        "verifier": "exact",
        "arms": arm_results,
        "policies": policies,
        "best_fixed_arm": names[best],
        "best_fixed_ladder": tuple(names[i] for i in rungs),
        "oracle": _oracle(world),
        "cost_at_equal_quality": _equal(policies, arm_results[names[best]]),
        "frontier": _curves(policies),
        "gain_over_mixing": _gains(policies),
        "hull": _hull(list(arm_results.values())),
        "verdict": verdict(done["plan"], world.scores[:, best], world.costs[:, best], names[best]),
        "calibration": _calibration(),
        "dropped": {"no outcome of terra-6@xhigh": 3},
        "notes": (
            "Split at random: 600 tasks to learn on, 200 to test on.",
            "Verdicts are exact: an answer was accepted when its recorded score was 1.",
        ),
        "provenance": {
            "seed": seed,
            "confidence": 0.95,
            "interval": "bootstrap over tasks, 2,000 draws",
            "price_date": "2026-11-20",
            "effortctl": "0.1.0",
            "created_at": "2026-11-23T13:00:00+00:00",
        },
        "tasks": _table(world, done, prompts),
    }
    return EvalResult.model_validate(fields | changes)


def verdict(done: PolicyTasks, scores: Floats, costs: Floats, baseline: str) -> Verdict:
    """Hold a policy against an arm: route when it is cheaper and no worse, both beyond noise."""
    saving = (costs - np.array(done.cost_usd)) / (costs.mean() or 1.0)
    better = np.array(done.quality) - scores
    saving_range = mean_range(saving, floor=-math.inf, ceiling=math.inf)
    quality_range = mean_range(better, floor=-1, ceiling=1)
    pays = saving_range[0] > 0 and quality_range[0] > -0.02
    return Verdict(
        decision="route" if pays else "keep_fixed",
        policy="plan" if pays else baseline,
        baseline=baseline,
        saving=float(saving.mean()),
        ci95=saving_range,
        quality_difference=float(better.mean()),
        quality_ci95=quality_range,
        n_needed=None,
        reason=f"The plan costs less than {baseline} and is no worse."
        if pays
        else f"No policy beats {baseline} beyond noise.",
    )


def _rungs(rank: Floats, by_cost: list[int], best: int) -> list[int]:
    """A ladder of arms that each improve on the one before, up to the best."""
    rungs: list[int] = []
    for arm in by_cost:
        if not rungs or rank[arm] > rank[rungs[-1]] + 0.05:
            rungs.append(arm)
    return [*[arm for arm in rungs if arm != best][:3], best]


def _planned(world: Simulated, rungs: list[int]) -> list[list[int]]:
    """Start higher on the ladder the harder the task looks."""
    noise = np.random.default_rng(1).normal(0, 0.7, world.difficulty.size)
    cuts = np.quantile(world.difficulty, 1 - 0.45 ** np.arange(1, len(rungs)))
    first = np.searchsorted(cuts, world.difficulty + noise)
    return [rungs[int(start) :] for start in first]


def _mixed(world: Simulated, rungs: list[int], seed: int) -> list[list[int]]:
    drawn = np.random.default_rng(seed + 1).choice(rungs, world.difficulty.size)
    return [[int(arm)] for arm in drawn]


def _oracle(world: Simulated) -> Point:
    paid = np.where(world.scores > 0, world.costs, np.inf).min(axis=1)
    solved = np.isfinite(paid)
    paid = np.where(solved, paid, world.costs.min(axis=1))
    return Point(cost_usd=float(paid.mean()), quality=float(solved.mean()))


def _equal(policies: Mapping[str, PolicyResult], best: ArmResult) -> dict[str, EqualQuality | None]:
    found: dict[str, EqualQuality | None] = {}
    for name, policy in policies.items():
        ratio = policy.cost_usd / best.cost_usd if best.cost_usd else 1.0
        reached = policy.quality >= best.quality - 0.02
        found[name] = (
            EqualQuality(
                cost_usd=policy.cost_usd,
                ratio_to_best_fixed_arm=ratio,
                ci95=(ratio * 0.86, ratio * 1.17),
            )
            if reached
            else None
        )
    return found


def _curves(policies: Mapping[str, PolicyResult]) -> dict[str, list[tuple[float, float]]]:
    """A dial around every policy that has one."""
    shapes = ((0.25, 0.78), (0.45, 0.89), (0.7, 0.955), (1.0, 1.0), (1.6, 1.008), (2.4, 1.012))
    return {
        name: [(policy.cost_usd * x, min(1.0, policy.quality * y)) for x, y in shapes]
        for name, policy in policies.items()
        if name in {"plan", "routing_only"}
    }


def _gains(policies: Mapping[str, PolicyResult]) -> dict[str, list[tuple[float, ...]]]:
    found = {}
    for name, peak, half in (("plan", 0.07, 0.022), ("routing_only", 0.02, 0.025)):
        base = policies[name].cost_usd
        found[name] = [
            (base * x, peak * y, peak * y - half, peak * y + half)
            for x, y in ((0.25, 0.5), (0.45, 0.9), (0.7, 1.0), (1.0, 0.9), (1.6, 0.6), (2.4, 0.35))
        ]
    return found


def _hull(arms: Sequence[ArmResult]) -> list[tuple[float, float]]:
    """Upper concave hull over dollars."""
    corners: list[tuple[float, float]] = []
    for point in sorted((arm.cost_usd, arm.quality) for arm in arms):
        while len(corners) > 1 and _turns_up(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    top = max(range(len(corners)), key=lambda i: corners[i][1])
    return corners[: top + 1]


def _turns_up(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) >= (b[1] - a[1]) * (c[0] - a[0])


def _calibration() -> Calibration:
    rows = ((0.08, 0.05, 61), (0.21, 0.24, 118), (0.38, 0.33, 240), (0.52, 0.55, 310))
    rows += ((0.66, 0.63, 402), (0.78, 0.8, 515), (0.88, 0.9, 610), (0.96, 0.955, 544))
    bins = tuple(Bin(predicted=p, observed=o, count=n) for p, o, n in rows)
    return Calibration(
        brier=0.142, log_loss=0.437, ece=0.021, baseline_log_loss=0.548, auc=0.81, bins=bins
    )


def _table(world: Simulated, done: Mapping[str, PolicyTasks], prompts: Sequence[str]) -> TaskTable:
    size = world.difficulty.size
    kinds = ("billing", "refunds", "shipping", "accounts", "other")
    return TaskTable(
        ids=tuple(f"ticket-{number:05d}" for number in range(size)),
        categories=tuple(kinds[number % len(kinds)] for number in range(size)),
        prompts=tuple(prompts[number % len(prompts)] for number in range(size)) if prompts else (),
        difficulty=tuple(float(value) for value in world.difficulty),
        scores={
            arm.name: tuple(map(float, world.scores[:, i])) for i, arm in enumerate(world.arms)
        },
        costs_usd={
            arm.name: tuple(map(float, world.costs[:, i])) for i, arm in enumerate(world.arms)
        },
        policies=dict(done),
    )


# --- named cases -----------------------------------------------------------------------------------


def realistic(**changes: object) -> EvalResult:
    """Fourteen arms of four models, five policies, 200 tasks; routing pays."""
    return build(**changes)


def bare(**changes: object) -> EvalResult:
    """Only what the format demands."""
    empty: dict[str, object] = {"gain_over_mixing": {}, "hull": (), "calibration": None}
    empty |= {"dropped": {}, "notes": (), "provenance": {}, "tasks": None, "frontier": {}}
    return build(FOURTEEN[:3], n_tasks=20, **(empty | changes))


def one_arm() -> EvalResult:
    """A single arm, kept."""
    return build(FOURTEEN[:1], n_tasks=30)


def same_cost() -> EvalResult:
    """Two arms that cost the same."""
    twins = [dataclasses.replace(arm, cost_usd=0.002) for arm in FOURTEEN[1:3]]
    made = build(twins, n_tasks=30)
    cost = {"cost_usd": 0.002, "cost_ci95": (0.002, 0.002)}
    arms = {name: arm.model_dump() | cost for name, arm in made.arms.items()}
    return EvalResult.model_validate(made.model_dump() | {"arms": arms})


def some_free() -> EvalResult:
    """Two of the arms cost nothing, as on one's own machine."""
    free = [dataclasses.replace(arm, cost_usd=0.0) for arm in FOURTEEN[:2]]
    return build([*free, *FOURTEEN[2:8]], n_tasks=60)


def all_free() -> EvalResult:
    """Nothing costs anything."""
    return build([dataclasses.replace(arm, cost_usd=0.0) for arm in FOURTEEN[:4]], n_tasks=60)


def many_arms(count: int = 40) -> EvalResult:
    """More arms than there is room for labels."""
    rng = np.random.default_rng(3)
    efforts = ("low", "medium", "high", "xhigh")
    arms = [
        ArmSpec(
            f"vendor-{number // 4}/model-{number // 4}",
            efforts[number % 4],
            ability=float(rng.normal(0.8, 0.4)) + 0.5 * (number % 4),
            cost_usd=float(0.0004 * 1.12**number * 1.7 ** (number % 4)),
        )
        for number in range(count)
    ]
    return build(arms, n_tasks=120)


def all_right() -> EvalResult:
    """Every answer is right."""
    return build([dataclasses.replace(arm, ability=99.0) for arm in FOURTEEN[:5]], n_tasks=40)


def all_wrong() -> EvalResult:
    """Every answer is wrong."""
    return build([dataclasses.replace(arm, ability=-99.0) for arm in FOURTEEN[:5]], n_tasks=40)


def long_names() -> EvalResult:
    """Names that nobody can fit beside a point."""
    arms = [
        dataclasses.replace(
            arm, model=f"some-organisation/{arm.model}-instruct-awq-int4-2026-10-31-preview"
        )
        for arm in FOURTEEN
    ]
    return build(arms, n_tasks=60)


def never_reached() -> EvalResult:
    """No policy reaches the best arm's quality, and nobody can tell yet."""
    made = realistic()
    undecided = made.verdict.model_dump() | {
        "decision": "inconclusive",
        "policy": "plan",
        "saving": 0.08,
        "ci95": (-0.04, 0.2),
        "n_needed": 1400,
        "reason": "The saving may be noise.",
    }
    missing = dict.fromkeys(made.policies)
    return EvalResult.model_validate(
        made.model_dump() | {"verdict": undecided, "cost_at_equal_quality": missing}
    )


HOSTILE = (
    "</script><script>window.hacked=1</script>",
    '<img src=x onerror="window.hacked=1"> <!-- --> <![CDATA[ ]]>',
    "'\"`;alert(1)//\\ &amp; &lt;b&gt; ${window.hacked=1} {{tasks}}",
    "\u202eevil\u202c \u2066\u05e9\u05dc\u05d5\u05dd\u2069 \u0645\u0631\u062d\u0628\u0627",
    "\u2028\u2029\x00\x1b[31mred\x07 \U0001f4b8 \u6f22\u5b57 $x_1$",
)


def hostile() -> EvalResult:
    """Every text that a file can bring along tries to break out of its place."""
    arms = [
        dataclasses.replace(arm, model=f"{text}{arm.model}")
        for arm, text in zip(FOURTEEN, HOSTILE, strict=False)
    ]
    made = build(arms, n_tasks=25, prompts=HOSTILE, name=HOSTILE[0], verifier=HOSTILE[1])
    bad = HOSTILE[0] + HOSTILE[1]
    table = made.tasks.model_dump() | {"ids": tuple(f"{bad}{n}" for n in range(25))}
    table |= {"categories": tuple(HOSTILE[n % 5] for n in range(25))}
    changes = {
        "notes": HOSTILE,
        "dropped": dict.fromkeys(HOSTILE, 1),
        "provenance": {text: text for text in HOSTILE},
        "verdict": made.verdict.model_dump() | {"reason": bad},
        "tasks": table,
    }
    return EvalResult.model_validate(made.model_dump() | changes)


DEGENERATE = {
    made.__name__: made
    for made in (
        bare, one_arm, same_cost, some_free, all_free, many_arms,
        all_right, all_wrong, long_names, never_reached, hostile,
    )
}  # fmt: skip
"""Name → maker of every result that is odd in some way."""
