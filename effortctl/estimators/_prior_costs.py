"""Dollars of an arm from its list price and typical tokens, corrected as bills arrive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl.estimators._costs import CostCurve, centred, common_slopes, fit_costs, ridge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_PROMPT_TOKENS = np.geomspace(30.0, 30_000.0, 25)
"""Lengths of prompts over which a list price is turned into a curve."""

_LONGEST = float(np.log1p(200_000.0))
_TASKS_FOR_A_RANGE = 20.0
_BORROWED = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class CostPrior:
    """What is believed of K arms' dollars before a bill is seen.

    Attributes:
        curves: K curves; None for an arm without a known price.
        covariance: [K, K] of the log of the true dollars around them.
        task_sd: Spread of the log dollars of single tasks of one arm.
    """

    curves: tuple[CostCurve | None, ...]
    covariance: Floats
    task_sd: float


def listed_curve(
    *, usd_per_input: float, usd_per_output: float, output_tokens: float, usd_per_call: float = 0.0
) -> CostCurve:
    """The cost curve a list price and an expected number of output tokens amount to.

    Args:
        usd_per_input: Dollars of one input token.
        usd_per_output: Dollars of one output token.
        output_tokens: Expected, reasoning included.
        usd_per_call: Dollars of the machine's time.
    """
    usd = usd_per_input * _PROMPT_TOKENS + usd_per_output * output_tokens + usd_per_call
    if not usd.all():
        return CostCurve(scale_usd=0.0)
    x = np.log1p(_PROMPT_TOKENS)
    slope, start = np.polyfit(x, np.log(usd), 1)
    return CostCurve(
        scale_usd=float(np.exp(start)),
        per_log_tokens=float(np.clip(slope, 0.0, 1.0)),
        log_tokens_range=(0.0, _LONGEST),
    )


def shrink_costs(
    difficulty: Floats, tokens: Floats, cost_usd: Floats, *, prior: CostPrior | None
) -> tuple[CostCurve | None, ...]:
    """Fit one curve per arm, from what a prior says of it.

    All work is on the ratio of billed to expected dollars. What one arm's bills say of the ratio moves
    the others as far as they are believed to vary together; an arm's own bills then count against that
    expectation by their number.

    Args:
        difficulty: [T] predicted out of fold.
        tokens: [T] prompt tokens.
        cost_usd: [T, K] billed dollars; NaN where unknown.
        prior: What is believed beforehand. None: nothing, as `fit_costs`.

    Returns:
        K curves; None for an arm of which neither a bill nor a price is known.
    """
    if prior is None:
        return fit_costs(difficulty, tokens, cost_usd)
    shrunk = _shrunk(difficulty, tokens, cost_usd, prior)
    plain = fit_costs(difficulty, tokens, cost_usd) if None in shrunk else shrunk
    return tuple(curve or bare for curve, bare in zip(shrunk, plain, strict=True))


def _shrunk(
    difficulty: Floats, tokens: Floats, cost_usd: Floats, prior: CostPrior
) -> tuple[CostCurve | None, ...]:
    x = np.stack([difficulty, np.log1p(tokens)], axis=1)
    arms = [
        None if curve is None else _Arm.of(x, tokens, cost_usd[:, j], curve)
        for j, curve in enumerate(prior.curves)
    ]
    paid = [arm for arm in arms if arm is not None and arm.expected.all()]
    common = common_slopes([(arm.x, arm.usd / arm.expected) for arm in paid])
    counts, means = np.zeros(len(arms)), np.zeros(len(arms))
    for j, arm in enumerate(arms):
        if arm is not None:
            counts[j], means[j] = arm.log_ratio()
    return tuple(
        None
        if arm is None
        else arm.fit(common, *_seen_from_others(j, counts, means, prior), prior.task_sd)
        for j, arm in enumerate(arms)
    )


def _seen_from_others(
    j: int, counts: Floats, means: Floats, prior: CostPrior
) -> tuple[float, float]:
    """Mean and variance of the log ratio of arm j, given the bills of the other arms."""
    others = np.flatnonzero((counts > 0) & (np.arange(len(counts)) != j))
    cross = prior.covariance[j, others]
    noise = np.diag(prior.task_sd**2 / counts[others])
    solved = np.linalg.solve(prior.covariance[np.ix_(others, others)] + noise, cross)
    return float(solved @ means[others]), float(prior.covariance[j, j] - solved @ cross)


@dataclass(frozen=True, slots=True, eq=False)
class _Arm:
    """Bills of one arm beside what the prior expected. N of them are known.

    Attributes:
        curve: The prior's.
        x: [N, 2] difficulty and log tokens.
        usd: [N] billed.
        expected: [N] by the prior.
    """

    curve: CostCurve
    x: Floats
    usd: Floats
    expected: Floats

    @classmethod
    def of(cls, x: Floats, tokens: Floats, usd: Floats, curve: CostCurve) -> _Arm:
        known = ~np.isnan(usd)
        return cls(curve, x[known], usd[known], curve.predict(x[known, 0], tokens[known]))

    def log_ratio(self) -> tuple[int, float]:
        """How many bills compare with the prior, and their mean log ratio to it."""
        paid = (self.usd > 0) & (self.expected > 0)
        if not paid.any():
            return 0, 0.0
        return int(paid.sum()), float(np.log(self.usd[paid] / self.expected[paid]).mean())

    def fit(self, common: Floats, shift: float, variance: float, task_sd: float) -> CostCurve:
        slopes = common + np.array([0.0, self.curve.per_log_tokens])
        if not self.usd.size:
            return CostCurve(
                scale_usd=self.curve.scale_usd * float(np.exp(shift)),
                per_log_tokens=float(slopes[1]),
                log_tokens_range=self.curve.log_tokens_range,
            )
        if (self.usd > 0).sum() > 1:
            slopes = ridge(*centred(self.x, self.usd), towards=slopes, strength=_BORROWED)
        shape = np.exp(self.x @ slopes)
        own = self.usd.size
        trust = task_sd**2 / variance
        expected = self.expected.mean() * np.exp(shift)
        total = self.usd.sum() + trust * expected
        low, high = self._ranges(own / (own + _TASKS_FOR_A_RANGE))
        return CostCurve(
            scale_usd=float(total / (shape.sum() + trust * shape.mean())),
            per_difficulty=float(slopes[0]),
            per_log_tokens=float(slopes[1]),
            difficulty_range=(float(self.x[:, 0].min()), float(self.x[:, 0].max())),
            log_tokens_range=(low, high),
        )

    def _ranges(self, own: float) -> tuple[float, float]:
        seen: Sequence[float] = (self.x[:, 1].min(), self.x[:, 1].max())
        low, high = (
            own * mine + (1 - own) * theirs
            for mine, theirs in zip(seen, self.curve.log_tokens_range, strict=True)
        )
        return float(low), float(high)
