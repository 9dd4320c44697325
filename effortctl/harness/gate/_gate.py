"""Pair an evaluation with its baseline and judge every limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effortctl._errors import ConfigError
from effortctl.harness._pairing import (
    ClusterBy,
    Overlap,
    Series,
    overlap,
    series,
    tasks_of,
)
from effortctl.harness.gate._judge import Judge
from effortctl.harness.gate._values import Criterion, GateReport, Limits

if TYPE_CHECKING:
    from effortctl.harness._result import EvalResult


def gate(
    run: EvalResult,
    limits: Limits,
    *,
    policy: str = "plan",
    baseline: EvalResult | None = None,
    baseline_policy: str | None = None,
    alpha: float = 0.05,
    cluster_by: ClusterBy = "cluster",
) -> GateReport:
    """Hold an evaluation against limits, and against another evaluation of the same tasks.

    Args:
        run: The evaluation of the change, with its tasks.
        limits: What must be kept.
        policy: Policy (`plan`) or arm (`fixed:small`) that is judged.
        baseline: The evaluation before the change; limits on drop and increase need it. Only tasks both
            have count, then for every criterion.
        baseline_policy: Its policy or arm. None: the same as `policy`.
        alpha: Accepted chance of passing what breaks a limit, and of failing what keeps them all.
        cluster_by: Which tasks are not independent of each other.

    Raises:
        ConfigError: No such policy, no shared task, no baseline where one is needed, or a result that was
            saved without its tasks.
        StoreError: A result is damaged.
    """
    if not 0 < alpha < 0.5:
        raise ConfigError(f"alpha is {alpha!r}; expected a number above 0 and below 0.5, e.g. 0.05")
    if baseline is None:
        if limits.relative:
            raise ConfigError(
                "a limit on a drop or an increase needs a baseline to hold the run against"
            )
        tasks = tasks_of(run, cluster_by=cluster_by)
        judge = Judge(tasks.sample, alpha, limits.count)
        return GateReport(
            run=run.name,
            policy=policy,
            baseline=None,
            baseline_policy=None,
            criteria=_absolute(judge, series(run, policy), limits),
            alpha=alpha,
            n_tasks=len(tasks.ids),
            n_clusters=judge.sample.groups,
            notes=_simulated((run, policy)),
        )
    shared = overlap(run, baseline, cluster_by=cluster_by)
    judge = Judge(shared.tasks.sample, alpha, limits.count)
    other = baseline_policy or policy
    ours = series(run, policy, shared.first_rows)
    theirs = series(baseline, other, shared.second_rows)
    return GateReport(
        run=run.name,
        policy=policy,
        baseline=baseline.name,
        baseline_policy=other,
        criteria=_relative(judge, (ours, theirs), limits) + _absolute(judge, ours, limits),
        alpha=alpha,
        n_tasks=len(shared.tasks.ids),
        n_clusters=judge.sample.groups,
        only_run=shared.only_first,
        only_baseline=shared.only_second,
        notes=(
            *_unshared(shared),
            *_other_check(run, baseline),
            *_simulated((run, policy), (baseline, other)),
        ),
    )


def _relative(judge: Judge, pair: tuple[Series, Series], limits: Limits) -> tuple[Criterion, ...]:
    run, base = pair
    found = []
    if limits.max_quality_drop is not None:
        found.append(judge.quality_drop(run.quality, base.quality, limit=limits.max_quality_drop))
    if limits.max_cost_increase is not None:
        found.append(
            judge.cost_increase(run.cost_usd, base.cost_usd, limit=limits.max_cost_increase)
        )
    return tuple(found)


def _absolute(judge: Judge, run: Series, limits: Limits) -> tuple[Criterion, ...]:
    found = []
    if limits.min_quality is not None:
        found.append(judge.min_quality(run.quality, limit=limits.min_quality))
    if limits.max_cost_usd is not None:
        found.append(judge.max_cost_usd(run.cost_usd, limit=limits.max_cost_usd))
    return tuple(found)


def _unshared(shared: Overlap) -> tuple[str, ...]:
    alone = shared.only_first + shared.only_second
    if not alone:
        return ()
    run, base = shared.only_first, shared.only_second
    return (f"Not shared and left out: {run:,} tasks of the run, {base:,} of the baseline.",)


def _other_check(run: EvalResult, baseline: EvalResult) -> tuple[str, ...]:
    if run.verifier == baseline.verifier:
        return ()
    return (
        f"The verifier differs: {run.verifier} in the run, {baseline.verifier} in the baseline.",
    )


def _simulated(*sides: tuple[EvalResult, str]) -> tuple[str, ...]:
    drawn = [
        f"{name} of {result.name}"
        for result, name in sides
        if name in result.policies and result.policies[name].simulated
    ]
    return (f"Verdicts were drawn from rates, not recorded: {', '.join(drawn)}.",) if drawn else ()
