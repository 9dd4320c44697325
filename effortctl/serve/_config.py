"""What the endpoint is told when it is started."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from effortctl._driver import BudgetLike, LadderLike
from effortctl._errors import ConfigError
from effortctl.protocols import Ledger, TraceSink

StreamMode: TypeAlias = Literal["buffer_until_verified", "commit_first"]

MAX_BODY_BYTES = 16 * 2**20
"""Largest request accepted unless told otherwise; room for a few images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """How requests are answered.

    Attributes:
        ladder: Arms behind `effortctl/auto`, at OpenAI-compatible endpoints.
        policy: Chooses among them: a `Policy`, what `learn` returned, or its file. None: climb.
        verify: What accepts an answer; all must pass.
        budget: Hard limit in dollars, e.g. `$5/day` for all requests, or `0.05` for each.
        deadline_s: Seconds one request may take. None: no limit.
        stream: What a stream may show before its check has passed, unless the request says otherwise.
        token: What clients must send as `Authorization: Bearer`. None: nothing; loopback only.
        max_body_bytes: Larger requests are refused with 413.
        ledger: Keeps money; the caller's to close. None: in memory, or on disk when the budget is shared.
        traces: Receives every finished trace. None: nobody does.
    """

    ladder: LadderLike = "openai"
    policy: Any = None
    verify: Sequence[Any] = ()
    budget: BudgetLike | None = None
    deadline_s: float | None = None
    stream: StreamMode = "buffer_until_verified"
    token: str | None = None
    max_body_bytes: int = MAX_BODY_BYTES
    ledger: Ledger | None = None
    traces: TraceSink | None = None

    def __post_init__(self) -> None:
        if self.token is not None and (not self.token or not self.token.isascii()):
            raise ConfigError("the token is empty or not ASCII; use e.g. `openssl rand -hex 32`")
        if self.max_body_bytes < 1:
            raise ConfigError(f"max_body_bytes must be at least 1, got {self.max_body_bytes}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the endpoint listens.

    Attributes:
        host: Name or IP address.
        port: TCP port; 0 picks a free one.
    """

    host: str = "127.0.0.1"
    port: int = 8787

    def check_token(self, token: str | None) -> None:
        """Refuse to spend a stranger's wishes from your key.

        Raises:
            ConfigError: Others can reach the address, and there is no token.
        """
        if token is None and not is_loopback(self.host):
            raise ConfigError(
                f"{self.host} can be reached from other machines, so a token is needed: set EFFORTCTL_TOKEN "
                "or --token, or listen on 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """True for a name or address that only this machine can reach."""
    name = host.strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
