"""From the raw bytes of a reply to an `Answer`. The SDK does not validate, so all is checked here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NoReturn

from effortctl._errors import BackendError, UsageError
from effortctl._types import Answer, Finish, Usage, UsageRules
from effortctl.backends._decisions import read_decision
from effortctl.backends._exchange import Exchange
from effortctl.backends._faults import embedded_error, rejection
from effortctl.backends._usage import normalise_usage

MAX_REPLY_BYTES: Final = 64 * 1024 * 1024
"""A longer reply is not read to its end: no model writes that much, but a broken server may."""

_CHAT_FINISH: Mapping[str | None, Finish] = {
    None: "complete",  # some compatible servers never say
    "stop": "complete",
    "length": "truncated",
    "max_tokens": "truncated",
    "model_length": "truncated",
    "content_filter": "filtered",
    "guardrail_intervened": "filtered",
    "safety": "filtered",
    "sensitive": "filtered",
    "refusal": "refused",
    "model_context_window_exceeded": "context_exceeded",
}
_CHAT_BROKE_OFF = frozenset({"error", "network_error", "insufficient_system_resource"})
_INCOMPLETE: Mapping[object, Finish] = {"content_filter": "filtered"}


def read_reply(exchange: Exchange, *, now: datetime) -> Answer:
    """Read what an endpoint replied to a call.

    Args:
        exchange: The call and the raw reply.
        now: The time, against which a `retry-after` date is read.

    Raises:
        TransientBackendError: The endpoint says the call may work later.
        BackendError: It rejected the call for good, or the reply is malformed.
        UsageError: The reply's token counts make no sense.
    """
    if exchange.status is not None and exchange.status >= 400:
        return _rejected(exchange, rejection(exchange, now=now))
    if exchange.status is not None and not 200 <= exchange.status < 300:
        raise exchange.malformed("it is a redirect, which no answer comes with")
    document = _document(exchange)
    usage = _usage(document, exchange.call.arm.endpoint.usage)
    page = _Page(exchange, document)
    if error := document.get("error"):
        return page.ended(embedded_error(exchange, error, now=now), usage=usage)
    if exchange.call.arm.api == "responses":
        return _read_responses(page, usage)
    if exchange.call.arm.api == "decisions":
        return read_decision(page, usage)
    return _read_chat(page, usage, now=now)


def _document(exchange: Exchange) -> Mapping[str, Any]:
    document = _parsed(exchange.body)
    if not isinstance(document, dict):
        raise exchange.malformed("it is not a JSON object")
    return document


def _parsed(body: bytes) -> object:
    try:
        # Decoded here, because `json` would also guess at other encodings and let surrogates through.
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        # Not re-raised from here: the decoder's error holds the whole reply.
        return None


def _usage(document: Mapping[str, Any], rules: UsageRules) -> Usage | None:
    raw = document.get("usage")
    if raw is None or raw == {}:
        return None
    if not isinstance(raw, Mapping):
        raise UsageError(f"usage is of type {type(raw).__name__}, expected an object")
    return normalise_usage(raw, rules)


def _rejected(exchange: Exchange, outcome: Finish | BackendError) -> Answer:
    """A rejection that is an outcome: nothing was generated, so nothing was used."""
    if isinstance(outcome, BackendError):
        raise outcome
    return Answer(text="", finish=outcome, usage=Usage(), request_id=exchange.request_id)


class _Page:
    """A reply's JSON object, read field by field; what does not fit is a malformed reply."""

    def __init__(self, exchange: Exchange, document: Mapping[str, Any]) -> None:
        self.exchange = exchange
        self.document = document

    def fail(self, what: str) -> NoReturn:
        raise self.exchange.malformed(what)

    def mapping(self, value: object, name: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self.fail(f"{name} is of type {type(value).__name__}, expected an object")
        return value

    def objects(self, value: object, name: str) -> list[Mapping[str, Any]]:
        if not isinstance(value, list):
            self.fail(f"{name} is of type {type(value).__name__}, expected a list")
        return [self.mapping(item, f"an item of {name}") for item in value]

    def text(self, value: object, name: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            self.fail(f"{name} is of type {type(value).__name__}, expected text")
        # A lone surrogate is valid in JSON and in nothing that is written to disk afterwards.
        return value.encode("utf-8", "replace").decode()

    def ended(self, outcome: Finish | BackendError, *, usage: Usage | None) -> Answer:
        """An error inside a reply with status 200, with the tokens that were used up to it."""
        if isinstance(outcome, BackendError):
            raise outcome
        return self.answer("", finish=outcome, usage=usage)

    def answer(self, text: str, *, finish: Finish, usage: Usage | None) -> Answer:
        return Answer(
            text=text,
            finish=finish,
            usage=usage,
            model=self._label("model"),
            service_tier=self._label("service_tier"),
            request_id=self.exchange.request_id or self._label("id"),
        )

    def _label(self, name: str) -> str | None:
        """A name the endpoint gives; model names of local servers are paths with any characters."""
        value = self.document.get(name)
        usable = isinstance(value, str) and value.isprintable() and 0 < len(value) <= 256
        return value if usable else None


# --- Chat Completions ------------------------------------------------------------------------------


def _read_chat(page: _Page, usage: Usage | None, *, now: datetime) -> Answer:
    choices = page.objects(page.document.get("choices"), "choices")
    if not choices:
        page.fail("choices is empty")
    choice = choices[0]
    if error := choice.get("error"):
        return page.ended(embedded_error(page.exchange, error, now=now), usage=usage)
    message = page.mapping(choice.get("message"), "message")
    text = _chat_text(page, message.get("content"))
    refusal = page.text(message.get("refusal"), "refusal") or _chat_refusal(message.get("content"))
    finish = _chat_finish(page, choice.get("finish_reason"))
    if refusal and finish != "filtered":
        finish = "refused"
    elif not text and choice.get("finish_reason") is None and _reasoned(message):
        finish = "truncated"  # it stopped while still thinking and did not say why
    return page.answer(text or refusal, finish=finish, usage=usage)


def _chat_text(page: _Page, content: object) -> str:
    """The content; some endpoints send it as parts, with reasoning among them."""
    if not isinstance(content, list):
        return page.text(content, "content")
    parts = page.objects(content, "content")
    return "".join(page.text(p.get("text"), "text") for p in parts if p.get("type") == "text")


def _chat_refusal(content: object) -> str:
    if not isinstance(content, list):
        return ""
    parts = [part.get("refusal") for part in content if part.get("type") == "refusal"]
    return "".join(part for part in parts if isinstance(part, str))


def _chat_finish(page: _Page, reason: object) -> Finish:
    if reason is not None and not isinstance(reason, str):
        page.fail(f"finish_reason is of type {type(reason).__name__}, expected text")
    reason = reason.lower() if reason else None
    if reason in _CHAT_BROKE_OFF:
        what = "the endpoint broke off while answering"
        raise page.exchange.transient(what, kind="server", billed=True)
    # Names nobody has heard of ("eos", "tool_calls") are ways to have finished.
    return _CHAT_FINISH.get(reason, "complete")


def _reasoned(message: Mapping[str, Any]) -> bool:
    return bool(message.get("reasoning_content") or message.get("reasoning"))


# --- Responses -------------------------------------------------------------------------------------


def _read_responses(page: _Page, usage: Usage | None) -> Answer:
    finish = _responses_finish(page, usage)
    text, refusal = _responses_text(page)
    if refusal and finish != "filtered":
        finish = "refused"
    return page.answer(text or refusal, finish=finish, usage=usage)


def _responses_finish(page: _Page, usage: Usage | None) -> Finish:
    status = page.document.get("status", "completed")
    if status == "incomplete":
        details = page.document.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return _INCOMPLETE.get(reason, "truncated") if isinstance(reason, str) else "truncated"
    if status != "completed":
        known = status in ("failed", "cancelled", "queued", "in_progress")
        page.fail(f"its status is {status if known else 'unknown'}, expected completed")
    # llama.cpp calls a reply that ran into the cap completed.
    if usage is not None and usage.output_tokens >= page.exchange.call.max_output_tokens:
        return "truncated"
    return "complete"


def _responses_text(page: _Page) -> tuple[str, str]:
    """Text and refusal of the messages; remarks made along the way are not the answer."""
    items = page.objects(page.document.get("output"), "output")
    messages = [item for item in items if item.get("type") == "message"]
    final = [message for message in messages if message.get("phase") != "commentary"]
    text = refusal = ""
    for message in final or messages:
        for part in page.objects(message.get("content"), "content"):
            if part.get("type") == "output_text":
                text += page.text(part.get("text"), "text")
            elif part.get("type") == "refusal":
                refusal += page.text(part.get("refusal"), "refusal")
    return text, refusal
