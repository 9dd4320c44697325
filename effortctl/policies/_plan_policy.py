"""The exact plan as a policy for live tasks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from effortctl._answers import SameAnswer, answer_key
from effortctl._errors import ConfigError, EffortctlWarning
from effortctl.policies._agreement import AgreementTables, agreements
from effortctl.policies._belief_grid import right_given_theta
from effortctl.policies._explain import ROUNDING
from effortctl.policies._inputs import BeliefModel, Forecast, Terms, in_range
from effortctl.policies._known import known_from
from effortctl.policies._plan import MAX_ARMS, arms_worth_planning, plan_task
from effortctl.policies._solve import STOP, Limit, Problem, solve
from effortctl.policies._walk import AgreementPlans, plans

if TYPE_CHECKING:
    from effortctl._types import Arm, Attempt, Estimate, Situation, Task
    from effortctl.policies._belief_grid import Floats
    from effortctl.policies._explain import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPolicy:
    """Choose the arm the exact plan would try next, given everything seen so far.

    The first pass ends a task, as it does in a `Controller`. Before every try the plan is computed anew
    from the verdicts so far and the dollars and seconds left; a plan never counts on a try that is not
    expected to fit them. An attempt that gave no verdict (a fault, an abstaining check) says nothing
    about the task; an answer that was cut off counts as failed. Arms without an estimate are not used.

    With `agreement`, for tasks that nothing can check, the evidence is whether the answer of an arm is
    the same as that of the arm that answered first; a `Controller` without a verifier then asks for
    another opinion as long as one is worth its price, and returns the answer most likely to be correct.
    Faults, answers that were cut off and answers with nothing to compare say nothing. If there is a
    check all the same, its first pass ends the task, and an answer it fails is no evidence.

    Attributes:
        value_usd: Dollars an accepted correct answer is worth.
        rho: Loading on the hidden difficulty by arm name; `default_rho` for other arms.
        tpr: P(pass | correct) of the check by arm name; `default_tpr` for other arms.
        fpr: P(pass | wrong) by arm name; `default_fpr` for other arms.
        default_rho: See `rho`.
        default_tpr: See `tpr`.
        default_fpr: See `fpr`.
        usd_per_second: Dollars a second of waiting costs.
        switch_usd: Dollars lost when the arm has no warm prompt cache, by arm name.
        warm_arm: Names the arm whose prompt cache is warm for a task, if the caller knows one.
        agreement: How often arms agree; `tpr` and `fpr` are then not used. None: evidence is verdicts.
        same_answer: When two answers are the same: `text`, `choice`, `number` or a function of the text;
            see `answer_key`.
    """

    value_usd: float
    rho: Mapping[str, float] = field(default_factory=dict)
    tpr: Mapping[str, float] = field(default_factory=dict)
    fpr: Mapping[str, float] = field(default_factory=dict)
    default_rho: float = 0.7
    default_tpr: float = 1.0
    default_fpr: float = 0.0
    usd_per_second: float = 0.0
    switch_usd: Mapping[str, float] = field(default_factory=dict)
    warm_arm: Callable[[Task], str | None] | None = None
    agreement: AgreementTables | None = None
    same_answer: SameAnswer = "text"

    def __post_init__(self) -> None:
        """Refuse numbers no plan can be computed from.

        Raises:
            ConfigError: A number is not finite or leaves its range, or `same_answer` is not known.
        """
        Terms(self.value_usd, self.usd_per_second)
        answer_key(self.same_answer)
        for name in ("rho", "tpr", "fpr"):
            numbers = [*getattr(self, name).values(), getattr(self, f"default_{name}")]
            in_range(name, numbers, shape=(len(numbers),), low=-1.0 if name == "rho" else 0.0)
        bad = {arm: usd for arm, usd in self.switch_usd.items() if not 0 <= usd < np.inf}
        if bad:
            raise ConfigError(f"switch_usd must be finite and not negative, got {bad}")

    @property
    def name(self) -> str:
        """Name written into traces."""
        return "plan"

    @property
    def compares(self) -> bool:
        """See `WeighingPolicy.compares`."""
        return self.agreement is not None

    def choose(self, situation: Situation) -> Arm | None:
        """Return the arm to try next, or None when no try is worth its price."""
        tried = {attempt.arm for attempt in situation.attempts}
        known = situation.estimates.keys() - tried
        arms = [arm for arm in situation.arms if arm.name in known]
        if not arms:
            return self._without_estimates(situation)
        choice = self._next(situation, [arm.name for arm in arms])
        return next((arm for arm in arms if arm.name == choice), None)

    def best(self, situation: Situation) -> str | None:
        """Name the arm whose answer is most likely correct, the first tried of equals.

        None where the evidence says that none is, or says nothing.
        """
        seen = self._seen(situation)
        answered = {a.arm for a in situation.attempts if _is_answered(a)} & set(situation.estimates)
        if self.agreement is None:
            seen |= dict.fromkeys(sorted(answered - set(seen)))
        if not seen:
            return None
        model, p = self._model(list(seen)), _p_correct(situation)
        chances = known_from(seen, p, model=model, open_arms=()).chances
        highest = max((chance for arm, chance in chances.items() if arm in answered), default=0.0)
        if highest <= 0.0:
            return None
        tried = (attempt.arm for attempt in situation.attempts if attempt.arm in answered)
        return next(arm for arm in tried if chances.get(arm, 0.0) >= highest * (1.0 - ROUNDING))

    def plan(self, situation: Situation) -> Plan:
        """Explain what would be done with a task nothing was tried on yet.

        Raises:
            ConfigError: Attempts were made already, or no arm has an estimate.
        """
        if situation.attempts:
            raise ConfigError("a plan is made before the first try; choose() goes on from there")
        arms = [arm for arm in situation.arms if arm.name in situation.estimates]
        if not arms:
            raise ConfigError("no arm has an estimate; a plan needs P(correct) and dollars of each")
        names = [arm.name for arm in arms]
        terms = Terms(self.value_usd, self.usd_per_second)
        return plan_task(self._forecast(situation, names), self._model(names), terms)

    def _without_estimates(self, situation: Situation) -> Arm | None:
        """Climb the ladder if nothing was ever estimated; else the arms with an estimate were tried."""
        estimated = any(attempt.arm in situation.estimates for attempt in situation.attempts)
        # Nobody can say what a second opinion is worth then, and no check would ever end the climb.
        compared = self.compares and any(map(_is_answered, situation.attempts))
        if estimated or compared or not situation.arms:
            return None
        warnings.warn(
            "no arm has an estimate, so the ladder is climbed in its order; give the controller an "
            "estimator, or use LadderPolicy on purpose",
            EffortctlWarning,
            stacklevel=3,
        )
        return situation.arms[0]

    def _of(self, name: str, arms: list[str]) -> Floats:
        known, default = getattr(self, name), getattr(self, f"default_{name}")
        return np.array([known.get(arm, default) for arm in arms], dtype=float)

    def _model(self, names: list[str]) -> BeliefModel:
        return BeliefModel(
            rho=self._of("rho", names),
            tpr=self._of("tpr", names),
            fpr=self._of("fpr", names),
            stop_on_pass=True,
            agreement=None if self.agreement is None else self.agreement.table(names),
        )

    def _forecast(self, situation: Situation, names: list[str]) -> Forecast:
        estimates = [situation.estimates[name] for name in names]
        warm = self.warm_arm(situation.task) if self.warm_arm and self.switch_usd else None
        usd_left, seconds_left = situation.usd_left, situation.seconds_left
        return Forecast(
            arms=names,
            p_correct=[[each.p_correct for each in estimates]],
            cost_usd=[[each.cost_usd for each in estimates]],
            latency_s=_seconds(estimates),
            switch_usd=[[self.switch_usd.get(n, 0.0) for n in names]] if self.switch_usd else None,
            warm_arm=names.index(warm) if warm in names else -1,
            usd_left=None if usd_left is None else float(usd_left),
            seconds_left=None if seconds_left is None else seconds_left,
        )

    def _seen(self, situation: Situation) -> dict[str, bool | None]:
        if self.agreement is None:
            return _verdicts(situation)
        return dict(agreements(situation, answer_key(self.same_answer)))

    def _next(self, situation: Situation, names: list[str]) -> str | None:
        """Solve what is left of the task: the arms still open, given what was seen so far."""
        forecast = self._forecast(situation, names)
        usd, seconds = forecast.dollars, forecast.latency_s
        price = usd if seconds is None else usd + self.usd_per_second * seconds
        price = price / self.value_usd
        kept = list(range(len(names)))
        if len(kept) > MAX_ARMS:
            kept = arms_worth_planning(forecast.p_correct, price).tolist()
        names, price, limits = [names[j] for j in kept], price[:, kept], _limits_of(forecast, kept)
        seen = self._seen(situation)
        model = self._model([*names, *seen])
        if self.agreement is not None and not seen:
            right = right_given_theta(forecast.p_correct[:, kept], model.rho)
            solved = plans(right, price, model=model, limits=limits)
            assert isinstance(solved, AgreementPlans)  # noqa: S101 - that is what it makes of agreement
            choice = int(solved.first[0])
        else:
            p = _p_correct(situation)
            known = known_from(seen, p, model=model, open_arms=names)
            left = Problem(known.start, known.ahead, price, 3 if self.compares else 2, limits)
            choice = int(solve(left).choices(np.array([0]), np.array([0]))[0])
        return None if choice == STOP else names[choice]


def _limits_of(forecast: Forecast, kept: list[int]) -> tuple[Limit, ...]:
    limits = []
    if forecast.usd_left is not None:
        limits.append(Limit(forecast.dollars[:, kept], forecast.usd_left))
    if forecast.seconds_left is not None and forecast.latency_s is not None:
        limits.append(Limit(forecast.latency_s[:, kept], forecast.seconds_left))
    return tuple(limits)


def _seconds(estimates: list[Estimate]) -> list[list[float]] | None:
    """Expected seconds of each arm; 0 where an estimate does not say, None where none does."""
    if all(each.latency_s is None for each in estimates):
        return None
    return [[each.latency_s or 0.0 for each in estimates]]


def _p_correct(situation: Situation) -> dict[str, float]:
    return {name: estimate.p_correct for name, estimate in situation.estimates.items()}


def _is_answered(attempt: Attempt) -> bool:
    """Is there an answer that could be returned?"""
    answer = attempt.answer
    return (
        answer is not None
        and answer.finish == "complete"
        and (answer.value is not None or bool(answer.text.strip()))
    )


def _verdicts(situation: Situation) -> dict[str, bool | None]:
    """Did the check of each arm tried so far pass? Arms that say nothing are left out."""
    seen: dict[str, bool | None] = {}
    for attempt in situation.attempts:
        said = _said(attempt)
        if said is not None and attempt.arm in situation.estimates:
            seen[attempt.arm] = said or seen.get(attempt.arm, False)
    return seen


def _said(attempt: Attempt) -> bool | None:
    if attempt.answer is None:
        return None
    if attempt.answer.finish != "complete":
        return False
    if attempt.verdict is None or attempt.verdict.status == "abstain":
        return None
    return attempt.verdict.passed
