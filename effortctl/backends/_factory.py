"""The backend an endpoint describes, for callers who bring none of their own."""

from __future__ import annotations

from typing import Any

from effortctl._errors import ConfigError
from effortctl._types import Endpoint


def backend_for(endpoint: Endpoint) -> Any:
    """Make the sync backend for an endpoint; it opens no connection before the first call.

    Raises:
        ConfigError: The endpoint needs something only the caller can give, such as a model file.
    """
    if endpoint.kind == "recorded":
        from effortctl.backends._recorded import RecordedBackend  # noqa: PLC0415 - reads a file

        return RecordedBackend()
    _refuse_local(endpoint)
    from effortctl.backends._openai import OpenAIBackend  # noqa: PLC0415 - loads the SDK

    return OpenAIBackend(endpoint)


def async_backend_for(endpoint: Endpoint) -> Any:
    """Make the asyncio backend for an endpoint. As `backend_for`."""
    if endpoint.kind == "recorded":
        from effortctl.backends._recorded import AsyncRecordedBackend  # noqa: PLC0415 - as above

        return AsyncRecordedBackend()
    _refuse_local(endpoint)
    from effortctl.backends._openai import AsyncOpenAIBackend  # noqa: PLC0415 - as above

    return AsyncOpenAIBackend(endpoint)


def _refuse_local(endpoint: Endpoint) -> None:
    if endpoint.kind == "local":
        raise ConfigError(
            f"endpoint {endpoint.name!r} runs a model file in this process; pass it, e.g. "
            f"backends={{{endpoint.name!r}: LocalBackend('model.gguf')}}"
        )
