from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_user_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's own configuration out of the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("EFFORTCTL_CATALOG", raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
