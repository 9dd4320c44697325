"""What every way to answer would have spent on recorded tasks, arm by arm."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from effortctl._errors import ConfigError
from effortctl._held_out import HeldOut, VerifierChoice, complete
from effortctl.catalog import load_catalog
from effortctl.estimators import Reliability
from effortctl.stores import OutcomeMatrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl._fitted_policy import FittedPolicy

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

LOCAL = "local"
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to answer.

    Attributes:
        name: `plan`, `best_fixed_arm`, `best_fixed_ladder`, `fallback` or `fixed:<arm>`.
        arms: Arms of a fixed choice in order; empty for the plan.
    """

    name: str
    arms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Spend:
    """What a choice did on T tasks.

    Attributes:
        choice: The choice.
        usd: [T, K] dollars spent on each arm.
        quality: [T] score of the answer returned.
    """

    choice: Choice
    usd: Floats
    quality: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Recorded tasks with dollars, and what each choice would have spent.

    Attributes:
        matrix: T tasks that every one of K arms was tried on.
        spends: One per choice.
        local: Arms whose dollars are hours of the user's machines.
        dropped: Tasks left out, because an arm was not tried on them.
    """

    matrix: OutcomeMatrix
    spends: tuple[Spend, ...]
    local: frozenset[str]
    dropped: int


def choices_of(policy: FittedPolicy) -> tuple[Choice, ...]:
    """The plan, the fixed choices its file knows of, and every arm alone."""
    named = [each.arms for each in policy.results if each.arms]
    fixed = [
        Choice(name, arms)
        for name, arms in zip(("best_fixed_arm", "best_fixed_ladder"), named, strict=False)
    ] or [Choice("fallback", policy.certificate.fallback)]
    arms = dict.fromkeys([*policy.model.arm_names, *(arm for each in fixed for arm in each.arms)])
    return (Choice("plan"), *fixed, *(Choice(f"fixed:{arm}", (arm,)) for arm in arms))


def arms_of(policy: FittedPolicy) -> tuple[str, ...]:
    """Every arm a choice needs."""
    return tuple(dict.fromkeys(arm for each in choices_of(policy) for arm in each.arms))


def record(
    policy: FittedPolicy,
    outcomes: OutcomeMatrix,
    *,
    gpu_usd_per_hour: float | None = None,
    local: Collection[str] | None = None,
) -> Recorded:
    """Run every choice on recorded outcomes, with what it would have cost.

    Args:
        policy: A learned policy.
        outcomes: What its arms did, on tasks like those to come.
        gpu_usd_per_hour: Price of the user's machine; local arms then cost seconds, not dollars.
        local: Which arms run there. None: those that never cost a cent.

    Raises:
        ConfigError: An arm is missing, has neither dollars nor a price, or no task was tried by all.
    """
    known = outcomes.select_arms(arms_of(policy))
    here = _local_arms(known, local) if gpu_usd_per_hour is not None else frozenset()
    if gpu_usd_per_hour is not None:
        known = _priced(known, here, gpu_usd_per_hour)
    whole = complete(known, _evidence(policy))
    if not whole.any():
        raise ConfigError(
            f"no task has an outcome of every arm the policy needs ({', '.join(known.arms)}); record them "
            "all on some tasks"
        )
    kept = known.select_tasks(whole)
    held_out = HeldOut.of(kept, _reliability(policy, kept.arms), seed=policy.provenance.seed)
    spends = tuple(_spend(policy, held_out, choice) for choice in choices_of(policy))
    return Recorded(kept, spends, here, len(known) - len(kept))


def provider_of(model: str, *, local: bool) -> str:
    """Who makes a model, by the catalog or the price book, or the vendor in its id; else `unknown`."""
    if local:
        return LOCAL
    try:
        return load_catalog().card(model, allow_unknown=False).provider
    except ConfigError:
        vendor, slash, _ = model.partition("/")
        return vendor if slash and vendor else _in_price_book(model)


def _in_price_book(model: str) -> str:
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - 0.15 s import

    try:
        return str(get_snapshot().find_provider(model, None, None).id)
    except LookupError:
        return "unknown"


# --- dollars of local arms -------------------------------------------------------------------------


def _local_arms(matrix: OutcomeMatrix, named: Collection[str] | None) -> frozenset[str]:
    if named is not None:
        unknown = sorted(set(named) - set(matrix.arms))
        if unknown:
            raise ConfigError(
                f"the policy has no arm {unknown[0]!r} that could be local; its arms: "
                f"{', '.join(matrix.arms)}"
            )
        return frozenset(named)
    found = frozenset(
        arm for j, arm in enumerate(matrix.arms) if not np.nansum(matrix.cost_usd[:, j]) > 0
    )
    if not found:
        raise ConfigError(
            "every arm has recorded dollars, so none is known to run on your machine; name those that do "
            "(--local a,b)"
        )
    return found


def _priced(matrix: OutcomeMatrix, local: frozenset[str], usd_per_hour: float) -> OutcomeMatrix:
    """Dollars of local arms: seconds of the call, or its tokens at the arm's measured tokens/s."""
    cost = matrix.cost_usd.copy()
    for arm in local:
        j = matrix.arms.index(arm)
        cost[:, j] = _seconds(matrix, j) / _HOUR_S * usd_per_hour
    return replace(matrix, cost_usd=cost)


def _seconds(matrix: OutcomeMatrix, j: int) -> Floats:
    seconds, tokens = matrix.latency_s[:, j], matrix.output_tokens[:, j]
    timed = ~np.isnan(seconds)
    if not timed.any():
        raise ConfigError(
            f"no latency_s is recorded for the local arm {matrix.arms[j]!r}, so its speed is unknown; record "
            "it, or leave the price of the machine out"
        )
    both = timed & ~np.isnan(tokens)
    busy = float(seconds[both].sum())
    if busy <= 0:
        return np.where(timed, seconds, np.nan)
    per_second = float(tokens[both].sum()) / busy
    guess = tokens / per_second if per_second > 0 else np.full(len(tokens), np.nan)
    return np.where(timed, seconds, guess)


# --- replays ---------------------------------------------------------------------------------------


def _evidence(policy: FittedPolicy) -> VerifierChoice:
    if policy.agreement is not None:
        return "agreement"
    return "recorded" if policy.model.verifier == "recorded" else "exact"


def _reliability(policy: FittedPolicy, arms: Sequence[str]) -> Reliability:
    """Rates of the check; arms only a ladder uses get the mean of the others."""
    rates = policy.reliability
    usual = tuple(float(np.mean(side)) for side in (policy.model.tpr, policy.model.fpr))
    per_arm = np.array([rates.get(arm, usual) for arm in arms])
    return Reliability(policy.model.verifier, per_arm[:, 0], per_arm[:, 1], np.zeros(len(arms)))


def _spend(policy: FittedPolicy, tasks: HeldOut, choice: Choice) -> Spend:
    if not choice.arms:
        done = policy.replay(tasks.matrix)
        tried = np.zeros(tasks.price_usd.shape, dtype=np.bool_)
        tried[:, [tasks.matrix.arm_index(arm) for arm in policy.model.arm_names]] = done.tried
        return Spend(choice, tried * tasks.price_usd, done.quality)
    tried, quality = _climb(tasks, choice.arms)
    return Spend(choice, tried * tasks.price_usd, quality)


def _climb(tasks: HeldOut, arms: Sequence[str]) -> tuple[Bools, Floats]:
    """Arms tried by a ladder, and the score of the answer it returns: the first to pass, else the last."""
    score = tasks.matrix.score
    left = np.ones(len(tasks), dtype=np.bool_)
    tried, quality = np.zeros(score.shape, dtype=np.bool_), np.zeros(len(tasks))
    for arm in arms:
        j = tasks.matrix.arm_index(arm)
        tried[:, j] = left
        quality = np.where(left, score[:, j], quality)
        left = left & ~tasks.passed[:, j]
    return tried, quality
