"""May this policy be used? Only if it beats every fixed choice on tasks it has not seen.

Two claims can be certified against each baseline (the best fixed arm, the best fixed ladder):

- `cheaper`: it costs less, and its quality is worse by less than `epsilon`;
- `better`: its quality is higher, and it costs no more (but for `cost_slack`).

Each baseline must be beaten under one claim or the other; it need not be the same for all, e.g. better
than the arm and cheaper than the ladder. A claim needs both of its parts, and every baseline must be
beaten, so the largest p-value counts (intersection-union, no correction needed). The claims about one
baseline share `alpha` equally. Several candidates,
e.g. a grid of lambda, are tested in the order given, each at full level, until one fails (Learn then
Test with a fixed sequence). The chance of any false certificate is at most `alpha`, at any sample size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from effortctl._errors import ConfigError
from effortctl._stats import (
    betting_p,
    binomial_p,
    bonferroni,
    fixed_sequence,
    paired_margin_p,
    tasks_needed,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Claim: TypeAlias = Literal["cheaper", "better"]

Shown: TypeAlias = Literal["cheaper", "better", "mixed"]
"""The claim about all baselines, or `mixed` where it is not the same for all."""

PRICE_OF_VALIDITY = 1.5
"""How many times the tasks of a normal approximation the betting test needs for 80 % power, because it
holds at any sample size for any distribution; simulated for paired outcomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What a certificate has to show.

    Attributes:
        epsilon: Quality the claim `cheaper` may give up; must be above 0 to be provable at a tie.
        cost_slack: Share by which the claim `better` may cost more.
        alpha: Chance of a false certificate that is accepted.
        claims: Which claims may be made; a single one is tested at the full `alpha`.
        order: `fixed`: candidates come in the order they are most likely to pass, decided beforehand.
            `any`: no order is known, and they share `alpha` (Bonferroni).
    """

    epsilon: float = 0.01
    cost_slack: float = 0.02
    alpha: float = 0.05
    claims: tuple[Claim, ...] = ("cheaper", "better")
    order: Literal["fixed", "any"] = "fixed"

    def __post_init__(self) -> None:
        """Refuse criteria that certify nothing or everything."""
        inside = 0 < self.alpha < 1 and 0 <= self.epsilon < 1 and 0 <= self.cost_slack < 1
        if not inside or not self.claims:
            raise ConfigError(
                "criteria need 0 < alpha < 1, 0 <= epsilon < 1, 0 <= cost_slack < 1 and one claim or "
                f"more, got {self}"
            )

    def margins(self, claim: Claim) -> tuple[float, float]:
        """Quality that may be lost and share of cost that may be added under a claim."""
        return (self.epsilon, 0.0) if claim == "cheaper" else (0.0, self.cost_slack)


@dataclass(frozen=True, slots=True)
class Contender:
    """A policy or a baseline, run on the calibration tasks.

    Attributes:
        name: For people, e.g. `plan at $0.05` or `ladder a > b`.
        cost_usd: Dollars per task.
        quality: Score of the returned answer per task, 0..1.
        arms: Of a baseline: its arms in order, which the guard falls back to.
    """

    name: str
    cost_usd: ArrayLike
    quality: ArrayLike
    arms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against one baseline.

    Attributes:
        baseline: Its name.
        claim: Which claim about it has come furthest.
        cost_ratio: Mean cost of the candidate by that of the baseline.
        quality_difference: Mean quality of the candidate minus that of the baseline.
        p_quality: P-value of the claim's part on quality.
        p_cost: P-value of the claim's part on cost.
        n_needed: About how many tasks would show both parts if the observed means are the true
            ones; None: then no number would.
    """

    baseline: str
    claim: Claim
    cost_ratio: float
    quality_difference: float
    p_quality: float
    p_cost: float
    n_needed: int | None

    @property
    def p(self) -> float:
        """P-value of the claim."""
        return max(self.p_quality, self.p_cost)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whether a policy may replace every fixed choice, and what to use if not.

    Attributes:
        certified: True: the policy may be used.
        candidate: The certified candidate, or the one that came closest.
        claim: What was shown of it, or came closest to it.
        fallback: Arms, in order, of the best fixed choice.
        n: Independent tasks (or clusters) the decision rests on.
        n_needed: About how many tasks a certificate would need if the observed means are the true
            ones; None: then no number would do.
        alpha: Accepted chance of a false certificate.
        epsilon: Quality the claim `cheaper` may give up.
        p_value: Of the claim, after correction.
        reason: In words.
        comparisons: One per baseline.
    """

    certified: bool
    candidate: str
    claim: Shown
    fallback: tuple[str, ...]
    n: int
    n_needed: int | None
    alpha: float
    epsilon: float
    p_value: float
    reason: str
    comparisons: tuple[Comparison, ...]

    @classmethod
    def without_tasks(
        cls,
        candidate: str,
        fallback: tuple[str, ...],
        *,
        reason: str,
        n_needed: int,
        criteria: Criteria | None = None,
    ) -> Certificate:
        """Refuse a certificate because there are no tasks to compare on.

        `n_needed` is the least number that can show anything; otherwise as above.
        """
        rules = criteria or Criteria()
        return cls(
            certified=False,
            candidate=candidate,
            claim=rules.claims[0],
            fallback=fallback,
            n=0,
            n_needed=n_needed,
            alpha=rules.alpha,
            epsilon=rules.epsilon,
            p_value=1.0,
            reason=reason,
            comparisons=(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Trial:
    """One candidate against every baseline, under the claim that comes furthest against each."""

    candidate: Contender
    comparisons: tuple[Comparison, ...]

    @property
    def claim(self) -> Shown:
        claims = {each.claim for each in self.comparisons}
        return claims.pop() if len(claims) == 1 else "mixed"

    @property
    def p(self) -> float:
        return max(each.p for each in self.comparisons)

    @property
    def n_needed(self) -> int | None:
        needed = [c.n_needed for c in self.comparisons]
        return None if None in needed else max(n for n in needed if n is not None)


def certify(
    candidates: Sequence[Contender],
    baselines: Sequence[Contender],
    *,
    criteria: Criteria | None = None,
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    fallback: Contender | None = None,
    seed: int = 0,
) -> Certificate:
    """Decide whether a policy may be used instead of the best fixed choices.

    The tasks must be new to the policy, to the tuning of lambda and to the choice of the baselines.

    Args:
        candidates: The policy at one or several lambdas, in the order they are most likely to pass.
        baselines: The best fixed arm and the best fixed ladder, chosen on other tasks.
        criteria: What has to be shown. None: the defaults.
        clusters: Cluster of each task; clusters then count as one observation each (their means).
        fallback: What to use without a certificate. None: the last baseline.
        seed: Of the order in which the tasks enter the tests.

    Raises:
        ConfigError: Nothing to compare, or sides that do not match.

    Source: Angelopoulos et al. (2021), Learn then Test; Berger (1982) for intersection-union tests.
    """
    criteria = criteria or Criteria()
    if not candidates or not baselines:
        raise ConfigError("certify needs one candidate and one baseline or more")
    order = _Order.of(len(np.asarray(candidates[0].cost_usd)), clusters=clusters, seed=seed)
    trials = [_try(c, baselines, criteria=criteria, order=order) for c in candidates]
    passed = _passed(trials, criteria)
    if passed:
        chosen = min(passed, key=lambda t: float(np.mean(np.asarray(t.candidate.cost_usd))))
    else:
        chosen = min(trials, key=_distance)
    shares = len(criteria.claims) * (len(candidates) if criteria.order == "any" else 1)
    needed = chosen.n_needed
    safe = fallback or baselines[-1]
    return Certificate(
        certified=bool(passed),
        candidate=chosen.candidate.name,
        claim=chosen.claim,
        fallback=safe.arms,
        n=order.size,
        n_needed=needed,
        alpha=criteria.alpha,
        epsilon=criteria.epsilon,
        p_value=min(1.0, chosen.p * shares),
        reason=_reason(chosen, criteria, certified=bool(passed), size=order.size, safe=safe.name),
        comparisons=chosen.comparisons,
    )


@dataclass(frozen=True, slots=True)
class _Order:
    """How tasks become independent observations, in an order that does not depend on outcomes."""

    member: NDArray[np.intp]
    shuffled: NDArray[np.intp]

    @classmethod
    def of(cls, tasks: int, *, clusters: Sequence[Any] | NDArray[Any] | None, seed: int) -> _Order:
        labels = np.arange(tasks) if clusters is None else np.asarray(clusters)
        if labels.shape != (tasks,) or not tasks:
            raise ConfigError(f"{labels.size} cluster labels for {tasks} tasks; one each is needed")
        _, member = np.unique(labels, return_inverse=True)
        shuffled = np.random.default_rng(seed).permutation(int(member.max()) + 1)
        return cls(member, shuffled)

    @property
    def size(self) -> int:
        return len(self.shuffled)

    def observations(self, per_task: Floats) -> Floats:
        """Means per cluster, shuffled."""
        means = np.bincount(self.member, weights=per_task) / np.bincount(self.member)
        return means[self.shuffled]


def _passed(trials: list[_Trial], criteria: Criteria) -> list[_Trial]:
    share = criteria.alpha / len(criteria.claims)
    p_values = [trial.p for trial in trials]
    reject = fixed_sequence if criteria.order == "fixed" else bonferroni
    return [trials[i] for i in reject(p_values, alpha=share)]


def _distance(side: _Trial | Comparison) -> tuple[bool, int, float]:
    """How far from being shown, for sorting."""
    return side.n_needed is None, side.n_needed or 0, side.p


def _try(
    candidate: Contender, baselines: Sequence[Contender], *, criteria: Criteria, order: _Order
) -> _Trial:
    share = criteria.alpha / len(criteria.claims)
    found = []
    for baseline in baselines:
        every = [
            _compare(candidate, baseline, claim=claim, criteria=criteria, order=order)
            for claim in criteria.claims
        ]
        shown = [each for each in every if each.p <= share]
        found.append(min(shown, key=lambda c: c.p) if shown else min(every, key=_distance))
    return _Trial(candidate, tuple(found))


def _compare(
    candidate: Contender,
    baseline: Contender,
    *,
    claim: Claim,
    criteria: Criteria,
    order: _Order,
) -> Comparison:
    cost, quality = _sides(candidate, order)
    base_cost, base_quality = _sides(baseline, order)
    margin, slack = criteria.margins(claim)
    gain = order.observations(quality - base_quality)
    saving = order.observations((1 + slack) * base_cost - cost)
    # Nobody knows the dearest task there could ever be; the dearest one seen stands in for it.
    bound = max(float(cost.max()), float(base_cost.max()) * (1 + slack), np.finfo(float).tiny)
    level = criteria.alpha / len(criteria.claims)
    needed = [
        tasks_needed(float(x.std()), float(x.mean()) + extra, alpha=level)
        for x, extra in ((gain, margin), (saving, 0.0))
    ]
    most = None if None in needed else max(n for n in needed if n is not None)
    return Comparison(
        baseline=baseline.name,
        claim=claim,
        cost_ratio=float(cost.sum() / base_cost.sum()) if base_cost.any() else float("inf"),
        quality_difference=float(gain.mean()),
        p_quality=_p_above(gain, margin),
        p_cost=betting_p(saving, 0.0, low=-bound, high=bound),
        n_needed=None if most is None else math.ceil(PRICE_OF_VALIDITY * most),
    )


def _sides(contender: Contender, order: _Order) -> tuple[Floats, Floats]:
    cost = np.asarray(contender.cost_usd, dtype=float)
    quality = np.asarray(contender.quality, dtype=float)
    good = np.isfinite(cost).all() and ((quality >= 0) & (quality <= 1)).all()
    if cost.shape != order.member.shape or quality.shape != cost.shape or not good:
        raise ConfigError(
            f"{contender.name!r}: expected finite costs and a quality of 0..1 for each of "
            f"{len(order.member)} tasks, got {cost.shape} and {quality.shape}"
        )
    return cost, quality


def _p_above(gain: Floats, margin: float) -> float:
    """P-value of "the mean gain is -margin or less"."""
    if np.isin(gain, (-1.0, 0.0, 1.0)).all():
        # Right/wrong outcomes have exact tests, which are the sharpest there are.
        won, lost = int((gain > 0).sum()), int((gain < 0).sum())
        if margin > 0:
            return paired_margin_p(won, lost, len(gain), margin=margin)
        return binomial_p(won, won + lost, share=0.5) if won + lost else 1.0
    return betting_p(gain, -margin, low=-1.0, high=1.0)


def _reason(trial: _Trial, criteria: Criteria, *, certified: bool, size: int, safe: str) -> str:
    cheaper = f"cheaper (quality worse by less than {criteria.epsilon:g})"
    better = f"better (at most {criteria.cost_slack:.0%} dearer)"
    what = {"cheaper": cheaper, "better": better, "mixed": f"{cheaper} or {better}"}[trial.claim]
    if certified:
        return (
            f"{trial.candidate.name} is {what} than every baseline on {size} tasks, "
            f"at level {criteria.alpha:g}"
        )
    if trial.n_needed is None:
        worst = max(
            trial.comparisons, key=lambda c: (c.n_needed is None, max(c.p_quality, c.p_cost))
        )
        return (
            f"do not route: against {worst.baseline}, {trial.candidate.name} has "
            f"{worst.cost_ratio:.2f} times the cost and {worst.quality_difference:+.3f} quality on "
            f"{size} tasks; use {safe}"
        )
    return (
        f"do not route yet: {size} tasks cannot show that {trial.candidate.name} is {what} than every "
        f"baseline; about {max(trial.n_needed, size + 1)} would be needed; until then use {safe}"
    )
