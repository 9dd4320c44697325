"""An application around a wrapped client, as a type checker sees it. Checked by mypy, never executed."""

from typing import assert_type

from openai import APIResponse, AsyncOpenAI, AsyncStream, AzureOpenAI, OpenAI, Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ParsedChatCompletion
from openai.types.responses import ParsedResponse, Response, ResponseStreamEvent
from pydantic import BaseModel

import effortctl
from effortctl import CallInfo


class Invoice(BaseModel):
    number: str
    total: float


client = effortctl.wrap(OpenAI(), verify="number:408", budget="$0.05")
aclient = effortctl.wrap(AsyncOpenAI(), stream="buffer_until_verified")
assert_type(client, OpenAI)
assert_type(aclient, AsyncOpenAI)
assert_type(effortctl.wrap(AzureOpenAI(), ladder=["gpt-6-luna@low"]), AzureOpenAI)
effortctl.wrap("client")  # type: ignore[type-var]
effortctl.wrap(OpenAI(), stream="sometimes")  # type: ignore[arg-type]


def ask(question: str) -> str | None:
    reply = client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": question}]
    )
    assert_type(reply, ChatCompletion)
    assert_type(effortctl.info(reply), CallInfo)
    return reply.choices[0].message.content


def ask_at(question: str) -> Response:
    return client.responses.create(
        model="gpt-6-sol", input=question, reasoning={"effort": effortctl.AUTO}
    )


def ask_chat_at(question: str) -> ChatCompletion:
    return client.chat.completions.create(
        model="gpt-6-sol",
        messages=[{"role": "user", "content": question}],
        reasoning_effort=effortctl.AUTO,
    )


def stream(question: str) -> Stream[ResponseStreamEvent]:
    return client.responses.create(model="auto", input=question, stream=True)


def stream_raw(question: str) -> list[str]:
    with client.responses.with_streaming_response.create(
        model="auto", input=question, stream=True
    ) as response:
        assert_type(response, APIResponse[Stream[ResponseStreamEvent]])
        return [event.type for event in response.parse()]


def ask_raw(question: str) -> tuple[str | None, Response]:
    raw = client.responses.with_raw_response.create(model="auto", input=question)
    assert_type(effortctl.info(raw), CallInfo)
    return raw.headers.get("x-effortctl-cost-usd"), raw.parse()


def judge(reply: Response, *, right: bool) -> None:
    assert_type(effortctl.info(reply).feedback(float(right), "by hand"), None)
    effortctl.info(reply).feedback("good")  # type: ignore[arg-type]


def extract(text: str) -> Invoice | None:
    reply = client.responses.parse(model="auto", input=text, text_format=Invoice)
    assert_type(reply, ParsedResponse[Invoice])
    return reply.output_parsed


def extract_chat(text: str) -> ParsedChatCompletion[Invoice]:
    return client.chat.completions.parse(
        model="auto", messages=[{"role": "user", "content": text}], response_format=Invoice
    )


async def main() -> str:
    assert_type(await aclient.responses.create(model="auto", input="q"), Response)
    chunks = await aclient.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "q"}], stream=True
    )
    assert_type(chunks, AsyncStream[ChatCompletionChunk])
    async with aclient.responses.stream(model="auto", input="q") as events:
        final = await events.get_final_response()
    return f"{final.output_text} {effortctl.info(final).cost_usd}"
