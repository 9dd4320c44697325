"""What an endpoint says about an error, made safe to show and read for facts.

Providers echo parts of keys and prompts in their error messages, so nothing they wrote reaches an
exception before it went through `safe_message` or `safe_token`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from effortctl._types import EFFORTS

_MAX_MESSAGE = 200
_MAX_READ = 4000  # characters of a message that are looked at; longer ones are dumps, not sentences
_ECHO = 20  # a shared run of this many characters counts as an echo of the prompt

_SHORTEST_SECRET = 6  # a shorter header value, such as `chat`, would blank innocent messages
_KNOWN_HEADERS = re.compile(
    r"accept|accept-encoding|connection|content-length|content-type|host|user-agent|x-stainless-.*"
    r"|idempotency-key|traceparent|tracestate"
)

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")
_SPACES = re.compile(r"\s+")
_ESCAPES = re.compile(r"\\[ux][0-9a-fA-F]{2}")
_KEY_LIKE = re.compile(
    r"""
    \b(?:sk|pk|rk|gsk|xai|key|hf|nvapi)[-_][\w*.…-]{3,}         # prefixed keys, whole or masked
    | \bBearer\s+\S+
    | \b(?:AKIA|ASIA|AIza|ya29\.|eyJ)[\w.*-]{6,}                # cloud keys and JSON web tokens
    | \S*[*…•x]{4,}\S*                                          # anything masked
    | [A-Za-z0-9_+/=-]{32,}                                     # anything long and random-looking
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ErrorFields:
    """The parts of an error body that name the cause. Unchecked text of a stranger.

    Attributes:
        code: Machine-readable code.
        type: Class of the error.
        param: Request field it is about.
        message: Sentence for people.
    """

    code: str = ""
    type: str = ""
    param: str = ""
    message: str = ""


def error_fields(document: object) -> ErrorFields:
    """Find code, type, param and message in the error bodies in use.

    Handles OpenAI's `{"error": {…}}`, a bare object, a list around it (Gemini), an error that is
    only a string, and FastAPI's `{"detail": …}`.
    """
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, Mapping):
        return ErrorFields(message=document[:_MAX_READ] if isinstance(document, str) else "")
    error = document.get("error")
    if isinstance(error, Mapping):
        document = error
    elif isinstance(error, str):
        return ErrorFields(code=_text(document.get("code")), message=error[:_MAX_READ])
    return ErrorFields(
        code=_text(document.get("code")),
        type=_text(document.get("type")),
        param=_text(document.get("param")),
        message=_text(document.get("message")) or _detail(document.get("detail")),
    )


def _text(value: object) -> str:
    if isinstance(value, str):
        return value[:_MAX_READ]
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 10**9:
        return ""
    return str(value)


def _detail(detail: object) -> str:
    if isinstance(detail, str):
        return detail[:_MAX_READ]
    if not isinstance(detail, list):
        return ""
    lines = [
        f"{'.'.join(map(str, _list(item.get('loc'))))}: {item.get('msg')}"
        for item in detail[:5]
        if isinstance(item, Mapping)
    ]
    return "; ".join(lines)[:_MAX_READ]


def _list(value: object) -> list[Any]:
    return value[:8] if isinstance(value, list) else []


# --- safe to show ----------------------------------------------------------------------------------


def secrets_in(headers: Mapping[str, str]) -> frozenset[str]:
    """Values of request headers that must not be shown: of all but those every client sends."""
    found: set[str] = set()
    for name, value in headers.items():
        if not _KNOWN_HEADERS.fullmatch(name.lower()):
            found.update(word for word in value.split() if len(word) >= _SHORTEST_SECRET)
    return frozenset(found)


def safe_token(value: object, *, prompt: str, secrets: Collection[str] = ()) -> str | None:
    """Return a code or an id if it looks like one and holds no secret and no prompt, else None."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        return None
    if _echoes(value, prompt) or _holds(value, secrets):
        return None
    return None if value.lower().startswith(("sk-", "pk-", "bearer")) else value


def safe_message(message: str, *, prompt: str, secrets: Collection[str] = ()) -> str:
    """Return a provider's message without keys, cut short; empty when it echoes prompt or secret."""
    text = _SPACES.sub(" ", message[:_MAX_READ]).strip()
    # An escaped echo would not be recognised, so escapes count as one. A web page says nothing.
    if text.startswith("<") or _ESCAPES.search(text) or _echoes(text, prompt):
        return ""
    if _holds(text, secrets):
        return ""
    text = _KEY_LIKE.sub("[redacted]", text).encode("utf-8", "replace").decode()
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def _holds(text: str, secrets: Collection[str]) -> bool:
    return any(secret.casefold() in text.casefold() for secret in secrets)


def _echoes(text: str, prompt: str) -> bool:
    """True when text and prompt share a run of `_ECHO` characters, or all of a shorter prompt."""
    needle, hay = text.casefold(), _SPACES.sub(" ", prompt).strip().casefold()
    if not hay:
        return False
    if len(hay) < _ECHO:
        return hay in needle
    return any(needle[i : i + _ECHO] in hay for i in range(len(needle) - _ECHO + 1))


# --- read for facts --------------------------------------------------------------------------------

_WORD = rf"(?:{'|'.join(e for e in EFFORTS if e != 'default')}|auto|ultra|null)"
_ITEM = rf"[\[({{'\"`\\]*\b{_WORD}\b['\"`\\\]}}]*(?:\s*\(\w+\))?"
_CUE = (
    r"(?:\b(?:supported|valid|allowed|accepted|available|permitted)\s+(?:\w+\s+)?(?:are|is)?"
    r"|\b(?:values|levels|efforts|options)\s*:|\bone of|\bexpected|\b(?:must|should) be)"
)
_EFFORT_LIST = re.compile(
    rf"{_CUE}\W{{0,6}}?(?:one of\W{{0,4}}?)?({_ITEM}(?:[\s,|/]*(?:(?:or|and)\b\s*)?{_ITEM})*)",
    re.IGNORECASE,
)
_EFFORT_WORD = re.compile(rf"\b{_WORD}\b", re.IGNORECASE)
_NAMES_EFFORT = re.compile(
    r"reasoning[\s_.-]*effort|\beffort\b|reasoning (?:value|level|mode)|think(?:ing)? (?:value|level)"
    r"|\bvalid levels\b",
    re.IGNORECASE,
)
_TOOLS_NOT_EFFORT = re.compile(r"function tools", re.IGNORECASE)


def rejects_effort(fields: ErrorFields) -> bool:
    """True when the error is about the effort that was asked for."""
    if _TOOLS_NOT_EFFORT.search(fields.message):
        return False  # "use another API or effort none": no other effort would help
    return bool(_NAMES_EFFORT.search(fields.param) or _NAMES_EFFORT.search(fields.message))


def listed_efforts(message: str) -> tuple[str, ...]:
    """Return the efforts a message says would be accepted, in rising order."""
    found: set[str] = set()
    for listing in _EFFORT_LIST.findall(message[:_MAX_READ]):
        found.update(word.lower() for word in _EFFORT_WORD.findall(listing))
    return tuple(effort for effort in EFFORTS if effort in found)


def retry_after_s(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds or an HTTP date).

    Source: RFC 9110 section 10.2.3; the header in milliseconds is OpenAI's own.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
