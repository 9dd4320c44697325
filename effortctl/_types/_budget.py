"""Hard dollar limits."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Self

from pydantic import model_validator

from effortctl._errors import ConfigError
from effortctl._types._base import (
    Usd,
    Value,
)

Window = Literal["hour", "day", "month"]

_BUDGET = re.compile(r"^\s*\$?\s*([0-9]*\.?[0-9]+)\s*\$?\s*(?:/\s*(hour|day|month))?\s*$")


class Budget(Value):
    """A hard dollar limit: a call that could break it is not made.

    Attributes:
        limit_usd: The limit.
        window: Calendar window in UTC after which it starts afresh. None: it never does.
        scope: Tasks and processes that name the same scope share the limit (needs a ledger).
            None: the limit holds for each task on its own.
    """

    limit_usd: Usd
    window: Window | None = None
    scope: str | None = None

    @model_validator(mode="after")
    def _window_needs_scope(self) -> Self:
        if self.window is not None and self.scope is None:
            msg = "a budget with a window is shared over time, so it needs a scope"
            raise ValueError(msg)
        return self

    @classmethod
    def parse(cls, value: Budget | Decimal | float | str, *, scope: str | None = None) -> Budget:
        """Read `"$0.05"`, `"0.05"`, `"$5/day"`, a number, or a Budget.

        Raises:
            ConfigError: When the text is none of these, or the amount is negative.
        """
        if isinstance(value, Budget):
            return value if scope is None else value.model_copy(update={"scope": scope})
        number = Decimal(repr(value)) if isinstance(value, float) else value
        # Python writes small numbers as 1E-7, which nobody would write as a budget.
        match = _BUDGET.match(f"{number:f}" if isinstance(number, Decimal) else str(number))
        try:
            amount = Decimal(match.group(1)) if match else None
        except InvalidOperation:
            amount = None
        if match is None or amount is None:
            msg = f'budget {value!r} is not an amount of dollars; write "$0.05" or "$5/day"'
            raise ConfigError(msg)
        window: Any = match.group(2)
        if window is not None and scope is None:
            scope = "default"
        return cls(limit_usd=amount, window=window, scope=scope)
