"""A fitted model as plain JSON, and back with every number checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from effortctl._errors import StoreError
from effortctl._features import FEATURE_NAMES, FEATURES_HASH, FeatureFunction
from effortctl._features import features as built_in
from effortctl.estimators._calibration import ArmCalibration, CalibrationReport, ReliabilityBin
from effortctl.estimators._costs import CostCurve
from effortctl.estimators._curves import ArmCurve
from effortctl.estimators._record import Record
from effortctl.estimators._reliability import VerifierKind
from effortctl.estimators._scorer import (
    CategoryPart,
    DifficultyScorer,
    LinearPart,
    Part,
    PriorPart,
)
from effortctl.estimators._trees import TreesPart
from effortctl.estimators._words import WordsPart

if TYPE_CHECKING:
    from effortctl.estimators._model import FittedArm, FittedModel

FORMAT = "effortctl-model"
VERSION = 1
_MAX_DEPTH = 64


def dump_model(model: FittedModel) -> dict[str, Any]:
    """See `FittedModel.to_json`."""
    record = {
        "format": FORMAT,
        "version": VERSION,
        "difficulty": dump_scorer(model.scorer),
        "arms": [asdict(arm) for arm in model.arms],
        "verifier": model.verifier,
        "report": None if model.report is None else asdict(model.report),
        "provenance": dict(model.provenance),
    }
    return dict(plain(record, "model"))


def plain(value: Any, place: str) -> Any:
    """JSON types only; arrays and tuples become lists."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        raise StoreError(f"{place} is {value}, expected a finite number; the fit went wrong")
    if isinstance(value, Mapping):
        return {str(key): plain(each, f"{place}.{key}") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, place) for each in value]
    return value


def dump_scorer(scorer: DifficultyScorer) -> dict[str, Any]:
    """A scorer as an object of plain values and arrays; see `plain`."""
    return {
        "parts": {
            name: {"weight": weight, **_dump_part(part)}
            for name, (weight, part) in scorer.parts.items()
        },
        "intercept": scorer.intercept,
        "low": scorer.low,
        "high": scorer.high,
        "bands": scorer.bands,
        "residual_sd": scorer.residual_sd,
        "feature_names": scorer.feature_names,
        "feature_hash": scorer.feature_hash,
    }


def _dump_part(part: Part) -> dict[str, Any]:
    if isinstance(part, PriorPart):
        return {"scorer": dump_scorer(part.scorer)}
    return {name: getattr(part, name) for name in type(part).__dataclass_fields__}


def load_model(raw: Mapping[str, Any], features: FeatureFunction | None) -> FittedModel:
    """See `FittedModel.from_json`."""
    from effortctl.estimators._model import FittedModel  # noqa: PLC0415 - it imports this module

    record = Record(raw, "model")
    if record.text("format") != FORMAT or record.whole("version") != VERSION:
        raise StoreError(
            f"this is {repr(raw.get('format'))[:40]} version {repr(raw.get('version'))[:40]}, expected {FORMAT!r}"
            f" version {VERSION}; learn again from your outcomes"
        )
    arms = tuple(_load_arm(each) for each in record.children("arms"))
    if not arms or len({arm.name for arm in arms}) != len(arms):
        raise StoreError("model.arms has no arm, or one of them twice")
    return FittedModel(
        scorer=load_scorer(record.child("difficulty"), features),
        arms=arms,
        verifier=record.choice("verifier", get_args(VerifierKind)),
        report=None if raw.get("report") is None else _load_report(record.child("report")),
        provenance=record.labels("provenance"),
    )


def load_scorer(record: Record, features: FeatureFunction | None) -> DifficultyScorer:
    """Read what `dump_scorer` gave.

    Raises:
        StoreError: It is damaged, or was fitted on other features.
    """
    names, digest = record.texts("feature_names"), record.text("feature_hash")
    if features is None and (digest != FEATURES_HASH or names != FEATURE_NAMES):
        raise StoreError(
            "the model was fitted on other features than this version computes; learn again, or pass"
            " the feature function it was fitted with as features="
        )
    bands = tuple(record.numbers("bands").tolist())
    if len(bands) != 4 or sorted(bands) != list(bands):
        raise StoreError(f"{record.place}.bands is not four rising numbers")
    return DifficultyScorer(
        parts={
            name: (part.number("weight"), _load_part(name, part, len(names)))
            for name, part in record.child("parts").all_children().items()
        },
        intercept=record.number("intercept"),
        low=record.number("low"),
        high=record.number("high"),
        bands=bands,
        residual_sd=record.number("residual_sd", low=0),
        feature_names=names,
        feature_hash=digest,
        function=features or built_in,
    )


def _load_part(name: str, record: Record, width: int) -> Part:
    if name == "linear":
        return LinearPart(
            mean=record.numbers("mean", size=width),
            scale=record.numbers("scale", size=width, low=1e-12),
            coef=record.numbers("coef", size=width),
            intercept=record.number("intercept"),
        )
    if name == "words":
        coef = record.numbers("coef")
        if coef.size < 2 or coef.size & (coef.size - 1):
            raise StoreError(
                f"{record.place}.coef has {coef.size} entries, expected a power of two"
            )
        return WordsPart(coef, record.number("intercept"))
    if name == "category":
        return CategoryPart(record.child("offset").all_numbers())
    if name == "boosted":
        return _load_trees(record, width)
    if name == "prior":
        return PriorPart(load_scorer(record.child("scorer"), None))
    raise StoreError(f"{record.place} is a part this version does not know")


def _load_trees(record: Record, width: int) -> TreesPart:
    value = record.numbers("value")
    count = value.size
    return TreesPart(
        baseline=record.number("baseline"),
        roots=record.positions("roots", below=count),
        feature=record.positions("feature", below=width, size=count),
        threshold=record.numbers("threshold", size=count),
        left=record.positions("left", below=count, size=count),
        right=record.positions("right", below=count, size=count),
        value=value,
        depth=record.whole("depth", high=_MAX_DEPTH),
    )


def _load_arm(record: Record) -> FittedArm:
    from effortctl.estimators._model import FittedArm  # noqa: PLC0415 - it imports this module

    return FittedArm(
        name=record.text("name"),
        model=record.text("model"),
        effort=record.text("effort"),
        curve=_load_curve(record.child("curve")),
        cost=None if record.raw.get("cost") is None else _load_cost(record.child("cost")),
        rho=record.number("rho", low=-1, high=1),
        tpr=record.number("tpr", low=0, high=1),
        fpr=record.number("fpr", low=0, high=1),
        outcomes=record.whole("outcomes"),
        mean_score=record.number("mean_score", low=0, high=1),
    )


def _load_curve(record: Record) -> ArmCurve:
    knots = record.pairs("knots")
    if any(b[0] <= a[0] or b[1] < a[1] for a, b in pairwise(knots)):
        raise StoreError(f"{record.place}.knots do not rise")
    if any(not 0 <= number <= 1 for knot in knots for number in knot):
        raise StoreError(f"{record.place}.knots are not probabilities")
    return ArmCurve(record.number("intercept"), record.number("slope", low=0), knots)


def _load_cost(record: Record) -> CostCurve:
    return CostCurve(
        scale_usd=record.number("scale_usd", low=0),
        per_difficulty=record.number("per_difficulty"),
        per_log_tokens=record.number("per_log_tokens"),
        difficulty_range=record.pair("difficulty_range"),
        log_tokens_range=record.pair("log_tokens_range"),
    )


def _load_report(record: Record) -> CalibrationReport:
    return CalibrationReport(
        arms=tuple(
            ArmCalibration(
                arm=arm.text("arm"),
                count=arm.whole("count"),
                log_loss=arm.number("log_loss"),
                baseline_log_loss=arm.number("baseline_log_loss"),
                brier=arm.number("brier"),
                ece=arm.number("ece"),
                auc=None if arm.raw.get("auc") is None else arm.number("auc"),
            )
            for arm in record.children("arms")
        ),
        table=tuple(
            ReliabilityBin(row.number("predicted"), row.number("observed"), row.whole("count"))
            for row in record.children("table")
        ),
    )
