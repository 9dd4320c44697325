"""Where the prior learns from: outcome sets on disk, and published tables typed into this folder."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from effortctl._features import FEATURE_NAMES, features
from effortctl.estimators._ability import observed_difficulty
from effortctl.estimators._scorer import feature_matrix
from effortctl.stores import OutcomeMatrix, read_outcomes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
WITH_TEXT = (
    "livecodebench",
    "lineage",
    "medagents",
    "firstpass_mbpp_974_opus",
    "routellm_gsm8k",
    "routellm_mmlu",
    "reasoning_gym_easy",
)
WITH_TOKENS = ("lineage", "routellm_gsm8k")
"""Sets whose output counts are what was billed; elsewhere hidden reasoning is missing, or the answer was
forced to one letter."""

_DATE = re.compile(r"-(?:20\d\d-?[01]\d-?[0-3]\d|[01]\d-20\d\d)(?=$|-)")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One outcome set. T tasks, K arms.

    Attributes:
        name: Of the file.
        matrix: The outcomes.
        x: [T, F] features.
        difficulty: [T] shown by the outcomes, less its mean.
        weight: [T] how much is known of it.
    """

    name: str
    matrix: OutcomeMatrix
    x: Floats
    difficulty: Floats
    weight: Floats


@dataclass(frozen=True, slots=True)
class Row:
    """What one arm did on one benchmark as a whole.

    Attributes:
        source: Benchmark or outcome set.
        model: Normalised name.
        level: Effort.
        log_price: Log of dollars per million output tokens; None where no price was found.
        value: Log-odds of being correct, or log output tokens.
        variance: Of the value, from the number of tasks alone.
    """

    source: str
    model: str
    level: str
    log_price: float | None
    value: float
    variance: float


def read_sources(data: Path) -> list[Source]:
    """Every outcome set that has prompts."""
    return [_source(name, read_outcomes(data / f"{name}.jsonl.gz")) for name in WITH_TEXT]


def _source(name: str, matrix: OutcomeMatrix) -> Source:
    observed = observed_difficulty(matrix.score)
    return Source(
        name=name,
        matrix=matrix,
        x=feature_matrix(matrix.tasks(), features, FEATURE_NAMES),
        difficulty=observed.difficulty - np.average(observed.difficulty, weights=observed.weight),
        weight=observed.weight,
    )


class Models:
    """Prices and usual efforts of the models in all tables (`models.csv`)."""

    def __init__(self) -> None:
        with (HERE / "models.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self._price = {model_name(r["model"]): float(r["output_usd_per_mtok"]) for r in rows}
        self._effort = {model_name(r["model"]): r["effort_when_unsaid"] for r in rows}

    def log_price(self, model: str) -> float | None:
        """Log of the list price, if one is known."""
        price = self._price.get(model_name(model))
        return None if price is None else float(np.log(price))

    def level(self, model: str, effort: str) -> str:
        """The effort, or what the model does when none is named."""
        if effort not in {"default", ""}:
            return effort
        return self._effort.get(model_name(model), "medium")


def model_name(model: str) -> str:
    """One spelling for the snapshots of a model."""
    return _DATE.sub("", model.lower().rsplit("/", 1)[-1]).replace(".", "-")


def score_rows(sources: list[Source], models: Models) -> list[Row]:
    """Log-odds of every arm on every benchmark."""
    found = [
        _score_row(
            source.name,
            name,
            effort,
            score=float(np.nanmean(score)),
            tasks=int((~np.isnan(score)).sum()),
        )
        for source in sources
        for name, effort, score in zip(
            source.matrix.models, source.matrix.efforts, source.matrix.score.T, strict=True
        )
    ]
    found += [
        _score_row(
            row["benchmark"],
            row["model"],
            row["effort"],
            score=float(row["score"]),
            tasks=int(row["tasks"]),
        )
        for row in _published()
    ]
    return [_completed(row, models) for row in found]


def token_rows(sources: list[Source], models: Models) -> list[Row]:
    """Log of mean output tokens of every arm, where they are known."""
    found = [
        Row(source.name, name, effort, None, float(np.log(np.nanmean(tokens))), 0.01)
        for source in sources
        if source.name in WITH_TOKENS
        for name, effort, tokens in zip(
            source.matrix.models, source.matrix.efforts, source.matrix.output_tokens.T, strict=True
        )
        if not np.isnan(tokens).all()
    ]
    found += [_medical(source, models) for source in sources if source.name == "medagents"]
    found += [
        Row(
            r["benchmark"],
            r["model"],
            r["effort"],
            None,
            float(np.log(float(r["output_tokens"]))),
            0.01,
        )
        for r in _published()
        if r["output_tokens"]
    ]
    return [_completed(row, models) for row in found]


def _medical(source: Source, models: Models) -> Row:
    """Of the exam questions only the arm whose reasoning was counted and not cut to a letter."""
    arm = source.matrix.models.index("DeepSeek-R1")
    tokens = float(np.nanmean(source.matrix.output_tokens[:, arm]))
    return Row(
        source.name, "DeepSeek-R1", models.level("DeepSeek-R1", ""), None, np.log(tokens), 0.01
    )


def _published() -> list[dict[str, str]]:
    with (HERE / "published.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _score_row(source: str, model: str, effort: str, *, score: float, tasks: int) -> Row:
    right = (score * tasks + 0.5) / (tasks + 1)
    value = float(np.log(right / (1 - right)))
    return Row(source, model, effort, None, value, 1 / (tasks * right * (1 - right)))


def _completed(row: Row, models: Models) -> Row:
    return Row(
        source=row.source,
        model=model_name(row.model),
        level=models.level(row.model, row.level),
        log_price=models.log_price(row.model),
        value=row.value,
        variance=row.variance,
    )
