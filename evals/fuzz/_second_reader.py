"""A second, independent reading of a reply: what may at most have been accepted.

It shares no code with the package, reads only what the APIs document, and says None in every case of
doubt that a reader must not resolve in favour of the answer.
"""

from __future__ import annotations

import json
from typing import Any

CUT = frozenset(
    {
        "length",
        "max_tokens",
        "model_length",
        "content_filter",
        "guardrail_intervened",
        "safety",
        "sensitive",
        "refusal",
        "model_context_window_exceeded",
        "error",
        "network_error",
        "insufficient_system_resource",
    }
)


def sound_text(api: str, status: int, body: bytes, *, cap: int) -> str | None:
    """The whole answer of a sound reply; None when the reply is broken, cut or empty.

    Args:
        api: `chat` or `responses`.
        status: HTTP status.
        body: The bytes of the reply.
        cap: Most output tokens the call allowed; a Responses reply that used them all was cut.
    """
    if not 200 <= status < 300:
        return None
    try:
        reply = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(reply, dict) or reply.get("error") or not _usage_is_sane(reply.get("usage")):
        return None
    text = _chat(reply) if api == "chat" else _responses(reply, cap)
    return text if text is not None and text.strip() else None


def _usage_is_sane(usage: Any) -> bool:
    if usage is None or usage == {}:
        return True
    if not isinstance(usage, dict):
        return False
    counts = [_count(usage, "prompt_tokens", "input_tokens")]
    counts += [_count(usage, "completion_tokens", "output_tokens")]
    return all(type(count) is int and 0 <= count <= 10**9 for count in counts)


def _count(usage: dict[str, Any], *names: str) -> Any:
    return next((usage[name] for name in names if usage.get(name) is not None), None)


def _chat(reply: dict[str, Any]) -> str | None:
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    choice = choices[0]
    message, reason = choice.get("message"), choice.get("finish_reason")
    if choice.get("error") or not isinstance(message, dict) or message.get("refusal"):
        return None
    if not (reason is None or isinstance(reason, str)) or (reason or "").lower() in CUT:
        return None
    return _joined(message.get("content"), kind="text")


def _responses(reply: dict[str, Any], cap: int) -> str | None:
    usage, items = reply.get("usage") or {}, reply.get("output")
    if reply.get("status", "completed") != "completed" or not isinstance(items, list):
        return None
    if _count(usage, "input_tokens", "prompt_tokens") is not None and (
        _count(usage, "output_tokens", "completion_tokens") >= cap
    ):
        return None
    messages = [item for item in items if isinstance(item, dict) and item.get("type") == "message"]
    final = [each for each in messages if each.get("phase") != "commentary"] or messages
    texts = [_joined(message.get("content"), kind="output_text") for message in final]
    return None if None in texts else "".join(text for text in texts if text)


def _joined(content: Any, *, kind: str) -> str | None:
    if isinstance(content, str):
        return _writable(content) if kind == "text" else None
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return None
    if any(part.get("type") == "refusal" and part.get("refusal") for part in content):
        return None
    texts = [part.get("text") for part in content if part.get("type") == kind]
    if not all(text is None or isinstance(text, str) for text in texts):
        return None
    return _writable("".join(text for text in texts if text))


def _writable(text: str) -> str:
    """Lone surrogates become question marks, because nothing can store them."""
    return text.encode("utf-8", "replace").decode()
