"""Fixtures for every test: nobody's real home, keys or configuration is ever touched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from effortctl.catalog import load_catalog
from effortctl.testing import FakeClock, MockServer

_FOLDERS = {
    "HOME": "home",
    "USERPROFILE": "home",
    "XDG_CACHE_HOME": "home/.cache",
    "XDG_CONFIG_HOME": "home/.config",
    "XDG_DATA_HOME": "home/.local/share",
    "XDG_STATE_HOME": "home/.local/state",
    "XDG_RUNTIME_DIR": "home/.run",
}


def _is_private(name: str) -> bool:
    return name.endswith("_API_KEY") or name.startswith(("OPENAI_", "EFFORTCTL_"))


@pytest.fixture(autouse=True)
def isolated_home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty home folder, and no keys and settings from outside."""
    root = tmp_path_factory.mktemp("isolated")
    for variable, folder in _FOLDERS.items():
        path = root / folder
        path.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv(variable, str(path))
    for variable in filter(_is_private, list(os.environ)):
        monkeypatch.delenv(variable)
    # What an endpoint of another test refused is remembered for the whole process.
    load_catalog()._narrowed.clear()
    return root / "home"


@pytest.fixture
def mock_server() -> Iterator[MockServer]:
    """A running mock server that echoes the prompt's last line."""
    with MockServer() as server:
        yield server


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that moves only when told to."""
    return FakeClock()


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    """Where a test may put its ledger; nothing is there yet."""
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """Where a test may put its cache; nothing is there yet."""
    return tmp_path / "cache"
