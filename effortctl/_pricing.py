"""Exact dollars of a call.

Order of authority: the user's own price on the arm, then the `genai-prices` price book at the moment of
the request and for the service tier that was billed, else `UnknownPriceError`. Reasoning tokens are part
of the output tokens and are never added to them.

Models on our own machine cost hours, not tokens: compute-seconds times `Price.usd_per_hour`.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError

from effortctl._errors import (
    BackendError,
    EffortctlError,
    EffortctlWarning,
    UnknownPriceError,
    UsageError,
)
from effortctl._types import (
    EXACT,
    Answer,
    Arm,
    Call,
    Cost,
    Message,
    Price,
    Reply,
    Usage,
    total_usd,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from effortctl.protocols import PriceBook

MTOK = Decimal(1_000_000)
HOUR_S = Decimal(3600)
NANO_USD = Decimal("1e-9")
"""Costs are rounded up to a billionth of a dollar, so that sums are exact and never too low."""

PART_TOKENS = 16
"""Upper bound for what the chat template adds to one message."""

STANDARD_TIERS = frozenset({None, "", "auto", "default", "standard", "scale", "on_demand"})
KNOWN_TIERS = frozenset({"flex", "priority", "fast", "batch"})


class GenaiPriceBook:
    """The default `PriceBook`: user prices first, then the `genai-prices` package.

    Prices in the package are maintained by its authors and can lag behind a provider's change; what a
    provider bills is the truth. `Cost.version` records which release was used.
    """

    def cost(self, arm: Arm, answer: Answer) -> Cost:
        """Dollars of an answer.

        Args:
            arm: The arm that gave it.
            answer: The answer; its usage must be known.

        Raises:
            UnknownPriceError: Neither the user nor the price book knows the model.
            UsageError: The endpoint reported no usage for a model that is priced by tokens.
        """
        with localcontext(EXACT):
            if arm.price is not None:
                return _user_cost(arm.price, answer)
            if _runs_here(arm):
                return Cost(usd=Decimal(0), source="free")
            if answer.usage is None:
                raise UsageError(f"{arm.name} reported no usage, so its cost is not known")
            return _booked_cost(arm, answer.usage, at=answer.started_at, tier=answer.service_tier)

    def worst_case(self, call: Call) -> Cost:
        """Upper bound of what one wire request for this call can cost.

        Input tokens are bounded by the UTF-8 bytes of the messages (a token is at least one byte),
        output tokens by the cap. The tier is the one the arm asks for in `extra_body`, if it does: a
        dearer one that the provider's own settings choose is not foreseen. Local arms priced by the
        hour are bounded by the call's time limit, or by an hour where it has none.

        Raises:
            UnknownPriceError: Neither the user nor the price book knows the model.
        """
        with localcontext(EXACT):
            return max(_bounds(call), key=lambda cost: cost.usd)


def _bounds(call: Call) -> list[Cost]:
    """What the call costs at its most tokens, under each way of counting them."""
    bound = max_input_tokens(call)
    plain = Usage(input_tokens=bound, output_tokens=call.max_output_tokens)
    if call.arm.price is not None:
        seconds = call.timeout_s if call.timeout_s is not None else 3600.0
        parts = ("cached_tokens", "cache_write_tokens")
        usages = (plain, *(plain.model_copy(update={part: bound}) for part in parts))
        return [
            _user_cost(call.arm.price, Answer(text="", usage=usage, compute_s=seconds))
            for usage in usages
        ]
    if _runs_here(call.arm):
        return [Cost(usd=Decimal(0), source="free")]
    written = plain.model_copy(update={"cache_write_tokens": bound})
    asked = call.arm.extra_body.get("service_tier")
    return [
        _booked_cost(call.arm, usage, at=None, tier=tier)
        for usage in (plain, written)
        for tier in {None, asked and str(asked)}
    ]


# --- what to book ----------------------------------------------------------------------------------


def answered(prices: PriceBook, call: Call, parts: Sequence[Answer]) -> Cost:
    """What to book for the replies to one call; where nobody can say, the worst case.

    Args:
        prices: Knows what calls cost.
        call: What was asked.
        parts: The reply; or, of a function that made several requests, what each of them got.

    Warns:
        EffortctlWarning: No price is known, so $0 is booked.
    """
    return together([_answered(prices, call, part) for part in parts])


def unanswered(
    prices: PriceBook, call: Call, fault: BaseException, *, parts: Sequence[Answer] = ()
) -> Cost:
    """What to book for a call that gave no answer: nothing if it was rejected, else the worst case.

    Args:
        prices: Knows what calls cost.
        call: What was asked.
        fault: How it ended. The own error of a function that told of replies is no request.
        parts: What requests before the fault got.
    """
    rejected = isinstance(fault, BackendError) and not fault.billed
    if rejected and not parts:
        return Cost(usd=Decimal(0), source="rejected")
    own = isinstance(fault, Exception) and not isinstance(fault, EffortctlError)
    known = [_answered(prices, call, part) for part in parts]
    lost = [] if known and (rejected or own) else [worst_booked(prices, call)]
    return together([*known, *lost])


def worst_booked(prices: PriceBook, call: Call) -> Cost:
    """What to book when a call may have been billed and nobody can say how much."""
    try:
        return charge_unknown(prices.worst_case(call))
    except UnknownPriceError:
        return Cost(usd=Decimal(0), source="unknown")


def together(costs: Sequence[Cost]) -> Cost:
    """The sum; an upper bound as soon as one of them is."""
    which = next((cost for cost in costs if cost.source == "worst_case"), costs[-1])
    return which.model_copy(update={"usd": total_usd(cost.usd for cost in costs)})


def _answered(prices: PriceBook, call: Call, answer: Answer) -> Cost:
    try:
        return prices.cost(call.arm, answer)
    except UsageError:
        return worst_booked(prices, call)
    except UnknownPriceError as error:
        warnings.warn(f"{error}; its calls are booked at $0", EffortctlWarning, stacklevel=4)
        return Cost(usd=Decimal(0), source="unknown")


@dataclass(slots=True)
class Bill:
    """What one `Call` has cost so far, over all its wire requests."""

    calls: int = 0
    usd: Decimal = Decimal(0)
    last: Cost = field(default_factory=lambda: Cost(usd=Decimal(0), source="none"))

    def add(self, cost: Cost) -> None:
        self.usd = together([Cost(usd=self.usd, source=""), cost]).usd
        self.last = cost

    def reply(
        self, answer: Answer | None, *, error: EffortctlError | None = None, arm: Arm | None = None
    ) -> Reply:
        cost = self.last.model_copy(update={"usd": self.usd})
        return Reply(answer, cost, calls=self.calls, error=error, arm=arm)


def total_usage(parts: Sequence[Answer]) -> Usage | None:
    """The tokens of some replies together; None unless all of them tell."""
    known = [part.usage for part in parts if part.usage is not None]
    return functools.reduce(Usage.__add__, known) if known and len(known) == len(parts) else None


# --- how it is computed ----------------------------------------------------------------------------


def max_input_tokens(call: Call) -> int:
    """Upper bound of the input tokens of a call: its bytes, and what a chat template adds.

    Tools in `extra_body` count as well. What an image or a file costs cannot be told from its bytes, so
    calls with such parts can cost more.
    """
    parts = [_as_json(message) for message in call.messages]
    if call.task.response_schema is not None:
        parts.append(str(call.task.response_schema))
    if call.arm.extra_body:
        parts.append(str(call.arm.extra_body))
    return sum(len(part.encode("utf-8", "surrogatepass")) + PART_TOKENS for part in parts)


def _as_json(message: Message) -> str:
    try:
        return message.model_dump_json()
    except (
        PydanticSerializationError
    ):  # half a surrogate pair: no endpoint takes it, but it has a size
        return json.dumps(message.model_dump(), default=str)


def charge_unknown(worst: Cost) -> Cost:
    """What to book when a call may have been billed and nobody can say how much."""
    return worst.model_copy(update={"source": "worst_case"})


def _runs_here(arm: Arm) -> bool:
    return arm.endpoint.self_hosted or arm.endpoint.kind in {"local", "recorded"}


def _user_cost(price: Price, answer: Answer) -> Cost:
    usage = answer.usage or Usage()
    tokens_priced = price.input_usd_per_mtok or price.output_usd_per_mtok
    if answer.usage is None and tokens_priced:
        raise UsageError("the endpoint reported no usage, so a price per token cannot be applied")
    fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    by_tokens = (
        fresh * price.input_usd_per_mtok
        + usage.cached_tokens * _or(price.cached_input_usd_per_mtok, price.input_usd_per_mtok)
        + usage.cache_write_tokens * _or(price.cache_write_usd_per_mtok, price.input_usd_per_mtok)
        + usage.output_tokens * price.output_usd_per_mtok
    ) / MTOK
    seconds = answer.compute_s if answer.compute_s is not None else answer.latency_s
    by_hours = Decimal(repr(seconds)) * price.usd_per_hour / HOUR_S
    source = "compute" if price.usd_per_hour and not tokens_priced else "user"
    return Cost(usd=_round_up(by_tokens + by_hours), source=source)


def _or(value: Decimal | None, fallback: Decimal) -> Decimal:
    return fallback if value is None else value


def _booked_cost(arm: Arm, usage: Usage, *, at: datetime | None, tier: str | None) -> Cost:
    calc, version = _price_book()
    provider = arm.endpoint.price_provider
    if provider is None:
        raise UnknownPriceError(_unknown(arm))
    try:
        priced = calc(
            _book_usage(usage, kept_for_hours=_kept_for_hours(arm.extra_body)),
            arm.model,
            provider_id=provider,
            genai_request_timestamp=at or datetime.now(UTC),
            price_context=_price_context(tier),
        )
    except LookupError:
        raise UnknownPriceError(_unknown(arm)) from None
    except ValueError as error:
        raise UsageError(f"{arm.name} reported usage that cannot be priced: {error}") from None
    note = "" if tier in STANDARD_TIERS | KNOWN_TIERS else f" (tier {tier!r} priced as priority)"
    return Cost(usd=_round_up(priced.total_price), source="genai-prices", version=version + note)


@functools.cache
def _price_book() -> tuple[Callable[..., Any], str]:
    from importlib.metadata import version  # noqa: PLC0415 - only needed with the price book

    from genai_prices import calc_price  # noqa: PLC0415 - 0.15 s import, only for hosted arms

    return calc_price, version("genai-prices")


def _kept_for_hours(body: object) -> bool:
    """Does a request ask the provider to keep what it caches for an hour or more?

    Most replies do not say how long, so then all that was written is charged at the dearer price.
    """
    if isinstance(body, Mapping):
        lasts = str(body.get("ttl", "")).endswith("h")
        return lasts or any(map(_kept_for_hours, body.values()))
    return isinstance(body, list | tuple) and any(map(_kept_for_hours, body))


def _book_usage(usage: Usage, *, kept_for_hours: bool) -> Any:
    from genai_prices import Usage as BookUsage  # noqa: PLC0415 - as above

    return BookUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_tokens if kept_for_hours else None,
        output_tokens=usage.output_tokens,
    )


def _price_context(tier: str | None) -> dict[str, str]:
    """Ask for the tier's price; a tier nobody knows is charged like the dearest known one."""
    if tier in STANDARD_TIERS:
        return {}
    if tier == "batch":
        return {"processing": "batch"}
    return {"service_tier": tier if tier in KNOWN_TIERS and tier else "priority"}


def _unknown(arm: Arm) -> str:
    return (
        f"no price is known for {arm.model!r} at endpoint {arm.endpoint.name!r}; set one on the arm, "
        f'e.g. price = {{ input_usd_per_mtok = "0.50", output_usd_per_mtok = "4.00" }}'
    )


def _round_up(usd: Decimal) -> Decimal:
    return usd.quantize(NANO_USD, rounding="ROUND_CEILING")
