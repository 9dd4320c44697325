"""What an evaluation found, as one value and one documented JSON file.

Everything downstream (terminal table, HTML report, gate, comparison, forecast, exports) reads this and
nothing else, so a saved result can be shown again years later without the data it was computed from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from effortctl._errors import StoreError
from effortctl._types._base import Value

FORMAT: Final = "effortctl-eval"
VERSION: Final = 1

Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Range = tuple[Number, Number]
"""Low and high end of an interval."""

_EQUAL: Final = 0.01
"""Quality is called equal where no larger loss than a point is in the interval; as `EPSILON` of the verdict."""

Decision = Literal["route", "keep_fixed", "inconclusive"]


class Point(Value):
    """Mean dollars per task and mean quality."""

    cost_usd: Money
    quality: Share


class PolicyResult(Point):
    """How one policy did on the test tasks.

    Attributes:
        quality_ci95: Of the mean quality, clustered where clusters are known.
        cost_ci95: Of the mean dollars per task.
        arms: Arms of a fixed choice in order; empty for policies that decide task by task.
        metrics: Named metrics, see the documentation of metrics; null where one is undefined.
        spent_usd: Arm → dollars per task spent on it.
        simulated: The verdicts it saw were drawn from rates, not recorded.
        in_hindsight: It knows the outcomes, so nobody can run it.
    """

    quality_ci95: Range
    cost_ci95: Range
    arms: tuple[str, ...] = ()
    metrics: dict[str, Number | None] = Field(default_factory=dict)
    spent_usd: dict[str, Money] = Field(default_factory=dict)
    simulated: bool = False
    in_hindsight: bool = False


class EqualQuality(Value):
    """What the quality of the best fixed arm costs under a policy.

    Attributes:
        cost_usd: Mean dollars per task.
        ratio_to_best_fixed_arm: By the dollars of the best fixed arm.
        ci95: Of the ratio, paired over tasks.
    """

    cost_usd: Money
    ratio_to_best_fixed_arm: Number
    ci95: Range


class Verdict(Value):
    """The answer to "does routing pay?".

    Attributes:
        decision: `route`, `keep_fixed` or `inconclusive`.
        policy: The policy to use: the one that pays, or the fixed choice to keep.
        baseline: The fixed choice it was held against.
        saving: Share of the baseline's dollars that the policy saves; negative if it costs more, 0 where
            the baseline is kept.
        ci95: Of the saving, paired over tasks.
        quality_difference: Mean quality minus that of the baseline.
        quality_ci95: Of the difference, paired over tasks.
        n_needed: About how many tasks would decide; null when decided, or when no number would.
        reason: One sentence, for people.
    """

    decision: Decision
    policy: str
    baseline: str
    saving: Number
    ci95: Range
    quality_difference: Number
    quality_ci95: Range
    n_needed: Annotated[int, Field(ge=0)] | None = None
    reason: str

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        if self.decision == "keep_fixed":
            return f"KEEP {self.policy}: no policy beats it beyond noise"
        if self.decision == "inconclusive":
            need = "more tasks" if self.n_needed is None else f"about {self.n_needed:,} tasks"
            return f"INCONCLUSIVE: need {need}"
        saving, low, high = (round(100 * share) for share in (self.saving, *self.ci95))
        if self.saving >= 0:
            money = f"saves {saving} % [{low}, {high}]"
        else:
            money = f"costs {-saving} % [{-high}, {-low}] more"
        return f"ROUTE: {self.policy.replace('_', ' ')} {money}{self._quality()}"

    @property
    def kind_of_quality(self) -> Literal["better", "lower", "equal"] | None:
        """How its quality compares with the baseline's; None where a loss of over a point may be true."""
        low, high = self.quality_ci95
        if low > 0:
            return "better"
        if high < 0:
            return "lower"
        return "equal" if low >= -_EQUAL else None

    def _quality(self) -> str:
        points = ", ".join(f"{100 * end:+.1f}" for end in self.quality_ci95)
        change = f"{100 * self.quality_difference:+.1f} pts [{points}]"
        kind = self.kind_of_quality
        return f", quality {change}" if kind is None else f" at {kind} quality ({change})"


class Bin(Value):
    """One bin of a reliability table."""

    predicted: Share
    observed: Share
    count: Annotated[int, Field(ge=0)]


class Calibration(Value):
    """Predicted P(correct) against what happened, on test tasks.

    Attributes:
        brier: Mean squared error.
        log_loss: Mean negative log-likelihood, in nats.
        ece: Expected calibration error over the bins.
        baseline_log_loss: Of predicting each arm's mean on the learning tasks.
        auc: Area under the ROC curve, or null where all outcomes are alike.
        bins: Reliability table.
    """

    brier: Number
    log_loss: Number
    ece: Number
    baseline_log_loss: Number
    auc: Number | None = None
    bins: tuple[Bin, ...] = ()


class PolicyTasks(Value):
    """What a policy did task by task; one entry per task in every list.

    Attributes:
        cost_usd: Dollars, all attempts charged.
        quality: Score of the answer returned.
        calls: Arms tried, in order.
        returned: Arm whose answer was returned, or null for none.
    """

    cost_usd: tuple[Money, ...]
    quality: tuple[Share, ...]
    calls: tuple[tuple[str, ...], ...] = ()
    returned: tuple[str | None, ...] = ()


class TaskTable(Value):
    """The tasks one by one; what gates and comparisons pair on.

    Attributes:
        ids: T task ids.
        clusters: T clusters, or empty where none are known.
        categories: T categories, or empty.
        prompts: T prompts; empty unless they were asked for.
        difficulty: T predicted difficulties in logits, or empty.
        scores: Arm → T scores.
        costs_usd: Arm → T dollars.
        policies: Policy → what it did.
    """

    ids: tuple[str, ...]
    clusters: tuple[str | None, ...] = ()
    categories: tuple[str | None, ...] = ()
    prompts: tuple[str, ...] = ()
    difficulty: tuple[Number, ...] = ()
    scores: dict[str, tuple[Share, ...]] = Field(default_factory=dict)
    costs_usd: dict[str, tuple[Money, ...]] = Field(default_factory=dict)
    policies: dict[str, PolicyTasks] = Field(default_factory=dict)


class ArmResult(Point):
    """One arm on its own.

    Attributes:
        quality_ci95: Of the mean quality.
        cost_ci95: Of the mean dollars per task.
        model: Model id; arms of one model are joined in the plot.
        effort: Effort.
        latency_p50_s: Median seconds, where recorded.
        latency_p95_s: 95th percentile, where recorded.
    """

    quality_ci95: Range
    cost_ci95: Range
    model: str = ""
    effort: str = "default"
    latency_p50_s: Money | None = None
    latency_p95_s: Money | None = None


class EvalResult(Value):
    """Everything an evaluation found.

    Attributes:
        format: Always `effortctl-eval`.
        version: Of this schema; readers refuse another one.
        name: What was evaluated, for people.
        n_tasks: Test tasks.
        n_clusters: Independent clusters among them; equal to n_tasks where no clusters are known.
        verifier: What was assumed to check answers: `exact`, `none`, `recorded`, `agreement` or `TPR,FPR`.
        arms: Arm → how it does alone.
        policies: Policy → how it did. Names: `plan`, `routing_only`, `fixed_ladder`, `random_mix`,
            `fixed:<arm>`; others from policies of the user.
        best_fixed_arm: The arm with the best quality on the learning tasks, the cheapest of equals.
        best_fixed_ladder: Arms of the ladder that was best on the learning tasks.
        oracle: The cheapest correct arm of every task, in hindsight.
        cost_at_equal_quality: Policy → cost at the best fixed arm's quality; null if never reached.
        frontier: Policy → [cost_usd, quality] over its dial, cheapest first.
        gain_over_mixing: Policy → [cost_usd, gain, low, high]: quality above random mixing of fixed arms
            at equal dollars, paired over tasks.
        hull: [cost_usd, quality] corners of the best mixtures of fixed arms.
        verdict: Does routing pay?
        calibration: Of the predictions, where a model made any.
        dropped: Why tasks or arms were left out → how many.
        notes: Sentences a reader must know: how it was split, what was simulated, and so on.
        provenance: Seed, versions, fingerprints, dates, confidence level.
        tasks: The tasks one by one, where they were kept.
    """

    format: Literal["effortctl-eval"] = FORMAT
    version: Literal[1] = VERSION
    name: str
    n_tasks: Annotated[int, Field(ge=1)]
    n_clusters: Annotated[int, Field(ge=1)]
    verifier: str
    arms: dict[str, ArmResult]
    policies: dict[str, PolicyResult]
    best_fixed_arm: str
    best_fixed_ladder: tuple[str, ...]
    oracle: Point
    cost_at_equal_quality: dict[str, EqualQuality | None]
    frontier: dict[str, tuple[tuple[Money, Share], ...]]
    gain_over_mixing: dict[str, tuple[tuple[Money, Number, Number, Number], ...]] = Field(
        default_factory=dict
    )
    hull: tuple[tuple[Money, Share], ...] = ()
    verdict: Verdict
    calibration: Calibration | None = None
    dropped: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: dict[str, str | int | float | None] = Field(default_factory=dict)
    tasks: TaskTable | None = None

    def save(self, path: str | Path, *, with_tasks: bool = True) -> None:
        """Write the result as JSON: all of it, or nothing.

        Raises:
            StoreError: The file cannot be written.
        """
        target = Path(path).expanduser()
        fields = self.model_dump(mode="json", exclude=None if with_tasks else {"tasks"})
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{target.name}.part")
            part.write_text(json.dumps(fields, allow_nan=False) + "\n", encoding="utf-8")
            part.replace(target)
        except OSError as error:
            raise StoreError(f"the result was not written to {target}: {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> EvalResult:
        """Read what `save` wrote.

        Raises:
            StoreError: The file is missing, damaged or of another version.
        """
        source = Path(path).expanduser()
        try:
            raw: Any = json.loads(source.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"{source} is not a readable evaluation result ({error})") from error
        if not isinstance(raw, Mapping) or raw.get("format") != FORMAT:
            raise StoreError(
                f"{source} is no evaluation result; expected a file of `effortctl eval … --json FILE`"
            )
        if raw.get("version") != VERSION:
            raise StoreError(
                f"{source} has version {repr(raw.get('version'))[:40]} of the format, this effortctl reads "
                f"version {VERSION}; evaluate again"
            )
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise StoreError(f"{source} is damaged at {where}: {first['msg']}") from error
