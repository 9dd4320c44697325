"""What is learned about an answer at run time, and what a plan may believe of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from effortctl._errors import ConfigError
from effortctl.estimators import Reliability, fit_reliability
from effortctl.harness.evaluation._lives import Lives
from effortctl.policies import Agreement, draw_verdicts
from effortctl.stores._matrix import MISSING, PASS, OutcomeMatrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

Verifier: TypeAlias = (
    Literal["exact", "none", "recorded", "agreement"] | tuple[float, float] | list[float]
)
"""`exact` is never wrong; `none` passes everything; `recorded` takes the verdicts that were recorded;
`agreement` sees only whether two arms gave the same answer; two numbers are P(pass | correct) and
P(pass | wrong), from which verdicts are drawn."""

CORRECT = 0.5
"""A score above it counts as correct when a check has to say yes or no."""

DRAWS = 20
"""Draws over which everything is averaged where verdicts or fractional outcomes have to be drawn."""

_PRIOR = 4.0
"""Made-up pairs of answers that keep a rate of agreement away from 0 and 1."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check of answers.

    Attributes:
        kind: As in `Verifier`; `rates` where two numbers were given.
        tpr: P(pass | correct), for `rates`.
        fpr: P(pass | wrong), for `rates`.
    """

    kind: Literal["exact", "none", "recorded", "agreement", "rates"]
    tpr: float = 1.0
    fpr: float = 0.0

    @classmethod
    def of(cls, verifier: Verifier) -> Check:
        """Read what a user wrote.

        Raises:
            ConfigError: It is none of the choices, or the rates make no sense.
        """
        for kind in ("exact", "none", "recorded", "agreement"):
            if verifier == kind:
                return cls(kind)
        if isinstance(verifier, tuple | list) and len(verifier) == 2:
            tpr, fpr = (float(rate) for rate in verifier)
            Reliability.assumed(1, tpr=tpr, fpr=fpr)
            return cls("rates", tpr, fpr)
        raise ConfigError(
            f"verifier is {verifier!r}; expected exact, none, recorded, agreement or two rates (tpr, fpr)"
        )

    @property
    def label(self) -> str:
        """As it is named in results."""
        return f"{self.tpr:g},{self.fpr:g}" if self.kind == "rates" else self.kind

    def checked(self, matrix: OutcomeMatrix) -> Bools:
        """[T] is the evidence of every arm known?"""
        if self.kind == "recorded":
            return np.array((matrix.verdict != MISSING).all(axis=1), dtype=np.bool_)
        if self.kind == "agreement":
            if matrix.answers is None:
                return np.zeros(len(matrix), dtype=np.bool_)
            known = [all(answer is not None for answer in row) for row in matrix.answers]
            return np.array(known, dtype=np.bool_)
        return np.ones(len(matrix), dtype=np.bool_)

    def live(self, matrix: OutcomeMatrix, *, seed: Any) -> Lives:
        """What happened on tasks without holes, and what the check said of it.

        A fractional score is the chance that an answer is right: where a verdict is drawn, so is the
        answer it is about.
        """
        score = matrix.score
        outcome, passed = score[None], np.ones((1, *score.shape), dtype=np.bool_)
        if self.kind == "agreement":
            passed = _agree(matrix)[None]
        elif self.kind == "recorded":
            passed = np.asarray(matrix.verdict == PASS)[None]
        elif self.kind in ("exact", "rates"):
            rng = np.random.default_rng(seed)
            draws = DRAWS if self.kind == "rates" or fractional(score) else 1
            outcome = (rng.random((draws, *score.shape)) < score).astype(float)
            right = outcome > CORRECT
            passed = (
                right if self.kind == "exact" else draw_verdicts(right, self.tpr, self.fpr, rng=rng)
            )
        return Lives(score, matrix.cost_usd, outcome, passed)

    def reliability(self, matrix: OutcomeMatrix) -> Reliability:
        """What a verdict is worth, measured on the learning tasks where verdicts are recorded."""
        arms = len(matrix.arms)
        if self.kind == "recorded":
            return fit_reliability(matrix.verdict, matrix.score, models=matrix.models)
        if self.kind == "exact":
            return Reliability.exact(arms)
        if self.kind == "rates":
            return Reliability.assumed(arms, tpr=self.tpr, fpr=self.fpr)
        return Reliability.none(arms)


def fractional(score: Floats) -> bool:
    """Are some scores neither right nor wrong?"""
    return bool(((score > 0) & (score < 1)).any())


def agreement_of(score: Floats, agree: Bools) -> Agreement:
    """How often arms agree when both, one or none of them is right.

    Args:
        score: [T, K].
        agree: [T, K, K].
    """
    right = score > CORRECT
    both: Bools = right[:, :, None] & right[:, None, :]
    one: Bools = right[:, :, None] ^ right[:, None, :]

    def share(where: Bools, prior: float) -> Floats:
        rate: Floats = ((agree & where).sum(axis=0) + _PRIOR * prior) / (where.sum(axis=0) + _PRIOR)
        return rate

    return Agreement(
        both_right=share(both, 1.0), one_right=share(one, 0.0), both_wrong=share(~both & ~one, 0.3)
    )


def _agree(matrix: OutcomeMatrix) -> Bools:
    assert matrix.answers is not None  # noqa: S101 - `checked` has said so
    _, number = np.unique(
        np.array([str(answer).strip().casefold() for answer in matrix.answers.ravel()]),
        return_inverse=True,
    )
    table = number.reshape(matrix.score.shape)
    return np.asarray(table[:, :, None] == table[:, None, :])
