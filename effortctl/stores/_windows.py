"""Budget scopes and calendar windows as the keys money is counted under."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Literal

from effortctl._errors import ConfigError
from effortctl._types import Budget, Window

Period = Literal["forever", "hour", "day", "month"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def microseconds(moment: dt.datetime) -> int:
    """Whole microseconds since 1970.

    Raises:
        ConfigError: The moment has no time zone, so its windows would be guesses.
    """
    if moment.tzinfo is None:
        raise ConfigError(
            "the ledger's clock returned a time without a zone; use datetime.now(UTC)"
        )
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds_since_1970: int) -> dt.datetime:
    """The inverse of `microseconds`."""
    return _EPOCH + microseconds_since_1970 * _MICROSECOND


def scope_key(budget: Budget, trace_id: str) -> str:
    """Where a budget's money is counted: under its scope, or under the task alone."""
    return f"task:{trace_id}" if budget.scope is None else f"scope:{budget.scope}"


def period_of(window: Window | None) -> Period:
    """The counting period of a budget's window."""
    return window or "forever"


def period_start(period: Period, at_us: int) -> int:
    """First microsecond of the calendar period (UTC) that a moment lies in."""
    at = moment(at_us)
    match period:
        case "forever":
            return 0
        case "hour":
            start = at.replace(minute=0, second=0, microsecond=0)
        case "day":
            start = at.replace(hour=0, minute=0, second=0, microsecond=0)
        case "month":
            start = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return microseconds(start)


def periods_at(at_us: int) -> Iterator[tuple[Period, int]]:
    """Every period a moment lies in, with its start."""
    periods: tuple[Period, ...] = ("forever", "hour", "day", "month")
    for period in periods:
        yield period, period_start(period, at_us)
