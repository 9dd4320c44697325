"""Does routing pay? One decision, in which a saving inside the noise has no place.

A policy pays if, on tasks nothing was chosen by, one of three things is shown: it is *cheaper* than the
best fixed arm with no more than a point of quality lost; it is *better* for no more than 2 % more dollars;
or its curve reaches the *same* quality for less, and it is not seen to lose more than a point itself. And
it must be shown to lie above every mixture of fixed arms, so that no change of the default would do the
same. Where the user said what a correct answer is worth, it pays if it is worth more than every fixed arm.
Where the user set dollars or a quality to keep, and the policy keeps them, better or cheaper is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from effortctl._stats import tasks_needed
from effortctl.harness._result import Decision, Verdict
from effortctl.harness.evaluation._bench import Bench, Equal
from effortctl.harness.evaluation._intervals import Mean
from effortctl.harness.evaluation._lives import Run
from effortctl.harness.evaluation._tuning import EPSILON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

COST_SLACK = 0.02
"""Share by which a policy with better quality may cost more."""

_HOPELESS = 10
"""An evaluation is inconclusive only if so many times the tasks would decide; else the gain is too small."""

_ALWAYS_FEASIBLE = 1000
"""So many tasks are never too many to ask for."""

_MATERIAL = 0.99
"""Prediction adds something if even the upper end of its cost, by the fixed ladder's, is below this."""

_SIMPLEST = ("fixed_ladder", "routing_only", "plan")
"""Of two policies that pay, the simpler one is used unless the other is shown to be cheaper."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Something that has to be shown: a mean is above a number.

    Attributes:
        mean: The mean.
        null: The number.
        reached: A mean without any doubt may also be the number itself.
    """

    mean: Mean
    null: float
    reached: bool = False

    @property
    def p(self) -> float:
        """One-sided p-value."""
        if self.reached and not self.mean.error and self.mean.value == self.null:
            return 0.0
        return self.mean.p_above(self.null)

    def needed(self, alpha: float) -> int | None:
        """Tasks that would show it, if the mean seen is the true one."""
        if self.p == 0:
            return 2
        return self.mean.needed(self.null, alpha=alpha)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Something that has to be shown by resampling: an equal quality costs less."""

    equal: Equal

    @property
    def p(self) -> float:
        """One-sided p-value."""
        return self.equal.p

    def needed(self, alpha: float) -> int | None:
        """As for `Shown`; the standard error is read off the p-value."""
        away = NormalDist().inv_cdf(1 - min(self.equal.p, 0.9999))
        return tasks_needed(self.equal.tasks**0.5, away, alpha=alpha)


@dataclass(frozen=True, slots=True)
class Trial:
    """A policy against all fixed arms.

    Attributes:
        name: The policy.
        run: What it did.
        claims: Lists of what has to be shown together; one list is enough.
        always: What has to be shown in any case.
    """

    name: str
    run: Run
    claims: tuple[tuple[Shown | Drawn, ...], ...]
    always: tuple[Shown, ...]

    @property
    def p(self) -> float:
        """P-value of "it does not pay": intersection-union over the parts, union over the claims.

        The claims need no correction among themselves: one is false whenever the other is, but for a
        policy that is dearer by less than the slack.
        """
        claim = min(max(part.p for part in claim) for claim in self.claims)
        return max([claim, *(part.p for part in self.always)])

    def needed(self, alpha: float) -> int | None:
        """About how many tasks would show it, if the means seen are the true ones."""
        found = [_all(claim + self.always, alpha) for claim in self.claims]
        known = [count for count in found if count is not None]
        return min(known) if known else None


def _all(parts: Sequence[Shown | Drawn], alpha: float) -> int | None:
    counts = [part.needed(alpha) for part in parts]
    known = [count for count in counts if count is not None]
    return max(known) if len(known) == len(counts) else None


def trial(name: str, run: Run, bench: Bench, equal: Equal | None) -> Trial:
    """State what has to be shown of a policy.

    Args:
        name: The policy.
        run: What it did, as set on the learning tasks.
        bench: What it is held against.
        equal: What the baseline's quality costs on its curve.
    """
    sample, lives = bench.sample, bench.lives
    if bench.target.kind == "value_usd":
        value = bench.target.amount
        gained = value * (run.quality[:, None] - lives.score)
        spent = run.cost_usd[:, None] - lives.cost_usd
        parts = tuple(
            Shown(sample.worth(gained[:, j], spent[:, j], caution=value), 0.0)
            for j in range(len(bench.arms))
        )
        return Trial(name, run, (parts,), ())
    base_cost, base_score = lives.cost_usd[:, bench.baseline], lives.score[:, bench.baseline]
    better = sample.mean(run.quality - base_score, caution=1.0)
    cheaper = sample.dollars(base_cost - run.cost_usd)
    affordable = sample.dollars((1 + COST_SLACK) * base_cost - run.cost_usd)
    claims: tuple[tuple[Shown | Drawn, ...], ...] = (
        (Shown(cheaper, 0.0), Shown(better, -EPSILON)),
        (Shown(better, 0.0), Shown(affordable, 0.0, reached=True)),
    )
    if equal is not None and better.value >= -EPSILON:
        claims = (*claims, (Shown(cheaper, 0.0), Drawn(equal)))
    if _meets(run, bench):
        claims = (*claims, (Shown(better if _spends(bench) else cheaper, 0.0),))
    return Trial(name, run, claims, (Shown(bench.gain(run.cost_usd, run.quality), 0.0),))


def _meets(run: Run, bench: Bench) -> bool:
    """The policy is seen to keep a target of the user's own; fixed arms need no more, either."""
    amount = bench.target.amount
    if bench.target.kind == "max_cost_usd":
        return bool(run.cost_usd.mean() <= (1 + COST_SLACK) * amount)
    return bench.target.kind == "min_quality" and bool(run.quality.mean() >= amount - EPSILON)


def _spends(bench: Bench) -> bool:
    """For this target more quality is wanted, not fewer dollars; also where no arm has enough of it."""
    if bench.target.kind == "max_cost_usd":
        return True
    return bool(bench.arm_means[1][bench.baseline] < bench.target.amount - EPSILON)


def paying(trials: Sequence[Trial], *, level: float) -> list[Trial]:
    """Policies shown to pay, with at most `1 - level` chance that any of them does not.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure; no threshold is above
    that of one tail of the interval, so what pays also has an interval that says so.
    """
    alpha = 1 - level
    found: list[Trial] = []
    for rank, each in enumerate(sorted(trials, key=lambda t: t.p)):
        if each.p > min(alpha / (len(trials) - rank), alpha / 2):
            break
        found.append(each)
    return found


def decide(
    runs: dict[str, Run],
    bench: Bench,
    *,
    equal: dict[str, Equal | None],
    added: dict[str, Equal | None],
) -> Verdict:
    """Come to a verdict.

    Args:
        runs: What the policies did, as set on the learning tasks.
        bench: What they are held against.
        equal: Policy → its cost at the quality of the baseline.
        added: Policy → its cost at the quality of the fixed ladder.
    """
    trials = [
        trial(name, run, bench, equal[name]) for name, run in runs.items() if not _fixed(run, bench)
    ]
    good = {each.name: each for each in paying(trials, level=bench.level)} if trials else {}
    base = bench.arms[bench.baseline]
    if good:
        chosen = _simplest(good, added)
        reason = _why_route(chosen, good, added, bench) + _wanted(good[chosen].run, bench)
        return _verdict(good[chosen], bench, decision="route", reason=reason)
    alpha = (1 - bench.level) / max(1, len(trials))
    hopeful = [
        (need, each)
        for each in trials
        if (need := each.needed(alpha)) is not None
        and need <= max(_ALWAYS_FEASIBLE, _HOPELESS * bench.sample.tasks)
        and _matters(each.run, bench)
    ]
    if hopeful:
        need, each = min(hopeful, key=lambda pair: pair[0])
        need = max(need, bench.sample.tasks + 1)
        return _verdict(
            each,
            bench,
            decision="inconclusive",
            n_needed=_rounded(need),
            reason=f"{_said(each.name)} looks better than {base}, but not beyond the noise of "
            f"{_counted(bench.sample.tasks, bench)}; if what was seen is true, about "
            f"{_counted(_rounded(need), bench)} would show it.",
        )
    closest = min(trials, key=lambda t: t.p, default=None)
    reason = f"no policy is shown to be cheaper at the quality of {base}, or better at its cost"
    if closest is None:
        return _kept(bench, f"{reason}: on these tasks every policy is one fixed arm.")
    seen = _verdict(closest, bench, decision="inconclusive", reason=reason)
    return _kept(bench, f"{reason}; {_said(closest.name)} came closest{_how_close(seen)}.")


def _how_close(seen: Verdict) -> str:
    """What was seen of a policy that does not pay: `, at 12 % less [-3, 25] and -0.4 points [-2.1, +1.3]`."""
    ends = seen.ci95 if seen.saving >= 0 else (-seen.ci95[1], -seen.ci95[0])
    low, high = (round(100 * end) for end in ends)
    word = "less" if seen.saving >= 0 else "more"
    points = ", ".join(f"{100 * end:+.1f}" for end in seen.quality_ci95)
    return (
        f", at {100 * abs(seen.saving):.0f} % {word} [{low}, {high}] and "
        f"{100 * seen.quality_difference:+.1f} points [{points}]"
    )


def _counted(tasks: int, bench: Bench) -> str:
    """So many tasks; and clusters, where tasks come in them, because it is those that count."""
    sample = bench.sample
    if sample.groups == sample.tasks:
        return f"{tasks:,} tasks"
    return f"{tasks:,} tasks in {-(-tasks * sample.groups // sample.tasks):,} clusters"


def _matters(run: Run, bench: Bench) -> bool:
    """What was seen is worth more tasks: 2 % of the dollars, or a point of quality."""
    if bench.target.kind == "value_usd":
        return True
    cost, quality = (means[bench.baseline] for means in bench.arm_means)
    cheaper = float(run.cost_usd.mean()) <= (1 - COST_SLACK) * cost
    return bool(cheaper or float(run.quality.mean()) >= quality + EPSILON)


def _fixed(run: Run, bench: Bench) -> bool:
    """The policy is the same fixed arm on every task."""
    lives = bench.lives
    same = (run.quality[:, None] == lives.score) & (
        np.abs(run.cost_usd[:, None] - lives.cost_usd) <= 1e-12
    )
    return bool((same & (run.tried > 0)).all(axis=0).any())


def _simplest(good: dict[str, Trial], added: dict[str, Equal | None]) -> str:
    ranked = [name for name in _SIMPLEST if name in good]
    ranked += [name for name in good if name not in ranked]
    chosen = ranked[0]
    for name in ranked[1:]:
        more = added.get(name)
        if chosen != "fixed_ladder" or (more is not None and more.interval[1] < _MATERIAL):
            chosen = name
    return chosen


def _why_route(
    chosen: str, good: dict[str, Trial], added: dict[str, Equal | None], bench: Bench
) -> str:
    base = bench.arms[bench.baseline]
    start = f"{_said(chosen)} beats {base} and every mixture of fixed arms beyond noise"
    more = added.get("plan")
    if more is None:
        return f"{start}."
    low, high = (round(100 * (1 - end)) for end in reversed(more.interval))
    by = f"{100 * (1 - more.ratio):.0f} % [{low}, {high}] of the fixed ladder's cost at its quality"
    sure = more.interval[1] < _MATERIAL
    if chosen != "fixed_ladder" and "fixed_ladder" not in good:
        start += ", which the fixed ladder is not shown to do"
    elif chosen == "fixed_ladder" and sure:
        return f"{start}; prediction would save {by}."
    if sure:
        return f"{start}; prediction saves {by}."
    return f"{start}; prediction adds nothing beyond noise to a fixed ladder (it saves {by})."


def _wanted(run: Run, bench: Bench) -> str:
    """The user's own target, and how near the policy was seen to come."""
    amount = bench.target.amount
    if bench.target.kind == "max_cost_usd":
        return f" Wanted: at most ${amount:.3g} per task; seen: ${run.cost_usd.mean():.3g}."
    if bench.target.kind == "min_quality":
        return f" Wanted: {amount:.1%} quality; seen: {run.quality.mean():.1%}."
    return ""


def _said(policy: str) -> str:
    """A policy's name inside a sentence."""
    article = "the " if policy in ("plan", "fixed_ladder") else ""
    return article + policy.replace("_", " ")


def _verdict(
    each: Trial,
    bench: Bench,
    *,
    decision: Decision,
    reason: str,
    n_needed: int | None = None,
) -> Verdict:
    saving, saving_ci = bench.saving_of(each.run.cost_usd)
    difference = bench.sample.mean(
        each.run.quality - bench.lives.score[:, bench.baseline], caution=1.0
    )
    low, high = difference.interval(bench.level)
    return Verdict(
        decision=decision,
        policy=each.name,
        baseline=bench.arms[bench.baseline],
        saving=saving,
        ci95=saving_ci,
        quality_difference=difference.value,
        quality_ci95=(max(low, -1.0), min(high, 1.0)),
        n_needed=n_needed,
        reason=reason[0].upper() + reason[1:],
    )


def _kept(bench: Bench, reason: str) -> Verdict:
    """The arm to keep saves nothing against itself."""
    keep = bench.arms[bench.baseline]
    return Verdict(
        decision="keep_fixed",
        policy=keep,
        baseline=keep,
        saving=0.0,
        ci95=(0.0, 0.0),
        quality_difference=0.0,
        quality_ci95=(0.0, 0.0),
        reason=reason[0].upper() + reason[1:],
    )


def _rounded(count: int) -> int:
    """Two digits: more would pretend to know."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
