"""Which chat requests can be put to the Responses API: known without loading the SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from effortctl._client._request import SdkRequest

SAME: Final = (
    "metadata",
    "model",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "temperature",
    "top_p",
    "user",
)
"""Arguments that both APIs know by the same name."""
_TRANSLATED = (
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "modalities",
    "n",
    "reasoning_effort",
    "response_format",
    "store",
    "stream",
    "stream_options",
    "tool_choice",
    "tools",
    "verbosity",
)


def can_translate(request: SdkRequest) -> bool:
    """True when everything the request holds has a counterpart in the Responses API."""
    if any(request.body[k] is not None for k in request.body if k not in (*SAME, *_TRANSLATED)):
        return False
    choice = request.body.get("tool_choice")
    if isinstance(choice, Mapping) and choice.get("type") != "function":
        return False
    return all(
        isinstance(tool, Mapping) and tool.get("type") == "function"
        for tool in request.body.get("tools") or []
    )
