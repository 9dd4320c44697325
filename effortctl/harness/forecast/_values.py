"""What a forecast says."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Amount:
    """A number and its interval.

    Attributes:
        value: The estimate.
        low: Lower end; None where nothing is known of the error.
        high: Upper end; None likewise.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyForecast:
    """What one way to answer will cost in a month.

    Attributes:
        name: `plan`, `best_fixed_arm`, `best_fixed_ladder`, `fallback` or `fixed:<arm>`.
        arms: Arms of a fixed choice in order; empty for the plan.
        usd_per_month: Dollars.
        quality: Expected mean score, weighted by volume; None where it is not known.
        saving: Share saved against the best fixed arm, paired over tasks; None for itself.
        by_model: Model → dollars; empty where it is not known.
        by_provider: Provider → dollars; `local` for arms on the user's machines.
        by_category: Category → dollars.
        gpu_hours: Hours of the user's machines; None where they have no price.
    """

    name: str
    arms: tuple[str, ...]
    usd_per_month: Amount
    quality: float | None = None
    saving: Amount | None = None
    by_model: dict[str, Amount] = field(default_factory=dict)
    by_provider: dict[str, Amount] = field(default_factory=dict)
    by_category: dict[str, float] = field(default_factory=dict)
    gpu_hours: Amount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyForecast:
    """What every way to answer will cost in a month.

    Attributes:
        queries_per_month: Queries in all.
        source: Where dollars per task come from: `outcomes`, or `policy` for the policy's own file.
        n_tasks: Recorded tasks it rests on; 0 when it rests on the policy's file.
        level: Coverage of intervals.
        seed: Of the resampling.
        policies: The plan first, then fixed choices, then every arm.
        warnings: What makes it less than it looks.
        notes: What a reader must know.
    """

    queries_per_month: float
    source: str
    n_tasks: int
    level: float
    seed: int
    policies: tuple[PolicyForecast, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        document = asdict(self)
        document["policies"] = {
            each["name"]: {key: value for key, value in each.items() if key != "name"}
            for each in document["policies"]
        }
        return document
