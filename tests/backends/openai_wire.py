"""Calls, canned replies, and one way to send a call through either backend."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

import httpx2
import openai

from effortctl._types import Answer, Arm, Call, Endpoint, Message, Task, UsageRules
from effortctl.backends import AsyncOpenAIBackend, OpenAIBackend

Api = Literal["chat", "responses"]
Mode = Literal["sync", "async"]
APIS: tuple[Api, ...] = ("chat", "responses")
MODES: tuple[Mode, ...] = ("sync", "async")

PROMPT = "What is the capital of the country whose flag has a red dragon on it?"
KEY = "sk-canary-0123456789abcdefghijklmnop"


def endpoint(**fields: Any) -> Endpoint:
    return Endpoint(**{"name": "test", "base_url": "http://127.0.0.1:1/v1"} | fields)


def make_call(
    api: Api = "chat",
    *,
    timeout_s: float | None = None,
    task: Task | None = None,
    messages: tuple[Message, ...] | None = None,
    sample_index: int = 0,
    max_output_tokens: int = 100,
    rules: UsageRules | None = None,
    **arm: Any,
) -> Call:
    task = task or Task(input=PROMPT)
    where = arm.pop("endpoint", endpoint(usage=rules or UsageRules()))
    fields = {"name": "model-x@low", "model": "model-x", "effort": "low"} | arm
    return Call(
        task=task,
        arm=Arm(api=api, endpoint=where, **fields),
        messages=messages or task.messages,
        sample_index=sample_index,
        max_output_tokens=max_output_tokens,
        timeout_s=timeout_s,
    )


def chat_body(content: Any = "Cardiff", **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content} | fields.pop("message", {})
    choice = {"index": 0, "finish_reason": "stop", "message": message} | fields.pop("choice", {})
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "model-x-2026",
        "choices": [choice],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
    }
    return body | fields


def responses_body(content: Any = "Cardiff", **fields: Any) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": content, "annotations": []}]
    message = {"type": "message", "role": "assistant", "content": parts}
    body = {
        "id": "resp_1",
        "object": "response",
        "model": "model-x-2026",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "output": [{"type": "reasoning", "summary": []}, message],
        "usage": {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25},
    }
    return body | fields


def good_body(api: Api) -> dict[str, Any]:
    return chat_body() if api == "chat" else responses_body()


Handler = Callable[[httpx2.Request], httpx2.Response]


def replying(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    """A server that always sends this: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda request: httpx2.Response(status, content=content, headers=headers or {})


class Wire:
    """Sends calls through a backend whose network is a function; keeps the requests it saw."""

    def __init__(self, handler: Handler, *, mode: Mode) -> None:
        self.requests: list[httpx2.Request] = []
        self._handler = handler
        self._mode = mode

    @property
    def sent(self) -> dict[str, Any]:
        return json.loads(self.requests[-1].content)

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self._handler(request)

    def complete(self, call: Call, **backend: Any) -> Answer:
        transport = httpx2.MockTransport(self._handle)
        where = call.arm.endpoint
        if self._mode == "sync":
            with openai.OpenAI(
                api_key=KEY,
                base_url=where.base_url,
                max_retries=2,
                http_client=httpx2.Client(transport=transport),
            ) as client:
                return OpenAIBackend(where, client=client, **backend).complete(call)

        async def run() -> Answer:
            async with openai.AsyncOpenAI(
                api_key=KEY,
                base_url=where.base_url,
                max_retries=2,
                http_client=httpx2.AsyncClient(transport=transport),
            ) as client:
                return await AsyncOpenAIBackend(where, client=client, **backend).complete(call)

        return asyncio.run(run())


def complete(body: Any, call: Call, *, mode: Mode, **reply: Any) -> Answer:
    return Wire(replying(body, **reply), mode=mode).complete(call)
