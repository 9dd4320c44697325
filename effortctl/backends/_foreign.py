"""Replies and faults of a client that the user called, read by the same rules as our own calls."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from effortctl._errors import EffortctlError, UsageError
from effortctl._types import Answer, Call
from effortctl.backends._exchange import Exchange
from effortctl.backends._faults import received, rejection
from effortctl.backends._replies import read_reply

_CLIENT_PACKAGES = frozenset({"openai", "httpx", "httpx2", "httpcore", "httpcore2", "aiohttp"})


def answer_from(response: object, call: Call, *, now: datetime) -> Answer:
    """Read a response object of the OpenAI SDK, or the JSON object of one as a dict.

    Args:
        response: `ChatCompletion`, `Response`, or a dict of the same shape.
        call: The call it answers; its endpoint says how tokens are counted.
        now: The time.

    Raises:
        UsageError: It is none of these, or its token counts make no sense.
        BackendError: It reports an error instead of an answer.
    """
    dump = getattr(response, "model_dump", None)
    document: Any = dump(mode="json", warnings=False) if callable(dump) else response
    if not isinstance(document, dict):
        raise UsageError(
            f"record() got {type(response).__name__}; pass the response object of the client"
        )
    api = "chat" if "choices" in document else "responses"
    call = replace(call, arm=call.arm.model_copy(update={"api": api}))
    return read_reply(Exchange(call, status=200, body=json.dumps(document).encode()), now=now)


def fault_from(error: Exception, call: Call, *, now: datetime) -> Answer | EffortctlError | None:
    """What an exception of the user's client means.

    Returns:
        Our error for a fault, an `Answer` for a rejection that is an outcome (refused, too long), and
        None when the exception does not come from a client: then it is the user's own.
    """
    if type(error).__module__.partition(".")[0] not in _CLIENT_PACKAGES:
        return None
    outcome = received(error, call)
    if isinstance(outcome, EffortctlError):
        return outcome
    read = rejection(outcome, now=now)
    return Answer(text="", finish=read) if isinstance(read, str) else read
