"""Judge methods on held-out tasks: at equal quality, and as they come out when tuned on train."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from _methods import Method, Run, lower_hull, methods
from _parts import Part, belief, forecast, live

from effortctl._stats import paired_bootstrap
from effortctl.stores import OutcomeMatrix

if TYPE_CHECKING:
    from _sets import Check, Study
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Row = dict[str, Any]
_RESAMPLES = 1000
_LADDERS = ("best fixed ladder", "two agree, else a third")
"""What a fixed sequence of arms can do, with a check or with agreement as the only evidence."""


@dataclass(slots=True)
class Tally:
    """What one method did over all splits and draws; one entry per draw in every list.

    Attributes:
        equal: Run at the quality of the arm that is best on the held-out tasks; where that was not
            reached, the run of that arm.
        reached: Whether it was reached.
        equal_chosen: The same for the arm that was best on train.
        reached_chosen: Whether its quality was reached.
        equal_ladder: The same for the ladder that was chosen on train.
        reached_ladder: Whether its quality was reached.
        tuned: Run with the dial set on train.
        frontier: Mean dollars and mean quality of every setting.
    """

    equal: list[Run] = field(default_factory=list)
    reached: list[bool] = field(default_factory=list)
    equal_chosen: list[Run] = field(default_factory=list)
    reached_chosen: list[bool] = field(default_factory=list)
    equal_ladder: list[Run] = field(default_factory=list)
    reached_ladder: list[bool] = field(default_factory=list)
    tuned: list[Run] = field(default_factory=list)
    frontier: list[list[tuple[float, float]]] = field(default_factory=list)


@dataclass(slots=True)
class Court:
    """One check: the tallies, and what they are compared with.

    Attributes:
        tallies: Method → what it did.
        best: Run of the arm that is best on the held-out tasks, per draw.
        chosen: Run of the arm that is best on train, per draw.
        clusters: Cluster of every task, per draw.
        arms: [T, K] dollars and quality of the arms, per draw.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    best: list[Run] = field(default_factory=list)
    chosen: list[Run] = field(default_factory=list)
    clusters: list[tuple[str, ...]] = field(default_factory=list)
    arms: list[tuple[Floats, Floats]] = field(default_factory=list)

    def hear(self, contenders: list[Method], *, train: Part, test: Part) -> None:
        """Run every method on one draw."""
        best, chosen = test.best_arm(), train.best_arm()
        self.best.append(test.alone(best))
        self.chosen.append(test.alone(chosen))
        self.arms.append((test.cost_usd, test.score))
        wanted = float(train.score[:, chosen].mean())
        lived: dict[str, list[Run]] = {}
        for method in contenders:
            tally = self.tallies.setdefault(method.name, Tally())
            runs = [method.run(test, setting) for setting in method.dial]
            on_train = [method.run(train, setting) for setting in method.dial]
            _note(method, runs, test.alone(best), (tally.equal, tally.reached))
            _note(method, runs, test.alone(chosen), (tally.equal_chosen, tally.reached_chosen))
            tally.tuned.append(runs[_cheapest(on_train, wanted)])
            tally.frontier.append([_mean(run) for run in runs])
            lived[method.name] = runs
        if self.ladder is not None:
            rival = self.ladder.tuned[-1]
            for method in contenders:
                tally = self.tallies[method.name]
                into = tally.equal_ladder, tally.reached_ladder
                _note(method, lived[method.name], rival, into)

    @property
    def ladder(self) -> Tally | None:
        """What the best fixed sequence of arms did; None where nothing is learned from an answer."""
        return next((self.tallies[name] for name in _LADDERS if name in self.tallies), None)


def hold(study: Study, matrix: OutcomeMatrix, *, seeds: int) -> Iterator[tuple[Check, Court]]:
    """Compare all methods on one study, check by check."""
    courts = {check: Court() for check in study.checks}
    for split in study.split(matrix, seeds):
        known = forecast(split, text=study.text)
        for check, court in courts.items():
            for draw in range(seeds if study.draws else 1):
                rng = np.random.default_rng([split.seed, draw])
                train = live(split.train, known.train, check, rng=rng)
                test = live(split.test, known.test, check, rng=rng)
                model = belief(split, known.model, check, train=train)
                contenders = methods(train, check, model, longest=study.longest)
                court.clusters.append(split.clusters)
                court.hear(contenders, train=train, test=test)
    yield from courts.items()


def verdicts(court: Court) -> list[Row]:
    """One row per method: cost at equal quality, and cost and quality as tuned on train."""
    return [_row(name, tally, court) for name, tally in court.tallies.items()]


def _row(name: str, tally: Tally, court: Court) -> Row:
    tuned_cost, tuned_quality = _join(tally.tuned)
    ladder = court.ladder
    row: Row = {
        "method": name,
        "at_best_arm": {
            "reached": f"{sum(tally.reached)}/{len(tally.reached)}",
            "cost_usd": float(_join(tally.equal)[0].mean()),
            "cost_vs_arm": _compare(tally.equal, court.best, court, "ratio"),
            "cost_vs_ladder": ladder and _compare(tally.equal, ladder.equal, court, "ratio"),
        },
        "at_chosen_arm": {
            "reached": f"{sum(tally.reached_chosen)}/{len(tally.reached_chosen)}",
            "cost_usd": float(_join(tally.equal_chosen)[0].mean()),
            "cost_vs_arm": _compare(tally.equal_chosen, court.chosen, court, "ratio"),
            "cost_vs_ladder": ladder
            and _compare(tally.equal_chosen, ladder.equal_chosen, court, "ratio"),
        },
        "at_chosen_ladder": ladder
        and {
            "reached": f"{sum(tally.reached_ladder)}/{len(tally.reached_ladder)}",
            "cost_vs_ladder": _compare(tally.equal_ladder, ladder.tuned, court, "ratio"),
        },
        "tuned_on_train": {
            "cost_usd": float(tuned_cost.mean()),
            "quality": float(tuned_quality.mean()),
            "cost_vs_arm": _compare(tally.tuned, court.chosen, court, "ratio"),
            "quality_vs_arm": _compare(tally.tuned, court.chosen, court, "difference"),
            "cost_vs_ladder": ladder and _compare(tally.tuned, ladder.tuned, court, "ratio"),
            "quality_vs_ladder": ladder
            and _compare(tally.tuned, ladder.tuned, court, "difference"),
            "cost_vs_mixing": _mixing(tuned_cost, tuned_quality, court),
            "quality_vs_mixing": _against_mixing(tuned_cost, tuned_quality, court),
        },
    }
    if len({len(points) for points in tally.frontier}) == 1:
        mean = np.array(tally.frontier).mean(axis=0)
        row["frontier"] = [[_short(cost), _short(quality)] for cost, quality in mean]
    return row


def _compare(
    first: list[Run], second: list[Run], court: Court, statistic: Literal["ratio", "difference"]
) -> list[float]:
    """Estimate, low and high end."""
    column = 0 if statistic == "ratio" else 1
    return _interval(_join(first)[column], _join(second)[column], court, statistic)


def _interval(
    first: Floats, second: Floats, court: Court, statistic: Literal["ratio", "difference"]
) -> list[float]:
    """Paired over tasks; tasks that come in several draws are resampled together."""
    clusters = [name for names in court.clusters for name in names]
    found = paired_bootstrap(
        first, second, statistic=statistic, clusters=clusters, draws=_RESAMPLES
    )
    return [_short(found.estimate), _short(found.low), _short(found.high)]


def _mixing(cost: Floats, quality: Floats, court: Court) -> float | None:
    """Cost by that of the cheapest mixture of two fixed arms of the same quality, in hindsight."""
    costs, qualities = (side.mean(axis=0) for side in _join(court.arms))
    hull = lower_hull(costs, qualities)
    wanted = float(quality.mean())
    if not qualities[hull[0]] <= wanted <= qualities[hull[-1]]:
        return None
    return _short(float(cost.mean()) / float(np.interp(wanted, qualities[hull], costs[hull])))


def _against_mixing(cost: Floats, quality: Floats, court: Court) -> list[float]:
    """Quality less that of the best mixture of two fixed arms of the same mean cost, in hindsight."""
    costs, scores = _join(court.arms)
    hull = lower_hull(costs.mean(axis=0), scores.mean(axis=0))
    place = float(np.interp(cost.mean(), costs.mean(axis=0)[hull], np.arange(len(hull))))
    low = hull[int(place)]
    high = hull[min(int(place) + 1, len(hull) - 1)]
    share = place - int(place)
    mixed = (1 - share) * scores[:, low] + share * scores[:, high]
    return _interval(quality, mixed, court, "difference")


def _note(method: Method, runs: list[Run], rival: Run, into: tuple[list[Run], list[bool]]) -> None:
    """Note the cheapest run as good as a rival, or the rival itself, and whether there was one."""
    goal = _mean(rival)[1]
    offered = [*runs, *_between(runs, goal)] if method.smooth else runs
    found = offered[_cheapest(offered, goal)]
    taken, reached = into
    reached.append(_mean(found)[1] >= goal - 1e-9)
    taken.append(found if reached[-1] else rival)


def _between(runs: list[Run], goal: float) -> Iterator[Run]:
    """Coins between neighbouring settings that just reach a quality: all that one of the two lacks."""
    for one, other in pairwise(runs):
        low, high = _mean(one)[1], _mean(other)[1]
        if (low < goal) != (high < goal):
            share = (goal - low) / (high - low)
            cost, quality = ((1 - share) * a + share * b for a, b in zip(one, other, strict=True))
            yield cost, quality


def _cheapest(runs: list[Run], goal: float) -> int:
    """The cheapest run that reaches a quality, else the one with the highest."""
    means = [_mean(run) for run in runs]
    good = [i for i, (_, quality) in enumerate(means) if quality >= goal - 1e-9]
    if good:
        return min(good, key=lambda i: means[i][0])
    return max(range(len(means)), key=lambda i: (means[i][1], -means[i][0]))


def _mean(run: Run) -> tuple[float, float]:
    return float(run[0].mean()), float(run[1].mean())


def _join(runs: list[Run]) -> tuple[Floats, Floats]:
    return np.concatenate([run[0] for run in runs]), np.concatenate([run[1] for run in runs])


def _short(number: float) -> float:
    return float(f"{number:.5g}")
