"""From what was asked for to an `Arm`: which effort is really sent, how, where, and under what cap."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from effortctl._errors import ConfigError, EffortctlWarning
from effortctl._types import EFFORTS, Arm, Effort, Endpoint, OnUnsupported, Price
from effortctl.catalog._cards import EndpointPreset, ModelCard
from effortctl.catalog._catalog import Catalog, load_catalog
from effortctl.catalog._toml import told_plainly

_OUTPUT_CAP: Mapping[Effort, int] = {
    "default": 8192,
    "none": 2048,
    "minimal": 2048,
    "low": 4096,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 65_536,
}
_NO_KNOWN_LIMIT = 128_000
"""Largest cap for a model whose limit no source says. Above the real one, the endpoint answers 400."""
_SUNSET_NOTICE = timedelta(days=60)
_STALE_AFTER = timedelta(days=180)
_ENVIRONMENT = re.compile(r"\{([A-Z_][A-Z0-9_]*)\}")
_BODY_STYLES = ("budget", "toggle", "template")


class ArmRequest(BaseModel):
    """An arm as a person asks for it: one `[[arm]]` of a ladder.

    Attributes:
        model: Model id as the endpoint spells it.
        effort: The effort wanted.
        name: Name of the arm. None: `model@effort`.
        endpoint: Preset name, `preset:label`, an inline table, or a ready endpoint. None: the
            model's home.
        max_output_tokens: Cap per call. None: by effort.
        samples: As `Arm.samples`. None: as the card says for the effort, else one.
        temperature: As `Arm.temperature`.
        resample_temperature: As `Arm.resample_temperature`. None: as the card says.
        on_unsupported: What to do when the model does not take this effort.
        price: The user's own price.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[str, Field(min_length=1)]
    effort: Effort = "default"
    name: str | None = None
    endpoint: str | dict[str, Any] | Endpoint | None = None
    max_output_tokens: Annotated[int, Field(gt=0)] | None = None
    samples: Annotated[int, Field(ge=1, le=64)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    resample_temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    on_unsupported: OnUnsupported = "nearest_up"
    price: Price | None = None

    @property
    def label(self) -> str:
        """Name of the arm."""
        return self.name or f"{self.model}@{self.effort}"


def parse_arm(text: str, *, catalog: Catalog | None = None) -> ArmRequest:
    """Read `model`, `model@effort` or `endpoint/model@effort`, e.g. `ollama/qwen3:8b@none`.

    Args:
        text: What the user wrote. The part before the first `/` is an endpoint only when it names
            one, so `openrouter/openai/gpt-6-luna@low` keeps the vendor in the model id.
        catalog: Where endpoints are looked up. None: the user's own.

    Raises:
        ConfigError: No model, or no such effort.
    """
    body, at, effort = text.strip().rpartition("@")
    if not at:
        body, effort = effort, "default"
    if effort not in EFFORTS:
        msg = f"unknown effort {effort!r} in {text!r}; expected one of {', '.join(EFFORTS)}"
        raise ConfigError(msg)
    first, slash, rest = body.partition("/")
    known = (catalog or load_catalog()).endpoints
    endpoint = first if slash and first.partition(":")[0] in known else None
    model = rest if endpoint else body
    if not model:
        msg = f"no model in {text!r}; write e.g. gpt-6-luna@low or ollama/qwen3:8b@none"
        raise ConfigError(msg)
    return ArmRequest(model=model, effort=effort, endpoint=endpoint)


def resolve(request: ArmRequest | str, *, catalog: Catalog | None = None) -> Arm:
    """Build the arm that puts a request into effect.

    Args:
        request: What is asked for; a string is read by `parse_arm`.
        catalog: None: the shipped catalog with the user's own file.

    Returns:
        An arm with both the requested and the effective effort.

    Raises:
        ConfigError: Unknown model, endpoint or effort, or a cap the model cannot reach.

    Warns:
        EffortctlWarning: The model takes nothing on the wanted side of the effort.
    """
    catalog = catalog or load_catalog()
    if isinstance(request, str):
        request = parse_arm(request, catalog=catalog)
    endpoint = _endpoint(request, catalog)
    card = catalog.card(request.model, endpoint)
    accepted = catalog.narrowed(request.model, endpoint)
    effective = choose_effort(
        request.effort,
        card.efforts if accepted is None else accepted,
        on_unsupported=request.on_unsupported,
        label=request.label,
    )
    preset = catalog.preset_of(endpoint)
    limit = card.max_output or min(_NO_KNOWN_LIMIT, card.context or _NO_KNOWN_LIMIT)
    cap = _output_cap(request, card, effective=effective, limit=limit)
    return Arm(
        name=request.label,
        model=request.model,
        effort=request.effort,
        effective_effort=effective,
        endpoint=endpoint,
        api=card.api if card.api in preset.apis else preset.apis[0],
        max_output_tokens=cap,
        # Nobody recorded what a model would have said under a larger cap.
        max_output_tokens_limit=cap if endpoint.kind == "recorded" else max(limit, cap),
        temperature=request.temperature,
        on_unsupported=request.on_unsupported,
        price=request.price,
        **_sampling(request, card, effective),
        **_wire(card, preset, effective),
    )


def narrow(
    arm: Arm,
    supported: Sequence[str],
    *,
    catalog: Catalog | None = None,
) -> Arm:
    """Resolve an arm again after its endpoint refused the effort, and remember what it takes.

    The effort that was refused is never chosen again. When the endpoint names no effort we know,
    none is sent any more. An arm that sends no effort comes back unchanged: there is nothing left
    to give up, and the caller must not repeat the call.

    Args:
        arm: The refused arm.
        supported: The efforts the endpoint's message lists; words we do not know are ignored.
        catalog: Where the narrowed card is remembered. None: the user's own.

    Raises:
        ConfigError: The arm's `on_unsupported` is `error`.
    """
    if arm.sent_effort == "default":
        return arm
    catalog = catalog or load_catalog()
    card = catalog.card(arm.model, arm.endpoint, allow_unknown=True)
    sendable = card.bodies if arm.effort_style in _BODY_STYLES else EFFORTS
    left = tuple(
        effort
        for effort in EFFORTS
        if effort in supported and effort in sendable and effort not in {"default", arm.sent_effort}
    )
    catalog.remember(arm.model, arm.endpoint, left)
    effective = choose_effort(arm.effort, left, on_unsupported=arm.on_unsupported, label=arm.name)
    wire = _wire(card, catalog.preset_of(arm.endpoint), effective)
    return arm.model_copy(update={"effective_effort": effective, **wire})


def choose_effort(
    wanted: Effort, accepted: Iterable[Effort], *, on_unsupported: OnUnsupported, label: str = "arm"
) -> Effort:
    """The effort that is sent when `wanted` is asked of a model that takes `accepted`.

    Raises:
        ConfigError: `wanted` is not accepted and the rule is `error`.

    Warns:
        EffortctlWarning: There is nothing on the side the rule prefers, so the other side is taken;
            or the model takes no effort at all, so none is sent.
    """
    choices = sorted(accepted, key=EFFORTS.index)
    if wanted == "default" or wanted in choices:
        return wanted
    takes = ", ".join(choices) or "none at all"
    if on_unsupported == "error":
        msg = (
            f"{label}: effort {wanted!r} is not accepted (accepted: {takes}); choose one of these "
            'or set on_unsupported = "nearest_up"'
        )
        raise ConfigError(msg)
    rank = EFFORTS.index(wanted)
    above = [effort for effort in choices if EFFORTS.index(effort) > rank]
    below = [effort for effort in reversed(choices) if EFFORTS.index(effort) < rank]
    preferred, other = (above, below) if on_unsupported == "nearest_up" else (below, above)
    if preferred:
        return preferred[0]
    chosen: Effort = other[0] if other else "default"
    msg = f"{label}: effort {wanted!r} is not accepted (accepted: {takes}); {chosen!r} is used"
    warnings.warn(msg, EffortctlWarning, stacklevel=3)
    return chosen


def sunset_notes(
    arms: Iterable[Arm],
    today: date,
    *,
    notice: timedelta = _SUNSET_NOTICE,
    catalog: Catalog | None = None,
) -> list[str]:
    """One sentence for each model that has ended or ends soon, in order of the arms.

    Args:
        arms: What may be called; recorded answers and our own servers know no shutdown.
        today: The date in UTC.
        notice: How long before its shutdown a model is named. Zero: only those that have ended.
        catalog: None: the user's own.
    """
    catalog = catalog or load_catalog()
    notes: dict[str, None] = {}
    for arm in arms:
        if arm.endpoint.self_hosted or arm.endpoint.kind != "openai":
            continue
        card = catalog.card(arm.model, arm.endpoint, allow_unknown=True)
        note = _sunset_note(arm.model, card, today, notice=notice)
        if note is not None:
            notes[note] = None
    return list(notes)


def stale_note(arms: Iterable[Arm], today: date, *, catalog: Catalog | None = None) -> str | None:
    """One sentence when what is known of hosted models is old; None while it is fresh."""
    catalog = catalog or load_catalog()
    cards = {arm.model: catalog.card(arm.model, arm.endpoint, allow_unknown=True) for arm in arms}
    oldest = min(
        (card.verified_on for card in cards.values() if card.home and card.home != "local"),
        default=today,
    )
    if today - oldest <= _STALE_AFTER:
        return None
    return (
        f"what is known of these models (efforts, limits, shutdown days) was read on {oldest}, "
        f"{(today - oldest).days} days ago; upgrade effortctl, and genai-prices for the prices"
    )


def _sunset_note(model: str, card: ModelCard, today: date, *, notice: timedelta) -> str | None:
    advice = "choose a current model (`effortctl models`)"
    if card.sunset is None:
        return f"{model} is no longer served; {advice}" if card.status == "ended" else None
    if card.sunset <= today:
        return f"{model} was shut down on {card.sunset}; {advice}"
    if card.sunset - today <= notice:
        days = (card.sunset - today).days
        return f"{model} is shut down on {card.sunset}, in {days} days; {advice}"
    return None


def _endpoint(request: ArmRequest, catalog: Catalog) -> Endpoint:
    given = request.endpoint
    if isinstance(given, Endpoint):
        return given
    if isinstance(given, dict):
        return inline_endpoint(given, catalog=catalog, where=request.label)
    name = given or catalog.home(request.model)
    if name is None:
        # Raises for a model nobody knows; a known one without a home is served in many places.
        catalog.card(request.model)
        msg = (
            f"{request.label}: {request.model!r} is served in many places; say where, e.g. "
            f'"ollama/{request.model}" or endpoint = "vllm"'
        )
        raise ConfigError(msg)
    return _ready(catalog.preset(name), name=name)


def inline_endpoint(table: Mapping[str, Any], *, catalog: Catalog, where: str) -> Endpoint:
    """An endpoint written as a table; a name such as `vllm:gpu1` starts from that preset.

    Raises:
        ConfigError: A key or value of the table is wrong.
    """
    known = catalog.endpoints.get(str(table.get("name", "")).partition(":")[0])
    fields = ({} if known is None else _shared_fields(known)) | dict(table)
    with told_plainly(f"{where}: endpoint"):
        return _filled_in(Endpoint.model_validate(fields))


def _ready(preset: EndpointPreset, *, name: str) -> Endpoint:
    return _filled_in(Endpoint.model_validate(_shared_fields(preset) | {"name": name}))


def _shared_fields(preset: EndpointPreset) -> dict[str, Any]:
    shared = Endpoint.model_fields.keys() & EndpointPreset.model_fields.keys()
    return {field: getattr(preset, field) for field in shared}


def _filled_in(endpoint: Endpoint) -> Endpoint:
    if endpoint.base_url is None:
        return endpoint
    url = _ENVIRONMENT.sub(_from_environment(endpoint.name), endpoint.base_url)
    return endpoint.model_copy(update={"base_url": url})


def _from_environment(endpoint: str) -> Callable[[re.Match[str]], str]:
    def fill(match: re.Match[str]) -> str:
        value = os.environ.get(match.group(1))
        if not value:
            msg = f"endpoint {endpoint!r} needs the environment variable {match.group(1)}; set it"
            raise ConfigError(msg)
        return value

    return fill


def _wire(card: ModelCard, preset: EndpointPreset, effective: Effort) -> dict[str, Any]:
    """How the effective effort travels: its style and the request fields it lives in."""
    overridden = preset.effort_style is not None and card.effort_style in (*_BODY_STYLES, "param")
    style = preset.effort_style if overridden else card.effort_style
    body = card.bodies.get(effective, {}) if style in _BODY_STYLES else {}
    return {"effort_style": style, "extra_body": dict(body)}


def _sampling(request: ArmRequest, card: ModelCard, effective: Effort) -> dict[str, Any]:
    samples = request.samples or card.samples.get(effective, 1)
    temperature = request.resample_temperature
    if temperature is None and samples > 1:
        temperature = card.resample_temperature
    return {"samples": samples, "resample_temperature": temperature}


def _output_cap(request: ArmRequest, card: ModelCard, *, effective: Effort, limit: int) -> int:
    if request.max_output_tokens is None:
        by_effort = card.default_effort if effective == "default" else effective
        effort = by_effort or "default"
        return min(card.output_caps.get(effort, _OUTPUT_CAP[effort]), limit)
    if card.max_output is not None and request.max_output_tokens > card.max_output:
        msg = (
            f"{request.label}: max_output_tokens = {request.max_output_tokens} is more than "
            f"{request.model} can generate; at most {card.max_output}"
        )
        raise ConfigError(msg)
    return request.max_output_tokens
