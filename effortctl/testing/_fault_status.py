"""Fault modes that answer with an error status: cheap for the caller, and most of them honest."""

from __future__ import annotations

import email.utils
import time

from effortctl.testing._efforts import EFFORT_WORDINGS, effort_rejected, tools_rejected
from effortctl.testing._faults import FaultSpec, mode
from effortctl.testing._plans import Headers, Plan, honest, rejected
from effortctl.testing._records import Completion
from effortctl.testing._wire import error_body

STATUSES: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request was rejected."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "permission_denied", "This project may not use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    408: ("timeout", "request_timeout", "The request took too long to arrive."),
    409: ("conflict", "conflict", "The resource is being changed by another request."),
    413: ("invalid_request_error", "request_too_large", "The request body is too large."),
    422: ("invalid_request_error", "unprocessable", "The request cannot be processed."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached; please slow down."),
    500: ("server_error", "server_error", "The server had an error."),
    502: ("server_error", "bad_gateway", "The gateway got no valid reply."),
    503: ("server_error", "service_unavailable", "The service is overloaded."),
    504: ("server_error", "gateway_timeout", "The gateway got no reply in time."),
    529: ("overloaded_error", "overloaded", "The service is overloaded."),
}
"""Type, code and message by HTTP status."""

RETRY_OPTIONS = {
    "retry_after": "Retry-After in seconds",
    "retry_after_ms": "retry-after-ms, in milliseconds",
    "retry_after_date": "Retry-After as an HTTP date this many seconds ahead",
    "should_retry": "value of x-should-retry: true or false",
}


def _retry_headers(spec: FaultSpec) -> Headers:
    headers: list[tuple[str, str]] = []
    if "retry-after" in spec.options:
        headers.append(("Retry-After", spec.options["retry-after"]))
    if "retry-after-ms" in spec.options:
        headers.append(("retry-after-ms", spec.options["retry-after-ms"]))
    if "retry-after-date" in spec.options:
        moment = time.time() + spec.number("retry-after-date", 0.0)
        headers.append(("Retry-After", email.utils.formatdate(moment, usegmt=True)))
    if "should-retry" in spec.options:
        headers.append(("x-should-retry", spec.options["should-retry"]))
    return tuple(headers)


def _register_status(status: int) -> None:
    kind, code, message = STATUSES[status]

    @mode(str(status), f"HTTP {status}: {message}", **RETRY_OPTIONS)
    def _build(_completion: Completion, spec: FaultSpec) -> Plan:
        body = error_body(message, kind=kind, code=code)
        return rejected(status, body, headers=_retry_headers(spec))


for _code in STATUSES:
    _register_status(_code)


@mode("insufficient-quota", "HTTP 429 that no waiting cures: the account is out of credit")
def _insufficient_quota(_completion: Completion, _spec: FaultSpec) -> Plan:
    text = "You exceeded your current quota, please check your plan and billing details."
    return rejected(429, error_body(text, kind="insufficient_quota", code="insufficient_quota"))


@mode("context-length-exceeded", "HTTP 400: the prompt does not fit into the context window")
def _context_length_exceeded(completion: Completion, _spec: FaultSpec) -> Plan:
    tokens = completion.usage.input_tokens
    text = (
        f"This model's maximum context length is {max(1, tokens - 1)} tokens. However, your "
        f"messages resulted in {tokens} tokens. Please reduce the length of the messages."
    )
    param = "messages" if completion.request.api == "chat" else "input"
    return rejected(400, error_body(text, code="context_length_exceeded", param=param))


@mode("prompt-filtered", "HTTP 400 of a content filter that rejected the prompt (Azure)")
def _prompt_filtered(_completion: Completion, _spec: FaultSpec) -> Plan:
    text = "The response was filtered due to the prompt triggering the content management policy."
    return rejected(400, error_body(text, code="content_filter", param="prompt"))


@mode(
    "unsupported-effort",
    "HTTP 400 for an effort outside `supported`, in the words of a provider; else honest",
    style=f"whose words: {', '.join(EFFORT_WORDINGS)}",
    supported="accepted efforts, separated by /",
)
def _unsupported_effort(completion: Completion, spec: FaultSpec) -> Plan:
    request = completion.request
    supported = spec.word("supported", "low/medium/high").split("/")
    if request.effort in ("default", *supported):
        return honest(completion)
    own_style = "openai-chat" if request.api == "chat" else "openai-responses"
    return effort_rejected(
        spec.word("style", own_style),
        model=request.model,
        effort=request.effort,
        supported=supported,
    )


@mode("tools-with-effort", "HTTP 400: function tools and effort only go together on Responses")
def _tools_with_effort(completion: Completion, _spec: FaultSpec) -> Plan:
    return tools_rejected(completion.request.model)


@mode("html-502", "HTTP 502 with the HTML page of a proxy")
def _html_502(_completion: Completion, _spec: FaultSpec) -> Plan:
    page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    return Plan(status=502, content_type="text/html", chunks=(page,))


@mode("empty-500", "HTTP 500 without any body")
def _empty_500(_completion: Completion, _spec: FaultSpec) -> Plan:
    return Plan(status=500, content_type="text/plain")
