"""What the views show beyond the bare numbers: who is on the frontier, what was wasted, what it means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from effortctl._types._base import EFFORTS
from effortctl.harness._result import EvalResult, PolicyResult, Verdict
from effortctl.harness.report import _text

_FIRST = ("plan", "routing_only", "fixed_ladder", "random_mix")
_WORDS = {
    "plan": "plan",
    "routing_only": "routing only",
    "fixed_ladder": "fixed ladder",
    "random_mix": "random mix",
    "shuffled": "shuffled control",
}


def frontier_arms(result: EvalResult) -> frozenset[str]:
    """Arms that no other arm beats in dollars and quality at once."""
    return frozenset(name for name in result.arms if not _is_dominated(result, name))


def _is_dominated(result: EvalResult, name: str) -> bool:
    mine = result.arms[name]
    return any(
        other.cost_usd <= mine.cost_usd
        and other.quality >= mine.quality
        and (other.cost_usd < mine.cost_usd or other.quality > mine.quality)
        for other in result.arms.values()
    )


def effort_lines(result: EvalResult) -> Iterator[tuple[str, ...]]:
    """Arms of one model from its lowest effort to its highest, where it has several.

    `default` has no place in that order, so it is left out of a line.
    """
    models: dict[str, list[str]] = {}
    for name, arm in result.arms.items():
        if arm.model and arm.effort != "default":
            models.setdefault(arm.model, []).append(name)
    for names in models.values():
        if len(names) > 1:
            yield tuple(sorted(names, key=lambda name: _effort_order(result, name)))


def _effort_order(result: EvalResult, name: str) -> tuple[int, float]:
    arm = result.arms[name]
    known: tuple[str, ...] = EFFORTS
    return (known.index(arm.effort) if arm.effort in known else len(known), arm.cost_usd)


def level(result: EvalResult) -> str:
    """Nominal coverage of the result's intervals: `95%`."""
    known = result.provenance.get("level")
    return f"{100 * known:.3g}%" if isinstance(known, float) and 0 < known < 1 else "95%"


def policy_names(result: EvalResult) -> list[str]:
    """Policies worth a mark of their own, the most interesting first; fixed arms have theirs."""
    names = [name for name in result.policies if not is_fixed_arm(result, name)]
    return sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))


def is_fixed_arm(result: EvalResult, name: str) -> bool:
    """True for `fixed:<arm>`, which is an arm by another name."""
    return name.startswith("fixed:") and name.removeprefix("fixed:") in result.arms


def policy_label(name: str) -> str:
    """A policy's name as people say it; a fixed arm goes by its own name."""
    return _WORDS.get(name, _text.clean(name.removeprefix("fixed:")))


def main_policy(result: EvalResult) -> str | None:
    """The policy the verdict is about; the first adaptive one where it keeps a fixed arm."""
    names = policy_names(result)
    if result.verdict.policy in names:
        return result.verdict.policy
    return names[0] if names else None


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer, before anything else.

    Attributes:
        word: `ROUTE`, `KEEP` or `INCONCLUSIVE`.
        sentence: What it means, in one plain sentence.
        detail: The reason the evaluation gives, empty where it says the same.
    """

    word: str
    sentence: str
    detail: str

    @property
    def line(self) -> str:
        """Word and sentence in one line, the word once."""
        first, _, rest = self.sentence.partition(" ")
        return (
            f"{self.word} {rest}" if first.upper() == self.word else f"{self.word}: {self.sentence}"
        )


def headline(result: EvalResult) -> Headline:
    """The verdict as a sentence that never claims a saving inside the noise."""
    verdict = result.verdict
    made = {"route": _route, "keep_fixed": _keep, "inconclusive": _undecided}
    word = {"route": "ROUTE", "keep_fixed": "KEEP", "inconclusive": "INCONCLUSIVE"}
    sentence = made[verdict.decision](verdict)
    detail = _text.clean(verdict.reason)
    return Headline(
        word[verdict.decision], sentence, "" if detail.rstrip(".") in sentence else detail
    )


def _route(verdict: Verdict) -> str:
    who, base = _capital(policy_label(verdict.policy)), policy_label(verdict.baseline)
    points = _text.points(verdict.quality_difference)
    spread = _text.points_range(verdict.quality_ci95)
    quality, kind = f"({points} points {spread})", verdict.kind_of_quality
    if verdict.ci95[0] > 0:
        saving = f"{_text.whole_percent(verdict.saving)} {_text.percent_range(verdict.ci95, 0)}"
        if kind is None:
            return (
                f"{who} saves {saving} against {base}; quality changes by {points} points {spread}."
            )
        return f"{who} saves {saving} against {base} at {kind} quality {quality}."
    costs = (
        f"{_text.whole_percent(-verdict.saving)} {_text.percent_range(_negated(verdict.ci95), 0)}"
    )
    if kind == "better":
        return f"{who} is better than {base} {quality}; its cost changes by {costs}."
    return f"{who} gives more for the dollar than {base}: quality {quality}, cost {costs}."


def _negated(ends: tuple[float, float]) -> tuple[float, float]:
    return -ends[1], -ends[0]


def _keep(verdict: Verdict) -> str:
    return f"Keep {policy_label(verdict.policy)}: no policy beats it beyond noise."


def _undecided(verdict: Verdict) -> str:
    if verdict.n_needed is None:
        return "These tasks cannot tell whether routing pays."
    return (
        f"These tasks cannot tell whether routing pays: about "
        f"{_text.plural(verdict.n_needed, 'task')} would."
    )


def _capital(name: str) -> str:
    return f"The {name}" if name in _WORDS.values() else name


def cost_per_correct(cost_usd: float, quality: float) -> float | None:
    """Dollars per correct answer; None where nothing is correct."""
    return cost_usd / quality if quality else None


def wasted_share(result: EvalResult, name: str) -> float | None:
    """Share of a policy's dollars spent on answers it did not return; None where that is unknown."""
    policy = result.policies[name]
    if policy.metrics.get("wasted_spend_rate") is not None:
        return policy.metrics["wasted_spend_rate"]
    done = result.tasks.policies.get(name) if result.tasks is not None else None
    if result.tasks is None or done is None or not done.calls or not done.returned:
        return None
    total = sum(done.cost_usd)
    if not total:
        return None
    costs = result.tasks.costs_usd
    useful = sum(
        min(spent, costs[arm][task])
        for task, (arm, spent) in enumerate(zip(done.returned, done.cost_usd, strict=True))
        if arm in costs
    )
    return max(0.0, 1 - useful / total)


def spenders(result: EvalResult) -> list[tuple[str, PolicyResult]]:
    """Policies whose dollars are known by arm, and the best fixed arm to hold them against."""
    names = [*policy_names(result), *baseline_policy(result)]
    return [(name, result.policies[name]) for name in names if result.policies[name].spent_usd]


def baseline_policy(result: EvalResult) -> list[str]:
    """The policy that always takes the best fixed arm, where the result has it."""
    name = f"fixed:{result.best_fixed_arm}"
    return [name] if name in result.policies else []
