"""The name a request goes by in the cache: equal requests, equal keys; any difference, another key."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from effortctl._errors import ConfigError
from effortctl._types import Call

KEY_VERSION = 1
"""Raise it when the fields below change, so that old rows are never found again."""


def cache_key(call: Call, *, namespace: str, verifier: str = "") -> str:
    """SHA-256 of everything that decides what the endpoint would answer, as hex.

    The order of keys in a mapping does not matter. Timeouts, prices, names of arms and tasks do not
    count: they do not reach the endpoint. No prompt can be read back from the key.

    Args:
        call: The request.
        namespace: Callers of different namespaces never see each other's answers. Give every tenant
            and every API account its own.
        verifier: Name of what accepted the answer; an answer good enough for one check is not good
            enough for another.

    Raises:
        ConfigError: The request holds something JSON cannot express.
    """
    try:
        text = json.dumps(
            _request_fields(call) | {"namespace": namespace, "verifier": verifier},
            sort_keys=True,
            separators=(",", ":"),
            allow_nan=False,
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the request of arm {call.arm.name!r} cannot be cached because a field is not plain JSON"
            f" ({error}); use only strings, numbers, booleans, lists and mappings in extra_body,"
            " response_schema and content parts"
        ) from error
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _request_fields(call: Call) -> dict[str, Any]:
    arm = call.arm
    first = call.sample_index == 0 or arm.resample_temperature is None
    return {
        "key_version": KEY_VERSION,
        "endpoint": [arm.endpoint.kind, arm.endpoint.name, arm.endpoint.base_url],
        "api": arm.api,
        "model": arm.model,
        "effort": arm.sent_effort,
        "effort_style": arm.effort_style,
        "extra_body": arm.extra_body,
        "messages": [[message.role, message.content] for message in call.messages],
        "max_output_tokens": call.max_output_tokens,
        "temperature": arm.temperature if first else arm.resample_temperature,
        "response_schema": call.task.response_schema,
        "sample_index": call.sample_index,
    }
