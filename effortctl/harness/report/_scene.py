"""What a frontier plot shows, before anyone decides how to draw it.

The page, the matplotlib figure and the terminal all draw this scene, so they cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeVar

from effortctl.harness._result import ArmResult, EvalResult, Range
from effortctl.harness.report import _facts, _text
from effortctl.harness.report._scale import Scale, cost_scale

MarkKind = Literal["arm", "dominated", "policy", "oracle"]
CurveKind = Literal["model", "hull", "policy"]
XY = tuple[float, float]
_P = TypeVar("_P", bound=tuple[float, ...])

_STEPS = 14
_CURVE_POINTS = 120


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of the frontier plot.

    Attributes:
        kind: How it is drawn.
        label: Its name as shown, not yet shortened.
        cost_usd: Mean dollars per task.
        quality: Mean quality.
        cost_range: Interval, where there is one.
        quality_range: Interval, where there is one.
        tone: Which of the policies' colours, counted from 0.
        rank: How much it wants a label; 0 most.
    """

    kind: MarkKind
    label: str
    cost_usd: float
    quality: float
    cost_range: Range | None = None
    quality_range: Range | None = None
    tone: int = 0
    rank: int = 0

    @property
    def figures(self) -> str:
        """Quality and dollars, short enough for a label."""
        return f"{_text.percent(self.quality)}, {_text.per_1000(self.cost_usd)}"

    @property
    def sentence(self) -> str:
        """Everything about it, for tooltips and screen readers."""
        quality = _text.percent(self.quality)
        cost = _text.per_1000(self.cost_usd)
        if self.quality_range is not None:
            quality += f" {_text.percent_range(self.quality_range)}"
        if self.cost_range is not None:
            cost += f" {_text.usd_range(self.cost_range)}"
        kind = {"dominated": ", dominated", "oracle": ", known only in hindsight"}
        return (
            f"{_text.clean(self.label)}{kind.get(self.kind, '')}: quality {quality}, "
            f"{cost} per 1,000 tasks"
        )


@dataclass(frozen=True, slots=True)
class Curve:
    """Points joined in order; `points` are [dollars per task, quality]."""

    kind: CurveKind
    points: tuple[XY, ...]
    tone: int = 0

    def within(self, x: Scale, y: Scale) -> list[XY]:
        """The points that these axes show, a mixture as the straight line that it is."""
        points = chord(self.points) if self.kind == "hull" else self.points
        return [point for point in points if x.holds(point[0]) and y.holds(point[1])]


@dataclass(frozen=True, slots=True)
class Saving:
    """The same quality for less: from the best fixed arm to the policy that reaches it."""

    quality: float
    from_usd: float
    to_usd: float
    text: str


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is drawn; marks in the order in which they want labels.

    The marks make the axes. A dial reaches down to policies that do nothing and get nothing right;
    showing all of that would leave the arms a corner of the plot.
    """

    marks: tuple[Mark, ...]
    curves: tuple[Curve, ...]
    saving: Saving | None

    def costs(self) -> Iterator[float]:
        """Every dollar amount that must be on the axis."""
        for mark in self.marks:
            yield from (mark.cost_usd, *(mark.cost_range or ()))

    def qualities(self) -> Iterator[float]:
        """Every quality that must be on the axis."""
        for mark in self.marks:
            yield from (mark.quality, *(mark.quality_range or ()))


@dataclass(frozen=True, slots=True)
class Gain:
    """A policy's gain over random mixing; `points` are [dollars, gain, low, high], cheapest first."""

    label: str
    points: tuple[tuple[float, float, float, float], ...]
    tone: int


def frontier_scene(result: EvalResult) -> Scene:
    """Everything the frontier plot shows."""
    marks = [*_policy_marks(result), *_arm_marks(result), _oracle(result)]
    return Scene(
        marks=tuple(sorted(marks, key=lambda mark: mark.rank)),
        curves=tuple(_curves(result)),
        saving=_saving(result),
    )


def tones(result: EvalResult) -> dict[str, int]:
    """Policy → its colour; 0 belongs to the policy the verdict is about."""
    main = _facts.main_policy(result)
    names = sorted(_facts.policy_names(result), key=lambda name: name != main)
    return {name: tone for tone, name in enumerate(names)}


def gains(result: EvalResult) -> list[Gain]:
    """Curves of the panel below the frontier, the main policy first."""
    order = tones(result)
    names = sorted(result.gain_over_mixing, key=lambda name: order.get(name, len(order)))
    found = []
    for name in names:
        shown = {cost for cost, _ in rising(result.frontier.get(name, ()))}
        points = sorted(result.gain_over_mixing[name])
        points = [point for point in points if point[0] in shown] or points
        if points:
            label = _facts.policy_label(name)
            found.append(Gain(label, _thin(points), order.get(name, len(order))))
    return found


def rising(points: Sequence[XY]) -> Iterator[XY]:
    """The settings of a dial that no cheaper one beats, cheapest first.

    What was a little dearer on the learning tasks may be cheaper and far worse on these; a line through
    all settings would be a saw.
    """
    best = -math.inf
    for cost, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if quality >= best:
            best = quality
            yield cost, quality


def gain_axis(
    found: Sequence[Gain], scene: Scene, *, start: float, end: float, log: bool
) -> tuple[Scale, list[Gain]]:
    """The frontier's own dollar axis, and the gains as far as they lie on it.

    Where none does, the axis is that of the gains.
    """
    scale = cost_scale(scene.costs(), start=start, end=end, log=log)
    cut = [
        replace(gain, points=tuple(point for point in gain.points if scale.holds(point[0])))
        for gain in found
    ]
    if any(gain.points for gain in cut):
        return scale, [gain for gain in cut if gain.points]
    own = [point[0] for gain in found for point in gain.points]
    return cost_scale(own, start=start, end=end, log=log), list(found)


def chord(points: tuple[XY, ...]) -> list[XY]:
    """Corners with points on the straight lines between them.

    Mixing two arms is a straight line in dollars, which sags on a logarithmic axis; drawing only the
    corners would promise more than a mixture gives.
    """
    dense = list(points[:1])
    for (x0, y0), (x1, y1) in pairwise(points):
        for step in range(1, _STEPS + 1):
            # Denser where the line is cheap: that is where a logarithmic axis bends it most.
            share = (step / _STEPS) ** 2
            dense.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
    return dense


def _policy_marks(result: EvalResult) -> Iterator[Mark]:
    order = tones(result)
    for name in _facts.policy_names(result):
        policy = result.policies[name]
        yield Mark(
            kind="oracle" if policy.in_hindsight else "policy",
            label=_facts.policy_label(name),
            cost_usd=policy.cost_usd,
            quality=policy.quality,
            cost_range=policy.cost_ci95,
            quality_range=policy.quality_ci95,
            tone=order[name],
            rank=0 if order[name] == 0 else 2,
        )


def _arm_marks(result: EvalResult) -> Iterator[Mark]:
    best = _facts.frontier_arms(result)
    for name, arm in result.arms.items():
        yield Mark(
            kind="arm" if name in best else "dominated",
            label=name,
            cost_usd=arm.cost_usd,
            quality=arm.quality,
            cost_range=arm.cost_ci95,
            quality_range=arm.quality_ci95,
            rank=_arm_rank(result, name, arm) if name in best else 5,
        )


def _arm_rank(result: EvalResult, name: str, arm: ArmResult) -> int:
    is_corner = (arm.cost_usd, arm.quality) in result.hull
    return 1 if name == result.best_fixed_arm else 3 if is_corner else 4


def _oracle(result: EvalResult) -> Mark:
    return Mark("oracle", "oracle", result.oracle.cost_usd, result.oracle.quality, rank=1)


def _curves(result: EvalResult) -> Iterator[Curve]:
    for names in _facts.effort_lines(result):
        arms = [result.arms[name] for name in names]
        yield Curve("model", tuple((arm.cost_usd, arm.quality) for arm in arms))
    if len(result.hull) > 1:
        yield Curve("hull", result.hull)
    order = tones(result)
    for name, points in result.frontier.items():
        # The hull says what mixing gives; a second line on top of it says nothing more.
        if len(points) > 1 and name in order and name != "random_mix":
            yield Curve("policy", _thin(list(rising(points))), order[name])


def _saving(result: EvalResult) -> Saving | None:
    """Only where the verdict says that routing pays: never a saving inside the noise."""
    found = result.cost_at_equal_quality.get(result.verdict.policy)
    best = result.arms.get(result.best_fixed_arm)
    if result.verdict.decision != "route" or found is None or best is None:
        return None
    if found.ci95[1] >= 1:
        return None
    text = f"same quality at {_text.whole_percent(found.ratio_to_best_fixed_arm)} of the cost"
    return Saving(best.quality, best.cost_usd, found.cost_usd, text)


def _thin(points: list[_P]) -> tuple[_P, ...]:
    """At most so many points, the ends kept: a curve of thousands makes a file of megabytes."""
    if len(points) <= _CURVE_POINTS:
        return tuple(points)
    step = (len(points) - 1) / (_CURVE_POINTS - 1)
    return tuple(points[round(step * number)] for number in range(_CURVE_POINTS))
