"""Named metrics of a policy. Every formula and its source is in docs/metrics.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effortctl._stats import mcnemar_exact, minimum_detectable_effect
from effortctl.harness.evaluation import _curves
from effortctl.harness.evaluation._bench import Bench
from effortctl.harness.evaluation._contenders import Sweep
from effortctl.harness.evaluation._lives import Run
from effortctl.harness.evaluation._walks import run_oracle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Metrics: TypeAlias = "dict[str, float | None]"


def run_metrics(run: Run, bench: Bench) -> Metrics:
    """Metrics of what a policy did at one setting."""
    cost, quality = float(run.cost_usd.mean()), float(run.quality.mean())
    calls = run.tried.sum(axis=1)
    accepted = float(run.accepted.sum())
    return {
        "cost_per_correct_usd": cost / quality if quality > 0 else None,
        "marginal_cost_per_correct_usd": _marginal(cost, quality, bench),
        "regret_to_mixing": -float(bench.above_mixing(run.cost_usd, run.quality).mean()),
        "regret_usd": _regret(run, bench),
        "calls_per_task": float(calls.mean()),
        "escalation_rate": float(run.escalated.mean()),
        "wasted_spend_rate": float(run.wasted_usd.mean()) / cost if cost > 0 else None,
        "false_accept_rate": float(run.false_accepts.sum()) / accepted if accepted else None,
        "router_arena_score": _curves.router_arena(quality, cost),
        **_against_best(run, bench),
    }


def _marginal(cost: float, quality: float, bench: Bench) -> float | None:
    """Dollars per extra correct answer beyond the next cheaper corner of the fixed arms' hull."""
    arm_cost, arm_quality = bench.arm_means
    corners = [j for j in _curves.hull(arm_cost, arm_quality) if arm_cost[j] < cost - 1e-15]
    if not corners:
        return None
    more = quality - float(arm_quality[corners[-1]])
    return (cost - float(arm_cost[corners[-1]])) / more if more > 0 else None


def _regret(run: Run, bench: Bench) -> float | None:
    """Dollars per task that hindsight would have added, where a correct answer has a price."""
    if bench.target.kind != "value_usd":
        return None
    value = bench.target.amount
    best = (value * bench.lives.score - bench.lives.cost_usd).max(axis=1)
    return float((np.maximum(best, 0.0) - (value * run.quality - run.cost_usd)).mean())


def _against_best(run: Run, bench: Bench) -> Metrics:
    """Paired with the best fixed arm: exact McNemar where independent outcomes are right or wrong."""
    score, sample = bench.lives.score[:, bench.best], bench.sample
    found = sample.mean(run.quality - score, caution=1.0)
    deviation = found.error * math.sqrt(found.tasks)
    alone = sample.groups == sample.tasks
    plain = alone and bool(np.isin(score, (0, 1)).all() and np.isin(run.quality, (0, 1)).all())
    wins, losses = int((run.quality > score).sum()), int((run.quality < score).sum())
    return {
        "quality_minus_best_arm": found.value,
        "mcnemar_p": mcnemar_exact(wins, losses) if plain else None,
        "minimum_detectable_difference": minimum_detectable_effect(deviation, found.tasks)
        if math.isfinite(deviation)
        else None,
    }


@dataclass(frozen=True, slots=True)
class _Ends:
    """The weak arm (the cheapest) and the strong one (the best fixed arm)."""

    weak: int
    strong: int
    cost: Floats
    quality: Floats

    @property
    def apart(self) -> bool:
        """The strong arm is dearer and better, so there is a gap to recover."""
        dearer = self.cost[self.strong] > self.cost[self.weak]
        return bool(dearer and self.quality[self.strong] > self.quality[self.weak])


def sweep_metrics(swept: Sweep, bench: Bench) -> Metrics:
    """Metrics of a whole curve."""
    arm_cost, arm_quality = bench.arm_means
    cost, quality = swept.points
    ends = _Ends(int(arm_cost.argmin()), bench.best, arm_cost, arm_quality)
    low, high = float(arm_cost.min()), float(arm_cost.max())
    top = int(np.lexsort((arm_cost, -arm_quality))[0])
    reached = _curves.cost_to_reach(arm_quality[[top]], cost[None], quality[None])[0]
    found: Metrics = {
        "quality_at_equal_cost": float(
            _curves.hull_quality(arm_cost[[bench.best]], cost, quality)[0]
        ),
        "qnc": _ratio(float(reached), float(arm_cost[top])),
    }
    if high > low:
        plain = _curves.aiq(arm_cost, arm_quality, low=low, high=high)
        mean = _curves.aiq(cost, quality, low=low, high=high)
        found |= {"aiq": mean, "aiq_over_mixing": mean - plain}
        found["aiq_published_code"] = _curves.aiq_by_code(cost, quality, high=high)
        found["deferral_auc"] = _curves.deferral_area(
            cost, quality, low=low, high=high, floor=float(arm_quality.min())
        )
    return found | (_recovered(swept, ends) if ends.apart else {})


def _recovered(swept: Sweep, ends: _Ends) -> Metrics:
    """APGR and CPT on both axes: dollars, and calls of the strong arm."""
    cost, quality = swept.points
    weak, strong = ends.weak, ends.strong
    gap = _curves.gap_recovered(
        quality, weak=float(ends.quality[weak]), strong=float(ends.quality[strong])
    )
    axes = {
        "usd": (cost - ends.cost[weak]) / (ends.cost[strong] - ends.cost[weak]),
        "calls": swept.tried[:, strong],
    }
    found: Metrics = {}
    for axis, share in axes.items():
        found[f"apgr_{axis}"] = _curves.area(share, gap, 0.0, 1.0)
        for percent in (50, 80):
            found[f"cpt{percent}_{axis}"] = _curves.call_performance(share, gap, percent / 100)
    return found


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if math.isfinite(part) and whole > 0 else None


def latency_metrics(run: Run, latency_s: Floats) -> Metrics:
    """Median and 95th percentile of the seconds of all calls of a task, where all are recorded."""
    if np.isnan(latency_s).any():
        return {}
    taken = (run.tried * latency_s).sum(axis=1)
    return {
        "latency_p50_s": float(np.quantile(taken, 0.5)),
        "latency_p95_s": float(np.quantile(taken, 0.95)),
    }


def oracle_point(bench: Bench) -> tuple[float, float]:
    """Mean dollars and quality of the cheapest of the best answers, in hindsight."""
    run = run_oracle(bench.lives)
    return float(run.cost_usd.mean()), float(run.quality.mean())
