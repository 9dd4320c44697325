"""The same cut streams through `effortctl.wrap`, whose managed calls read streams themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import httpx2
import openai
from _bodies import APIS, Api
from _calls import CAP, KEY, PRICE

from effortctl import Answer, Arm, Endpoint, wrap

Mode = Literal["commit_first", "buffer_until_verified"]
MODES: tuple[Mode, ...] = ("commit_first", "buffer_until_verified")
URL = "http://127.0.0.1:1/v1"


class WrapReader:
    """Asks a wrapped client for a stream and reads it to its end.

    Args:
        clients: A wrapped client for each mode.
        current: One item: the bytes of the next stream.
    """

    def __init__(self, clients: dict[tuple[Mode, Api], Any], current: list[bytes]) -> None:
        self._clients = clients
        self._current = current

    def read(self, api: Api, data: bytes, *, mode: Mode) -> Answer | Exception:
        """The text of a stream that ended in good order, or what it raised, whenever that was."""
        self._current[0] = data
        client = self._clients[mode, api]
        try:
            if api == "responses":
                events = client.responses.create(model="auto", input="?", stream=True)
            else:
                turn = {"role": "user", "content": "?"}
                events = client.chat.completions.create(model="auto", messages=[turn], stream=True)
            return Answer(text="".join(_pieces(api, events)))
        except Exception as error:  # noqa: BLE001 - the subject of the test
            return error


def _pieces(api: Api, events: Any) -> Iterator[str]:
    for event in events:
        if api == "responses":
            if event.type == "response.output_text.delta":
                yield event.delta
        else:
            yield from (choice.delta.content or "" for choice in event.choices)


@contextmanager
def wrap_reader() -> Iterator[WrapReader]:
    """A reader whose network is a function."""
    current = [b""]

    def answer(_request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, content=current[0], headers=headers)

    endpoint = Endpoint(name="fuzz", base_url=URL)
    transport = httpx2.MockTransport(answer)
    with openai.OpenAI(
        api_key=KEY, base_url=URL, max_retries=0, http_client=httpx2.Client(transport=transport)
    ) as client:
        clients = {}
        for mode in MODES:
            for api in APIS:
                arm = Arm(
                    name="m",
                    model="m",
                    api=api,
                    endpoint=endpoint,
                    price=PRICE,
                    max_output_tokens=CAP,
                    max_output_tokens_limit=CAP,
                )
                clients[mode, api] = wrap(client, ladder=[arm], stream=mode, max_calls=1)
        yield WrapReader(clients, current)
