"""What was learned, as one value and one readable file.

The file is sorted, indented JSON, so two policies can be compared with any diff tool. It holds numbers,
arm names and versions; no prompt text and no code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from effortctl._controller import AsyncController, Controller
from effortctl._errors import ConfigError, StoreError
from effortctl._features import FeatureFunction
from effortctl._held_out import HeldOut, VerifierChoice, belief_of, complete, forecast_of
from effortctl._policy_parts import (
    HeldOutResult,
    Histogram,
    NamedComparison,
    Provenance,
    Target,
    dump_agreement,
    load_agreement,
    load_amounts,
    load_certificate,
    load_histogram,
    load_provenance,
    load_result,
    load_target,
)
from effortctl._types import Arm, Estimate, Task
from effortctl.catalog import Ladder, load_ladder
from effortctl.estimators import FittedModel, ModelEstimator, Reliability
from effortctl.estimators._record import Record
from effortctl.policies import (
    AgreementTables,
    BeliefModel,
    Certificate,
    Forecast,
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
        usd_per_second: Dollars a second of waiting costs.
        latency_s: Mean seconds by arm; empty where a second costs nothing.
        switch_usd: Dollars lost when an arm has no warm prompt cache, by arm.
        agreement: How often arms agree, where that is the only evidence; None: there is a check, or
            nothing at all.
        same_answer: When two answers are the same; see `policies.answer_key`.
        on_trust: The plan decides without a certificate, because it was asked for by name.
    """

    model: FittedModel
    value_usd: float
    target: Target
    certificate: Certificate
    results: tuple[HeldOutResult, ...]
    difficulty: Histogram
    provenance: Provenance
    usd_per_second: float = 0.0
    latency_s: Mapping[str, float] = field(default_factory=dict)
    switch_usd: Mapping[str, float] = field(default_factory=dict)
    agreement: AgreementTables | None = None
    same_answer: NamedComparison = "text"
    on_trust: bool = False

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

    @property
    def decides(self) -> bool:
        """Does the plan decide? Else the best fixed choice does."""
        return self.certificate.certified or self.on_trust

    def policy(
        self, *, warm_arm: Callable[[Task], str | None] | None = None
    ) -> Guarded | PlanPolicy:
        """The plan where it is certified or trusted, else the best fixed choice.

        Args:
            warm_arm: Names the arm whose prompt cache is warm for a task, as inside a conversation; other
                arms then cost their `switch_usd` more. None: every cache is cold, so nothing is lost.
        """
        arms = self.model.arms
        plan = PlanPolicy(
            value_usd=self.value_usd,
            rho={arm.name: arm.rho for arm in arms},
            tpr={arm.name: arm.tpr for arm in arms},
            fpr={arm.name: arm.fpr for arm in arms},
            usd_per_second=self.usd_per_second,
            switch_usd=self.switch_usd if warm_arm else {},
            warm_arm=warm_arm,
            agreement=self.agreement,
            same_answer=self.same_answer,
        )
        return plan if self.on_trust else Guarded(plan, self.certificate)

    def estimator(self) -> ModelEstimator:
        """Predicts P(correct) and dollars of each arm, and seconds where they have a price."""
        return _TimedEstimator(self.model, self.latency_s)

    def controller_options(self, ladder: LadderLike) -> dict[str, Any]:
        """The options of `Controller` that make it follow this policy.

        Raises:
            ConfigError: The ladder lacks an arm.
        """
        return {
            "ladder": self._fitting(ladder),
            "policy": self.policy(),
            "estimator": self.estimator(),
        }

    def controller(self, ladder: LadderLike, **options: Any) -> Controller:
        """A controller that follows this policy.

        Args:
            ladder: As for `Controller`; must have every arm in `arms`, by name.
            **options: Further options of `Controller`, e.g. `verify` and `budget`.

        Raises:
            ConfigError: The ladder lacks an arm, or an option makes no sense.
        """
        return Controller.from_policy(self, ladder, **options)

    def async_controller(self, ladder: LadderLike, **options: Any) -> AsyncController:
        """`controller` for asyncio."""
        return AsyncController.from_policy(self, ladder, **options)

    def plan(self, task: Task | str) -> Plan:
        """What the plan would do with a task, and why; whether it may is in `certificate`."""
        asked = Task(input=task) if isinstance(task, str) else task
        return plan_task(self._forecast([asked]), self._belief(), self._terms())

    def replay(self, matrix: OutcomeMatrix) -> Replay:
        """Run the plan, certified or not, on recorded outcomes of tasks it was not learned from.

        Where only the rates of the check are known, verdicts are drawn with the policy's own seed. Where
        seconds have a price, the dollars include it.

        Raises:
            ConfigError: An arm or one of its outcomes is missing, or it has no recorded dollars.
        """
        known = matrix.select_arms(self.model.arm_names)
        if not complete(known, self._evidence()).all():
            raise ConfigError(
                "a task misses an outcome, a verdict or an answer of one of the arms; select_tasks those "
                "that every arm was tried on"
            )
        model = self.model
        checks = Reliability(model.verifier, model.tpr, model.fpr, np.zeros(len(model.arms)))
        held_out = HeldOut.of(
            known,
            checks,
            same_answer=None if self.agreement is None else self.same_answer,
            usd_per_second=self.usd_per_second,
            seed=self.provenance.seed,
        )
        return held_out.replay(self._forecast(known.tasks()), self._belief(), self._terms())

    def _evidence(self) -> VerifierChoice:
        """What must have been recorded for a replay; rates alone can be drawn from."""
        if self.agreement is not None:
            return "agreement"
        return "recorded" if self.model.verifier == "recorded" else "exact"

    def _forecast(self, tasks: Sequence[Task]) -> Forecast:
        return forecast_of(self.model, tasks, self.latency_s)

    def _belief(self) -> BeliefModel:
        tables = self.agreement
        return belief_of(self.model, None if tables is None else tables.table(self.model.arm_names))

    def _terms(self) -> Terms:
        return Terms(self.value_usd, self.usd_per_second)

    def _fitting(self, source: LadderLike) -> Ladder:
        ladder = load_ladder(source)
        have = {arm.name for arm in ladder.arms}
        needed = self.model.arm_names if self.decides else self.certificate.fallback
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
            "usd_per_second": self.usd_per_second,
            "latency_s": dict(self.latency_s),
            "switch_usd": dict(self.switch_usd),
            "agreement": dump_agreement(self.agreement, self.same_answer),
            "target": asdict(self.target),
            "on_trust": self.on_trust,
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
        except FileNotFoundError as error:
            raise StoreError(
                f"there is no policy at {source}; check the path, or make one with `effortctl learn`"
            ) from error
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


class _TimedEstimator(ModelEstimator):
    """A fitted model that also says how long each arm takes."""

    def __init__(self, model: FittedModel, latency_s: Mapping[str, float]) -> None:
        super().__init__(model)
        self._latency_s = latency_s

    def estimate(self, task: Task, arms: Sequence[Arm]) -> Mapping[str, Estimate]:
        estimates = super().estimate(task, arms)
        if not self._latency_s:
            return estimates
        return {
            name: estimate.model_copy(update={"latency_s": self._latency_s[name]})
            for name, estimate in estimates.items()
        }


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no number")


def _load(raw: Any, features: FeatureFunction | None) -> FittedPolicy:
    record = Record(raw, "policy")
    if raw.get("format") is None:
        raise StoreError("this is no policy")
    if raw.get("format") != FORMAT or raw.get("version") != VERSION:
        found = f"{repr(raw.get('format'))[:40]} version {repr(raw.get('version'))[:40]}"
        raise StoreError(
            f"this is {found}, expected {FORMAT!r} version {VERSION}; learn again with this version of "
            "effortctl"
        )
    value_usd = record.number("value_usd", low=0)
    agreement, same_answer = load_agreement(record.child("agreement"))
    policy = FittedPolicy(
        model=FittedModel.from_json(record.child("model").raw, features=features),
        value_usd=value_usd,
        target=load_target(record.child("target")),
        certificate=load_certificate(record.child("certificate")),
        results=tuple(load_result(each) for each in record.children("results")),
        difficulty=load_histogram(record.child("difficulty")),
        provenance=load_provenance(record.child("provenance")),
        usd_per_second=record.number("usd_per_second", low=0),
        latency_s=load_amounts(record.child("latency_s")),
        switch_usd=load_amounts(record.child("switch_usd")),
        agreement=agreement,
        same_answer=same_answer,
        on_trust=record.choice("on_trust", (True, False)),
    )
    if policy.provenance.feature_hash != policy.model.scorer.feature_hash:
        raise StoreError(
            "policy.provenance.feature_hash is not that of the model; the file was put together from "
            "two policies"
        )
    policy.policy()
    return policy
