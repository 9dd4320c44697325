"""What imported answers cost: the user's price, else what the file says, else the price book.

Nothing is made up. An answer whose tokens or whose model's price nobody knows has an unknown cost, and
is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias

from effortctl._errors import ConfigError, UnknownPriceError, UsageError
from effortctl._pricing import GenaiPriceBook
from effortctl._types import Answer, Arm, Endpoint, Price, Usage
from effortctl.catalog import load_catalog
from effortctl.protocols import PriceBook

UserPrice: TypeAlias = Price | Decimal
"""Dollars per million tokens, or dollars per call for files that hold no tokens."""

_PROVIDERS: Final[Mapping[str, str]] = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
"""Names of the OTel conventions and of inspect → names of the price book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one model was used for in one answer.

    Attributes:
        model: Model id.
        provider: Who served it, in whatever words the file has. None: the model's maker.
        usage: Tokens. None: the file does not say.
        cost_usd: Dollars the file says it cost. None: it does not say.
        at: When; prices change. None: priced as of today.
        tier: Service tier, e.g. `batch`.
    """

    model: str
    provider: str | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    at: datetime | None = None
    tier: str | None = None


@dataclass(slots=True)
class Prices:
    """Prices bills, and remembers from where each price came.

    Attributes:
        own: Arm or model → the user's own price.
        book: Asked where neither the user nor the file knows.
        sources: Source of the price → answers priced from it.
        unknown: Model → answers whose cost is unknown.
    """

    own: Mapping[str, UserPrice] = field(default_factory=dict)
    book: PriceBook = field(default_factory=GenaiPriceBook)
    sources: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    _arms: dict[tuple[str, str, str | None], Arm] = field(default_factory=dict)

    def total(self, arm: str, bills: tuple[Bill, ...]) -> Decimal | None:
        """Dollars of an answer, the models that graded it included; None where a part is unknown."""
        if not bills:
            self.unknown[arm] += 1
            return None
        total = Decimal(0)
        for bill in bills:
            usd, source = self._cost(arm, bill)
            if usd is None:
                self.unknown[bill.model] += 1
                return None
            self.sources[source] += 1
            total += usd
        return total

    def _cost(self, arm: str, bill: Bill) -> tuple[Decimal | None, str]:
        own = self.own.get(arm, self.own.get(bill.model))
        if isinstance(own, Decimal):
            return own, "user"
        if own is None and bill.cost_usd is not None:
            return bill.cost_usd, "recorded in the file"
        if bill.usage is None:
            return None, ""
        answer = Answer(text="", usage=bill.usage, started_at=bill.at, service_tier=bill.tier)
        priced = self._arm(arm, bill, own)
        try:
            cost = self.book.cost(priced, answer)
            discounted = bill.tier is None or cost.usd != self._standard(priced, answer)
        except (UnknownPriceError, UsageError):
            return None, ""
        source = f"{cost.source} {cost.version}".strip()
        if own is None and cost.usd and not discounted:
            source += f", no {bill.tier} price known for that date"
        return cost.usd, f"{source}, tokens estimated" if bill.usage.estimated else source

    def _standard(self, arm: Arm, answer: Answer) -> Decimal:
        return self.book.cost(arm, answer.model_copy(update={"service_tier": None})).usd

    def _arm(self, name: str, bill: Bill, own: Price | None) -> Arm:
        """Finding the model's home takes longer than pricing, and there are few models."""
        key = (name, bill.model, bill.provider)
        if key not in self._arms:
            self._arms[key] = _priced_arm(name, bill, own)
        return self._arms[key]


def readable(name: str) -> str:
    """A name without the halves of characters that JSON can hold and nothing else can."""
    return name.encode("utf-8", "replace").decode()


def _priced_arm(name: str, bill: Bill, own: Price | None) -> Arm:
    name, model = readable(name), readable(bill.model)
    if own is not None:
        return Arm(name=name, model=model, price=own)
    catalog = load_catalog()
    provider = bill.provider
    prefix, slash, rest = model.partition("/")
    if slash and (prefix in catalog.endpoints or prefix in _PROVIDERS) and provider is None:
        provider, model = prefix, rest
    if provider is None:
        provider = catalog.home(model)
    preset = catalog.endpoints.get(provider or "")
    booked = preset.price_provider if preset else _PROVIDERS.get(provider or "", provider)
    endpoint = Endpoint(
        name=provider or "unknown",
        price_provider=booked,
        self_hosted=preset is not None and preset.self_hosted,
    )
    return Arm(name=name, model=model, endpoint=endpoint)


def read_price(text: str) -> tuple[str, UserPrice]:
    """Read `ARM=IN/OUT` (dollars per million tokens) or `ARM=USD/call`, e.g. `gpt-4=10/30`.

    Raises:
        ConfigError: It is neither.
    """
    name, _, amounts = text.rpartition("=")
    first, _, second = amounts.partition("/")
    try:
        arm = _arm_name(name)
        if second.strip() == "call":
            return arm, _amount(first)
        price = Price(input_usd_per_mtok=_amount(first), output_usd_per_mtok=_amount(second))
    except ArithmeticError:
        raise ConfigError(
            f"{text!r} is not a price; write ARM=IN/OUT in dollars per million tokens, e.g. gpt-4=10/30, "
            "or ARM=USD/call, e.g. gpt-4=0.004/call"
        ) from None
    return arm, price


def _arm_name(text: str) -> str:
    if not text.strip():
        raise ArithmeticError
    return text.strip()


def _amount(text: str) -> Decimal:
    amount = Decimal(text.strip().removeprefix("$"))
    if not amount.is_finite() or amount < 0:
        raise ArithmeticError
    return amount
