"""What is known of the models behind arms, looked up once: it takes longer than all else that is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from effortctl._types import Arm, Endpoint
from effortctl.catalog import ModelCard, load_catalog


@dataclass(frozen=True, slots=True)
class Cards:
    """Model cards by model and endpoint."""

    _found: dict[tuple[str, str], ModelCard] = field(default_factory=dict)

    def of(self, model: str, endpoint: Endpoint) -> ModelCard:
        """What is known of a model at an endpoint."""
        key = (model, endpoint.name)
        if key not in self._found:
            self._found[key] = load_catalog().card(model, endpoint, allow_unknown=True)
        return self._found[key]

    def refuses_chat_tools(self, arm: Arm) -> bool:
        """True when function tools and this arm's effort go together in the Responses API only."""
        card = self.of(arm.model, arm.endpoint)
        return bool(card.tools_need_responses) and _reasons(arm, card)

    def refuses_sampling(self, arm: Arm) -> bool:
        """True when this arm takes no sampling parameters."""
        card = self.of(arm.model, arm.endpoint)
        return card.sampling_with_reasoning is False and _reasons(arm, card)


def _reasons(arm: Arm, card: ModelCard) -> bool:
    effort = card.default_effort if arm.sent_effort == "default" else arm.sent_effort
    return effort not in (None, "none")
