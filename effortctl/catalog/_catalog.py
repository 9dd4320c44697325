"""The catalog: shipped cards and endpoints, and what the user's own file changes."""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from effortctl._errors import ConfigError
from effortctl._types import Effort, Endpoint
from effortctl.catalog._cards import EndpointPreset, ModelCard, permissive_card
from effortctl.catalog._toml import only_keys, read_toml, told_plainly

_USER_FILE_VARIABLE = "EFFORTCTL_CATALOG"

COMPATIBLE = EndpointPreset(
    name="compatible",
    allow_unknown=True,
    source="assumed of any OpenAI-compatible server nobody described",
    verified_on=date(2026, 11, 23),
)
"""What is assumed of an endpoint the catalog does not know."""


class Catalog:
    """Model cards and endpoint presets, and what this process has learned about them.

    Args:
        cards: Unique by id.
        endpoints: Unique by name.
    """

    def __init__(self, cards: Iterable[ModelCard], endpoints: Iterable[EndpointPreset]) -> None:
        self._cards = {card.id: card for card in cards}
        self._endpoints = {preset.name: preset for preset in endpoints}
        self._narrowed: dict[tuple[str, str, str | None], tuple[Effort, ...]] = {}
        self._lock = threading.Lock()

    @property
    def cards(self) -> Mapping[str, ModelCard]:
        """All cards by id."""
        return dict(self._cards)

    @property
    def endpoints(self) -> Mapping[str, EndpointPreset]:
        """All endpoint presets by name."""
        return dict(self._endpoints)

    def preset(self, name: str) -> EndpointPreset:
        """Find an endpoint preset; `vllm:gpu1` is one more endpoint of the preset `vllm`.

        Raises:
            ConfigError: There is no such preset.
        """
        preset = self._endpoints.get(name.partition(":")[0])
        if preset is None:
            msg = (
                f"unknown endpoint {name!r}{_close(name, self._endpoints)}; known are "
                f"{', '.join(sorted(self._endpoints))}, or write a table with name and base_url"
            )
            raise ConfigError(msg)
        return preset

    def preset_of(self, endpoint: Endpoint) -> EndpointPreset:
        """The preset of a ready endpoint; `COMPATIBLE` when its name is the user's own."""
        return self._endpoints.get(endpoint.name.partition(":")[0], COMPATIBLE)

    def card(
        self,
        model: str,
        endpoint: str | Endpoint | None = None,
        *,
        allow_unknown: bool | None = None,
    ) -> ModelCard:
        """Find the card of a model: the closest match among those valid at the endpoint.

        Args:
            model: Model id as the endpoint spells it; dated snapshots and vendor prefixes are fine.
            endpoint: Where it is called. None: the model's home, if it has one.
            allow_unknown: Return a permissive card for a model nobody described. None: as the
                endpoint's preset says.

        Raises:
            ConfigError: The model is unknown here; the message offers close names.
        """
        name = endpoint.name if isinstance(endpoint, Endpoint) else endpoint
        found = self._closest(model, name or self.home(model))
        if found is not None:
            return found
        if allow_unknown is None:
            allow_unknown = self._allows_unknown(endpoint)
        if allow_unknown:
            return permissive_card(model)
        raise ConfigError(self._unknown_model(model, name))

    def home(self, model: str) -> str | None:
        """Name of the endpoint that is meant when a model is named without one."""
        homes = [
            (fit, card.home)
            for card in self._cards.values()
            if card.home is not None and (fit := card.fit(model)) is not None
        ]
        return max(homes)[1] if homes else None

    def narrowed(self, model: str, endpoint: Endpoint) -> tuple[Effort, ...] | None:
        """Efforts the endpoint itself named in this process; None when it never refused one."""
        with self._lock:
            return self._narrowed.get((model, endpoint.name, endpoint.base_url))

    def remember(self, model: str, endpoint: Endpoint, efforts: Sequence[Effort]) -> None:
        """Keep, until the process ends, which efforts the endpoint takes for this model."""
        with self._lock:
            self._narrowed[model, endpoint.name, endpoint.base_url] = tuple(efforts)

    def _closest(self, model: str, endpoint: str | None) -> ModelCard | None:
        preset = endpoint.partition(":")[0] if endpoint else None
        best: tuple[int, bool] | None = None
        found: ModelCard | None = None
        for card in self._cards.values():
            if not self._serves(preset, card):
                continue
            fit = card.fit(model)
            rank = None if fit is None else (fit, bool(card.endpoints))
            if rank is not None and (best is None or rank > best):
                best, found = rank, card
        return found

    def _serves(self, preset: str | None, card: ModelCard) -> bool:
        """A maker's own endpoint serves its own models; the others serve whatever is not bound elsewhere."""
        if preset is not None and preset in {*card.endpoints, card.home}:
            return True
        known = self._endpoints.get(preset or "")
        return not card.endpoints and (known is None or known.allow_unknown)

    def _allows_unknown(self, endpoint: str | Endpoint | None) -> bool:
        if isinstance(endpoint, Endpoint):
            return self.preset_of(endpoint).allow_unknown
        return endpoint is not None and self.preset(endpoint).allow_unknown

    def _unknown_model(self, model: str, endpoint: str | None) -> str:
        names = {
            name
            for card in self._cards.values()
            for name in card.names
            if "*" not in name and (endpoint is None or self._serves(endpoint, card))
        }
        at = f" at endpoint {endpoint!r}" if endpoint else ""
        return (
            f"unknown model {model!r}{at}{_close(model, names)}; name a server that may have it "
            f'(e.g. "vllm/{model}"), or add a [[model]] card to your catalog file '
            f"({user_file_hint()})"
        )


def load_catalog(extra: Path | None = None) -> Catalog:
    """The shipped catalog plus the user's own file. Loaded once per file and process.

    Args:
        extra: The user's file. None: `$EFFORTCTL_CATALOG`, else `catalog.toml` in the user's
            configuration folder, if there is one.

    Raises:
        ConfigError: The user's file is missing, malformed or contradicts itself.
    """
    return _load(extra if extra is not None else _user_file())


def user_config_dir() -> Path:
    """The user's configuration folder of effortctl; it need not exist."""
    import platformdirs  # noqa: PLC0415 - costs more than the rest of this package's import

    return platformdirs.user_config_path("effortctl")


def user_file_hint() -> str:
    """Where a user's cards go, for error messages."""
    return os.environ.get(_USER_FILE_VARIABLE) or str(user_config_dir() / "catalog.toml")


def shipped(*parts: str) -> Traversable:
    """A data file of this package."""
    return resources.files("effortctl.catalog").joinpath(*parts)


def _user_file() -> Path | None:
    named = os.environ.get(_USER_FILE_VARIABLE)
    if named:
        return Path(named)
    default = user_config_dir() / "catalog.toml"
    return default if default.is_file() else None


@lru_cache(maxsize=16)
def _load(extra: Path | None) -> Catalog:
    files = [f for f in shipped("models").iterdir() if f.name.endswith(".toml")]
    models: dict[str, dict[str, Any]] = {}
    endpoints: dict[str, dict[str, Any]] = {}
    sources = [*sorted(files, key=lambda file: file.name), shipped("endpoints.toml")]
    for file in (*sources, *([extra] if extra else [])):
        data = read_toml(file)
        only_keys(data, "model", "endpoint", where=str(file))
        _overlay(models, data.get("model", []), key="id", where=f"{file}: [[model]]")
        _overlay(endpoints, data.get("endpoint", []), key="name", where=f"{file}: [[endpoint]]")
    return Catalog(
        [_card(entry, where=extra) for entry in models.values()],
        [_preset(entry, where=extra) for entry in endpoints.values()],
    )


def _overlay(into: dict[str, dict[str, Any]], entries: Any, *, key: str, where: str) -> None:
    """Add entries, or change the fields of those that are already there."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        msg = f"{where}: expected tables; write the header in double brackets"
        raise ConfigError(msg)
    for entry in entries:
        name = entry.get(key)
        if not isinstance(name, str) or not name:
            msg = f"{where}: an entry has no `{key}`; give it one"
            raise ConfigError(msg)
        into[name] = into.get(name, {}) | entry


def _card(entry: dict[str, Any], *, where: Path | None) -> ModelCard:
    with told_plainly(f"{where or 'shipped catalog'}: model {entry['id']!r}"):
        return ModelCard.model_validate(entry)


def _preset(entry: dict[str, Any], *, where: Path | None) -> EndpointPreset:
    with told_plainly(f"{where or 'shipped catalog'}: endpoint {entry['name']!r}"):
        return EndpointPreset.model_validate(entry)


def _close(name: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name.lower(), sorted(known), n=3, cutoff=0.5)
    return f", did you mean {' or '.join(matches)}?" if matches else ""
