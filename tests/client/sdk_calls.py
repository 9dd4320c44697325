"""Calls of the SDK that a wrapped client passes through: method by option."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class Invoice(BaseModel):
    number: str
    total: float


SCHEMA = Invoice.model_json_schema() | {"additionalProperties": False}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT_TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": PARAMETERS, "strict": True},
}
RESPONSES_TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": PARAMETERS,
    "strict": True,
}
USER = [{"role": "user", "content": "Say ok"}]
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": [{"type": "text", "text": "Say ok"}]},
]
TOOL_TALK = [
    {"role": "user", "content": "Weather in Oslo?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
]
IMAGE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ],
    }
]

CHAT: dict[str, dict[str, Any]] = {
    "plain": {"messages": USER},
    "effort": {"messages": USER, "reasoning_effort": "low"},
    "effort none": {"messages": USER, "reasoning_effort": "none"},
    "cap": {"messages": USER, "max_completion_tokens": 50},
    "old cap": {"messages": USER, "max_tokens": 50},
    "tiny cap": {"messages": USER, "max_completion_tokens": 1},
    "temperature": {"messages": USER, "temperature": 0.1, "top_p": 0.9},
    "penalties": {"messages": USER, "presence_penalty": 0.1, "frequency_penalty": 0.1},
    "conversation": {"messages": TALK},
    "image": {"messages": IMAGE},
    "json mode": {"messages": USER, "response_format": {"type": "json_object"}},
    "schema": {
        "messages": USER,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "invoice", "schema": SCHEMA, "strict": True},
        },
    },
    "tools": {"messages": USER, "tools": [CHAT_TOOL]},
    "tool choice": {"messages": USER, "tools": [CHAT_TOOL], "tool_choice": "required"},
    "tool result": {"messages": TOOL_TALK, "tools": [CHAT_TOOL]},
    "seed": {"messages": USER, "seed": 7, "user": "me"},
    "stop": {"messages": USER, "stop": ["END"]},
    "tier": {"messages": USER, "service_tier": "flex"},
    "metadata": {"messages": USER, "metadata": {"k": "v"}, "store": True},
    "verbosity": {"messages": USER, "verbosity": "low"},
    "extra body": {"messages": USER, "extra_body": {"chat_template_kwargs": {"a": 1}}},
    "extra headers": {"messages": USER, "extra_headers": {"x-team": "blue"}},
    "extra query": {"messages": USER, "extra_query": {"v": "1"}},
    "timeout": {"messages": USER, "timeout": 5.0},
    "logprobs": {"messages": USER, "logprobs": False},
    "two answers": {"messages": USER, "n": 2},
}
CHAT_STREAMS: dict[str, dict[str, Any]] = {
    "plain": {"messages": USER},
    "usage": {"messages": USER, "stream_options": {"include_usage": True}},
    "no usage": {"messages": USER, "stream_options": {"include_usage": False}},
    "effort": {"messages": USER, "reasoning_effort": "high"},
    "tools": {"messages": [{"role": "user", "content": "call"}], "tools": [CHAT_TOOL]},
    "cap": {"messages": USER, "max_completion_tokens": 1},
}
RESPONSES: dict[str, dict[str, Any]] = {
    "plain": {"input": "Say ok"},
    "turns": {"input": [{"role": "user", "content": "Say ok"}]},
    "parts": {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Say ok"}]}],
    },
    "instructions": {"input": "Say ok", "instructions": "Be brief."},
    "effort": {"input": "Say ok", "reasoning": {"effort": "low"}},
    "summary": {"input": "Say ok", "reasoning": {"effort": "high", "summary": "auto"}},
    "cap": {"input": "Say ok", "max_output_tokens": 50},
    "tiny cap": {"input": "Say ok", "max_output_tokens": 1},
    "temperature": {"input": "Say ok", "temperature": 0.3},
    "store": {"input": "Say ok", "store": False},
    "continued": {"input": "Say ok", "previous_response_id": "resp_unknown"},
    "tools": {"input": "call", "tools": [RESPONSES_TOOL]},
    "tool result": {
        "input": [
            {"role": "user", "content": "Weather?"},
            {
                "type": "function_call",
                "call_id": "c1",
                "name": "weather",
                "arguments": '{"city": "Oslo"}',
            },
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        ],
        "tools": [RESPONSES_TOOL],
    },
    "schema": {
        "input": "Say ok",
        "text": {"format": {"type": "json_schema", "name": "invoice", "schema": SCHEMA}},
    },
    "verbosity": {"input": "Say ok", "text": {"verbosity": "low"}},
    "metadata": {"input": "Say ok", "metadata": {"k": "v"}},
    "tier": {"input": "Say ok", "service_tier": "flex"},
    "include": {"input": "Say ok", "include": ["reasoning.encrypted_content"]},
    "truncation": {"input": "Say ok", "truncation": "auto"},
    "extra body": {"input": "Say ok", "extra_body": {"my_field": 1}},
    "extra headers": {"input": "Say ok", "extra_headers": {"x-team": "blue"}},
    "timeout": {"input": "Say ok", "timeout": 5.0},
}
RESPONSES_STREAMS: dict[str, dict[str, Any]] = {
    "plain": {"input": "Say ok"},
    "effort": {"input": "Say ok", "reasoning": {"effort": "high"}},
    "tools": {"input": "call", "tools": [RESPONSES_TOOL]},
    "cap": {"input": "Say ok", "max_output_tokens": 1},
    "instructions": {"input": "Say ok", "instructions": "Be brief."},
}
PARSED: dict[str, dict[str, Any]] = {"type": {}, "effort": {"effort": "low"}}

API = {
    "chat": lambda client: client.chat.completions,
    "responses": lambda client: client.responses,
}

CREATES = [
    *(("chat", "create", name, kwargs) for name, kwargs in CHAT.items()),
    *(("responses", "create", name, kwargs) for name, kwargs in RESPONSES.items()),
    (
        "chat",
        "parse",
        "type",
        {"messages": [{"role": "user", "content": "bill"}], "response_format": Invoice},
    ),
    (
        "chat",
        "parse",
        "tools",
        {"messages": [{"role": "user", "content": "call"}], "tools": [CHAT_TOOL]},
    ),
    ("chat", "parse", "nothing", {"messages": USER}),
    ("responses", "parse", "type", {"input": "bill", "text_format": Invoice}),
    ("responses", "parse", "tools", {"input": "call", "tools": [RESPONSES_TOOL]}),
    ("responses", "parse", "nothing", {"input": "Say ok"}),
]
STREAMS = [
    *(("chat", "create", name, kwargs) for name, kwargs in CHAT_STREAMS.items()),
    *(("responses", "create", name, kwargs) for name, kwargs in RESPONSES_STREAMS.items()),
]
HELPERS = [
    ("chat", "plain", {"messages": USER}),
    (
        "chat",
        "type",
        {"messages": [{"role": "user", "content": "bill"}], "response_format": Invoice},
    ),
    ("chat", "tools", {"messages": [{"role": "user", "content": "call"}], "tools": [CHAT_TOOL]}),
    ("responses", "plain", {"input": "Say ok"}),
    ("responses", "type", {"input": "bill", "text_format": Invoice}),
    ("responses", "tools", {"input": "call", "tools": [RESPONSES_TOOL]}),
]
