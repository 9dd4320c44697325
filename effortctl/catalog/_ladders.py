"""Ladders: named lists of arms in the order they are meant to be climbed."""

from __future__ import annotations

import difflib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from effortctl._errors import ConfigError, EffortctlWarning
from effortctl._types import Arm
from effortctl.catalog._catalog import Catalog, load_catalog, shipped, user_config_dir
from effortctl.catalog._resolve import ArmRequest, resolve
from effortctl.catalog._toml import only_keys, read_toml, table_line, told_plainly

Rung: TypeAlias = Arm | ArmRequest | str | Mapping[str, Any]
"""One entry of a ladder given as a list: a ready arm, a request, `model@effort`, or the keys of an
`[[arm]]` table."""


class Ladder(BaseModel):
    """Arms in the order they are meant to be climbed.

    Attributes:
        name: What `--ladder` calls it.
        description: One line for people.
        arms: At least one, with unique names, no two making the same call.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _unique(self) -> Self:
        _refuse_duplicates([arm.name for arm in self.arms])
        return self


def load_ladder(
    source: str | Path | Sequence[Rung] | Ladder, *, catalog: Catalog | None = None
) -> Ladder:
    """Load a ladder and resolve its arms.

    Args:
        source: Name of a ladder (the user's own, in `ladders/` of the configuration folder, before
            the shipped ones), path of a TOML file, or the arms themselves.
        catalog: Where models and endpoints are looked up. None: the user's own.

    Returns:
        The ladder, its arms in the order written.

    Raises:
        ConfigError: No such ladder, or something in it is wrong; the message says where.

    Warns:
        EffortctlWarning: Two arms would make the same call; only the first is kept.
    """
    if isinstance(source, Ladder):
        return source
    catalog = catalog or load_catalog()
    if isinstance(source, str | Path):
        return _from_file(_find(source), catalog)
    arms = [_rung(rung, catalog, where=f"arm {n}") for n, rung in enumerate(source, start=1)]
    return _ladder({"name": "custom", "description": ""}, arms, where="ladder")


def shipped_ladders() -> tuple[str, ...]:
    """Names of the ladders that come with effortctl."""
    files = shipped("ladders").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def _find(source: str | Path) -> Traversable | Path:
    path = Path(source)
    if isinstance(source, Path) or path.suffix == ".toml" or len(path.parts) > 1:
        return path
    own = user_config_dir() / "ladders" / f"{source}.toml"
    if own.is_file():
        return own
    if source in shipped_ladders():
        return shipped("ladders", f"{source}.toml")
    close = difflib.get_close_matches(source, shipped_ladders(), n=1)
    hint = f", did you mean {close[0]}?" if close else ""
    msg = (
        f"unknown ladder {source!r}{hint}; shipped are {', '.join(shipped_ladders())}; a path ends "
        f"in .toml, and your own go to {own.parent}"
    )
    raise ConfigError(msg)


def _from_file(file: Traversable | Path, catalog: Catalog) -> Ladder:
    data = read_toml(file)
    only_keys(data, "ladder", "arm", where=str(file))
    head = data.get("ladder", {})
    entries = data.get("arm", [])
    tables = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
    if not isinstance(head, dict) or not tables:
        msg = f"{file}: expected one [ladder] table and [[arm]] tables"
        raise ConfigError(msg)
    only_keys(head, "name", "description", "endpoint", where=f"{file}: [ladder]")
    common = {"endpoint": head["endpoint"]} if "endpoint" in head else {}
    arms = []
    for index, entry in enumerate(entries):
        line = table_line(file, table="arm", index=index)
        where = f"{file}: arm {index + 1}" + (f" (line {line})" if line else "")
        arms.append(_rung(common | entry, catalog, where=where))
    title = {"name": Path(file.name).stem, "description": ""} | head
    title.pop("endpoint", None)
    return _ladder(title, arms, where=str(file))


def _rung(rung: Rung, catalog: Catalog, *, where: str) -> Arm:
    if isinstance(rung, Arm):
        return rung
    if isinstance(rung, Mapping):
        with told_plainly(where):
            rung = ArmRequest.model_validate(dict(rung))
    try:
        return resolve(rung, catalog=catalog)
    except ConfigError as error:
        msg = f"{where}: {error}"
        raise ConfigError(msg) from error


def _ladder(title: Mapping[str, Any], arms: Sequence[Arm], *, where: str) -> Ladder:
    if not arms:
        msg = f"{where}: the ladder is empty; add at least one [[arm]] with a model"
        raise ConfigError(msg)
    with told_plainly(where):
        _refuse_duplicates([arm.name for arm in arms], where=where)
        return Ladder.model_validate({**title, "arms": tuple(_merged(arms))})


def _refuse_duplicates(names: Sequence[str], *, where: str = "ladder") -> None:
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        msg = f"{where}: two arms are named {twice!r}; give one of them another `name`"
        raise ConfigError(msg)


def _merged(arms: Iterable[Arm]) -> list[Arm]:
    """Drop arms that repeat an earlier arm's call: climbing to them would change nothing."""
    kept: dict[str, Arm] = {}
    for arm in arms:
        first = kept.setdefault(_call_key(arm), arm)
        if first is not arm:
            msg = (
                f"arms {first.name!r} and {arm.name!r} make the same call ({arm.model}, effort "
                f"{arm.sent_effort}); {arm.name!r} is left out"
            )
            warnings.warn(msg, EffortctlWarning, stacklevel=4)
    return list(kept.values())


def _call_key(arm: Arm) -> str:
    """What an endpoint sees of an arm: arms that differ in it can give different answers."""
    seen = arm.model_dump(
        mode="json",
        include={
            "model",
            "endpoint",
            "api",
            "effort_style",
            "extra_body",
            "max_output_tokens",
            "temperature",
        },
    )
    return json.dumps(seen | {"effort": arm.sent_effort}, sort_keys=True)
