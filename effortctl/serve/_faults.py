"""Errors as a client of OpenAI expects them: a status, a JSON body, and no repetition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from effortctl._errors import (
    BackendError,
    BudgetExceededError,
    ConfigError,
    DeadlineExceededError,
    EffortctlError,
    NotAcceptedError,
    TransientBackendError,
    UnknownPriceError,
)
from effortctl._types import Trace

NO_RETRY: Mapping[str, str] = {"x-should-retry": "false"}
"""The SDKs obey it: what was worth repeating has been repeated here, within the budget."""

_OUR_KEY = (401, 403)


class RefusedError(Exception):
    """A request that is answered with an error of our own choice.

    Attributes:
        fault: The error.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Fault:
    """One error as it goes over the wire.

    Attributes:
        status: HTTP status.
        code: One word for programs.
        message: One sentence for people.
        param: The field of the request that is wrong.
        headers: Further headers.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """The JSON body, in OpenAI's shape."""
        kind = "invalid_request_error" if self.status in (400, 401, 403, 404, 413) else self.code
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}


def refuse(
    status: int,
    code: str,
    message: str,
    *,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> RefusedError:
    """An error to raise."""
    return RefusedError(Fault(status, code, message, param, headers or {}))


def fault_of(error: Exception) -> Fault:
    """What a client is told of an exception. Nothing that could hold a key is passed on."""
    if isinstance(error, RefusedError):
        return error.fault
    if isinstance(error, EffortctlError):
        return _own(error)
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return _upstream(status, error)
    if isinstance(error, TimeoutError):
        return Fault(504, "deadline_exceeded", "the time allowed for the request is over")
    if type(error).__module__.partition(".")[0] == "openai":
        return Fault(
            502, "upstream_connection", f"the endpoint was not reached ({type(error).__name__})"
        )
    return Fault(500, "internal_error", f"effortctl failed ({type(error).__name__})")


def trace_of(error: Exception) -> Trace | None:
    """What was spent before the error."""
    return error.trace if isinstance(error, EffortctlError) else None


_STATUS: tuple[tuple[type[EffortctlError], int, str], ...] = (
    (BudgetExceededError, 402, "budget_exceeded"),
    (DeadlineExceededError, 504, "deadline_exceeded"),
    (NotAcceptedError, 422, "unverified"),
    (UnknownPriceError, 400, "unknown_price"),
    (ConfigError, 400, "invalid_request"),
)


def _own(error: EffortctlError) -> Fault:
    if isinstance(error, BackendError):
        return _backend(error)
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return Fault(status, code, str(error))
    return Fault(500, "internal_error", f"effortctl failed ({type(error).__name__})")


def _backend(error: BackendError) -> Fault:
    status = error.status or 502
    if status in _OUR_KEY or error.kind == "auth":
        return _bad_key()
    if error.kind == "timeout":
        return Fault(504, "upstream_timeout", str(error))
    retry = error.retry_after_s if isinstance(error, TransientBackendError) else None
    headers = {} if retry is None else {"retry-after": f"{retry:.0f}"}
    return Fault(_passed_on(status), f"upstream_{error.kind}", str(error), headers=headers)


def _upstream(status: int, error: Exception) -> Fault:
    """An error of the endpoint to a call that was passed through untouched."""
    if status in _OUR_KEY:
        return _bad_key()
    body = getattr(error, "body", None)
    told = body if isinstance(body, Mapping) else {}
    message = str(told.get("message") or f"the endpoint answered with status {status}")
    param = told.get("param")
    code = str(told.get("code") or f"upstream_{status}")
    return Fault(_passed_on(status), code, message, param if isinstance(param, str) else None)


def _passed_on(status: int) -> int:
    """The status to use: the client's own mistakes and limits as they are, all else a bad gateway."""
    return status if status in (400, 404, 408, 409, 413, 422, 429) else 502


def _bad_key() -> Fault:
    return Fault(502, "upstream_auth", "the endpoint rejected the key that effortctl was given")
