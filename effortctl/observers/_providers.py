"""Who served an attempt, in the words of the OpenTelemetry conventions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from effortctl._errors import ConfigError
from effortctl._types import Arm, Attempt, Endpoint
from effortctl.catalog import EndpointPreset, load_catalog

_KNOWN: Final = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "x-ai": "x_ai",
}
"""Providers whose name in the price book is another one than in the conventions."""

_OTHER: Final = "_OTHER"


class Providers:
    """Finds the provider of an attempt: from its arm, else from the catalog's home of the model."""

    def __init__(self, arms: Iterable[Arm]) -> None:
        self._by_arm = {arm.name: _spelled(arm.endpoint) for arm in arms}
        self._by_model: dict[str, str] = {}

    def __call__(self, attempt: Attempt) -> str:
        """The provider's name, `_OTHER` if nobody knows it."""
        found = self._by_arm.get(attempt.arm)
        if found is not None:
            return found
        if attempt.model not in self._by_model:
            self._by_model[attempt.model] = _home(attempt.model)
        return self._by_model[attempt.model]


def _spelled(endpoint: Endpoint | EndpointPreset) -> str:
    name = endpoint.price_provider or endpoint.name.partition(":")[0]
    return _KNOWN.get(name, name)


def _home(model: str) -> str:
    try:
        catalog = load_catalog()
    except ConfigError:  # a broken catalog of the user's own is no reason to lose a span
        return _OTHER
    name = catalog.home(model)
    return _OTHER if name is None else _spelled(catalog.preset(name))
