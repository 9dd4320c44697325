"""Dollars of each arm as a function of difficulty and prompt length.

Hard tasks burn more reasoning tokens at the same effort, so the dollars depend on difficulty:
`log cost = base + per_difficulty * d + per_log_tokens * log(1 + tokens)`, fitted on billed cost. The
exponential of a mean log is too small; the curve is rescaled so that its total equals the total billed
(a ratio form of Duan's smearing estimator, 1983).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_BORROWED = 20.0
"""Tasks' worth of trust in the common slopes when an arm's own are fitted."""

_LARGEST_SLOPE = 3.0


@dataclass(frozen=True, slots=True)
class CostCurve:
    """Expected dollars of one arm.

    Attributes:
        scale_usd: Dollars where the other terms are 0, free calls averaged in.
        per_difficulty: Rise of the log per unit of difficulty.
        per_log_tokens: Rise of the log per unit of log(1 + prompt tokens).
        difficulty_range: Difficulties it was fitted on; outside, the nearest end counts.
        log_tokens_range: The same for log(1 + prompt tokens).
    """

    scale_usd: float
    per_difficulty: float = 0.0
    per_log_tokens: float = 0.0
    difficulty_range: tuple[float, float] = (0.0, 0.0)
    log_tokens_range: tuple[float, float] = (0.0, 0.0)

    def predict(self, difficulty: ArrayLike, tokens: ArrayLike) -> Floats:
        """Dollars, in the shape of `difficulty`."""
        d = np.clip(np.asarray(difficulty, dtype=float), *self.difficulty_range)
        t = np.clip(np.log1p(np.asarray(tokens, dtype=float)), *self.log_tokens_range)
        return np.asarray(
            self.scale_usd * np.exp(self.per_difficulty * d + self.per_log_tokens * t)
        )


_UNKNOWN = CostCurve(scale_usd=float("nan"))


def predict_costs(curves: Sequence[CostCurve | None], difficulty: Floats, tokens: Floats) -> Floats:
    """[T, K] dollars; NaN for an arm without a curve."""
    known = [curve or _UNKNOWN for curve in curves]
    table = np.array(
        [
            (
                c.scale_usd,
                c.per_difficulty,
                c.per_log_tokens,
                *c.difficulty_range,
                *c.log_tokens_range,
            )
            for c in known
        ]
    )
    scale, by_d, by_t, *ends = table.T
    d = np.clip(difficulty[:, None], ends[0], ends[1])
    t = np.clip(np.log1p(tokens)[:, None], ends[2], ends[3])
    return np.asarray(scale * np.exp(by_d * d + by_t * t))


def fit_costs(difficulty: Floats, tokens: Floats, cost_usd: Floats) -> tuple[CostCurve | None, ...]:
    """Fit one curve per arm.

    Args:
        difficulty: [T] predicted out of fold.
        tokens: [T] prompt tokens, counted as they will be when predicting.
        cost_usd: [T, K] billed dollars; NaN where unknown.

    Returns:
        K curves; None for an arm whose cost was never recorded.
    """
    x = np.stack([difficulty, np.log1p(tokens)], axis=1)
    columns = [(x[known], cost_usd[known, j]) for j, known in enumerate(~np.isnan(cost_usd).T)]
    common = common_slopes(columns)
    return tuple(_fit_one(x_arm, usd, common) if usd.size else None for x_arm, usd in columns)


def centred(x: Floats, usd: Floats) -> tuple[Floats, Floats]:
    """Predictors and log dollars of the calls that were paid for, less their means."""
    paid = usd > 0
    log_usd = np.log(usd[paid])
    return x[paid] - x[paid].mean(axis=0), log_usd - log_usd.mean()


def common_slopes(columns: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Slopes that all arms show together, shrunk towards 0."""
    pairs = [centred(x, usd) for x, usd in columns if (usd > 0).sum() > 1]
    if not pairs:
        return np.zeros(2)
    x = np.concatenate([pair[0] for pair in pairs])
    y = np.concatenate([pair[1] for pair in pairs])
    return ridge(x, y, towards=np.zeros(2), strength=_BORROWED)


def ridge(x: Floats, y: Floats, *, towards: Floats, strength: float) -> Floats:
    """Slopes of y on x, drawn towards others with the weight of `strength` tasks."""
    spread = np.diag(np.maximum(x.var(axis=0), 1e-12)) * strength
    slopes = np.linalg.solve(x.T @ x + spread, x.T @ y + spread @ towards)
    return np.clip(slopes, -_LARGEST_SLOPE, _LARGEST_SLOPE)


def _fit_one(x: Floats, usd: Floats, common: Floats) -> CostCurve:
    if (usd > 0).sum() < 2:
        return CostCurve(scale_usd=float(usd.mean()))
    slopes = ridge(*centred(x, usd), towards=common, strength=_BORROWED)
    shape = np.exp(x @ slopes)
    low, high = x.min(axis=0), x.max(axis=0)
    return CostCurve(
        scale_usd=float(usd.sum() / shape.sum()),
        per_difficulty=float(slopes[0]),
        per_log_tokens=float(slopes[1]),
        difficulty_range=(float(low[0]), float(high[0])),
        log_tokens_range=(float(low[1]), float(high[1])),
    )
