"""Recorded tasks that every arm was tried on, and what plans and ladders would have done with them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from effortctl._errors import ConfigError
from effortctl.estimators import FittedModel, Reliability
from effortctl.policies import (
    Agreement,
    BeliefModel,
    Forecast,
    Recorded,
    Replay,
    SameAnswer,
    Terms,
    answer_key,
    draw_verdicts,
    replay_plan,
)
from effortctl.stores._matrix import MISSING, PASS, OutcomeMatrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl._types import Task

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Rows = NDArray[np.intp]

VerifierChoice: TypeAlias = Literal["exact", "none", "recorded", "agreement"] | tuple[float, float]
"""What checks answers at run time: `exact` is never wrong; `none` lets everything pass; `recorded` is as
good as its recorded verdicts show; `agreement` compares the answers of the arms with each other; two
numbers are P(pass | correct) and P(pass | wrong)."""

_CORRECT = 0.5

_DOUBT = 4.0
"""Pairs' worth of trust in what agreement is usually worth, where two arms met seldom."""


def reliability_of(verifier: VerifierChoice, *, arms: int) -> Reliability | None:
    """What a verdict of this verifier is worth; None: to be measured on recorded verdicts.

    Raises:
        ConfigError: It is none of the choices.
    """
    if verifier == "recorded":
        return None
    if verifier == "exact":
        return Reliability.exact(arms)
    if verifier in ("none", "agreement"):
        return Reliability.none(arms)
    if isinstance(verifier, tuple):
        return Reliability.assumed(arms, tpr=verifier[0], fpr=verifier[1])
    raise ConfigError(
        f"verifier is {verifier!r}; expected 'exact', 'none', 'recorded', 'agreement' or (tpr, fpr)"
    )


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """T tasks, each tried by all of K arms.

    Attributes:
        matrix: Scores without a hole.
        passed: [T, K] does the check pass the answer? Without a check everything passes.
        price_usd: [T, K] dollars of a try, the price of waiting for it included. An amount that was not
            recorded is the arm's mean.
        agree: [T, K, K] do two arms give the same answer? None where agreement is no evidence.
    """

    matrix: OutcomeMatrix
    passed: Bools
    price_usd: Floats
    agree: Bools | None = None

    @classmethod
    def of(
        cls,
        matrix: OutcomeMatrix,
        reliability: Reliability | None,
        *,
        same_answer: SameAnswer | None = None,
        usd_per_second: float = 0.0,
        means: Means | None = None,
        seed: int = 0,
    ) -> HeldOut:
        """Ask the check about every answer of a matrix without holes.

        Args:
            matrix: See `complete`.
            reliability: Of the check; None: its verdicts are in the matrix.
            same_answer: How the answers are compared with each other; None: they are not.
            usd_per_second: Dollars a second of waiting costs.
            means: Stand in for dollars and seconds that are missing. None: those of the matrix.
            seed: Of the verdicts that are drawn where only the rates of the check are known.

        Raises:
            ConfigError: An arm has no recorded dollars, or seconds have a price and were not recorded.
        """
        known = means or Means.of(matrix)
        price = np.where(np.isnan(matrix.cost_usd), known.cost_usd, matrix.cost_usd)
        if usd_per_second:
            usual = [known.seconds(priced=True)[arm] for arm in matrix.arms]
            seconds = np.where(np.isnan(matrix.latency_s), usual, matrix.latency_s)
            price = price + usd_per_second * seconds
        agree = None if same_answer is None else same_answers(matrix, same_answer)
        return cls(matrix, _passed(matrix, reliability, seed), price, agree)

    def __len__(self) -> int:
        return len(self.matrix)

    def rows(self, chosen: Rows) -> HeldOut:
        """The tasks at these positions."""
        return HeldOut(
            self.matrix.select_tasks(chosen),
            self.passed[chosen],
            self.price_usd[chosen],
            None if self.agree is None else self.agree[chosen],
        )

    def arms(self, names: Sequence[str]) -> HeldOut:
        """Only these arms, in this order."""
        at = [self.matrix.arm_index(name) for name in names]
        return HeldOut(
            self.matrix.select_arms(names),
            self.passed[:, at],
            self.price_usd[:, at],
            None if self.agree is None else self.agree[:, at][:, :, at],
        )

    def replay(self, forecast: Forecast, belief: BeliefModel, terms: Terms) -> Replay:
        """Run the plan of every task, with what it really would have cost and scored.

        Args:
            forecast: What was expected of the tasks, by a model that had not seen them.
            belief: How failures hang together and what verdicts are worth.
            terms: What a correct answer and a second are worth.
        """
        known = self.arms(forecast.arms)
        verdicts = known.passed if known.agree is None else known.agree
        recorded = Recorded(known.matrix.score, verdicts, known.price_usd)
        return replay_plan(forecast, belief, terms, recorded=recorded)


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Recorded means of each arm.

    Attributes:
        arms: K names.
        cost_usd: [K] dollars of a call.
        latency_s: [K] seconds; NaN where none were recorded.
    """

    arms: tuple[str, ...]
    cost_usd: Floats
    latency_s: Floats

    @classmethod
    def of(cls, matrix: OutcomeMatrix) -> Means:
        """Take the means of what is known.

        Raises:
            ConfigError: An arm has no recorded dollars, so nobody can say what it would cost.
        """
        known = ~np.isnan(matrix.cost_usd)
        for arm, count in zip(matrix.arms, known.sum(axis=0), strict=True):
            if not count:
                raise ConfigError(
                    f"no cost_usd is recorded for arm {arm!r}; add it to the outcomes, or name the "
                    "other arms in arms="
                )
        timed = (~np.isnan(matrix.latency_s)).sum(axis=0)
        seconds = np.nansum(matrix.latency_s, axis=0) / np.where(timed, timed, np.nan)
        dollars = np.nansum(matrix.cost_usd, axis=0) / known.sum(axis=0)
        return cls(matrix.arms, dollars, seconds)

    def seconds(self, *, priced: bool) -> dict[str, float]:
        """Seconds by arm, for those who put a price on them; else nothing.

        Raises:
            ConfigError: They have a price, and an arm has none recorded.
        """
        if not priced:
            return {}
        for arm, mean in zip(self.arms, self.latency_s, strict=True):
            if np.isnan(mean):
                raise ConfigError(
                    f"seconds have a price, but no latency_s is recorded for arm {arm!r}; add it to the "
                    "outcomes, or leave the value of time at 0"
                )
        return dict(zip(self.arms, self.latency_s.tolist(), strict=True))

    def price_usd(self, arm: str, usd_per_second: float) -> float:
        """Dollars of a call of an arm, the price of waiting for it included."""
        j = self.arms.index(arm)
        waiting = usd_per_second * float(self.latency_s[j]) if usd_per_second else 0.0
        return float(self.cost_usd[j]) + waiting


def complete(matrix: OutcomeMatrix, verifier: VerifierChoice) -> Bools:
    """[T] was every arm tried whatever others did, and is there what the verifier is replayed with?"""
    whole = matrix.whole
    if verifier == "recorded":
        whole &= (matrix.verdict != MISSING).all(axis=1)
    if verifier == "agreement":
        whole &= np.array([all(text is not None for text in row) for row in _answers(matrix)], bool)
    return np.asarray(whole)


# --- forecasts and beliefs -------------------------------------------------------------------------


def forecast_of(
    model: FittedModel, tasks: Sequence[Task], latency_s: Mapping[str, float] | None = None
) -> Forecast:
    """What the model expects of every arm on every task.

    Args:
        model: Arms and difficulty.
        tasks: Not seen by the model, if the forecast is to be honest.
        latency_s: Mean seconds by arm, where they have a price.
    """
    expected = model.estimates(tasks)
    return as_forecast(expected.p, expected.cost_usd, arms=model.arm_names, latency_s=latency_s)


def as_forecast(
    p: Floats,
    cost_usd: Floats,
    *,
    arms: Sequence[str],
    latency_s: Mapping[str, float] | None = None,
) -> Forecast:
    """A forecast from [T, K] P(correct) and dollars, and from mean seconds by arm."""
    seconds = [latency_s[arm] for arm in arms] if latency_s else None
    return Forecast(p_correct=p, cost_usd=cost_usd, latency_s=seconds, arms=arms)


def belief_of(model: FittedModel, agreement: Agreement | None = None) -> BeliefModel:
    """How failures hang together; a pass ends the task, as it does in a controller."""
    return BeliefModel(
        rho=model.rho, tpr=model.tpr, fpr=model.fpr, stop_on_pass=True, agreement=agreement
    )


# --- agreement -------------------------------------------------------------------------------------


def same_answers(matrix: OutcomeMatrix, same_answer: SameAnswer) -> Bools:
    """[T, K, K] are two answers the same? One in which there is nothing to compare equals none.

    Raises:
        ConfigError: The matrix holds no answers.
    """
    keys = _keys(matrix, same_answer)
    same = np.asarray(keys[:, :, None] == keys[:, None, :], dtype=np.bool_)
    there = keys >= 0
    return np.asarray(same & there[:, :, None] & there[:, None, :])


def fit_agreement_tables(matrix: OutcomeMatrix, same_answer: SameAnswer) -> Agreement:
    """Measure how often arms agree when both, one or none of them is right.

    Raises:
        ConfigError: The matrix holds no answers.
    """
    agree = same_answers(matrix, same_answer)
    there = (_keys(matrix, same_answer) >= 0) & ~np.isnan(matrix.score)
    met = there[:, :, None] & there[:, None, :]
    right = matrix.score > _CORRECT
    both = right[:, :, None] & right[:, None, :]
    one = right[:, :, None] ^ right[:, None, :]
    usual = Agreement()

    def share(where: Bools, expected: float) -> Floats:
        cases = (met & where).sum(axis=0)
        rate: Floats = ((agree & met & where).sum(axis=0) + _DOUBT * expected) / (cases + _DOUBT)
        return rate

    return Agreement(
        both_right=share(both, usual.both_right),
        one_right=share(one, usual.one_right),
        both_wrong=share(~both & ~one, usual.both_wrong),
    )


def _keys(matrix: OutcomeMatrix, same_answer: SameAnswer) -> Rows:
    """[T, K] a number per answer, the same for the same answers; -1 where there is none."""
    key = answer_key(same_answer)
    numbers: dict[Hashable, int] = {None: -1}
    texts: list[str | None] = _answers(matrix).ravel().tolist()
    coded = [-1 if text is None else numbers.setdefault(key(text), len(numbers)) for text in texts]
    return np.array(coded, dtype=np.intp).reshape(matrix.score.shape)


def _answers(matrix: OutcomeMatrix) -> NDArray[np.object_]:
    if matrix.answers is None:
        raise ConfigError(
            "verifier='agreement' compares answers, and none are recorded; add `answer` to the outcomes"
        )
    return matrix.answers


def _passed(matrix: OutcomeMatrix, reliability: Reliability | None, seed: int) -> Bools:
    if reliability is None or reliability.kind == "recorded":
        return np.asarray(matrix.verdict == PASS)
    correct = np.asarray(matrix.score > _CORRECT)
    rng = np.random.default_rng(seed)
    return draw_verdicts(correct, reliability.tpr, reliability.fpr, rng=rng)
