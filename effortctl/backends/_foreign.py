"""Replies and faults of a client that the user called, read by the same rules as our own calls."""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import replace
from datetime import datetime
from typing import Any

from effortctl._errors import EffortctlError, UsageError
from effortctl._types import Answer, Call, Usage
from effortctl.backends._exchange import Exchange
from effortctl.backends._faults import received, rejection
from effortctl.backends._replies import read_reply

_CLIENT_PACKAGES = frozenset({"openai", "httpx", "httpx2", "httpcore", "httpcore2", "aiohttp"})
_PARSERS = frozenset({"pydantic", "pydantic_core", "jiter", "h11", "anyio"})


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
    document = _plain(response, call)
    if not isinstance(document, dict):
        raise UsageError(
            f"record() got {type(response).__name__}; pass the response object of the client"
        )
    api = "chat" if "choices" in document else "responses"
    call = replace(call, arm=call.arm.model_copy(update={"api": api}))
    answer = read_reply(Exchange(call, status=200, body=_encoded(document)), now=now)
    if answer.finish == "complete" and answer.usage is None and _never_ended(document):
        return answer.model_copy(update={"finish": "truncated"})
    return answer


def fault_from(error: Exception, call: Call, *, now: datetime) -> Answer | EffortctlError | None:
    """What an exception of the user's client means.

    Returns:
        Our error for a fault, an `Answer` for a rejection that is an outcome (refused, too long), and
        None when the exception does not come from a client: then it is the user's own.
    """
    if _package(type(error).__module__) not in _CLIENT_PACKAGES:
        return _choked(call) if _raised_in_client(error) else None
    outcome = received(error, call)
    if isinstance(outcome, EffortctlError):
        return outcome
    read = rejection(outcome, now=now)
    return Answer(text="", finish=read, usage=Usage()) if isinstance(read, str) else read


def _plain(response: object, call: Call) -> Any:
    dump = getattr(response, "model_dump", None)
    try:
        return dump(mode="json", warnings=False) if callable(dump) else response
    except ValueError:  # nested too deeply
        fault = _choked(call)
    raise fault  # outside the except block: the context of an error may hold the document


def _encoded(document: dict[str, Any]) -> bytes:
    try:
        return json.dumps(document).encode()
    except (TypeError, ValueError, RecursionError):
        fault = UsageError(
            "record() got an object that is not JSON; pass the client's own response"
        )
    raise fault  # outside the except block: the encoder's error holds the document


def _never_ended(document: dict[str, Any]) -> bool:
    """True for what was put together from a stream that broke off before it said why it ends.

    Servers that never give a reason at least report usage, which a stream has at its end.
    """
    choices: Any = document.get("choices")
    return bool(choices) and choices[0].get("finish_reason") is None


def _choked(call: Call) -> EffortctlError:
    return Exchange(call).malformed("the client could not read it")


def _raised_in_client(error: Exception) -> bool:
    """True when the last code that is neither Python's own nor a parser belongs to a client.

    A client that meets bytes it cannot read lets the error of its parser pass: a broken stream ends in
    a bare `JSONDecodeError` or `UnicodeDecodeError`.
    """
    names = [
        _package(frame.f_globals.get("__name__", ""))
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    own = [name for name in names if name not in _PARSERS | sys.stdlib_module_names]
    return bool(own) and own[-1] in _CLIENT_PACKAGES


def _package(module: str) -> str:
    return module.partition(".")[0]
