"""The parts of a learned policy beside its model, and how they are read from JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from effortctl.estimators._record import Record
from effortctl.policies import AgreementTables, Certificate, FixedLadder
from effortctl.policies._certify import Claim, Comparison, Shown

NamedComparison: TypeAlias = Literal["text", "choice", "number"]
"""When two answers are the same, by the name of a rule: a policy file holds no code."""

TargetKind: TypeAlias = Literal["value_usd", "max_cost_usd", "min_quality", "best_arm"]


@dataclass(frozen=True, slots=True)
class Target:
    """What the policy was tuned for.

    Attributes:
        kind: `value_usd`: a correct answer is worth so much. `max_cost_usd`: best quality for so much a
            task. `min_quality`: cheapest at this quality. `best_arm`: cheapest at the quality of the
            best single arm.
        amount: Dollars, or quality 0..1.
    """

    kind: TargetKind
    amount: float

    def only(self, kind: TargetKind) -> float | None:
        """The amount if this is the kind, else None."""
        return self.amount if self.kind == kind else None


@dataclass(frozen=True, slots=True)
class HeldOutResult:
    """How one choice did on the tasks kept for the certificate.

    Attributes:
        name: `plan`, or what fixed choice it is.
        arms: Arms of a fixed choice in order; empty for the plan.
        cost_usd: Mean dollars per task.
        quality: Mean score of the answer returned.
    """

    name: str
    arms: tuple[str, ...]
    cost_usd: float
    quality: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Predicted difficulties of the tasks learned from.

    Attributes:
        low: Where the first bin begins, in logits.
        high: Where the last bin ends.
        counts: Tasks per bin; the bins are equally wide.
    """

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a policy was learned from, and with.

    Attributes:
        created: ISO date.
        fingerprint: Names the outcomes without telling anything about them (SHA-256 of task ids, arms,
            scores and dollars).
        feature_hash: Names the features the difficulty model looks at.
        tasks: Tasks in the outcomes.
        outcomes: (task, arm) outcomes.
        learn_tasks: Tasks the model was fitted on, and lambda tuned on out of fold.
        certify_tasks: Tasks the certificate rests on.
        seed: Of splits, fits and drawn verdicts.
        libraries: Version by name.
        prices: Mean dollars of a call by arm, at the time of learning.
    """

    created: str
    fingerprint: str
    feature_hash: str
    tasks: int
    outcomes: int
    learn_tasks: int
    certify_tasks: int
    seed: int
    libraries: Mapping[str, str]
    prices: Mapping[str, float]


def load_target(record: Record) -> Target:
    """Read a target."""
    return Target(record.choice("kind", get_args(TargetKind)), record.number("amount", low=0))


def load_certificate(record: Record) -> Certificate:
    """Read a certificate."""
    return Certificate(
        certified=record.choice("certified", (True, False)),
        candidate=record.text("candidate"),
        claim=record.choice("claim", get_args(Shown)),
        fallback=FixedLadder(record.texts("fallback")).arms,
        n=record.whole("n"),
        n_needed=None if record.raw.get("n_needed") is None else record.whole("n_needed"),
        alpha=record.number("alpha", low=0, high=1),
        epsilon=record.number("epsilon", low=0, high=1),
        p_value=record.number("p_value", low=0, high=1),
        reason=record.text("reason"),
        comparisons=tuple(_load_comparison(each) for each in record.children("comparisons")),
    )


def _load_comparison(record: Record) -> Comparison:
    free = record.raw.get("cost_ratio") is None
    return Comparison(
        baseline=record.text("baseline"),
        claim=record.choice("claim", get_args(Claim)),
        cost_ratio=math.inf if free else record.number("cost_ratio", low=0),
        quality_difference=record.number("quality_difference", low=-1, high=1),
        p_quality=record.number("p_quality", low=0, high=1),
        p_cost=record.number("p_cost", low=0, high=1),
        n_needed=None if record.raw.get("n_needed") is None else record.whole("n_needed"),
    )


def load_result(record: Record) -> HeldOutResult:
    """Read how a choice did."""
    return HeldOutResult(
        name=record.text("name"),
        arms=record.texts("arms"),
        cost_usd=record.number("cost_usd", low=0),
        quality=record.number("quality", low=0, high=1),
    )


def load_histogram(record: Record) -> Histogram:
    """Read a histogram."""
    counts = record.positions("counts", below=2**53)
    return Histogram(record.number("low"), record.number("high"), tuple(counts.tolist()))


def load_provenance(record: Record) -> Provenance:
    """Read where a policy comes from."""
    versions = record.child("libraries")
    return Provenance(
        created=record.text("created"),
        fingerprint=record.text("fingerprint"),
        feature_hash=record.text("feature_hash"),
        tasks=record.whole("tasks"),
        outcomes=record.whole("outcomes"),
        learn_tasks=record.whole("learn_tasks"),
        certify_tasks=record.whole("certify_tasks"),
        seed=int(record.number("seed")),
        libraries={name: versions.text(name) for name in versions.raw},
        prices=record.child("prices").all_numbers(),
    )


def load_amounts(record: Record) -> dict[str, float]:
    """Read amounts by arm, none of them negative."""
    return {name: record.number(name, low=0) for name in record.raw}


def dump_agreement(tables: AgreementTables | None, same_answer: NamedComparison) -> dict[str, Any]:
    """Plain JSON of how often arms agree; no pairs where agreement is no evidence."""
    pairs = {} if tables is None else tables.pairs
    return {
        "used": tables is not None,
        "same_answer": same_answer,
        "pairs": {
            one: {other: list(rates) for other, rates in row.items()} for one, row in pairs.items()
        },
    }


def load_agreement(record: Record) -> tuple[AgreementTables | None, NamedComparison]:
    """Read what `dump_agreement` wrote."""
    same_answer = record.choice("same_answer", get_args(NamedComparison))
    if not record.choice("used", (True, False)):
        return None, same_answer
    pairs = {
        one: {other: _rates(row, other) for other in row.raw}
        for one, row in record.child("pairs").all_children().items()
    }
    return AgreementTables(pairs=pairs), same_answer


def _rates(row: Record, other: str) -> tuple[float, float, float]:
    both_right, one_right, both_wrong = row.numbers(other, size=3, low=0).tolist()
    return both_right, one_right, both_wrong
