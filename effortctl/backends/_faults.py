"""From a failed exchange to the one error, or the one outcome, that says what to do about it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from effortctl._errors import (
    BackendError,
    EffortctlError,
    TransientBackendError,
    UnsupportedEffortError,
)
from effortctl._types import Call, Finish
from effortctl.backends._error_text import (
    ErrorFields,
    error_fields,
    listed_efforts,
    rejects_effort,
    retry_after_s,
    safe_message,
    safe_token,
    secrets_in,
)
from effortctl.backends._exchange import Exchange

_CONTEXT_CODES = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "exceed_context_size_error",  # llama.cpp
        "model_context_window_exceeded",
    }
)
_CONTEXT_MESSAGE = re.compile(
    r"maximum context length|exceeds? (?:the |its )?(?:\w+ )*context|context (?:size|length|window) "
    r"(?:of \w+ )?(?:is )?exceeded|prompt is too long",
    re.IGNORECASE,
)
_FILTER_CODES = frozenset({"content_filter", "data_inspection_failed"})
_REFUSAL_CODES = frozenset(
    {
        "bio_policy",
        "content_policy_violation",
        "cyber_policy",
        "invalid_prompt",
        "misalignment_policy_violation",
        "policy_violation",
    }
)
_QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "insufficient_balance",
        "insufficient_credits",
        "billing_hard_limit_reached",
        "billing_not_active",
        "exceeded_current_quota_error",
    }
)
_TRANSIENT_CODES = frozenset(
    {"server_error", "internal_error", "rate_limit_exceeded", "overloaded", "overloaded_error"}
)

_REJECTED = {401: "auth", 402: "quota", 403: "auth", 404: "not_found"}
_TRANSIENT = {
    408: "timeout",
    409: "conflict",
    425: "server",
    429: "rate_limit",
    498: "overloaded",  # Groq's flex tier; elsewhere this status is not in use
    529: "overloaded",
}
# A gateway that gave up waiting does not know whether the model behind it went on and was paid.
_MAYBE_SERVED = frozenset({504, 520, 522, 524})

_SAYS = {
    "auth": "the endpoint refused the key; check the variable named by api_key_env",
    "quota": "the account has no quota or credit left; repeating the call will not help",
    "not_found": "the endpoint does not know this model or path",
    "bad_request": "the endpoint rejected the request",
    "timeout": "the endpoint gave up waiting",
    "conflict": "the endpoint reported a conflict",
    "rate_limit": "the endpoint asked us to slow down",
    "overloaded": "the endpoint is overloaded",
    "server": "the endpoint failed",
    "unsupported_effort": "the endpoint does not take this effort",
}


def outcome_of(fields: ErrorFields) -> Finish | None:
    """Read errors that are really an ending: too long a context, a filter, a policy refusal."""
    names = {fields.code, fields.type}
    if names & _CONTEXT_CODES or _CONTEXT_MESSAGE.search(fields.message):
        return "context_exceeded"
    if names & _FILTER_CODES:
        return "filtered"
    if names & _REFUSAL_CODES:
        return "refused"
    return None


def rejection(exchange: Exchange, *, now: datetime) -> Finish | BackendError:
    """What an HTTP error status means."""
    status = exchange.status or 0
    fields = error_fields(_json_or_text(exchange.body))
    outcome = outcome_of(fields) if status in (400, 403, 413, 422) else None
    if outcome is not None:
        return outcome
    billed = status in _MAYBE_SERVED or (status >= 500 and b'"usage"' in exchange.body)
    return _Classified(exchange, fields, billed=billed, now=now).error(status)


def embedded_error(exchange: Exchange, error: object, *, now: datetime) -> Finish | BackendError:
    """What an error inside a reply with status 200 means; such a call may have been charged."""
    fields = error_fields(error)
    outcome = outcome_of(fields)
    if outcome is not None:
        return outcome
    classified = _Classified(exchange, fields, billed=True, now=now)
    if fields.code.isdecimal() and 400 <= int(fields.code) < 600:
        return classified.error(int(fields.code))
    if fields.code in _TRANSIENT_CODES or fields.type in _TRANSIENT_CODES:
        return classified.transient("server")
    if {fields.code, fields.type} & _QUOTA_CODES:
        return classified.fault("quota")
    return exchange.malformed(f"status 200 with an error in the body{classified.details()}")


@dataclass(frozen=True, slots=True)
class _Classified:
    """An endpoint's error, ready to be turned into ours."""

    exchange: Exchange
    fields: ErrorFields
    billed: bool
    now: datetime

    def error(self, status: int) -> BackendError:
        """The error for an HTTP status, the code of the endpoint first."""
        fields = self.fields
        if status in (400, 422) and self._asked_for_effort() and rejects_effort(fields):
            return self._unsupported_effort()
        if {fields.code, fields.type} & _QUOTA_CODES:
            return self.fault("quota")
        transient = _TRANSIENT.get(status) or ("server" if status >= 500 else None)
        if transient is None:
            return self.fault(_REJECTED.get(status, "bad_request"))
        if self.exchange.headers.get("x-should-retry", "").lower() == "false":
            return self.fault(transient)
        return self.transient(transient)

    def fault(self, kind: str) -> BackendError:
        """An error that repeating the call does not cure."""
        return self.exchange.fault(self._says(kind), kind=kind, billed=self.billed)

    def transient(self, kind: str) -> BackendError:
        """An error that may pass."""
        wait_s = retry_after_s(self.exchange.headers, now=self.now)
        return self.exchange.transient(
            self._says(kind), kind=kind, billed=self.billed, retry_after_s=wait_s
        )

    def details(self, *, with_message: bool = True) -> str:
        """Code and message of the endpoint, as far as they may be shown."""
        hidden: Any = {"prompt": self.exchange.prompt, "secrets": self.exchange.secrets}
        code = next(filter(None, (safe_token(c, **hidden) for c in self._names())), None)
        message = safe_message(self.fields.message, **hidden) if with_message else ""
        return (f" [{code}]" if code else "") + (f": {message}" if message else "")

    def _says(self, kind: str) -> str:
        # Messages about keys quote them, sometimes in full, so those are never passed on.
        return _SAYS[kind] + self.details(with_message=kind != "auth")

    def _names(self) -> tuple[str, str]:
        return (self.fields.code, self.fields.type)

    def _asked_for_effort(self) -> bool:
        arm = self.exchange.call.arm
        return arm.effort_style not in ("prompt", "fixed") and arm.sent_effort != "default"

    def _unsupported_effort(self) -> UnsupportedEffortError:
        sent = self.exchange.call.arm.sent_effort
        supported = [effort for effort in listed_efforts(self.fields.message) if effort != sent]
        says = f"{_SAYS['unsupported_effort']} ({sent}){self.details()}"
        return UnsupportedEffortError(
            self.exchange.describe(says), supported=supported, billed=False, **self.exchange.facts()
        )


def _json_or_text(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body[:4000].decode("utf-8", "replace")


# --- failures of the transport ---------------------------------------------------------------------

# Told apart by name: a caller's client may use httpx, httpx2 or aiohttp, and none is imported here.
_NO_CONNECTION = frozenset({"ConnectError", "ClientConnectorError"})
_NOT_SENT = _NO_CONNECTION | {
    "ConnectTimeout",
    "PoolTimeout",
    "ProxyError",
    "ConnectionTimeoutError",
    "ClientHttpProxyError",
}
_TIMEOUTS = frozenset({"TimeoutError", "TimeoutException", "APITimeoutError"})
_BAD_ADDRESS = frozenset(
    {"UnsupportedProtocol", "InvalidURL", "LocalProtocolError", "TooManyRedirects"}
)
_BROKEN = frozenset(
    {"APIConnectionError", "TransportError", "NetworkError", "OSError", "HTTPError", "ClientError"}
)
_LOOPBACK = re.compile(r"(localhost|127\.[\d.]+|\[::1\])(:\d+)?$")
_UNBUILDABLE = frozenset({"TypeError", "UnicodeError"})


def received(error: Exception, call: Call) -> Exchange | EffortctlError:
    """Turn what a client raised into the endpoint's reply, if it sent one, or into our error."""
    if isinstance(error, EffortctlError):
        return error
    response: Any = getattr(error, "response", None)
    if isinstance(status := getattr(response, "status_code", None), int):
        return Exchange(
            call,
            status=status,
            headers=lower(response.headers),
            body=_body(response),
            secrets=secrets_in(_sent_headers(response)),
        )
    return _transport_fault(error, Exchange(call))


def timed_out(call: Call, *, billed: bool = True) -> TransientBackendError:
    """The call's own deadline struck. The endpoint may have worked, and may charge for it."""
    what = f"no complete reply within {call.timeout_s or 0:.3g} s"
    return Exchange(call).transient(what, kind="timeout", billed=billed)


def lower(headers: Any) -> dict[str, str]:
    """Headers as a plain dict with names in lower case."""
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _sent_headers(response: Any) -> dict[str, str]:
    try:
        return lower(response.request.headers)
    except Exception:  # noqa: BLE001 - foreign code: a response need not know its request
        return {}


def _body(response: Any) -> bytes:
    try:
        content = response.content
    except Exception:  # noqa: BLE001 - foreign code: a body cut off or never read is no body
        return b""
    return content if isinstance(content, bytes) else b""


def _transport_fault(error: Exception, exchange: Exchange) -> BackendError:
    names, name = _what_happened(error)
    billed = not names & _NOT_SENT
    if names & _TIMEOUTS:
        return exchange.transient(f"the network timed out ({name})", kind="timeout", billed=billed)
    if names & _BAD_ADDRESS:
        what = f"the request could not be sent ({name}); check base_url and the key's characters"
        return exchange.fault(what, kind="bad_request", billed=False)
    if "DecodingError" in names:
        return exchange.malformed("its content encoding is broken")
    if names & _BROKEN:
        place = _place(error, exchange.call)
        here = names & _NO_CONNECTION and _LOOPBACK.match(place)
        hint = "; is the server running?" if here else ""
        what = f"the connection{place and f' to {place}'} failed ({name}){hint}"
        return exchange.transient(what, kind="connection", billed=billed)
    if names & _UNBUILDABLE:
        what = f"the request could not be built ({name}); check extra_body, the prompt's and the key's characters"
        return exchange.fault(what, kind="bad_request", billed=False)
    return exchange.fault(f"the client failed ({name})", kind="error", billed=True)


def _place(error: Exception, call: Call) -> str:
    """Host and port the request went to. The rest of an address may hold a key, so it is never shown."""
    try:
        url: object = error.request.url  # type: ignore[attr-defined]  # openai and httpx have it
    except Exception:  # noqa: BLE001 - foreign code: an error need not know its request
        url = call.arm.endpoint.base_url
    try:
        parts = urlsplit(str(url or ""))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


def _what_happened(error: BaseException) -> tuple[frozenset[str], str]:
    """The kinds of error this is, and its name.

    The SDK's transport for aiohttp calls every lost connection a `ConnectTimeout`, even after the request
    was sent, so what aiohttp itself said counts there.
    """
    cause = error.__cause__
    below = None if cause is None else cause.__cause__
    if "ClientError" in _ancestry(below):
        return _ancestry(below), type(below).__name__
    return _ancestry(error) | _ancestry(cause), type(cause or error).__name__


def _ancestry(error: BaseException | None) -> frozenset[str]:
    return frozenset(cls.__name__ for cls in type(error).__mro__)
