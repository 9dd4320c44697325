"""Tasks that every arm was tried on, and what is expected of them: all a policy is run on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Lives:
    """T tasks, K arms, D draws of the verdicts.

    Attributes:
        score: [T, K] quality of each arm's answer, 0..1; its expectation where several were scored.
        cost_usd: [T, K] dollars of each try.
        outcome: [D, T, K] score of the answer that is checked; drawn where scores are fractions.
        passed: [D, T, K] does the check pass it? Under agreement [1, T, K, K].
    """

    score: Floats
    cost_usd: Floats
    outcome: Floats
    passed: Bools

    def __len__(self) -> int:
        return len(self.score)

    @property
    def agreeing(self) -> bool:
        """The evidence is agreement between arms."""
        return self.passed.ndim == 4

    def rows(self, chosen: Rows) -> Lives:
        """Some tasks."""
        return Lives(
            self.score[chosen],
            self.cost_usd[chosen],
            self.outcome[:, chosen],
            self.passed[:, chosen],
        )

    def arms(self, keep: Rows) -> Lives:
        """Some arms."""
        passed = self.passed[:, :, keep]
        if self.agreeing:
            passed = passed[:, :, :, keep]
        return Lives(self.score[:, keep], self.cost_usd[:, keep], self.outcome[:, :, keep], passed)


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What is expected of every arm on every task; both [T, K]."""

    p: Floats
    cost_usd: Floats

    def rows(self, chosen: Rows) -> Expected:
        """Some tasks."""
        return Expected(self.p[chosen], self.cost_usd[chosen])

    def arms(self, keep: Rows) -> Expected:
        """Some arms."""
        return Expected(self.p[:, keep], self.cost_usd[:, keep])


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a policy did, averaged over draws of the verdicts.

    Attributes:
        cost_usd: [T] dollars of all tries.
        quality: [T] score of the answer returned, 0 where there is none.
        tried: [T, K] share of the draws in which the arm was tried.
        escalated: [T] share of the draws with more than one call.
        wasted_usd: [T] dollars of answers that were not returned.
        accepted: [T] share of the draws in which the answer returned had passed its check.
        false_accepts: [T] of those, share in which it was wrong.
        order: [T, K] arms in the order they were tried in the first draw, then -1.
        answer: [T] arm whose answer was returned in the first draw, or -1.
    """

    cost_usd: Floats
    quality: Floats
    tried: Floats
    escalated: Floats
    wasted_usd: Floats
    accepted: Floats
    false_accepts: Floats
    order: Rows
    answer: Rows


def settle(lives: Lives, order: Rows, answer: Rows, *, blind: bool = False) -> Run:
    """Charge every try and score every answer.

    Args:
        lives: What happened.
        order: [D, T, K] arms in the order they were tried, then -1.
        answer: [D, T] arm whose answer was returned, or -1.
        blind: No verdict had a say, so the expected score of an answer is exact.
    """
    draws, tasks, arms = order.shape
    tried = np.zeros((draws, tasks, arms + 1), dtype=np.bool_)
    np.put_along_axis(tried, order, values=True, axis=2)  # -1 is the spare last column
    share = tried[..., :arms].mean(axis=0)
    rows = np.arange(tasks)
    given, held = answer >= 0, np.maximum(answer, 0)
    seen = np.take_along_axis(lives.outcome, held[..., None], axis=2)[..., 0]
    score = np.where(given, lives.score[rows, held] if blind else seen, 0.0)
    kept = np.where(given, lives.cost_usd[rows, held], 0.0).mean(axis=0)
    cost = (share * lives.cost_usd).sum(axis=1)
    if lives.agreeing:
        passed = given
    else:
        passed = given & np.take_along_axis(lives.passed, held[..., None], axis=2)[..., 0]
    wrong = passed & (seen <= 0.5)
    return Run(
        cost,
        score.mean(axis=0),
        share,
        (order[:, :, 1:2] >= 0).any(axis=2).mean(axis=0),
        np.maximum(cost - kept, 0.0),
        passed.mean(axis=0),
        wrong.mean(axis=0),
        order[0],
        answer[0],
    )


def blend(first: Run, second: Run, share: float) -> Run:
    """Toss a coin for every task: the second run with this probability, else the first."""
    fields = [name for name in Run.__dataclass_fields__ if name not in ("order", "answer")]
    mixed = {
        name: (1 - share) * getattr(first, name) + share * getattr(second, name) for name in fields
    }
    likelier = second if share > 0.5 else first
    return Run(**mixed, order=likelier.order, answer=likelier.answer)


def join(runs: list[Run], places: list[Rows]) -> Run:
    """Put the runs of parts of the tasks together."""
    total = sum(len(place) for place in places)
    joined = {}
    for name in Run.__dataclass_fields__:
        parts = [getattr(run, name) for run in runs]
        whole = np.empty((total, *parts[0].shape[1:]), dtype=parts[0].dtype)
        for place, part in zip(places, parts, strict=True):
            whole[place] = part
        joined[name] = whole
    return Run(**joined)
