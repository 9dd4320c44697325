"""The parts of a result, one function each."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from effortctl.estimators import calibration
from effortctl.estimators._fit import fingerprint
from effortctl.harness._result import (
    ArmResult,
    Bin,
    Calibration,
    Point,
    PolicyResult,
    PolicyTasks,
    TaskTable,
)
from effortctl.harness.evaluation._bench import Bench, names_of
from effortctl.harness.evaluation._contenders import Sweep
from effortctl.harness.evaluation._evaluated import Evaluated
from effortctl.harness.evaluation._lives import Run
from effortctl.harness.evaluation._metrics import (
    Metrics,
    latency_metrics,
    run_metrics,
    sweep_metrics,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def point_of(cost: float, quality: float) -> Point:
    return Point(cost_usd=cost, quality=_share(quality))


def _share(value: float) -> float:
    return min(1.0, max(0.0, float(value)))


def arm_result(done: Evaluated, bench: Bench, arm: int) -> ArmResult:
    test, lives, sample = done.field.test, done.lives, bench.sample
    cost, score = lives.cost_usd[:, arm], lives.score[:, arm]
    seconds = test.latency_s[:, arm]
    known = seconds[~np.isnan(seconds)]
    return ArmResult(
        cost_usd=float(cost.mean()),
        quality=_share(score.mean()),
        quality_ci95=sample.share_interval(score, level=bench.level),
        cost_ci95=sample.cost_interval(cost, level=bench.level),
        model=test.models[arm],
        effort=test.efforts[arm],
        latency_p50_s=float(np.quantile(known, 0.5)) if known.size else None,
        latency_p95_s=float(np.quantile(known, 0.95)) if known.size else None,
    )


def policy_result(
    name: str, run: Run, done: Evaluated, bench: Bench, *, swept: Sweep | None
) -> PolicyResult:
    metrics: Metrics = run_metrics(run, bench) | latency_metrics(run, done.field.test.latency_s)
    if swept is not None:
        metrics |= sweep_metrics(swept, bench)
    spent = (run.tried * done.lives.cost_usd).mean(axis=0)
    return PolicyResult(
        cost_usd=float(run.cost_usd.mean()),
        quality=_share(run.quality.mean()),
        quality_ci95=bench.sample.share_interval(run.quality, level=bench.level),
        cost_ci95=bench.sample.cost_interval(run.cost_usd, level=bench.level),
        arms=(name.removeprefix("fixed:"),) if name.startswith("fixed:") else (),
        metrics=metrics,
        spent_usd={a: float(usd) for a, usd in zip(bench.arms, spent, strict=True) if usd > 0},
        simulated=done.check.kind == "rates" and not name.startswith(("fixed:", "random")),
    )


def best_ladder(done: Evaluated, bench: Bench, settings: Sequence[float]) -> tuple[str, ...]:
    """The ladder that was judged; after a cross-fit, the one most folds chose."""
    chosen = Counter(
        fold.ladders.at(setting) for fold, setting in zip(done.folds, settings, strict=True)
    )
    return names_of(chosen.most_common(1)[0][0], bench)


def frontier_of(swept: Sweep) -> tuple[tuple[float, float], ...]:
    cost, quality = swept.points
    points = {(float(c), _share(q)) for c, q in zip(cost, quality, strict=True)}
    return tuple(sorted(points))


def gains_of(swept: Sweep, bench: Bench) -> tuple[tuple[float, float, float, float], ...]:
    points = {}
    for cost, quality in zip(swept.cost_usd, swept.quality, strict=True):
        gain = bench.sample.mean(bench.above_mixing(cost, quality))
        low, high = gain.interval(bench.level)
        if np.isfinite([low, high]).all():
            points[float(cost.mean())] = (gain.value, low, high)
    return tuple((cost, *points[cost]) for cost in sorted(points))


def calibration_of(done: Evaluated) -> Calibration:
    shape = done.lives.score.shape
    p, constant = np.empty(shape), np.empty(shape)
    for fold in done.folds:
        p[fold.rows], constant[fold.rows] = fold.expected.p, fold.arm_quality
    inside = np.clip(constant, 1e-3, 1 - 1e-3)
    report = calibration(p, done.lives.score, baseline=inside, arms=done.field.test.arms)
    gaps = sum(b.count * abs(b.predicted - b.observed) for b in report.table)
    return Calibration(
        brier=report.brier,
        log_loss=report.log_loss,
        # Of the bins that are shown: a mean over arms would be mostly the noise of small bins.
        ece=gaps / p.size,
        baseline_log_loss=report.baseline_log_loss,
        auc=report.auc,
        bins=tuple(
            Bin(predicted=_share(b.predicted), observed=_share(b.observed), count=b.count)
            for b in report.table
        ),
    )


def comparisons_note(bench: Bench) -> str:
    percent = 100 * (1 - bench.level)
    return (
        f"The verdict allows {percent:.2g} % for all policies together (Holm). Every other interval "
        f"stands alone: of twenty, expect one to miss. Points of a frontier were not chosen beforehand."
    )


def provenance_of(
    done: Evaluated, bench: Bench, settings: dict[str, float]
) -> dict[str, str | int | float | None]:
    learn = done.field.learn
    found: dict[str, str | int | float | None] = {
        "effortctl": version("effortctl"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "seed": done.seed,
        "level": done.level,
        "verdict_draws": len(done.lives.passed),
        "folds": len(done.folds) if len(done.folds) > 1 else 0,
        "target": done.target.kind,
        "target_amount": None if done.target.kind == "best_arm" else done.target.amount,
        "baseline": bench.arms[bench.baseline],
        "test_fingerprint": fingerprint(done.field.test),
        "learn_fingerprint": None if learn is None else fingerprint(learn),
        "learn_tasks": None if learn is None else len(learn),
    }
    return found | {f"{name}_value_usd": value for name, value in settings.items()}


def task_table(done: Evaluated, bench: Bench, runs: dict[str, Run]) -> TaskTable:
    test = done.field.test
    difficulty = np.empty(len(test))
    for fold in done.folds:
        difficulty[fold.rows] = fold.difficulty
    adaptive = {name: run for name, run in runs.items() if not name.startswith("fixed:")}
    return TaskTable(
        ids=test.task_ids,
        clusters=test.clusters if any(test.clusters) else (),
        categories=test.categories if any(test.categories) else (),
        prompts=tuple(text or "" for text in test.texts) if done.include_prompts else (),
        difficulty=tuple(difficulty.tolist()),
        scores=_columns(bench.arms, test.score),
        costs_usd=_columns(bench.arms, test.cost_usd),
        policies={name: _task_by_task(run, bench.arms) for name, run in adaptive.items()},
    )


def _columns(arms: Sequence[str], table: Floats) -> dict[str, tuple[float, ...]]:
    return {arm: tuple(column.tolist()) for arm, column in zip(arms, table.T, strict=True)}


def _task_by_task(run: Run, arms: Sequence[str]) -> PolicyTasks:
    return PolicyTasks(
        cost_usd=tuple(run.cost_usd.tolist()),
        quality=tuple(np.clip(run.quality, 0.0, 1.0).tolist()),
        calls=tuple(tuple(arms[j] for j in row if j >= 0) for row in run.order.tolist()),
        returned=tuple(arms[j] if j >= 0 else None for j in run.answer.tolist()),
    )
