"""`effortctl models`: what is known of models, and what is on a ladder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

import typer

from effortctl._errors import ConfigError, UnknownPriceError, UsageError
from effortctl._pricing import GenaiPriceBook
from effortctl._types import EFFORTS, Answer, Arm, Effort, Usage
from effortctl.catalog import (
    Catalog,
    ModelCard,
    load_catalog,
    load_ladder,
    parse_arm,
    resolve,
    shipped_ladders,
)
from effortctl.cli import _show
from effortctl.cli._exits import print_json, told
from effortctl.cli._options import AsJson

_SAMPLE_TOKENS = 10_000
_MTOK = 1_000_000
_SHORTEST_RANGE = 3

PriceNow: TypeAlias = tuple[Decimal, Decimal] | str
"""Dollars per million input and output tokens, or why there is no such price."""

Row: TypeAlias = tuple[str, ModelCard, Mapping[str, PriceNow]]
"""What a line is called, the card it shows, and the price of each model it speaks of."""


def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Only this model, or this group of models."),
    ] = None,
    *,
    endpoint: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only models this endpoint serves.")
    ] = None,
    ladder: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Show the arms of this ladder instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models effortctl knows: efforts, API, price now, shutdown date.

    A line may stand for a group of models; give its name to see each of them with its own price.

    With --ladder: its arms, the effort asked for, the effort really sent, and the price.

    Examples:
    - `effortctl models --endpoint openai`

    - `effortctl models claude-sonnet-5`

    - `effortctl models --ladder my-ladder.toml`

    - `effortctl models --json`
    """
    if ladder is not None and (endpoint is not None or name is not None):
        raise typer.BadParameter("give either --ladder, or a name and --endpoint, not both")
    with told(as_json=as_json):
        if ladder is not None:
            _show_ladder(ladder, as_json=as_json)
        else:
            _show_models(name, endpoint, as_json=as_json)


# --- prices ----------------------------------------------------------------------------------------


def price_per_mtok(arm: Arm) -> PriceNow:
    """Dollars per million input and output tokens now, or why there is no such price."""
    if arm.endpoint.self_hosted or arm.endpoint.kind != "openai":
        hourly = arm.price.usd_per_hour if arm.price else Decimal(0)
        return f"{_show.usd(hourly)}/h" if hourly else "local"
    book = GenaiPriceBook()
    try:
        # A small call, scaled up: a million tokens at once would be priced as a long context.
        each = [
            book.cost(arm, Answer(text="", usage=usage)).usd * _MTOK / _SAMPLE_TOKENS
            for usage in (Usage(input_tokens=_SAMPLE_TOKENS), Usage(output_tokens=_SAMPLE_TOKENS))
        ]
    except (UnknownPriceError, UsageError):
        return "unknown"
    return each[0], each[1]


def _price_cell(prices: Sequence[PriceNow]) -> str:
    """One price, or the range of those that are known; without any, why there is none."""
    known = [price for price in prices if not isinstance(price, str)]
    if not known:
        return next((price for price in prices if isinstance(price, str)), "")
    return " / ".join(
        "-".join(f"{end.normalize():f}" for end in sorted({min(part), max(part)}))
        for part in zip(*known, strict=True)
    )


def _price_fields(price: PriceNow) -> dict[str, Any]:
    """Prices for programs; `price` says why when there are none."""
    known = ("known", *price) if isinstance(price, tuple) else (price, None, None)
    text = [None if part is None else f"{part.normalize():f}" for part in known[1:]]
    return {"price": known[0], "input_usd_per_mtok": text[0], "output_usd_per_mtok": text[1]}


# --- models ----------------------------------------------------------------------------------------


def _show_models(name: str | None, endpoint: str | None, *, as_json: bool) -> None:
    catalog = load_catalog()
    today = datetime.now(UTC).date()
    rows = _rows(catalog, endpoint) if name is None else _rows_of(name, catalog, endpoint)
    if as_json:
        listed = [_card_fields(row, today) for row in rows]
        print_json({"models": listed, "ladders": list(shipped_ladders())})
        return
    listing = _show.table(
        "model", "efforts", "default", "API", "$ in / out", "ends in", wrap="efforts"
    )
    listing.columns[4].no_wrap = False  # two ranges are wider than there is room for
    for label, card, prices in rows:
        listing.add_row(
            label,
            effort_ranges(card.efforts) or "none taken",
            card.default_effort or "?",
            "resp" if card.api == "responses" else "chat",
            _price_cell([*prices.values()]),
            _shutdown(card, today),
        )
    console = _show.out()
    console.print(listing)
    console.print()
    console.print("$ in / out: per million tokens now. ?: no source says. Dates, sources: --json.")
    console.print(f"Ladders: {', '.join(shipped_ladders())}")
    console.print("Next: effortctl models NAME, effortctl models --ladder NAME")


def _rows(catalog: Catalog, endpoint: str | None) -> list[Row]:
    cards = _cards(catalog, endpoint)
    return [(card.id, card, _card_prices(card, endpoint, catalog)) for card in cards]


def _rows_of(name: str, catalog: Catalog, endpoint: str | None) -> list[Row]:
    """One model, or each model of a card, with its own price.

    Raises:
        ConfigError: Nothing has this name.
    """
    card = catalog.cards.get(name)
    if card is not None:
        prices = _card_prices(card, endpoint, catalog)
        return [(model, card, {model: price}) for model, price in prices.items()]
    request = parse_arm(name, catalog=catalog)
    place = str(request.endpoint) if request.endpoint else endpoint or catalog.home(request.model)
    card = catalog.card(request.model, place)
    return [(request.model, card, {request.model: _price_at(place, request.model, catalog)})]


def _cards(catalog: Catalog, endpoint: str | None) -> list[ModelCard]:
    cards = list(catalog.cards.values())
    if endpoint is None:
        return cards
    name = catalog.preset(endpoint).name
    anything = catalog.preset(endpoint).allow_unknown
    return [
        card
        for card in cards
        if name in {card.home, *card.endpoints} or (anything and not card.endpoints)
    ]


def _card_prices(card: ModelCard, endpoint: str | None, catalog: Catalog) -> Mapping[str, PriceNow]:
    """The price of each model of a card that has a name; of the card where none has."""
    place = endpoint or card.home or next(iter(card.endpoints), None)
    names = _models_of(card)
    if not names:
        return {card.id: "by server" if place is None else "by model"}
    return {name: _price_at(place, name, catalog) for name in names}


def _price_at(place: str | None, model: str, catalog: Catalog) -> PriceNow:
    if place is None:
        return "by server"
    try:
        return price_per_mtok(resolve(f"{place}/{model}", catalog=catalog))
    except ConfigError:  # e.g. the endpoint's address needs a variable that is not set
        return "unknown"


def _models_of(card: ModelCard) -> list[str]:
    """Its models as far as they can be named: `claude-fable-5*` speaks of `claude-fable-5`, too."""
    stems = (name.removesuffix("*") for name in (card.id, *card.names))
    return [
        stem
        for stem in dict.fromkeys(stems)
        if stem[-1:].isalnum() and "*" not in stem and card.fit(stem)
    ]


def effort_ranges(efforts: Sequence[Effort]) -> str:
    """Efforts in few words: `none, low..max`."""
    runs: list[list[Effort]] = []
    for effort in efforts:
        if runs and EFFORTS.index(effort) == EFFORTS.index(runs[-1][-1]) + 1:
            runs[-1].append(effort)
        else:
            runs.append([effort])
    return ", ".join(
        f"{run[0]}..{run[-1]}" if len(run) >= _SHORTEST_RANGE else ", ".join(run) for run in runs
    )


def _shutdown(card: ModelCard, today: date) -> str:
    if card.sunset is None:
        return "ended" if card.status == "ended" else ""
    left = (card.sunset - today).days
    return "ended" if left <= 0 else f"{left} d"


def _card_fields(row: Row, today: date) -> dict[str, Any]:
    """A card for programs: one price where all its models have the same, else `by model`."""
    _, card, prices = row
    days_left = None if card.sunset is None else (card.sunset - today).days
    ended = days_left is not None and days_left <= 0
    price = next(iter(prices.values())) if len(set(prices.values())) == 1 else "by model"
    return {
        **card.model_dump(mode="json"),
        "status": "ended" if ended else card.status,
        **_price_fields(price),
        "prices": {model: _price_fields(each) for model, each in prices.items()},
        "days_left": days_left,
    }


# --- ladders ---------------------------------------------------------------------------------------


def _show_ladder(name: str, *, as_json: bool) -> None:
    chosen = load_ladder(name)
    rows = [(arm, price_per_mtok(arm)) for arm in chosen.arms]
    if as_json:
        arms = [_arm_fields(arm) | _price_fields(price) for arm, price in rows]
        print_json({"ladder": chosen.name, "description": chosen.description, "arms": arms})
        return
    listing = _show.table(
        "#", "arm", "effort", "endpoint", "API", "cap", "$ in / out", right=("#", "cap")
    )
    for number, (arm, price) in enumerate(rows, start=1):
        listing.add_row(
            str(number),
            arm.name,
            _show.effort(arm.effort, arm.sent_effort),
            arm.endpoint.name,
            arm.api,
            str(arm.max_output_tokens),
            _price_cell([price]),
        )
    console = _show.out()
    console.print(f"{chosen.name}: {chosen.description}", style="bold")
    console.print(listing)
    console.print()
    console.print("effort: asked for -> really sent. $ in / out: per million tokens now.")


def _arm_fields(arm: Arm) -> dict[str, Any]:
    return {
        "name": arm.name,
        "model": arm.model,
        "requested_effort": arm.effort,
        "effective_effort": arm.sent_effort,
        "endpoint": arm.endpoint.name,
        "api": arm.api,
        "max_output_tokens": arm.max_output_tokens,
        "samples": arm.samples,
    }
