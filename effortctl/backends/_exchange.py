"""One request and what came back on the wire, before anybody trusts it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from effortctl._errors import BackendError, TransientBackendError
from effortctl._types import Call
from effortctl.backends._error_text import safe_token

_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-amzn-requestid")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A call and the endpoint's raw reply to it.

    Attributes:
        call: What was asked.
        status: HTTP status. None: nothing came back.
        headers: Response headers, names in lower case.
        body: Response body, decompressed.
        secrets: Words of the request's headers that no message may repeat.
    """

    call: Call
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def request_id(self) -> str | None:
        """The endpoint's own id of the call, from its headers."""
        for name in _REQUEST_ID_HEADERS:
            value = self.headers.get(name)
            token = safe_token(value, prompt=self.prompt, secrets=self.secrets)
            if token is not None:
                return token
        return None

    @property
    def prompt(self) -> str:
        """All text of the request that must never show up in an error message."""
        return "\n".join(message.text for message in self.call.messages)

    def fault(self, what: str, *, kind: str, billed: bool) -> BackendError:
        """A failure that repeating the call would not cure."""
        return BackendError(self.describe(what), kind=kind, billed=billed, **self.facts())

    def transient(
        self, what: str, *, kind: str, billed: bool, retry_after_s: float | None = None
    ) -> TransientBackendError:
        """A failure that may pass."""
        return TransientBackendError(
            self.describe(what),
            retry_after_s=retry_after_s,
            kind=kind,
            billed=billed,
            **self.facts(),
        )

    def malformed(self, what: str) -> BackendError:
        """A reply that cannot be read; the endpoint may well charge for it."""
        message = f"the reply is malformed: {what}; check that base_url is an OpenAI-compatible API"
        return self.fault(message, kind="malformed_reply", billed=True)

    def describe(self, what: str) -> str:
        """A sentence for an error message: who, what, and where to look it up."""
        return f"{self.call.arm.name}: {_SPACES.sub(' ', what)}{self._where()}"

    def facts(self) -> dict[str, Any]:
        """The attributes every error about this exchange carries."""
        return {
            "arm": self.call.arm.name,
            "status": self.status,
            "request_id": self.request_id,
        }

    def _where(self) -> str:
        facts = []
        if self.status is not None:
            facts.append(f"HTTP {self.status}")
        if (request_id := self.request_id) is not None:
            facts.append(f"request {request_id}")
        return f" ({', '.join(facts)})" if facts else ""
