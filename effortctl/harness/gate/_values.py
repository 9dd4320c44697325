"""What a gate asks, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from effortctl._errors import ConfigError

Status: TypeAlias = Literal["pass", "fail", "inconclusive"]
Kind: TypeAlias = Literal["quality_drop", "cost_increase", "min_quality", "max_cost_usd"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a change must keep; None leaves a criterion out.

    Attributes:
        max_quality_drop: Mean quality that may be lost against the baseline, as a share: 0.01 is a point.
            Negative: so much must be gained.
        max_cost_increase: Share by which dollars may rise against the baseline. Negative: so much must
            be saved.
        min_quality: Mean quality that must be reached, 0..1.
        max_cost_usd: Mean dollars per task that must be kept.
    """

    max_quality_drop: float | None = None
    max_cost_increase: float | None = None
    min_quality: float | None = None
    max_cost_usd: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits that nothing or everything keeps."""
        ranges = {
            "max_quality_drop": (-1.0, 1.0),
            "max_cost_increase": (-1.0, math.inf),
            "min_quality": (0.0, 1.0),
            "max_cost_usd": (0.0, math.inf),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(
                    f"{name} is {value!r}; expected a number from {low:g} to {high:g}"
                )
        if not self.count:
            raise ConfigError(
                "a gate without a limit says nothing; set a baseline to hold the run against, min_quality or "
                "max_cost_usd"
            )

    @property
    def count(self) -> int:
        """How many criteria there are."""
        return sum(value is not None for value in self._all())

    @property
    def relative(self) -> bool:
        """Some need a baseline."""
        return self.max_quality_drop is not None or self.max_cost_increase is not None

    def _all(self) -> tuple[float | None, ...]:
        return (
            self.max_quality_drop,
            self.max_cost_increase,
            self.min_quality,
            self.max_cost_usd,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One limit and whether it is kept. Quality is a share: 0.01 is a point.

    Attributes:
        kind: `quality_drop`, `cost_increase`, `min_quality` or `max_cost_usd`.
        limit: As in `Limits`.
        seen: What was measured.
        low: Lower bound of the truth.
        high: Upper bound; infinite where there is none.
        status: `pass`, `fail` or `inconclusive`.
        n_needed: About how many tasks would decide if what was seen is true; None when decided, or when
            no number would.
    """

    kind: Kind
    limit: float
    seen: float
    low: float
    high: float
    status: Status
    n_needed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; an infinite number becomes null."""
        return {
            "criterion": self.kind,
            "status": self.status,
            "limit": self.limit,
            "seen": _finite(self.seen),
            "bounds": [_finite(self.low), _finite(self.high)],
            "n_needed": self.n_needed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """Whether an evaluation keeps its limits.

    Attributes:
        run: What was evaluated.
        policy: Policy or arm that is judged.
        baseline: What it is held against, or None.
        baseline_policy: Policy or arm of the baseline, or None.
        criteria: One per limit.
        alpha: Accepted chance of a wrong pass, and of a wrong fail.
        n_tasks: Tasks it rests on.
        n_clusters: Independent clusters among them.
        only_run: Tasks the baseline does not have; not used.
        only_baseline: Tasks only the baseline has; not used.
        notes: What a reader must know.
    """

    run: str
    policy: str
    baseline: str | None
    baseline_policy: str | None
    criteria: tuple[Criterion, ...]
    alpha: float
    n_tasks: int
    n_clusters: int
    only_run: int = 0
    only_baseline: int = 0
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """`fail` if any criterion fails, `pass` if all pass."""
        found = {each.status for each in self.criteria}
        if "fail" in found:
            return "fail"
        return "inconclusive" if "inconclusive" in found else "pass"

    @property
    def n_needed(self) -> int | None:
        """About how many tasks would decide every criterion; None when decided or when none would."""
        open_ = [each.n_needed for each in self.criteria if each.status == "inconclusive"]
        known = [count for count in open_ if count is not None]
        undecided = self.status == "inconclusive" and len(known) == len(open_)
        return max(known) if undecided else None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "status": self.status,
            "run": self.run,
            "policy": self.policy,
            "baseline": self.baseline,
            "baseline_policy": self.baseline_policy,
            "alpha": self.alpha,
            "n_tasks": self.n_tasks,
            "n_clusters": self.n_clusters,
            "not_shared": {"run": self.only_run, "baseline": self.only_baseline},
            "n_needed": self.n_needed,
            "criteria": [each.to_json() for each in self.criteria],
            "notes": list(self.notes),
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
