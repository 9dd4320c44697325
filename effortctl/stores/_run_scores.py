"""Which step of a failed agent run was to blame: nobody knows, but how likely each is can be worked out.

Only the score of a whole run is told. A run that succeeded had steps that were good enough. One that failed
had at least one that was not; which, is found by expectation-maximisation (Dempster, Laird & Rubin 1977):

    P(step i was wrong | the run failed)  =  (1 - p_i) / (1 - product of all p_j)
    p of an arm                           =  mean of P(right) over its steps

again and again until nothing changes. Marking every step of a failed run as wrong, which is simpler,
would make arms the worse the longer the runs are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from statistics import fmean

from effortctl._types import Trace

SESSION = "session"
"""Key of a trace's metadata under which its session's id is found."""

_ROUNDS = 200
_CLOSE_ENOUGH = 1e-6
_START = 0.8
_PRIOR = (1.6, 2.0)
"""Right answers, of answers: what every arm is taken to have given before."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A step whose answer no check and nobody has judged: which attempt, and of which arm."""

    at: tuple[str, int]
    arm: str


def run_scores(
    traces: Iterable[Trace], scores: Mapping[str, float]
) -> dict[tuple[str, int], float]:
    """P(the step was right) by (trace id, position of the attempt), from the scores of whole runs.

    Only steps that a `Session` made are looked at, and of these only the ones whose returned answer
    neither a check nor anybody has judged; steps a check has passed are taken to be right.

    Args:
        traces: Finished traces.
        scores: Of sessions and of traces, by id.
    """
    runs: dict[str, list[_Step]] = defaultdict(list)
    for trace in traces:
        step, run = _unjudged(trace), trace.metadata.get(SESSION, "")
        if step is not None and run in scores and trace.id not in scores:
            runs[run].append(step)
    told = [(scores[run], steps) for run, steps in runs.items()]
    chances: dict[str, float] = defaultdict(lambda: _START)
    for _ in range(_ROUNDS):
        found = {step.at: right for run in told for step, right in _blamed(*run, chances)}
        after = _by_arm([step for _, steps in told for step in steps], found)
        moved = max((abs(p - chances[arm]) for arm, p in after.items()), default=0.0)
        chances.update(after)
        if moved < _CLOSE_ENOUGH:
            break
    return {step.at: right for run in told for step, right in _blamed(*run, chances)}


def _blamed(
    score: float, steps: Sequence[_Step], chances: Mapping[str, float]
) -> Iterable[tuple[_Step, float]]:
    """P(right) of every step of a run."""
    failed = 1.0 - prod(chances[step.arm] for step in steps)
    for step in steps:
        wrong = (1.0 - chances[step.arm]) / failed if failed > 0 else 1.0 / len(steps)
        yield step, 1.0 - (1.0 - score) * wrong


def _by_arm(steps: Sequence[_Step], found: Mapping[tuple[str, int], float]) -> dict[str, float]:
    by_arm: dict[str, list[float]] = defaultdict(list)
    for step in steps:
        by_arm[step.arm].append(found[step.at])
    right, of = _PRIOR
    return {
        arm: (fmean(each) * len(each) + right) / (len(each) + of) for arm, each in by_arm.items()
    }


def _unjudged(trace: Trace) -> _Step | None:
    best = trace.best
    if best is None or (best.verdict is not None and best.verdict.status != "abstain"):
        return None
    position = next(at for at, attempt in enumerate(trace.attempts) if attempt is best)
    return _Step((trace.id, position), best.arm)
