"""What a plan is computed from: forecasts per task, the belief model, and what an answer is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from effortctl._errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ArrayLike: TypeAlias = Any
"""Whatever `numpy.asarray` turns into numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often two arms give the same answer; the only evidence where nothing can be checked.

    The verdict on an arm is "agrees with the arm that was tried first". Being right together and being
    wrong together are told apart, which one true- and one false-positive rate could not do. Each field
    is a number or an (arms, arms) table, symmetric; the diagonal is not used.

    Attributes:
        both_right: P(same answer | both are correct): 1 where answers have one correct form.
        one_right: P(same answer | exactly one is correct): 0 where answers are compared exactly.
        both_wrong: P(same answer | both are wrong): high for multiple choice, low for free numbers.
    """

    both_right: ArrayLike = 1.0
    one_right: ArrayLike = 0.0
    both_wrong: ArrayLike = 0.3

    def table(self, arms: int) -> Agreement:
        """The same with every field an (arms, arms) table."""
        return Agreement(
            both_right=_probabilities("both_right", self.both_right, shape=(arms, arms)),
            one_right=_probabilities("one_right", self.one_right, shape=(arms, arms)),
            both_wrong=_probabilities("both_wrong", self.both_wrong, shape=(arms, arms)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BeliefModel:
    """How the failures of arms hang together, and what a verdict on each arm is worth.

    Attributes:
        rho: Loading of each arm on the hidden difficulty, in -1..1; 0 means independent failures.
        tpr: P(pass | correct) of the check on each arm. 1 with fpr 0: exact. Equal to fpr: useless.
        fpr: P(pass | wrong).
        stop_on_pass: The first pass ends the task, as it does in a running `Controller`. False: a plan
            may go on after the pass of a check it does not trust.
        agreement: Evidence is agreement between arms, not a check; `tpr` and `fpr` are not used.
    """

    rho: ArrayLike
    tpr: ArrayLike = 1.0
    fpr: ArrayLike = 0.0
    stop_on_pass: bool = False
    agreement: Agreement | None = None

    @property
    def digits(self) -> int:
        """States per arm: 2 where a pass ends the task (also because an exact one leaves no doubt)."""
        exact = bool(np.all(np.asarray(self.tpr) == 1) and np.all(np.asarray(self.fpr) == 0))
        return 2 if self.agreement is None and (exact or self.stop_on_pass) else 3

    def table(self, arms: int) -> BeliefModel:
        """The same with every field one number per arm.

        Raises:
            ConfigError: A field has another length or leaves its range.
        """
        return BeliefModel(
            rho=in_range("rho", self.rho, shape=(arms,), low=-1.0),
            tpr=_probabilities("tpr", self.tpr, shape=(arms,)),
            fpr=_probabilities("fpr", self.fpr, shape=(arms,)),
            stop_on_pass=self.stop_on_pass,
            agreement=None if self.agreement is None else self.agreement.table(arms),
        )

    def only(self, arms: Sequence[int]) -> BeliefModel:
        """The model of some arms; `table` must have been called."""
        keep = list(arms)
        agreement = self.agreement
        return BeliefModel(
            rho=self.rho[keep],
            tpr=self.tpr[keep],
            fpr=self.fpr[keep],
            stop_on_pass=self.stop_on_pass,
            agreement=None
            if agreement is None
            else Agreement(
                both_right=agreement.both_right[np.ix_(keep, keep)],
                one_right=agreement.one_right[np.ix_(keep, keep)],
                both_wrong=agreement.both_wrong[np.ix_(keep, keep)],
            ),
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """What quality and time are worth.

    Attributes:
        value_usd: Dollars an accepted correct answer is worth; lambda is 1 / value_usd.
        usd_per_second: Dollars a second of waiting costs.
    """

    value_usd: float
    usd_per_second: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values no plan can be computed from."""
        if not (math.isfinite(self.value_usd) and self.value_usd > 0):
            raise ConfigError(
                f"value_usd is {self.value_usd!r}; it must be a finite number of dollars above 0 "
                "(what one accepted correct answer is worth to you)"
            )
        if not (math.isfinite(self.usd_per_second) and self.usd_per_second >= 0):
            raise ConfigError(
                f"usd_per_second is {self.usd_per_second!r}; it must be finite and not negative"
            )

    @property
    def lambda_(self) -> float:
        """Quality a dollar must buy."""
        return 1.0 / self.value_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is expected of every arm on every task, before any call.

    A change of arm inside a conversation loses the provider's prompt cache. `switch_usd` is that loss;
    it is added to an arm's cost unless the arm is the task's `warm_arm`. Every arm keeps its own cache
    and is tried once, so this is exact whatever the order.

    Attributes:
        p_correct: P(correct); shape (tasks, arms).
        cost_usd: Expected dollars of a try, its check included; shape (tasks, arms).
        latency_s: Expected seconds of a try; shape (tasks, arms). None: not known, no price, no limit.
        switch_usd: Dollars lost when the arm has no warm prompt cache; broadcasts to (tasks, arms).
        warm_arm: Index of the arm with a warm cache for each task, -1 for none; broadcasts to (tasks,).
        allowed: Arms that may be used; broadcasts to (tasks, arms).
        usd_left: Dollars the tries of a task may cost; broadcasts to (tasks,). None: no limit.
        seconds_left: Seconds the tries of a task may take; broadcasts to (tasks,). None: no limit.
        arms: Names, for explanations. Empty: `arm 0`, `arm 1`, …
    """

    p_correct: ArrayLike
    cost_usd: ArrayLike
    latency_s: ArrayLike | None = None
    switch_usd: ArrayLike | None = None
    warm_arm: ArrayLike = -1
    allowed: ArrayLike | None = None
    usd_left: ArrayLike | None = None
    seconds_left: ArrayLike | None = None
    arms: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        """Turn everything into arrays and refuse what does not fit.

        Raises:
            ConfigError: A shape does not fit or a number is NaN, negative or not a probability.
        """
        p = np.atleast_2d(np.asarray(self.p_correct, dtype=float))
        if p.ndim != 2 or not p.shape[1]:
            raise ConfigError(
                f"p_correct has shape {p.shape}; expected (tasks, arms) with one arm or more"
            )
        shape = p.shape
        fill = object.__setattr__
        fill(self, "p_correct", _probabilities("p_correct", p, shape=shape))
        fill(self, "cost_usd", in_range("cost_usd", self.cost_usd, shape=shape, high=math.inf))
        for name in ("latency_s", "switch_usd"):
            if getattr(self, name) is not None:
                value = in_range(name, getattr(self, name), shape=shape, high=math.inf)
                fill(self, name, value)
        if self.allowed is not None:
            fill(self, "allowed", np.broadcast_to(np.asarray(self.allowed, dtype=bool), shape))
        for name in ("usd_left", "seconds_left"):
            if getattr(self, name) is not None:
                left = np.asarray(getattr(self, name), dtype=float)
                fill(self, name, np.broadcast_to(left, shape[:1]))
        fill(self, "arms", tuple(self.arms) or tuple(f"arm {j}" for j in range(shape[1])))
        if len(self.arms) != shape[1]:
            raise ConfigError(f"{len(self.arms)} arm names for {shape[1]} columns of p_correct")

    @property
    def tasks(self) -> int:
        """Number of tasks."""
        return int(self.p_correct.shape[0])

    @property
    def dollars(self) -> Floats:
        """Dollars of a try, lost prompt cache included; shape (tasks, arms)."""
        cost: Floats = self.cost_usd
        if self.switch_usd is None:
            return cost
        warm = np.broadcast_to(np.asarray(self.warm_arm), (self.tasks,))[:, None]
        switched: Floats = cost + self.switch_usd * (warm != np.arange(cost.shape[1]))
        return switched

    def rows(self, part: slice | NDArray[np.intp]) -> Forecast:
        """The forecast of some tasks."""
        return self._map(lambda array: array[part])

    def only(self, arms: Sequence[int]) -> Forecast:
        """The forecast of some arms, with lost prompt caches already in their costs."""
        keep = list(arms)
        return Forecast(
            p_correct=self.p_correct[:, keep],
            cost_usd=self.dollars[:, keep],
            latency_s=None if self.latency_s is None else self.latency_s[:, keep],
            allowed=None if self.allowed is None else self.allowed[:, keep],
            usd_left=self.usd_left,
            seconds_left=self.seconds_left,
            arms=[self.arms[j] for j in keep],
        )

    def _map(self, take: Any) -> Forecast:
        warm = np.broadcast_to(np.asarray(self.warm_arm), (self.tasks,))
        optional = {
            name: None if getattr(self, name) is None else take(getattr(self, name))
            for name in ("latency_s", "switch_usd", "allowed", "usd_left", "seconds_left")
        }
        return Forecast(
            p_correct=take(self.p_correct),
            cost_usd=take(self.cost_usd),
            warm_arm=take(warm),
            arms=self.arms,
            **optional,
        )


def _probabilities(name: str, values: ArrayLike, *, shape: tuple[int, ...]) -> Floats:
    return in_range(name, values, shape=shape)


def in_range(
    name: str,
    values: ArrayLike,
    *,
    shape: tuple[int, ...],
    low: float = 0.0,
    high: float = 1.0,
) -> Floats:
    """Broadcast to a shape, and refuse numbers outside a range."""
    array = np.asarray(values, dtype=float)
    try:
        array = np.broadcast_to(array, shape)
    except ValueError:
        raise ConfigError(
            f"{name} has shape {array.shape}; expected {shape}, or something that broadcasts to it"
        ) from None
    good = (array >= low) & (array <= high) & np.isfinite(array)
    if not good.all():
        wrong = array[~good].flat[0]
        upper = "finite" if high == math.inf else f"at most {high:g}"
        raise ConfigError(f"{name} contains {wrong}; expected numbers of {low:g} or more, {upper}")
    return array
