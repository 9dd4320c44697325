"""Whatever a server sends, only an answer or an EffortctlError comes out."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai_wire import APIS, MODES, Api, Wire, chat_body, make_call, replying, responses_body

from effortctl._errors import EffortctlError
from effortctl._types import Answer
from effortctl.backends._exchange import Exchange
from effortctl.backends._replies import read_reply

NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEYS = [
    "choices",
    "message",
    "content",
    "finish_reason",
    "refusal",
    "reasoning",
    "usage",
    "prompt_tokens",
    "completion_tokens",
    "input_tokens",
    "output_tokens",
    "prompt_tokens_details",
    "output_tokens_details",
    "cached_tokens",
    "reasoning_tokens",
    "error",
    "code",
    "type",
    "param",
    "detail",
    "status",
    "incomplete_details",
    "reason",
    "output",
    "text",
    "phase",
    "id",
    "model",
    "service_tier",
]
WORDS = [
    "stop",
    "length",
    "error",
    "completed",
    "incomplete",
    "failed",
    "message",
    "output_text",
    "refusal",
    "text",
    "commentary",
    "server_error",
    "bio_policy",
    "insufficient_quota",
    "429",
    "503",
    "context_length_exceeded",
    "reasoning_effort",
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0.5, float("inf"), float("nan")])
    | st.sampled_from(WORDS)
    | st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)
statuses = st.sampled_from([200, 200, 200, 204, 301, 400, 401, 408, 413, 422, 429, 500, 504, 599])


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [path] if path else []
    if isinstance(node, dict):
        children: Any = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    else:
        return found
    for key, child in children:
        found += places(child, (*path, key))
    return found


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(document))
    node = copy
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return copy


GOOD = (chat_body(message={"refusal": None, "reasoning": "x"}), responses_body())
broken_in_one_place = st.one_of(
    [st.builds(replaced, st.just(good), st.sampled_from(places(good)), values) for good in GOOD]
)
bodies = st.one_of(
    values.map(lambda value: json.dumps(value).encode()),
    broken_in_one_place.map(lambda value: json.dumps(value).encode()),
    st.builds(
        lambda good, end: json.dumps(good).encode()[:end],
        st.sampled_from(GOOD),
        st.integers(0, 400),
    ),
    st.binary(max_size=60),
)


def outcome(read: Callable[[], Answer]) -> Answer | EffortctlError:
    try:
        return read()
    except EffortctlError as error:
        return error


def check(read: Callable[[], Answer]) -> None:
    result = outcome(read)
    if isinstance(result, EffortctlError):
        pickle.loads(pickle.dumps(result))
        assert result.__context__ is None
    else:
        result.model_dump_json()


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bodies, statuses, st.sampled_from(APIS))
def test_any_bytes_become_an_answer_or_a_typed_error(body: bytes, status: int, api: Api) -> None:
    exchange = Exchange(make_call(api), status=status, body=body)
    check(lambda: read_reply(exchange, now=NOW))


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=bodies, status=statuses, api=st.sampled_from(APIS))
def test_any_reply_through_the_sdk_becomes_an_answer_or_a_typed_error(
    mode: Any, body: bytes, status: int, api: Api
) -> None:
    wire = Wire(replying(body, status=status), mode=mode)
    check(lambda: wire.complete(make_call(api)))


@pytest.mark.parametrize("api", APIS)
def test_a_reply_cut_at_any_byte_is_an_error(api: Api) -> None:
    whole = json.dumps(GOOD[APIS.index(api)]).encode()
    for end in range(len(whole)):
        exchange = Exchange(make_call(api), status=200, body=whole[:end])
        with pytest.raises(EffortctlError):
            read_reply(exchange, now=NOW)
