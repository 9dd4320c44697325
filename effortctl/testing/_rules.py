"""Provider rules from the catalog: which efforts, tools and sampling parameters a model takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from effortctl._errors import ConfigError
from effortctl.catalog import ModelCard, load_catalog
from effortctl.testing._efforts import effort_rejected, sampling_rejected, tools_rejected
from effortctl.testing._plans import Plan, rejected
from effortctl.testing._records import MockRequest
from effortctl.testing._wire import error_body

SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs")


def broken_rule(request: MockRequest) -> Plan | None:
    """The 400 or 404 a provider would send, or None when the request keeps the model's rules."""
    try:
        card = load_catalog().card(request.model)
    except ConfigError:
        text = f"The model '{request.model}' does not exist or you do not have access to it."
        return rejected(404, error_body(text, code="model_not_found", param="model"))
    if card.status == "ended":
        text = f"The model '{request.model}' has been deprecated."
        return rejected(404, error_body(text, code="model_not_found", param="model"))
    if request.effort not in ("default", *card.efforts):
        return effort_rejected(
            "openai-chat" if request.api == "chat" else "openai-responses",
            model=request.model,
            effort=request.effort,
            supported=card.efforts or ("default",),
        )
    return _broken_combination(request, card)


def _broken_combination(request: MockRequest, card: ModelCard) -> Plan | None:
    effort = request.effort if request.effort != "default" else card.default_effort
    if effort in (None, "none"):
        return None
    has_tools = bool(request.body.get("tools"))
    if has_tools and request.api == "chat" and card.tools_need_responses:
        return tools_rejected(request.model)
    if card.sampling_with_reasoning is False:
        for name in SAMPLING:
            if _deviates(request.body, name):
                return sampling_rejected(name)
    return None


def _deviates(body: Mapping[str, Any], name: str) -> bool:
    """True when a sampling parameter is set to something; null counts as not sent."""
    return body.get(name) is not None
