"""Make one call, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from effortctl.backends._factory import async_backend_for, backend_for
from effortctl.backends._foreign import answer_from, fault_from
from effortctl.backends._usage import normalise_usage

if TYPE_CHECKING:
    from effortctl.backends._local import AsyncLocalBackend, LocalBackend, LocalServer
    from effortctl.backends._openai import AsyncOpenAIBackend, OpenAIBackend
    from effortctl.backends._recorded import AsyncRecordedBackend, RecordedAnswer, RecordedBackend
    from effortctl.backends._weights import find_weights

__all__ = [
    "AsyncLocalBackend",
    "AsyncOpenAIBackend",
    "AsyncRecordedBackend",
    "LocalBackend",
    "LocalServer",
    "OpenAIBackend",
    "RecordedAnswer",
    "RecordedBackend",
    "answer_from",
    "async_backend_for",
    "backend_for",
    "fault_from",
    "find_weights",
    "normalise_usage",
]

_LAZY = {
    "AsyncLocalBackend": "_local",
    "AsyncOpenAIBackend": "_openai",
    "AsyncRecordedBackend": "_recorded",
    "LocalBackend": "_local",
    "LocalServer": "_local",
    "OpenAIBackend": "_openai",
    "RecordedAnswer": "_recorded",
    "RecordedBackend": "_recorded",
    "find_weights": "_weights",
}


def __getattr__(name: str) -> Any:
    """Load a backend when it is first asked for, so that importing effortctl loads no SDK."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only needed once, here

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
