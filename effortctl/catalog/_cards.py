"""What is known of one model and of one endpoint, as values."""

from __future__ import annotations

import fnmatch
import re
from datetime import date
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from effortctl._types import EFFORTS, Effort, EffortStyle, UsageRules

Api: TypeAlias = Literal["responses", "chat"]
Tokens: TypeAlias = Annotated[int, Field(gt=0)]

_SNAPSHOT_DATE = re.compile(r"-20\d\d-?[01]\d-?[0-3]\d$")
_VENDOR_DOT = re.compile(r"^(?:(?:global|us|eu|apac|jp|au)\.)?[a-z]+\.(?=[a-z])")
_WILDCARDS = "*?["
_BODY_STYLES = ("budget", "toggle", "template")


class _Data(BaseModel):
    """A frozen record read from TOML; a field it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelCard(_Data):
    """What one model takes, as far as a source says so. None means: no source says.

    Attributes:
        id: Unique in the catalog. A user's card with the same id changes the shipped one.
        match: Model ids the card speaks of, exact or with `*`. Empty: the card's own id. A dated
            snapshot, a vendor prefix (`openai/`, `global.openai.`) and capitals need no entry, nor a `.` in an id
            where the pattern has `-`.
        endpoints: Names of the endpoints the card is limited to. Empty: wherever the model is served.
        home: Endpoint that is meant when none is named. None: it must be named.
        provider: Who makes the model.
        api: The API to prefer where the endpoint offers both.
        efforts: Accepted efforts in rising order, `default` apart, which every model takes.
        default_effort: What the model does when no effort is sent.
        effort_style: How an effort reaches the model.
        bodies: Request fields per effort, for the styles `budget`, `toggle` and `template`.
        tools_need_responses: Function tools together with an effort work in the Responses API only.
        sampling_with_reasoning: Temperature and the like are accepted while the model reasons.
        context: Tokens of prompt and answer together.
        max_output: Tokens of one answer, reasoning included.
        output_caps: Default output cap per effort, where it differs from the general table.
        samples: Up to how many samples per effort, where effort is spent on samples.
        resample_temperature: Sampling temperature of further samples.
        sunset: Day of the announced shutdown.
        status: `current`, `ending` (a shutdown is announced), `ended` (it no longer answers).
        source: Where these facts come from, and which are not known.
        verified_on: When the source was read.
    """

    id: str
    match: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    home: str | None = None
    provider: str
    api: Api = "chat"
    efforts: tuple[Effort, ...]
    default_effort: Effort | None = None
    effort_style: EffortStyle = "param"
    bodies: dict[Effort, dict[str, Any]] = Field(default_factory=dict)
    tools_need_responses: bool | None = None
    sampling_with_reasoning: bool | None = None
    context: Tokens | None = None
    max_output: Tokens | None = None
    output_caps: dict[Effort, Tokens] = Field(default_factory=dict)
    samples: dict[Effort, Annotated[int, Field(ge=1, le=64)]] = Field(default_factory=dict)
    resample_temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    sunset: date | None = None
    status: Literal["current", "ending", "ended"] = "current"
    source: Annotated[str, Field(min_length=1)]
    verified_on: date

    @field_validator("efforts")
    @classmethod
    def _rising(cls, efforts: tuple[Effort, ...]) -> tuple[Effort, ...]:
        if "default" in efforts:
            msg = "`default` is always accepted; leave it out"
            raise ValueError(msg)
        return tuple(sorted(set(efforts), key=EFFORTS.index))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.effort_style in _BODY_STYLES and set(self.bodies) != set(self.efforts):
            msg = f"style `{self.effort_style}` needs `bodies` for exactly the efforts it accepts"
            raise ValueError(msg)
        if self.effort_style not in _BODY_STYLES and self.bodies:
            msg = f"style `{self.effort_style}` sends no `bodies`; use budget, toggle or template"
            raise ValueError(msg)
        if self.status == "ending" and self.sunset is None:
            msg = "status `ending` needs a `sunset` date"
            raise ValueError(msg)
        return self

    @property
    def can_switch_off(self) -> bool:
        """True when the model can answer without reasoning."""
        return "none" in self.efforts

    @property
    def names(self) -> tuple[str, ...]:
        """The model ids the card speaks of."""
        return self.match or (self.id,)

    def fit(self, model: str) -> int | None:
        """How closely the card matches a model id: more is closer, None is not at all."""
        spellings = _spellings(model)
        scores = [
            2 * _literal_length(pattern) - penalty + (0 if _is_glob(pattern) else 1)
            for pattern in self.names
            for penalty, spelling in enumerate(spellings)
            if fnmatch.fnmatchcase(spelling, pattern)
        ]
        return max(scores, default=None)


class EndpointPreset(_Data):
    """A known place to send calls to.

    Attributes:
        name: What a ladder or `NAME/model@effort` calls it.
        kind: As `Endpoint.kind`.
        base_url: As `Endpoint.base_url`; `{NAME}` is filled in from the environment.
        api_key_env: As `Endpoint.api_key_env`.
        price_provider: As `Endpoint.price_provider`.
        self_hosted: As `Endpoint.self_hosted`.
        usage: As `Endpoint.usage`.
        max_tokens_field: As `Endpoint.max_tokens_field`.
        apis: What it serves, best first.
        effort_style: Overrides the card's style, where the endpoint translates efforts itself.
        allow_unknown: Serves models no card can list; they are taken at their word.
        source: Where these facts come from.
        verified_on: When the source was read.
    """

    name: str
    kind: Literal["openai", "local", "recorded"] = "openai"
    base_url: str | None = None
    api_key_env: str | None = None
    price_provider: str | None = None
    self_hosted: bool = False
    usage: UsageRules = UsageRules()
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    apis: Annotated[tuple[Api, ...], Field(min_length=1)] = ("chat",)
    effort_style: EffortStyle | None = None
    allow_unknown: bool = False
    source: Annotated[str, Field(min_length=1)]
    verified_on: date


def permissive_card(model: str) -> ModelCard:
    """A card for a model nobody described, on a server that may serve anything.

    Every effort is passed on as asked; when the server refuses one, the card is narrowed.
    """
    return ModelCard(
        id=model,
        provider="unknown",
        efforts=tuple(effort for effort in EFFORTS if effort != "default"),
        source="not in the catalog: every effort is tried as asked",
        verified_on=date.min,
    )


def _spellings(model: str) -> list[str]:
    """Ways to read one model id, most literal first."""
    whole = model.lower()
    last = _VENDOR_DOT.sub("", whole.rsplit("/", 1)[-1])
    undated = _SNAPSHOT_DATE.sub("", last)
    return list(dict.fromkeys((whole, last, undated, undated.replace(".", "-"))))


def _is_glob(pattern: str) -> bool:
    return any(char in pattern for char in _WILDCARDS)


def _literal_length(pattern: str) -> int:
    return sum(char not in _WILDCARDS for char in pattern)
