"""What all tests of sessions share."""

from __future__ import annotations

import pytest
from agent_clients import OPENED


@pytest.fixture(autouse=True)
def nothing_stays_open():
    """Close what `client_of` made."""
    yield
    while OPENED:
        OPENED.pop().close()
