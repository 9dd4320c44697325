"""`effortctl models`: what is known of models, and what is on a ladder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer

from effortctl._errors import ConfigError, UnknownPriceError, UsageError
from effortctl._pricing import GenaiPriceBook
from effortctl._types import EFFORTS, Answer, Arm, Effort, Usage
from effortctl.catalog import (
    Catalog,
    ModelCard,
    load_catalog,
    load_ladder,
    resolve,
    shipped_ladders,
)
from effortctl.cli import _show
from effortctl.cli._exits import print_json, told
from effortctl.cli._options import AsJson

app = typer.Typer(rich_markup_mode="markdown")

_SAMPLE_TOKENS = 10_000
_MTOK = 1_000_000
_SHORTEST_RANGE = 3


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    *,
    endpoint: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only models this endpoint serves.")
    ] = None,
    ladder: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="The arms of a ladder instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models effortctl knows: efforts, API, price now, shutdown date.

    Examples:
    - `effortctl models --endpoint openai`

    - `effortctl models ladder openai`

    - `effortctl models --json`
    """
    if context.invoked_subcommand is not None:
        return
    with told(as_json=as_json):
        if ladder is not None:
            _show_ladder(ladder, as_json=as_json)
        else:
            _show_models(endpoint, as_json=as_json)


@app.command("ladder")
def show_ladder(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Which ladder.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show the arms of a ladder: the effort asked for, the effort really sent, and the price.

    Examples:
    - `effortctl models ladder local`

    - `effortctl models ladder my-ladder.toml --json`
    """
    with told(as_json=as_json):
        _show_ladder(name, as_json=as_json)


# --- prices ----------------------------------------------------------------------------------------


def price_per_mtok(arm: Arm) -> tuple[Decimal, Decimal] | str:
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


def _price_cell(price: tuple[Decimal, Decimal] | str) -> str:
    if isinstance(price, str):
        return price
    return " / ".join(f"{part.normalize():f}" for part in price)


def _price_fields(price: tuple[Decimal, Decimal] | str) -> dict[str, Any]:
    """Prices for programs; `price` says why when there are none."""
    known = ("known", *price) if isinstance(price, tuple) else (price, None, None)
    text = [None if part is None else f"{part.normalize():f}" for part in known[1:]]
    return {"price": known[0], "input_usd_per_mtok": text[0], "output_usd_per_mtok": text[1]}


# --- models ----------------------------------------------------------------------------------------


def _show_models(endpoint: str | None, *, as_json: bool) -> None:
    catalog = load_catalog()
    cards = _cards(catalog, endpoint)
    today = datetime.now(UTC).date()
    rows = [(card, _card_price(card, endpoint, catalog)) for card in cards]
    if as_json:
        listed = [_card_fields(card, price, today) for card, price in rows]
        print_json({"models": listed, "ladders": list(shipped_ladders())})
        return
    listing = _show.table(
        "model", "efforts", "default", "API", "$ in / out", "ends in", wrap="efforts"
    )
    for card, price in rows:
        listing.add_row(
            card.id,
            effort_ranges(card.efforts) or "none taken",
            card.default_effort or "?",
            "resp" if card.api == "responses" else "chat",
            _price_cell(price),
            _shutdown(card, today),
        )
    console = _show.out()
    console.print(listing)
    console.print()
    console.print("$ in / out: per million tokens now. ?: no source says. Dates, sources: --json.")
    console.print(f"Ladders: {', '.join(shipped_ladders())}")
    console.print("Next: effortctl models ladder NAME")


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


def _card_price(
    card: ModelCard, endpoint: str | None, catalog: Catalog
) -> tuple[Decimal, Decimal] | str:
    place = endpoint or card.home or next(iter(card.endpoints), None)
    name = next(
        (name for name in (card.id, *card.names) if card.fit(name) and "*" not in name), None
    )
    if place is None or name is None:
        return "by server" if place is None else "by model"
    try:
        return price_per_mtok(resolve(f"{place}/{name}", catalog=catalog))
    except ConfigError:  # e.g. the endpoint's address needs a variable that is not set
        return "unknown"


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


def _card_fields(
    card: ModelCard, price: tuple[Decimal, Decimal] | str, today: date
) -> dict[str, Any]:
    days_left = None if card.sunset is None else (card.sunset - today).days
    return card.model_dump(mode="json") | _price_fields(price) | {"days_left": days_left}


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
            _price_cell(price),
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
