"""What is believed of tasks and arms before any outcome: sensible on the first day, outgrown later.

`load_prior()` reads the artefact shipped in `catalog/prior/` (its README.md says from which data it was
fitted, and how little it knows). `Prior.model(arms)` is a complete model without one outcome;
`fit_model(..., prior=load_prior(), arms=arms)` moves from there to the user's own outcomes as they come.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from functools import lru_cache
from math import exp, log
from typing import TYPE_CHECKING, Any

import numpy as np

from effortctl._errors import ConfigError, StoreError, UnknownPriceError
from effortctl._pricing import GenaiPriceBook
from effortctl._types import Answer, Arm, Usage
from effortctl.catalog import load_catalog
from effortctl.catalog._catalog import shipped
from effortctl.estimators._curves import CurvePrior, fit_curves
from effortctl.estimators._links import sigmoid
from effortctl.estimators._model import FittedArm, FittedModel
from effortctl.estimators._prior_costs import CostPrior, listed_curve, shrink_costs
from effortctl.estimators._prior_levels import LEVELS, ArmFacts, ArmLevels
from effortctl.estimators._prior_scorer import DifficultyPrior
from effortctl.estimators._record import Record
from effortctl.estimators._reliability import Reliability
from effortctl.estimators._scorer import PriorPart
from effortctl.estimators._stored import dump_scorer, load_scorer, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl.protocols import PriceBook
    from effortctl.stores._matrix import OutcomeMatrix

    Floats = NDArray[np.float64]

FORMAT = "effortctl-prior"
VERSION = 1

_SAMPLE_TOKENS = 1000
_SELF_HOSTED_USD = 0.3
"""Dollars per million output tokens a small open model is sold for: how able one of our own machine is
taken to be, since its tokens have no price."""

_TOKENS_PER_SECOND = 30.0
"""Speed at which a machine rented by the hour is taken to write."""

_SHARE_OF_CAP = 0.7
"""Expected output is at most this share of the output cap."""


@dataclass(frozen=True, slots=True, eq=False)
class ArmPriors:
    """What the prior says of K given arms.

    Attributes:
        facts: K arms.
        curve: K curve priors; their `intercept_sd` is the square root of the covariance's diagonal.
        covariance: [K, K] of the intercepts.
        costs: What is believed of their dollars.
    """

    facts: tuple[ArmFacts, ...]
    curve: tuple[CurvePrior, ...]
    covariance: Floats
    costs: CostPrior

    def overruled_by(self, own: Mapping[int, CurvePrior]) -> ArmPriors:
        """The same, with what the user knows of some columns put in its place."""
        covariance = self.covariance.copy()
        for j, prior in own.items():
            covariance[j, :] = covariance[:, j] = 0.0
            covariance[j, j] = prior.intercept_sd**2
        curve = tuple(own.get(j, prior) for j, prior in enumerate(self.curve))
        return replace(self, curve=curve, covariance=covariance)


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """A fitted prior. Immutable; `load_prior` gives the shipped one.

    Attributes:
        difficulty: How hard a task is, from what it looks like.
        intercept: Log-odds of being correct, per arm.
        slope_sd: How far the slope of a model, log-odds lost per unit of difficulty, may be from what
            all arms show together; that begins at 1.
        log_tokens: Logarithm of output tokens, reasoning included, per arm.
        task_sd: Spread of the log output tokens of one arm between tasks.
        rho: Loading of arms on the hidden factor that makes them fail together.
        created: ISO date of the fit.
        fingerprint: Names the data it was fitted on.
        quality: What was measured when it was fitted, by name.
    """

    difficulty: DifficultyPrior
    intercept: ArmLevels
    slope_sd: float
    log_tokens: ArmLevels
    task_sd: float
    rho: float
    created: str
    fingerprint: str
    quality: Mapping[str, float]

    def model(
        self,
        arms: Sequence[Arm],
        *,
        reliability: Reliability | None = None,
        prices: PriceBook | None = None,
    ) -> FittedModel:
        """A complete model of these arms without one outcome.

        Its probabilities are expected values over all that is not known, so they keep away from 0 and 1.

        Args:
            arms: K arms, best resolved by the catalog.
            reliability: What a verdict is worth. None: nothing.
            prices: Where list prices are looked up. None: the user's own, then `genai-prices`.

        Raises:
            ConfigError: No arm, one name twice, or a reliability of another number of arms.
            UnknownPriceError: An arm has no known price; without dollars there is nothing to plan.
        """
        names = [arm.name for arm in arms]
        if not names or len(set(names)) != len(names):
            raise ConfigError(f"arms are {names}; expected at least one, each name once")
        offers = [_Offer.of(arm, prices or GenaiPriceBook()) for arm in arms]
        believed = self._about([offer.facts for offer in offers], offers)
        return self.untried(
            believed,
            efforts=[arm.sent_effort for arm in arms],
            reliability=reliability or Reliability.none(len(arms)),
        )

    def about(
        self, matrix: OutcomeMatrix, arms: Sequence[Arm] = (), *, prices: PriceBook | None = None
    ) -> ArmPriors:
        """What is believed of the arms of a matrix, column by column.

        Args:
            matrix: Only names, models and efforts of its arms are looked at.
            arms: The same arms, by name, for their prices; those that are missing, and those without
                a known price, are believed in less.
            prices: Where list prices are looked up. None: the user's own, then `genai-prices`.
        """
        known = {arm.name: arm for arm in arms}
        offers = [
            _offer_or_none(known.get(name), prices or GenaiPriceBook()) for name in matrix.arms
        ]
        facts = [
            offer.facts if offer else ArmFacts(name, model, _level(model, effort), None)
            for offer, name, model, effort in zip(
                offers, matrix.arms, matrix.models, matrix.efforts, strict=True
            )
        ]
        return self._about(facts, offers)

    def untried(
        self, believed: ArmPriors, *, efforts: Sequence[str], reliability: Reliability
    ) -> FittedModel:
        """The model of arms of which there is no outcome.

        Args:
            believed: What `about` says of K arms.
            efforts: [K] as they will be named in the model.
            reliability: What a verdict is worth.
        """
        models = [facts.model for facts in believed.facts]
        curves = fit_curves(
            np.empty(0),
            np.empty((0, len(models))),
            models=models,
            efforts=efforts,
            priors=dict(enumerate(believed.curve)),
            covariance=believed.covariance,
        )
        nothing = np.empty((0, len(models)))
        costs = shrink_costs(np.empty(0), np.empty(0), nothing, prior=believed.costs)
        scorer = self.difficulty.scorer
        model = FittedModel(
            scorer=replace(scorer, parts={"prior": (1.0, PriorPart(scorer))}, intercept=0.0),
            arms=tuple(
                FittedArm(
                    name=facts.name,
                    model=facts.model,
                    effort=efforts[j],
                    curve=curves[j],
                    cost=costs[j],
                    rho=self.rho,
                    tpr=1.0,
                    fpr=1.0,
                    outcomes=0,
                    mean_score=float(sigmoid(curves[j].intercept)),
                )
                for j, facts in enumerate(believed.facts)
            ),
            provenance={"tasks": 0, "outcomes": 0, "parts": "prior", **self.provenance},
        )
        return model.with_verifier(reliability)

    @property
    def provenance(self) -> dict[str, str | int]:
        """What a model says of the prior it began from."""
        return {"prior": f"{self.created} {self.fingerprint}"}

    def _about(self, facts: Sequence[ArmFacts], offers: Sequence[_Offer | None]) -> ArmPriors:
        covariance = self.intercept.covariance(facts)
        spread = np.sqrt(np.diag(covariance))
        return ArmPriors(
            facts=tuple(facts),
            curve=tuple(
                CurvePrior(float(mean), float(sd), slope_sd=self.slope_sd)
                for mean, sd in zip(self.intercept.mean(facts), spread, strict=True)
            ),
            covariance=covariance,
            costs=CostPrior(
                curves=tuple(
                    offer.curve(log_tokens) if offer else None
                    for offer, log_tokens in zip(offers, self.log_tokens.mean(facts), strict=True)
                ),
                covariance=self.log_tokens.covariance(facts),
                task_sd=self.task_sd,
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, finite numbers only.

        Raises:
            StoreError: A number is not finite.
        """
        record = {
            "format": FORMAT,
            "version": VERSION,
            "created": self.created,
            "fingerprint": self.fingerprint,
            "difficulty": {
                "weight_sd": self.difficulty.weight_sd,
                "scorer": dump_scorer(self.difficulty.scorer),
            },
            "intercept": asdict(self.intercept),
            "slope_sd": self.slope_sd,
            "log_tokens": asdict(self.log_tokens),
            "task_sd": self.task_sd,
            "rho": self.rho,
            "quality": dict(self.quality),
        }
        return dict(plain(record, "prior"))

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Prior:
        """Read what `to_json` wrote.

        Raises:
            StoreError: The record is damaged, of another version, or was fitted on other features.
        """
        record = Record(raw, "prior")
        if record.text("format") != FORMAT or record.whole("version") != VERSION:
            raise StoreError(
                f"this is {raw.get('format')!r} version {raw.get('version')!r}, expected {FORMAT!r}"
                f" version {VERSION}; install effortctl again, or fit the prior again"
            )
        difficulty = record.child("difficulty")
        return cls(
            difficulty=DifficultyPrior(
                scorer=load_scorer(difficulty.child("scorer"), None),
                weight_sd=difficulty.number("weight_sd", low=1e-3),
            ),
            intercept=_load_levels(record.child("intercept")),
            slope_sd=record.number("slope_sd", low=1e-3),
            log_tokens=_load_levels(record.child("log_tokens")),
            task_sd=record.number("task_sd", low=1e-3),
            rho=record.number("rho", low=0, high=0.9),
            created=record.text("created"),
            fingerprint=record.text("fingerprint"),
            quality=record.child("quality").all_numbers(),
        )


@lru_cache(maxsize=1)
def load_prior() -> Prior:
    """The prior that comes with effortctl; read once per process.

    Raises:
        StoreError: The file is damaged; install effortctl again.
    """
    text = shipped("prior", "prior.json").read_text(encoding="utf-8")
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise StoreError(
            f"the shipped prior is not JSON: {error}; install effortctl again"
        ) from None
    return Prior.from_json(raw)


def _load_levels(record: Record) -> ArmLevels:
    steps = record.child("steps").all_numbers()
    rising = [steps.get(level, np.nan) for level in LEVELS]
    if set(steps) != set(LEVELS) or rising != sorted(rising):
        raise StoreError(f"{record.place}.steps are not rising numbers for {', '.join(LEVELS)}")
    return ArmLevels(
        base=record.number("base"),
        per_log_price=record.number("per_log_price"),
        log_price_centre=record.number("log_price_centre"),
        log_price_range=record.pair("log_price_range"),
        log_price_sd=record.number("log_price_sd", low=0),
        steps={level: steps[level] for level in LEVELS},
        source_sd=record.number("source_sd", low=1e-3),
        gain_sd=record.number("gain_sd", low=0),
        model_sd=record.number("model_sd", low=1e-3),
        arm_sd=record.number("arm_sd", low=1e-3),
    )


@dataclass(frozen=True, slots=True)
class _Offer:
    """What an arm is sold for."""

    facts: ArmFacts
    usd_per_input: float
    usd_per_output: float
    usd_per_second: float
    most_tokens: int
    samples: int

    @classmethod
    def of(cls, arm: Arm, prices: PriceBook) -> _Offer:
        inputs, outputs = (
            _usd(arm, prices, usage) / _SAMPLE_TOKENS
            for usage in (Usage(input_tokens=_SAMPLE_TOKENS), Usage(output_tokens=_SAMPLE_TOKENS))
        )
        hourly = arm.price.usd_per_hour if arm.price else Decimal(0)
        listed = outputs * 1e6 if outputs > 0 else _SELF_HOSTED_USD
        level = _level(arm.model, arm.sent_effort, arm)
        return cls(
            facts=ArmFacts(arm.name, arm.model, level, log(listed)),
            usd_per_input=inputs,
            usd_per_output=outputs,
            usd_per_second=float(hourly) / 3600,
            most_tokens=arm.max_output_tokens,
            samples=arm.samples,
        )

    def curve(self, log_tokens: float) -> Any:
        """Expected dollars; further samples, asked for until one passes, count half."""
        calls = (1 + self.samples) / 2
        tokens = min(exp(log_tokens), _SHARE_OF_CAP * self.most_tokens) * calls
        return listed_curve(
            usd_per_input=self.usd_per_input * calls,
            usd_per_output=self.usd_per_output,
            output_tokens=tokens,
            usd_per_call=self.usd_per_second * tokens / _TOKENS_PER_SECOND,
        )


def _offer_or_none(arm: Arm | None, prices: PriceBook) -> _Offer | None:
    try:
        return None if arm is None else _Offer.of(arm, prices)
    except UnknownPriceError:
        return None


def _usd(arm: Arm, prices: PriceBook, usage: Usage) -> float:
    return float(prices.cost(arm, Answer(text="", usage=usage)).usd)


def _level(model: str, effort: str, arm: Arm | None = None) -> str | None:
    """The level of an effort; of `default`, what the model's card says it is."""
    if effort != "default":
        return effort
    card = load_catalog().card(model, arm.endpoint if arm else None, allow_unknown=True)
    if card.default_effort in LEVELS:
        return card.default_effort
    return "none" if card.effort_style in {"prompt", "fixed"} else None
