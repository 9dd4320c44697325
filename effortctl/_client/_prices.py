"""Prices of requests that hold more than messages: tools, schemas, an earlier response's history."""

from __future__ import annotations

from dataclasses import dataclass, replace

from effortctl._client._request import SdkTask
from effortctl._types import Answer, Arm, Call, Cost
from effortctl.protocols import PriceBook


@dataclass(frozen=True, slots=True)
class RequestPrices:
    """A price book whose worst case counts everything a request carries.

    History the endpoint adds by itself is counted where the earlier response went through the same
    wrapped client; other history, like an image, cannot be told from the request.

    Attributes:
        book: Knows what tokens cost.
    """

    book: PriceBook

    def cost(self, arm: Arm, answer: Answer) -> Cost:
        """As the book."""
        return self.book.cost(arm, answer)

    def worst_case(self, call: Call) -> Cost:
        """As the book, for all the request carries."""
        task = call.task
        if not isinstance(task, SdkTask):
            return self.book.worst_case(call)
        # Input is bounded by bytes, so a byte per token stands in for history of known length.
        carried = task.unseen | (
            {"history": " " * task.history_tokens} if task.history_tokens else {}
        )
        arm = call.arm.model_copy(update={"extra_body": {**call.arm.extra_body, **carried}})
        return self.book.worst_case(
            replace(call, arm=arm, max_output_tokens=call.max_output_tokens * task.answers)
        )
