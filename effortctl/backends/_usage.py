"""Token counts of a reply, counted the same way whatever the endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from effortctl._errors import UsageError
from effortctl._types import Usage, UsageRules

_MOST = 1_000_000_000
"""No call uses a billion tokens; such a count is a fault of the endpoint."""

_INPUT = ("input_tokens", "prompt_tokens")
_OUTPUT = ("output_tokens", "completion_tokens")
_CACHED = ("cached_tokens",)
_CACHE_WRITE = ("cache_write_tokens", "cache_creation_tokens")
# Some servers report these beside the totals instead of inside the details.
_CACHED_BESIDE = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens")
_CACHE_WRITE_BESIDE = ("cache_creation_input_tokens",)
_REASONING = ("reasoning_tokens",)


def normalise_usage(raw: Mapping[str, Any], rules: UsageRules) -> Usage:
    """Read the usage of a Responses or a Chat Completions reply.

    Args:
        raw: The `usage` object as it came, in either shape.
        rules: Which counts the endpoint already includes in its totals.

    Returns:
        Totals that contain their parts: cached and cache-written tokens in the input, reasoning
        tokens in the output. A part the endpoint counts apart is added to its total once.

    Raises:
        UsageError: A count is missing, negative, absurdly large or not a whole number, or a part is
            larger than the total that should contain it.
    """
    input_details = _details(raw, "input_tokens_details", "prompt_tokens_details")
    output_details = _details(raw, "output_tokens_details", "completion_tokens_details")

    total_in = _required(raw, _INPUT)
    cached = _first(_count(input_details, _CACHED), _count(raw, _CACHED_BESIDE)) or 0
    written = _first(_count(input_details, _CACHE_WRITE), _count(raw, _CACHE_WRITE_BESIDE)) or 0
    total_in += 0 if rules.cached_in_input else cached
    total_in += 0 if rules.cache_write_in_input else written

    total_out = _required(raw, _OUTPUT)
    reasoning = _first(_count(output_details, _REASONING), _count(raw, _REASONING))
    total_out += 0 if rules.reasoning_in_output else (reasoning or 0)

    _check_part(cached + written, total_in, rule="cached_in_input or cache_write_in_input")
    _check_part(reasoning or 0, total_out, rule="reasoning_in_output")
    return Usage(
        input_tokens=total_in,
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=total_out,
        reasoning_tokens=reasoning,
    )


def _details(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        value = raw.get(name)
        if value is None:
            continue
        if not isinstance(value, Mapping):
            raise UsageError(f"usage.{name} is of type {type(value).__name__}, expected an object")
        return value
    return {}


def _required(raw: Mapping[str, Any], names: tuple[str, ...]) -> int:
    count = _count(raw, names)
    if count is None:
        raise UsageError(f"usage has no {' or '.join(names)}, so this call cannot be priced")
    return count


def _count(raw: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """The first of the named counts that is present, checked."""
    for name in names:
        value = raw.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise UsageError(
                f"usage.{name} is of type {type(value).__name__}, expected a whole number"
            )
        if not 0 <= value <= _MOST:
            raise UsageError(f"usage.{name} is {_shown(value)}, expected 0 to {_MOST}")
        return value
    return None


def _first(preferred: int | None, other: int | None) -> int | None:
    return other if preferred is None else preferred


def _shown(value: int) -> str:
    return str(value) if abs(value) < 10 * _MOST else "far out of range"


def _check_part(part: int, whole: int, *, rule: str) -> None:
    if part > whole:
        raise UsageError(
            f"usage reports {part} tokens as part of {whole}; if this endpoint counts them apart,"
            f" set {rule} = false in its usage rules"
        )
