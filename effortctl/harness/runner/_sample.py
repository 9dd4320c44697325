"""One finished cell of the matrix, and the line of the journal it lives in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from effortctl._types import Answer, Finish, Usage, VerdictStatus

Json: TypeAlias = dict[str, Any]


class Cell(NamedTuple):
    """One answer to get: an arm (or live policy), a task, and which repetition."""

    arm: str
    case: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Score:
    """What scoring said of an answer.

    Attributes:
        score: 0..1. None: nobody could tell (the check abstained or crashed).
        verdict: What the run-time check said, where there is one.
        check: Names what scored it; another name means it must be scored again.
        usd: What the check cost.
        why: Why there is no score.
    """

    score: float | None
    verdict: VerdictStatus | None
    check: str
    usd: Decimal = Decimal(0)
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What became of a cell.

    Attributes:
        cell: Which.
        arm_key: Fingerprint of the request settings of the arm.
        case_key: Fingerprint of what the task asks.
        cost_usd: Dollars of getting this answer, failed tries included; also where it came from the
            cache and nothing was paid now.
        spent_usd: Dollars that were really paid for it in this run.
        priced: False when nobody knows the price, so that the dollars mean nothing.
        calls: Wire requests, retries included.
        text: The answer; None when there is none.
        finish: How the answer ended.
        usage: Tokens, where the endpoint reported them.
        latency_s: Seconds of the call that answered.
        compute_s: Compute-seconds of a local call.
        effort: Effort that was really sent.
        model: Model the endpoint says it used.
        cached: The answer came from the response cache.
        tried: Arms a live policy tried, in order.
        score: What scoring said; None while it has not been scored.
        error: Class of the fault when there is no answer.
        kind: One word for its cause, e.g. `rate_limit`.
        message: What it said.
    """

    cell: Cell
    arm_key: str
    case_key: str
    cost_usd: Decimal
    spent_usd: Decimal
    priced: bool = True
    calls: int = 1
    text: str | None = None
    finish: Finish = "complete"
    usage: Usage | None = None
    latency_s: float = 0.0
    compute_s: float | None = None
    effort: str | None = None
    model: str | None = None
    cached: bool = False
    tried: tuple[str, ...] = ()
    score: Score | None = None
    error: str | None = None
    kind: str | None = None
    message: str | None = None

    @property
    def answered(self) -> bool:
        """True when there is an answer, right or wrong."""
        return self.text is not None

    @property
    def total_usd(self) -> Decimal:
        """Dollars of the answer and of its check."""
        return self.cost_usd + (self.score.usd if self.score else Decimal(0))

    def answer(self) -> Answer:
        """The answer as a check sees it."""
        return Answer(
            text=self.text or "",
            finish=self.finish,
            usage=self.usage,
            latency_s=self.latency_s,
            compute_s=self.compute_s,
            model=self.model,
        )

    def scored(self, score: Score) -> Sample:
        """The same with a score."""
        return replace(self, score=score)


_SCORE_PARTS = ("score", "verdict", "why")
_PLAIN = ("text", "latency_s", "compute_s", "effort", "model", "error", "kind", "message")


def sample_line(sample: Sample) -> Json:
    """The journal line of a sample; what is unknown or empty is left out."""
    line: Json = {
        "k": "done" if sample.answered else "failed",
        "cell": list(sample.cell),
        "arm_key": sample.arm_key,
        "case_key": sample.case_key,
        "cost_usd": f"{sample.cost_usd:f}",
        "spent_usd": f"{sample.spent_usd:f}",
        "calls": sample.calls,
    }
    line |= {name: value for name in _PLAIN if (value := getattr(sample, name)) is not None}
    if sample.finish != "complete":
        line["finish"] = sample.finish
    if sample.usage is not None:
        line["usage"] = {
            name: value
            for name, value in sample.usage.__dict__.items()
            if value or name in {"input_tokens", "output_tokens"}
        }
    if sample.cached:
        line["cached"] = True
    if not sample.priced:
        line["priced"] = False
    if sample.tried:
        line["tried"] = list(sample.tried)
    if sample.score is not None:
        line["score"] = score_fields(sample.score)
    return line


def score_fields(score: Score) -> Json:
    """A score as JSON."""
    fields: Json = {"check": score.check}
    fields |= {n: value for n in _SCORE_PARTS if (value := getattr(score, n)) is not None}
    if score.usd:
        fields["usd"] = f"{score.usd:f}"
    return fields


def read_score(fields: Mapping[str, Any]) -> Score:
    """What `score_fields` wrote."""
    return Score(
        score=fields.get("score"),
        verdict=fields.get("verdict"),
        check=str(fields["check"]),
        usd=Decimal(fields.get("usd", "0")),
        why=fields.get("why"),
    )


def read_sample(line: Mapping[str, Any]) -> Sample:
    """What `sample_line` wrote.

    Raises:
        KeyError, TypeError, ValueError, ArithmeticError: The line is not one.
    """
    usage, score = line.get("usage"), line.get("score")
    return Sample(
        cell=read_cell(line["cell"]),
        arm_key=str(line["arm_key"]),
        case_key=str(line["case_key"]),
        cost_usd=Decimal(line["cost_usd"]),
        spent_usd=Decimal(line["spent_usd"]),
        calls=int(line["calls"]),
        finish=line.get("finish", "complete"),
        usage=None if usage is None else Usage.model_validate(usage),
        cached=bool(line.get("cached")),
        priced=bool(line.get("priced", True)),
        tried=tuple(line.get("tried", ())),
        score=None if score is None else read_score(score),
        **{name: line[name] for name in _PLAIN if name in line},
    )


def read_cell(value: Any) -> Cell:
    """A cell as its line holds it.

    Raises:
        ValueError: It is not one.
    """
    arm, case, epoch = value
    return Cell(str(arm), str(case), int(epoch))
