"""What was learned, as one value and one readable file.

The file is sorted, indented JSON, so two policies can be compared with any diff tool. It holds numbers,
arm names and versions; no prompt text and no code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from effortctl._controller import AsyncController, Controller
from effortctl._errors import ConfigError, StoreError
from effortctl._features import FeatureFunction
from effortctl._held_out import HeldOut, belief_of, complete, forecast_of, mean_costs
from effortctl._policy_parts import (
    HeldOutResult,
    Histogram,
    Provenance,
    Target,
    load_certificate,
    load_histogram,
    load_provenance,
    load_result,
    load_target,
)
from effortctl._types import Task
from effortctl.catalog import Ladder, load_ladder
from effortctl.estimators import FittedModel, ModelEstimator, Reliability
from effortctl.estimators._record import Record
from effortctl.policies import (
    Certificate,
    Guarded,
    Plan,
    PlanPolicy,
    Replay,
    Terms,
    plan_task,
)

if TYPE_CHECKING:
    from effortctl._driver import LadderLike
    from effortctl.stores import OutcomeMatrix

FORMAT = "effortctl-policy"
VERSION = 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FittedPolicy:
    """A learned policy: when to try which arm, and whether that beats every fixed choice.

    Attributes:
        model: Difficulty, arm curves, costs, shared failures and verifier reliability.
        value_usd: What a correct answer is taken to be worth; lambda is 1 / value_usd.
        target: What value_usd was tuned for.
        certificate: Whether the plan may decide; without one the best fixed choice does.
        results: The plan and the fixed choices on the tasks of the certificate.
        difficulty: How hard the tasks learned from look.
        provenance: What it was learned from.
    """

    model: FittedModel
    value_usd: float
    target: Target
    certificate: Certificate
    results: tuple[HeldOutResult, ...]
    difficulty: Histogram
    provenance: Provenance

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms a ladder must have: those of the plan, and of the fallback."""
        return tuple(dict.fromkeys((*self.model.arm_names, *self.certificate.fallback)))

    @property
    def lambda_(self) -> float:
        """Quality a dollar must buy."""
        return 1.0 / self.value_usd

    @property
    def reliability(self) -> dict[str, tuple[float, float]]:
        """P(check passes | correct) and P(check passes | wrong), by arm."""
        return {arm.name: (arm.tpr, arm.fpr) for arm in self.model.arms}

    # --- use ---------------------------------------------------------------------------------------

    def policy(self) -> Guarded:
        """The plan where it is certified, else the best fixed choice."""
        arms = self.model.arms
        plan = PlanPolicy(
            value_usd=self.value_usd,
            rho={arm.name: arm.rho for arm in arms},
            tpr={arm.name: arm.tpr for arm in arms},
            fpr={arm.name: arm.fpr for arm in arms},
        )
        return Guarded(plan, self.certificate)

    def estimator(self) -> ModelEstimator:
        """Predicts P(correct) and dollars of each arm."""
        return ModelEstimator(self.model)

    def controller(self, ladder: LadderLike, **options: Any) -> Controller:
        """A controller that follows this policy.

        Args:
            ladder: As for `Controller`; must have every arm in `arms`, by name.
            **options: Further options of `Controller`, e.g. `verify` and `budget`.

        Raises:
            ConfigError: The ladder lacks an arm, or an option makes no sense.
        """
        return Controller(self._fitting(ladder), **self._options(options))

    def async_controller(self, ladder: LadderLike, **options: Any) -> AsyncController:
        """`controller` for asyncio."""
        return AsyncController(self._fitting(ladder), **self._options(options))

    def plan(self, task: Task | str) -> Plan:
        """What the plan would do with a task, and why; whether it may is in `certificate`."""
        asked = Task(input=task) if isinstance(task, str) else task
        forecast = forecast_of(self.model, [asked])
        return plan_task(forecast, belief_of(self.model), Terms(self.value_usd))

    def replay(self, matrix: OutcomeMatrix) -> Replay:
        """Run the plan, certified or not, on recorded outcomes of tasks it was not learned from.

        Where only the rates of the check are known, verdicts are drawn with the policy's own seed.

        Raises:
            ConfigError: An arm or one of its outcomes is missing, or it has no recorded dollars.
        """
        known = matrix.select_arms(self.model.arm_names)
        recorded = self.model.verifier == "recorded"
        if not complete(known, with_verdicts=recorded).all():
            raise ConfigError(
                "a task misses an outcome or a verdict of one of the arms; select_tasks those that "
                "every arm was tried on"
            )
        checks = Reliability(
            self.model.verifier,
            self.model.tpr,
            self.model.fpr,
            np.zeros(len(self.model.arms)),
        )
        held_out = HeldOut.of(
            known, checks, mean_cost_usd=mean_costs(known), seed=self.provenance.seed
        )
        return held_out.replay(self.model, Terms(self.value_usd))

    def _options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"policy": self.policy(), "estimator": self.estimator(), **given}

    def _fitting(self, source: LadderLike) -> Ladder:
        ladder = load_ladder(source)
        have = {arm.name for arm in ladder.arms}
        needed = self.model.arm_names if self.certificate.certified else self.certificate.fallback
        missing = [name for name in needed if name not in have]
        if missing:
            raise ConfigError(
                f"ladder {ladder.name!r} lacks arm {missing[0]!r}, which the policy uses; its arms are "
                f"{', '.join(sorted(have))}. Name the arms alike, or learn with arms= of this ladder"
            )
        return ladder

    # --- the file ----------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Plain JSON.

        Raises:
            StoreError: A number of the model is not finite.
        """
        certificate = self.certificate.to_dict()
        for comparison in certificate["comparisons"]:
            if not math.isfinite(comparison["cost_ratio"]):
                comparison["cost_ratio"] = None
        return {
            "format": FORMAT,
            "version": VERSION,
            "value_usd": self.value_usd,
            "lambda": self.lambda_,
            "target": asdict(self.target),
            "certificate": certificate,
            "results": [asdict(result) for result in self.results],
            "difficulty": asdict(self.difficulty),
            "provenance": asdict(self.provenance),
            "model": self.model.to_json(),
        }

    def save(self, path: str | Path) -> None:
        """Write the policy to a file: all of it, or nothing.

        Raises:
            StoreError: It cannot be written, or holds a number that is not finite.
        """
        target = Path(path).expanduser()
        try:
            text = json.dumps(
                self.to_json(), sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{target.name}.part")
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(target)
        except (OSError, ValueError) as error:
            raise StoreError(f"the policy was not written to {target}: {error}") from error

    @classmethod
    def load(cls, path: str | Path, *, features: FeatureFunction | None = None) -> FittedPolicy:
        """Read what `save` wrote.

        Args:
            path: The file.
            features: The feature function it was learned with, if it was not the built-in one.

        Raises:
            StoreError: The file is missing, damaged, of another version, or was learned with other
                features; the message says what to do.
        """
        source = Path(path).expanduser()
        try:
            record = json.loads(source.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(
                f"{source} is not a readable policy ({error}); restore it, or run `effortctl learn` "
                "again"
            ) from error
        try:
            return _load(record, features)
        except (StoreError, ConfigError) as error:
            raise StoreError(
                f"{source}: {error}. If you did not edit it, run `effortctl learn` again"
            ) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no number")


def _load(raw: Any, features: FeatureFunction | None) -> FittedPolicy:
    record = Record(raw, "policy")
    if raw.get("format") != FORMAT or raw.get("version") != VERSION:
        raise StoreError(
            f"this is {raw.get('format')!r} version {raw.get('version')!r}, expected {FORMAT!r} "
            f"version {VERSION}; learn again with this version of effortctl"
        )
    value_usd = record.number("value_usd", low=0)
    Terms(value_usd)
    policy = FittedPolicy(
        model=FittedModel.from_json(record.child("model").raw, features=features),
        value_usd=value_usd,
        target=load_target(record.child("target")),
        certificate=load_certificate(record.child("certificate")),
        results=tuple(load_result(each) for each in record.children("results")),
        difficulty=load_histogram(record.child("difficulty")),
        provenance=load_provenance(record.child("provenance")),
    )
    if policy.provenance.feature_hash != policy.model.scorer.feature_hash:
        raise StoreError(
            "policy.provenance.feature_hash is not that of the model; the file was put together from "
            "two policies"
        )
    policy.policy()
    return policy
