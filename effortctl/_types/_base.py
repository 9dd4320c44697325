"""Words, units and the base class that all values share."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, localcontext
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Effort = Literal["default", "none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""How much reasoning to ask for: the seven values of the OpenAI API, in rising order, and `default`,
which sends nothing and lets the model decide."""

EFFORTS: tuple[Effort, ...] = get_args(Effort)

Finish = Literal["complete", "truncated", "refused", "filtered", "context_exceeded"]
"""How an answer ended. Only `complete` can be accepted; the others are never cured by more effort."""

VerdictStatus = Literal["pass", "fail", "abstain"]

TraceOutcome = Literal["accepted", "exhausted", "refused", "over_budget", "past_deadline", "failed"]

Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]

EXACT = Context(prec=60)
"""Money is computed in this context: the caller's own may round to a few digits, or trap."""


def total_usd(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum of some dollars."""
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))


class Value(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
