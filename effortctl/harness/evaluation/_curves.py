"""Curves of quality over dollars: hulls, what lies between two points, and the areas under them.

A curve is a list of settings of one dial. Between two neighbouring settings lies a real policy: toss a
coin for every task. So everything here interpolates linearly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_TINY = 1e-12


def hull(cost: Floats, quality: Floats) -> list[int]:
    """Corners of the least non-decreasing concave majorant, cheapest first.

    Every point on it is a mixture of two neighbouring corners; right of the last it is flat.

    Source: Andrew (1979), Another efficient algorithm for convex hulls in two dimensions; as
    "non-decreasing convex hull" in Hu et al. (2024), RouterBench.
    """
    corners: list[int] = []
    for j in np.lexsort((-quality, cost)).tolist():
        if corners and quality[j] <= quality[corners[-1]] + _TINY:
            continue
        while len(corners) > 1 and _sags(corners[-2], corners[-1], j, (cost, quality)):
            corners.pop()
        corners.append(j)
    return corners


def _sags(first: int, middle: int, last: int, points: tuple[Floats, Floats]) -> bool:
    cost, quality = points
    up = (quality[middle] - quality[first]) * (cost[last] - cost[first])
    return bool(up <= (quality[last] - quality[first]) * (cost[middle] - cost[first]))


def hull_quality(at: Floats, cost: Floats, quality: Floats) -> Floats:
    """Best quality of any mixture at these dollars; 0 where nothing is so cheap."""
    corners = hull(cost, quality)
    best: Floats = np.interp(at, cost[corners], quality[corners], left=0.0)
    return best


def cost_to_reach(quality_wanted: Floats, cost: Floats, quality: Floats) -> Floats:
    """Lowest cost at which a curve reaches a quality, between its neighbouring settings too.

    Args:
        quality_wanted: [B] one per curve.
        cost: [B, S] settings in the order of the dial.
        quality: [B, S].

    Returns:
        [B] dollars; infinite where the quality is never reached.
    """
    wanted = np.asarray(quality_wanted)[:, None] - 1e-9
    reached = quality >= wanted
    best: Floats = np.where(reached, cost, np.inf).min(axis=1)
    if cost.shape[1] > 1:
        rise = np.diff(quality, axis=1)
        crosses = reached[:, 1:] != reached[:, :-1]
        share = np.divide(
            wanted - quality[:, :-1], rise, out=np.zeros_like(rise), where=crosses & (rise != 0)
        )
        between = cost[:, :-1] + share * np.diff(cost, axis=1)
        best = np.minimum(best, np.where(crosses, between, np.inf).min(axis=1))
    return best


def area(x: Floats, y: Floats, low: float, high: float) -> float:
    """Mean height of a curve between two ends; outside of its points it is flat.

    Source: as the areas of RouteLLM (Ong et al., 2024), with the trapezoidal rule.
    """
    order = np.lexsort((y, x))
    xs, ys = x[order], y[order]
    inside = (xs > low) & (xs < high)
    at = np.concatenate([[low], xs[inside], [high]])
    heights = np.concatenate([[np.interp(low, xs, ys)], ys[inside], [np.interp(high, xs, ys)]])
    return float(np.trapezoid(heights, at) / (high - low))


def aiq(cost: Floats, quality: Floats, *, low: float, high: float) -> float:
    """Average improvement in quality: mean height of the curve's hull between two dollar amounts.

    Left of the cheapest setting nothing can be bought, so the quality is 0 there.

    Source: Hu et al. (2024), RouterBench, equation of AIQ.
    """
    corners = hull(cost, quality)
    return _under(cost[corners], quality[corners], low, high) / (high - low)


def aiq_by_code(cost: Floats, quality: Floats, *, high: float) -> float:
    """AIQ as the published code computes it: from the cheapest setting, but divided by the whole axis."""
    corners = hull(cost, quality)
    return _under(cost[corners], quality[corners], float(cost[corners[0]]), high) / high


def _under(cost: Floats, quality: Floats, low: float, high: float) -> float:
    begin = max(low, float(cost[0]))
    if begin >= high:
        return 0.0
    inside = (cost > begin) & (cost < high)
    at = np.concatenate([[begin], cost[inside], [high]])
    return float(np.trapezoid(np.interp(at, cost, quality), at))


def gap_recovered(quality: Floats, *, weak: float, strong: float) -> Floats:
    """Share of the quality between a weak and a strong arm that a policy recovers (PGR)."""
    return np.asarray((quality - weak) / (strong - weak))


def call_performance(share: Floats, recovered: Floats, wanted: float) -> float | None:
    """Least share (of strong calls, or of dollars) at which so much of the gap is recovered (CPT).

    Taken on the running maximum, because a sweep need not be monotone. None: never.

    Source: Ong et al. (2024), RouteLLM.
    """
    order = np.lexsort((recovered, share))
    x, best = share[order], np.maximum.accumulate(recovered[order])
    if best[-1] < wanted - _TINY:
        return None
    found = cost_to_reach(np.array([wanted]), x[None], best[None])
    return float(found[0])


def deferral_area(cost: Floats, quality: Floats, *, low: float, high: float, floor: float) -> float:
    """Mean quality between the cheapest and the dearest arm's dollars.

    Left of the first setting it is `floor`, the lowest quality of any arm; right of the last it is flat.

    Source: Dekoninck et al. (2025), A unified approach to routing and cascading for LLMs, their code.
    """
    order = np.lexsort((quality, cost))
    xs, ys = cost[order], quality[order]
    inside = (xs > low) & (xs < high)
    first = floor if xs[0] > low else float(np.interp(low, xs, ys))
    at = np.concatenate([[low], xs[inside], [high]])
    heights = np.concatenate([[first], ys[inside], [np.interp(high, xs, ys)]])
    return float(np.trapezoid(heights, at) / (high - low))


def router_arena(quality: float, cost_usd: float, *, beta: float = 0.1) -> float | None:
    """RouterArena's score of a policy from its accuracy and dollars per query.

    Source: Lu et al. (2025), RouterArena, and its `compute_scores.py`: cost per 1,000 queries on a
    logarithmic axis from $0.0044 to $200, accuracy weighted by beta.
    """
    if cost_usd <= 0:
        return None
    cheap, dear = np.log2(0.0044), np.log2(200.0)
    thrift = (dear - np.log2(1000.0 * cost_usd)) / (dear - cheap)
    below = beta * quality + thrift
    return float((1 + beta) * quality * thrift / below) if below > 0 else None
