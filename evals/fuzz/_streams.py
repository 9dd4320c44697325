"""Event streams cut at every byte, read the way a user of the SDK reads them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import httpx2
import openai
from _bodies import APIS, Api
from _calls import KEY, call_of

from effortctl import Answer, EffortctlError
from effortctl.backends import answer_from, fault_from
from effortctl.testing import MockServer

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
FAULTS = (
    None,
    "stream-error",
    "stream-failed",
    "stream-no-terminal",
    "stream-no-done",
    "stream-bad-json",
    "bad-utf8",
    "usage-negative",
    "usage-string",
    "usage-huge",
    "refusal",
    "content-filter",
    "truncated",
    "error-in-200",
    "deep-nesting:depth=2000",
)


@dataclass(frozen=True, slots=True)
class Stream:
    """A recorded event stream.

    Attributes:
        api: Which API it is of.
        fault: How the server broke it. None: it is sound.
        data: Its bytes.
        text: The answer it holds when it is whole and sound.
    """

    api: Api
    fault: str | None
    data: bytes
    text: str


def record(text: str = "Cardiff, the capital of Wales.") -> list[Stream]:
    """Streams of the mock server, sound ones and broken ones."""
    found = []
    with MockServer(lambda _request: text) as server, httpx2.Client() as http:
        for api, fault in itertools.product(APIS, FAULTS):
            body: dict[str, Any] = {"model": "m", "stream": True}
            if api == "chat":
                body |= {"messages": [{"role": "user", "content": "?"}]}
                body |= {"stream_options": {"include_usage": True}}
            else:
                body |= {"input": "?"}
            headers = {} if fault is None else {"x-mock-fault": fault}
            url = server.base_url.removesuffix("/v1") + PATHS[api]
            reply = http.post(url, json=body, headers=headers)
            found.append(Stream(api, fault, reply.content, text))
    return found


def cuts(streams: list[Stream], *, every: int = 1) -> Iterator[tuple[Stream, int]]:
    """Each stream with each length it is cut to; the whole one comes last."""
    for stream in streams:
        yield from ((stream, end) for end in range(0, len(stream.data), every))
        yield stream, len(stream.data)


def finished(stream: Stream, end: int) -> bool:
    """True when the bytes up to `end` hold the event with which a sound answer ends.

    Chat sends it before the token counts, so that wrong counts may still be missing then.
    """
    if stream.fault not in {None, "stream-no-done", "usage-negative", "usage-string", "usage-huge"}:
        return False
    events = stream.data[:end].split(b"\n\n")[:-1]
    mark = b'"finish_reason":"stop"' if stream.api == "chat" else b"event: response.completed"
    return any(mark in event for event in events)


class SdkReader:
    """A user's function that reads a stream with the SDK and reports what it got.

    Args:
        client: A client whose network gives the bytes in `current`.
        current: One item: the bytes of the next stream.
    """

    def __init__(self, client: openai.OpenAI, current: list[bytes]) -> None:
        self._client = client
        self._current = current

    def read(self, api: Api, data: bytes) -> Answer | Exception:
        """What becomes of a stream.

        Returns:
            The answer, or the error our code makes of what the SDK raised, or the bare exception
            where our code does not know it as the client's.
        """
        self._current[0] = data
        call, now = call_of(api), datetime.now(UTC)
        try:
            final = _final(self._client, api)
        except Exception as error:  # noqa: BLE001 - the subject of the test
            meaning = fault_from(error, call, now=now)
            return error if meaning is None else meaning
        try:
            return answer_from(final, call, now=now)
        except EffortctlError as error:
            return error


@contextmanager
def sdk_reader() -> Iterator[SdkReader]:
    """A reader whose network is a function."""
    current = [b""]

    def answer(_request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, content=current[0], headers=headers)

    with openai.OpenAI(
        api_key=KEY,
        base_url="http://127.0.0.1:1/v1",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    ) as client:
        yield SdkReader(client, current)


def _final(client: openai.OpenAI, api: Api) -> Any:
    """The last word of a stream; for Chat the chunks are put together as users do."""
    if api == "responses":
        events = client.responses.create(model="m", input="?", stream=True)
        last: Any = None
        for event in events:
            last = getattr(event, "response", last)
        return last
    text, reason, usage = "", None, None
    chunks = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "?"}], stream=True
    )
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    message = {"role": "assistant", "content": text}
    whole = {"index": 0, "finish_reason": reason, "message": message}
    document: dict[str, Any] = {"model": "m", "choices": [whole]}
    if usage is not None:
        document["usage"] = json.loads(cast("Any", usage).model_dump_json())
    return document
