"""Dollars per month at expected volumes, for the plan and for everything it could be replaced by."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from effortctl._errors import ConfigError
from effortctl.estimators._fit import fingerprint
from effortctl.harness.forecast._monthly import Month, Source, monthly, sample_of, sources_of
from effortctl.harness.forecast._spend import Recorded, choices_of, provider_of, record
from effortctl.harness.forecast._values import Amount, MonthlyForecast, PolicyForecast
from effortctl.harness.forecast._volume import Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl._fitted_policy import FittedPolicy
    from effortctl.stores import OutcomeMatrix

    Floats = NDArray[np.float64]


def forecast(
    policy: FittedPolicy,
    volumes: Sequence[Volume],
    *,
    outcomes: OutcomeMatrix | None = None,
    gpu_usd_per_hour: float | None = None,
    local: Collection[str] | None = None,
    volume_uncertainty: float = 0.0,
    strict: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> MonthlyForecast:
    """Expected dollars per month of the plan and of every fixed choice.

    Dollars per task come from recorded outcomes: every choice is run on them, tasks of each category are
    resampled (whole clusters where clusters are known) and weighted by the category's volume. All
    choices share the resamples, so their differences are paired. Without outcomes they come from the
    policy's own file: means over its held-out tasks, without intervals and alike for all categories.

    Args:
        policy: A learned policy.
        volumes: Expected queries by category.
        outcomes: What the policy's arms did on tasks like those to come.
        gpu_usd_per_hour: Price of an hour of the user's machine; local arms then cost the seconds they
            took, one answer at a time. None: their recorded dollars.
        local: Which arms run there. None: those that never cost a cent.
        volume_uncertainty: Relative standard deviation of the volumes, shared by all categories.
        strict: A category without outcomes is an error, not a pooled estimate with a warning.
        level: Coverage of intervals.
        seed: Of the resampling.

    Raises:
        ConfigError: Outcomes and policy do not fit, options make no sense, or `strict` finds a category
            without outcomes.
    """
    _check(level, volume_uncertainty, gpu_usd_per_hour)
    if not any(each.queries_per_month for each in volumes):
        raise ConfigError("no queries are expected; give a category with queries_per_month above 0")
    if outcomes is None:
        if gpu_usd_per_hour is not None or local is not None or volume_uncertainty or strict:
            raise ConfigError(
                "the price of a machine, local arms, uncertain volumes and strict need recorded outcomes "
                "to look at; give outcomes"
            )
        return _from_file(policy, volumes, level=level, seed=seed)
    recorded = record(policy, outcomes, gpu_usd_per_hour=gpu_usd_per_hour, local=local)
    if sample_of(recorded.matrix, range(len(recorded.matrix))).groups < 2:
        raise ConfigError(
            "the outcomes hold fewer than two independent tasks that every arm was tried on, so nothing is "
            "known of the error; record more"
        )
    sources = sources_of(recorded.matrix, volumes, seed=seed)
    pooled = [name for name, source in sources.items() if source.pooled]
    if pooled and strict:
        raise ConfigError(_pooled(pooled, recorded.matrix))
    months = monthly(
        recorded,
        volumes,
        sources,
        model=policy.model,
        volume_uncertainty=volume_uncertainty,
        seed=seed,
    )
    return MonthlyForecast(
        queries_per_month=sum(each.queries_per_month for each in volumes),
        source="outcomes",
        n_tasks=len(recorded.matrix),
        level=level,
        seed=seed,
        policies=_tell(months, recorded, level=level, gpu_usd_per_hour=gpu_usd_per_hour),
        warnings=(
            *([f"{_pooled(pooled, recorded.matrix)}; all tasks speak for them"] if pooled else []),
            *_warnings(policy, outcomes, recorded, priced=gpu_usd_per_hour is not None),
            *_about_prompts(policy, recorded, volumes, sources),
        ),
        notes=(*_notes(policy), *_about_machine(recorded)),
    )


def _check(level: float, uncertainty: float, gpu_usd_per_hour: float | None) -> None:
    if not 0.5 <= level < 1:
        raise ConfigError(f"level is {level!r}; expected a number from 0.5 to below 1, e.g. 0.95")
    if not 0 <= uncertainty <= 2:
        raise ConfigError(f"volume_uncertainty is {uncertainty!r}; expected a share such as 0.2")
    if gpu_usd_per_hour is not None and not 0 <= gpu_usd_per_hour < math.inf:
        raise ConfigError(f"gpu_usd_per_hour is {gpu_usd_per_hour!r}; expected dollars such as 1.2")


# --- from outcomes ---------------------------------------------------------------------------------


def _tell(
    months: Sequence[Month],
    recorded: Recorded,
    *,
    level: float,
    gpu_usd_per_hour: float | None,
) -> tuple[PolicyForecast, ...]:
    matrix = recorded.matrix
    here = [arm in recorded.local for arm in matrix.arms]
    providers = [provider_of(m, local=at) for m, at in zip(matrix.models, here, strict=True)]
    base = next((each for each in months if each.choice.name == "best_fixed_arm"), None)
    found = []
    for month in months:
        hours = None
        if gpu_usd_per_hour and recorded.local:
            at = np.flatnonzero(here)
            usd = _amount(month.usd[at].sum(), month.drawn[:, at].sum(axis=1), level=level)
            hours = _times(usd, 1 / gpu_usd_per_hour)
        found.append(
            PolicyForecast(
                name=month.choice.name,
                arms=month.choice.arms,
                usd_per_month=_amount(month.usd.sum(), month.drawn.sum(axis=1), level=level),
                quality=month.quality,
                saving=_saving(month, base, level=level),
                by_model=_grouped(month, matrix.models, level=level),
                by_provider=_grouped(month, providers, level=level),
                by_category=dict(month.by_category),
                gpu_hours=hours,
            )
        )
    return tuple(found)


def _amount(value: float, drawn: Floats, *, level: float) -> Amount:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Amount(float(value), float(low), float(high))


def _times(amount: Amount, factor: float) -> Amount:
    ends = [None if end is None else end * factor for end in (amount.low, amount.high)]
    return Amount(amount.value * factor, *ends)


def _grouped(month: Month, labels: Sequence[str], *, level: float) -> dict[str, Amount]:
    found = {}
    for label in dict.fromkeys(labels):
        at = [k for k, other in enumerate(labels) if other == label]
        usd = float(month.usd[at].sum())
        if usd > 0:
            found[label] = _amount(usd, month.drawn[:, at].sum(axis=1), level=level)
    return found


def _saving(month: Month, base: Month | None, *, level: float) -> Amount | None:
    if base is None or month.choice.arms == base.choice.arms or not base.usd.sum():
        return None
    below = base.drawn.sum(axis=1)
    drawn = 1 - month.drawn.sum(axis=1) / np.where(below > 0, below, np.nan)
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return None
    return _amount(1 - month.usd.sum() / base.usd.sum(), drawn, level=level)


# --- from the policy's own file --------------------------------------------------------------------


def _from_file(
    policy: FittedPolicy, volumes: Sequence[Volume], *, level: float, seed: int
) -> MonthlyForecast:
    """Mean dollars of its held-out tasks, and of a call of each arm."""
    queries = sum(each.queries_per_month for each in volumes)
    means = {each.arms: (each.cost_usd, each.quality) for each in policy.results}
    prices = policy.provenance.prices
    models = {arm.name: arm.model for arm in policy.model.arms}
    found, missing = [], []
    base = next((means[c.arms][0] for c in choices_of(policy) if c.name == "best_fixed_arm"), None)
    for choice in choices_of(policy):
        cost, quality = means.get(choice.arms, (None, None))
        if cost is None and len(choice.arms) == 1:
            cost = prices.get(choice.arms[0])
        if cost is None:
            missing.append(choice.name)
            continue
        usd = Amount(cost * queries)
        model = models.get(choice.arms[0]) if len(choice.arms) == 1 else None
        comparable = base and quality is not None and choice.name in ("plan", "best_fixed_ladder")
        found.append(
            PolicyForecast(
                name=choice.name,
                arms=choice.arms,
                usd_per_month=usd,
                quality=quality,
                saving=Amount(1 - cost / base) if base and comparable else None,
                by_model={} if model is None else {model: usd},
                by_provider={} if model is None else {provider_of(model, local=False): usd},
                by_category={
                    each: cost * sum(v.queries_per_month for v in volumes if v.category == each)
                    for each in dict.fromkeys(v.category for v in volumes)
                },
            )
        )
    if not found:
        raise ConfigError("the policy's file knows no dollars; give recorded outcomes")
    warnings = [
        "Without outcomes every category costs the same, and the error is unknown; give outcomes."
    ]
    if missing:
        warnings.append(f"The policy's file does not say what this costs: {', '.join(missing)}.")
    if any(each.prompt_tokens is not None for each in volumes):
        warnings.append("prompt_tokens was ignored: it needs recorded outcomes to start from.")
    return MonthlyForecast(
        queries_per_month=queries,
        source="policy",
        n_tasks=0,
        level=level,
        seed=seed,
        policies=tuple(found),
        warnings=tuple(warnings),
        notes=tuple(_notes(policy)),
    )


# --- what a reader must know -----------------------------------------------------------------------


def _pooled(names: Sequence[str], matrix: OutcomeMatrix) -> str:
    known = sorted({label for label in matrix.categories if label is not None})
    have = f"those recorded are {', '.join(known)}" if known else "no task has a category"
    return f"fewer than two independent tasks are recorded of {', '.join(map(repr, names))}; {have}"


def _warnings(
    policy: FittedPolicy, outcomes: OutcomeMatrix, recorded: Recorded, *, priced: bool
) -> Iterator[str]:
    if recorded.dropped:
        yield f"Left out: {recorded.dropped:,} tasks that not every arm was tried on."
    if policy.provenance.fingerprint == fingerprint(outcomes):
        yield (
            "These are the very outcomes the policy was learned from: the plan may cost more on new tasks."
        )
    cost = recorded.matrix.cost_usd
    free = [arm for j, arm in enumerate(recorded.matrix.arms) if not np.nansum(cost[:, j])]
    if free and not priced:
        yield (
            f"Recorded as free: {', '.join(free)}; if they run on your machine, give its price per hour."
        )


def _about_prompts(
    policy: FittedPolicy,
    recorded: Recorded,
    volumes: Sequence[Volume],
    sources: dict[str, Source],
) -> Iterator[str]:
    asked = [each for each in volumes if each.prompt_tokens is not None]
    if not asked:
        return
    texts = recorded.matrix.texts
    blind = [v.category for v in asked if not all(texts[i] for i in sources[v.category].rows)]
    if blind:
        yield (
            f"prompt_tokens was ignored for {', '.join(dict.fromkeys(blind))}: the recorded prompts are not "
            "known, so there is no length to start from."
        )
    ends = [arm.cost.log_tokens_range for arm in policy.model.arms if arm.cost is not None]
    longest = math.expm1(max((high for _, high in ends), default=0.0))
    far = [v.category for v in asked if (v.prompt_tokens or 0) > longest * 1.01]
    if far:
        yield (
            f"Prompts of {', '.join(dict.fromkeys(far))} are longer than any learned from (about "
            f"{longest:,.0f} tokens); they will cost more than said here."
        )


def _notes(policy: FittedPolicy) -> Iterator[str]:
    if not policy.certificate.certified:
        acting = " > ".join(policy.certificate.fallback)
        yield f"The plan is not certified: used as it is, the policy answers with {acting}."
    if policy.model.verifier in ("exact", "assumed") and policy.agreement is None:
        yield (
            f"Verdicts were not recorded but assumed ({policy.model.verifier}); a check that errs changes "
            "what escalates."
        )
    yield "Volumes are taken as given but for their stated uncertainty; prices are those recorded."


def _about_machine(recorded: Recorded) -> Iterator[str]:
    if recorded.local:
        yield (
            f"On your machine: {', '.join(sorted(recorded.local))}, one answer at a time. A server that "
            "answers n at once at the same speed costs 1/n of it; an idle one costs more."
        )
