"""Agreement between arms as evidence: how often named arms agree, and what a task has shown of it."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effortctl._answers import AnswerKey
from effortctl._errors import ConfigError, EffortctlWarning
from effortctl.policies._inputs import Agreement

if TYPE_CHECKING:
    from effortctl._types import Answer, Situation

Rates: TypeAlias = tuple[float, float, float]
"""P(same answer | both correct), P(same | exactly one correct), P(same | both wrong)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementTables:
    """How often two named arms give the same answer. Plain data, ready for JSON.

    Attributes:
        pairs: One arm → another → `Rates`. A pair has no order: it is found either way round.
        default: `Rates` of pairs that are not listed. See `Agreement` for what is typical.
    """

    pairs: Mapping[str, Mapping[str, Rates]] = field(default_factory=dict)
    default: Rates = (1.0, 0.0, 0.3)

    def __post_init__(self) -> None:
        """Refuse rates that are no probabilities, and a pair that is given twice.

        Raises:
            ConfigError: One of them is.
        """
        _check_rates("default", self.default)
        for one, row in self.pairs.items():
            for other, rates in row.items():
                _check_rates(f"{one!r} with {other!r}", rates)
                back = self.pairs.get(other, {}).get(one, rates)
                if tuple(back) != tuple(rates):
                    raise ConfigError(
                        f"arms {one!r} and {other!r} have two different agreement rates, "
                        f"{tuple(rates)} and {tuple(back)}; a pair has no order, give it once"
                    )

    @classmethod
    def of(cls, arms: Sequence[str], agreement: Agreement) -> AgreementTables:
        """Name the arms of fitted (arms, arms) tables; what is above the diagonal is kept.

        Raises:
            ConfigError: The tables do not fit the number of arms, or hold no probabilities.
        """
        known = agreement.table(len(arms))
        tables = (known.both_right, known.one_right, known.both_wrong)
        return cls(
            pairs={
                one: {
                    other: (float(tables[0][i, j]), float(tables[1][i, j]), float(tables[2][i, j]))
                    for j, other in enumerate(arms)
                    if j > i
                }
                for i, one in enumerate(arms[:-1])
            }
        )

    def table(self, arms: Sequence[str]) -> Agreement:
        """The rates of some arms as (arms, arms) tables, for a `BeliefModel`."""
        rates = np.array([[self._rates(one, other) for other in arms] for one in arms], dtype=float)
        both_right, one_right, both_wrong = np.moveaxis(rates, -1, 0)
        return Agreement(both_right=both_right, one_right=one_right, both_wrong=both_wrong)

    def _rates(self, one: str, other: str) -> Rates:
        found = self.pairs.get(one, {}).get(other) or self.pairs.get(other, {}).get(one)
        return found or self.default


def _check_rates(whose: str, rates: Sequence[float]) -> None:
    if len(rates) != 3 or not all(0.0 <= rate <= 1.0 for rate in rates):
        raise ConfigError(
            f"agreement rates of {whose} are {rates!r}; expected three probabilities: P(same answer) "
            "when both are right, when one is, and when none is"
        )


# --- what a running task has shown so far ----------------------------------------------------------


def agreements(situation: Situation, key: AnswerKey) -> dict[str, bool]:
    """Does the answer of each arm agree with that of the first arm that gave one?

    A fault, an answer that was cut off or refused, one that failed a check and one in which there is
    nothing to compare say nothing, so such arms are left out; so are arms without an estimate.

    Returns:
        By arm name, in the order of the tries; the first arm agrees with itself.
    """
    keys: dict[str, Hashable] = {}
    for attempt in situation.attempts:
        objected = attempt.verdict is not None and attempt.verdict.status == "fail"
        if attempt.answer is None or objected or attempt.arm not in situation.estimates:
            continue
        found = _key_of(attempt.answer, key)
        if found is not None:
            keys.setdefault(attempt.arm, found)
    first = next(iter(keys.values()), None)
    return {arm: each == first for arm, each in keys.items()}


def _key_of(answer: Answer, key: AnswerKey) -> Hashable:
    if answer.finish != "complete":
        return None
    try:
        return key(answer.text if answer.value is None else str(answer.value))
    except Exception as error:  # noqa: BLE001 - a foreign function; a paid answer must not be lost to it
        warnings.warn(
            f"same_answer failed on an answer, which is now no evidence: {type(error).__name__}; return "
            "None for what cannot be compared",
            EffortctlWarning,
            stacklevel=2,
        )
        return None
