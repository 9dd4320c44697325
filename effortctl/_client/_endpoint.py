"""What all calls of a wrapped client know of its endpoints: their credit, and how many retries they get."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from effortctl._errors import EffortctlError
from effortctl._limits import QuotaBreaker, RetryBudget, Slots
from effortctl._types import Arm


@dataclass(slots=True)
class EndpointLimits:
    """Limits that hold over all calls of a wrapped client and its copies, managed or passed through.

    Attributes:
        slots: Managed calls at a time.
        retries: Retries an endpoint may get.
        breaker: Whether one said that the account is out of credit.
        refused: What the SDK raised when it said so, by endpoint.
    """

    slots: Slots
    retries: RetryBudget
    breaker: QuotaBreaker
    refused: dict[str, Any] = field(default_factory=dict, repr=False)

    def share_with(self, controller: Any) -> Any:
        """The controller, with these limits."""
        controller.slots, controller.retries, controller.breaker = (
            self.slots,
            self.retries,
            self.breaker,
        )
        return controller

    def check_credit(self, arm: Arm) -> None:
        """Refuse a call that is passed through while the endpoint would only refuse it again.

        Raises:
            openai.APIStatusError: As the SDK raised it when the endpoint said so.
            BackendError: As above, where the SDK did not raise it.
        """
        refusal, said = self.breaker.refusal(arm), self.refused.get(arm.endpoint.name)
        if refusal is None:
            return
        if said is None:
            raise refusal
        raise type(said)(str(refusal), response=said.response, body=said.body)

    def ended(self, arm: Arm, fault: EffortctlError | None, *, retried: bool) -> None:
        """Take note of how a call that was passed through ended; None: with an answer."""
        self.breaker.note(arm, fault)
        if fault is None:
            self.retries.succeeded(arm.endpoint.name, retried=retried)

    def saw(self, error: object, fault: object, arm: Arm) -> None:
        """Keep what the SDK raised when the arm's endpoint was out of credit."""
        if getattr(fault, "kind", None) == "quota" and hasattr(error, "response"):
            self.refused[arm.endpoint.name] = error
