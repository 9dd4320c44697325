"""The call that every broken reply answers, and the controller that has to cope with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import httpx2
import openai
from _bodies import Api, Reply

from effortctl import Arm, Controller, EffortctlError, Endpoint, Outcome, Price, Task
from effortctl._types import Call
from effortctl.backends import OpenAIBackend

KEY = "sk-canary-0123456789abcdefghijklmnop"
CAP = 100
ENDPOINT = Endpoint(name="fuzz", base_url="http://127.0.0.1:1/v1")
PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(10))


def arm_of(api: Api) -> Arm:
    """An arm of an endpoint whose replies are made up."""
    return Arm(
        name=f"m-{api}",
        model="m",
        api=api,
        endpoint=ENDPOINT,
        price=PRICE,
        max_output_tokens=CAP,
        max_output_tokens_limit=CAP,
    )


def call_of(api: Api) -> Call:
    """A call of that arm."""
    task = Task(input="Which city is the capital of Wales?")
    return Call(task, arm_of(api), task.messages, 0, CAP, 5.0)


class Bench:
    """A controller for each API whose next reply can be set."""

    def __init__(self, client: openai.OpenAI, current: list[Reply]) -> None:
        backend = OpenAIBackend(ENDPOINT, client=client)
        self._current = current
        self._controllers = {
            api: Controller(
                [arm_of(api)], backends={"fuzz": backend}, max_calls=1, budget=Decimal(1000)
            )
            for api in ("chat", "responses")
        }

    def run(self, reply: Reply) -> Outcome[str] | EffortctlError:
        """Ask a question that gets this reply."""
        self._current[0] = reply
        try:
            return self._controllers[reply.api].run("Which city is the capital of Wales?")
        except EffortctlError as error:
            return error


@contextmanager
def bench() -> Iterator[Bench]:
    """A bench whose network is a function."""
    current: list[Reply] = [Reply("chat", 200, b"", "none")]

    def answer(_request: httpx2.Request) -> httpx2.Response:
        reply = current[0]
        return httpx2.Response(reply.status, content=reply.body)

    with openai.OpenAI(
        api_key=KEY,
        base_url=ENDPOINT.base_url,
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    ) as client:
        yield Bench(client, current)
