"""From folds to the result: sweeps, settings, metrics, intervals, verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl.harness._result import (
    EqualQuality,
    EvalResult,
    Verdict,
)
from effortctl.harness.evaluation._bench import Bench, Equal
from effortctl.harness.evaluation._contenders import (
    Contender,
    Sweep,
    contenders,
    run_at,
    run_shuffled,
    sweep,
)
from effortctl.harness.evaluation._curves import hull
from effortctl.harness.evaluation._evaluated import Evaluated
from effortctl.harness.evaluation._folds import Fold
from effortctl.harness.evaluation._lives import Lives, Run, blend
from effortctl.harness.evaluation._metrics import (
    oracle_point,
)
from effortctl.harness.evaluation._parts import (
    arm_result,
    best_ladder,
    calibration_of,
    comparisons_note,
    frontier_of,
    gains_of,
    point_of,
    policy_result,
    provenance_of,
    task_table,
)
from effortctl.harness.evaluation._tuning import tune
from effortctl.harness.evaluation._verdict import decide
from effortctl.harness.evaluation._walks import run_single

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_JUDGED = ("plan", "routing_only", "fixed_ladder")


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A contender's sweep, and what it did as it was set on the learning tasks."""

    swept: Sweep
    values: tuple[float, ...]
    run: Run


def assemble(done: Evaluated, *, tell: Callable[[str, float], None]) -> EvalResult:
    """Replay every contender and put the result together."""
    bench = done.bench()
    judged, missed = judge(done, tell)
    runs = {name: judged[name].run for name in _JUDGED}
    runs["random_mix"] = _matched(judged["random_mix"].swept, done.folds, runs["plan"])
    shuffled = run_shuffled(
        judged["plan"].swept.contender, done.folds, judged["plan"].values, seed=done.seed
    )
    alone = {f"fixed:{arm}": _alone(done.lives, j) for j, arm in enumerate(bench.arms)}
    tell("intervals", 0.8)
    equal = _equal_quality(judged, alone, bench)
    tell("verdict", 0.95)
    every = runs | {"shuffled": shuffled} | alone
    sweeps = {name: each.swept for name, each in judged.items()}
    result = EvalResult(
        name=done.name,
        n_tasks=len(done.lives),
        n_clusters=bench.sample.groups,
        verifier=done.check.label,
        arms={arm: arm_result(done, bench, j) for j, arm in enumerate(bench.arms)},
        policies={
            name: policy_result(name, run, done, bench, swept=sweeps.get(name))
            for name, run in every.items()
        },
        best_fixed_arm=bench.arms[bench.best],
        best_fixed_ladder=best_ladder(done, bench, judged["fixed_ladder"].values),
        oracle=point_of(*oracle_point(bench)),
        cost_at_equal_quality=equal,
        frontier={name: frontier_of(swept) for name, swept in sweeps.items()},
        gain_over_mixing={name: gains_of(sweeps[name], bench) for name in _JUDGED},
        hull=tuple(
            (float(bench.arm_means[0][j]), float(bench.arm_means[1][j]))
            for j in hull(*bench.arm_means)
        ),
        verdict=verdict_on(judged, bench),
        calibration=calibration_of(done),
        dropped=done.field.dropped,
        notes=(*done.notes, *missed, comparisons_note(bench)),
        provenance=provenance_of(
            done,
            bench,
            {n: float(np.median(judged[n].values)) for n in ("plan", "routing_only")},
        ),
        tasks=task_table(done, bench, every),
    )
    tell("done", 1.0)
    return result


def judge(
    done: Evaluated, tell: Callable[[str, float], None]
) -> tuple[dict[str, Judged], tuple[str, ...]]:
    """Set every contender on the learning tasks and run it on the test tasks.

    Returns:
        By name; and a sentence for every one that missed the target.
    """
    own = [v for v in (done.target.only("value_usd"), done.own_value) if v is not None]
    judged, missed = {}, []
    field = contenders(done.folds, also=own)
    for k, contender in enumerate(field):
        tell(contender.name, 0.8 * k / len(field))
        values, reached = _settings(contender, done)
        judged[contender.name] = Judged(
            sweep(contender, done.folds), values, run_at(contender, done.folds, values)
        )
        if not reached and contender.name in _JUDGED:
            missed.append(
                f"{contender.name} does not reach the target on the learning tasks; it is judged at its "
                "nearest setting."
            )
    return judged, tuple(missed)


def _settings(contender: Contender, done: Evaluated) -> tuple[tuple[float, ...], bool]:
    if done.own_value is not None and contender.name in ("plan", "routing_only"):
        return (done.own_value,) * len(done.folds), True
    found = [tune(contender, fold, done.target, level=done.level) for fold in done.folds]
    return tuple(value for value, _ in found), all(reached for _, reached in found)


def _matched(mixes: Sweep, folds: Sequence[Fold], like: Run) -> Run:
    """Random mixing of fixed arms that spends what another policy spent, or as near as it comes."""
    wanted = float(like.cost_usd.mean())
    cost, _ = mixes.points
    runs = [
        run_at(mixes.contender, folds, [float(value)] * len(folds))
        for value in mixes.contender.dial
    ]
    above = np.flatnonzero(cost >= wanted)
    if not above.size:
        return runs[-1]
    high = int(above[0])
    if high == 0:
        return runs[0]
    rise = cost[high] - cost[high - 1]
    return blend(runs[high - 1], runs[high], float((wanted - cost[high - 1]) / rise))


def _alone(lives: Lives, arm: int) -> Run:
    return run_single(lives, np.full(len(lives), arm))


def _equal_quality(
    judged: dict[str, Judged], alone: dict[str, Run], bench: Bench
) -> dict[str, EqualQuality | None]:
    other = bench.lives.cost_usd[:, bench.best], bench.lives.score[:, bench.best]
    curves = {name: (j.swept.cost_usd, j.swept.quality) for name, j in judged.items()}
    curves |= {name: (run.cost_usd[None], run.quality[None]) for name, run in alone.items()}
    return {name: _ratio_of(curve, bench, other) for name, curve in curves.items()}


def verdict_on(judged: dict[str, Judged], bench: Bench) -> Verdict:
    """Does one of them pay?"""
    baseline = _alone(bench.lives, bench.baseline)
    ladder = judged["fixed_ladder"].run
    return decide(
        {name: judged[name].run for name in _JUDGED},
        bench,
        equal=_at_quality_of(baseline, judged, bench),
        added=_at_quality_of(ladder, judged, bench),
    )


def _at_quality_of(other: Run, judged: dict[str, Judged], bench: Bench) -> dict[str, Equal | None]:
    """What each policy costs at the quality of another one."""
    return {
        name: bench.equal_quality(
            judged[name].swept.cost_usd,
            judged[name].swept.quality,
            other=(other.cost_usd, other.quality),
        )
        for name in _JUDGED
    }


def _ratio_of(
    curve: tuple[Floats, Floats], bench: Bench, other: tuple[Floats, Floats]
) -> EqualQuality | None:
    found = bench.equal_quality(*curve, other=other)
    if found is None:
        return None
    return EqualQuality(
        cost_usd=found.cost_usd, ratio_to_best_fixed_arm=found.ratio, ci95=found.interval
    )
