"""How far a run-time check can be trusted, arm by arm.

TPR = P(pass | correct), FPR = P(pass | wrong). A check whose TPR equals its FPR says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from effortctl._errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

VerifierKind = Literal["exact", "none", "recorded", "assumed"]

_PRIOR_TPR = (9.0, 1.0)
_PRIOR_FPR = (1.0, 3.0)
"""Beta priors of a check nobody has measured: it passes 9 of 10 right answers and 1 of 4 wrong ones,
with the weight of ten and of four answers."""

_SHARED_STRENGTH = 20.0
"""Answers' worth of trust in what all arms show together, when one model is judged."""


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """What a verdict is worth.

    Attributes:
        kind: `exact` (never wrong), `none` (no check), `recorded` (measured), `assumed` (told).
        tpr: [K] P(pass | correct).
        fpr: [K] P(pass | wrong).
        checked: [K] labelled verdicts behind the numbers; 0 unless recorded.
    """

    kind: VerifierKind
    tpr: Floats
    fpr: Floats
    checked: Floats

    @classmethod
    def exact(cls, arms: int) -> Reliability:
        """A check that is always right."""
        return cls("exact", np.ones(arms), np.zeros(arms), np.zeros(arms))

    @classmethod
    def none(cls, arms: int) -> Reliability:
        """No check: everything passes, which says nothing."""
        return cls("none", np.ones(arms), np.ones(arms), np.zeros(arms))

    @classmethod
    def assumed(cls, arms: int, *, tpr: float, fpr: float) -> Reliability:
        """A check as good as somebody says.

        Raises:
            ConfigError: A rate is not in 0..1, or wrong answers pass more often than right ones.
        """
        if not 0 <= fpr <= tpr <= 1:
            raise ConfigError(f"tpr {tpr} and fpr {fpr}: expected 0 <= fpr <= tpr <= 1")
        return cls("assumed", np.full(arms, tpr), np.full(arms, fpr), np.zeros(arms))


def fit_reliability(
    verdict: NDArray[np.int8], score: Floats, *, models: Sequence[str]
) -> Reliability:
    """Estimate the rates from verdicts on answers whose correctness is known.

    Rates of one model are pooled over its efforts and drawn towards the rates of all arms.

    Args:
        verdict: [T, K] 1 pass, 0 fail, negative where there was no verdict.
        score: [T, K] in 0..1; NaN where unknown.
        models: [K].
    """
    labelled = (verdict >= 0) & ~np.isnan(score)
    passed = np.where(labelled, verdict, 0).astype(float)
    right = np.where(labelled, score, 0.0)
    wrong = np.where(labelled, 1 - score, 0.0)
    tpr = _rates(passed, right, models, prior=_PRIOR_TPR)
    fpr = _rates(passed, wrong, models, prior=_PRIOR_FPR)
    return Reliability("recorded", tpr, np.minimum(fpr, tpr), labelled.sum(axis=0).astype(float))


def _rates(
    passed: Floats, mass: Floats, models: Sequence[str], *, prior: tuple[float, float]
) -> Floats:
    hits, trials = (passed * mass).sum(axis=0), mass.sum(axis=0)
    shared = (hits.sum() + prior[0]) / (trials.sum() + sum(prior))
    strength = min(_SHARED_STRENGTH, sum(prior) + trials.sum())
    names = np.asarray(models, dtype=str)
    same = (names[:, None] == names[None, :]).astype(float)
    return np.asarray((same @ hits + strength * shared) / (same @ trials + strength))


def fit_agreement(answers: NDArray[np.object_], score: Floats) -> tuple[Floats, Floats]:
    """What agreement with another arm is worth, where no check exists.

    Two answers agree when their texts are equal but for case and surrounding blanks.

    Args:
        answers: [T, K] texts or None.
        score: [T, K] in 0..1; NaN where unknown.

    Returns:
        Two [K, K] arrays: P(arm i agrees with arm j | j correct) and P(agrees | j wrong). The
        diagonals are 1: an arm's agreement with itself says nothing.
    """
    tidy = np.array(
        [[None if a is None else str(a).strip().casefold() for a in row] for row in answers],
        dtype=object,
    ).reshape(answers.shape)
    arms = score.shape[1]
    tpr, fpr = np.ones((arms, arms)), np.ones((arms, arms))
    known = np.array([[a is not None for a in row] for row in tidy]).reshape(tidy.shape)
    for i in range(arms):
        for j in range(arms):
            if i != j:
                both = known[:, i] & known[:, j] & ~np.isnan(score[:, j])
                agree = (tidy[both, i] == tidy[both, j]).astype(float)
                tpr[i, j] = _shrunk(agree, score[both, j], prior=_PRIOR_TPR)
                fpr[i, j] = _shrunk(agree, 1 - score[both, j], prior=_PRIOR_FPR)
    return tpr, fpr


def _shrunk(hit: Floats, mass: Floats, *, prior: tuple[float, float]) -> float:
    return float(((hit * mass).sum() + prior[0]) / (mass.sum() + sum(prior)))
