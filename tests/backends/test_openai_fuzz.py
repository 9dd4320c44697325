"""Whatever a server sends, only an answer or an EffortctlError comes out.

`FUZZ_FACTOR=4` tries four times as many replies.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai_wire import APIS, MODES, Api, Wire, chat_body, make_call, replying, responses_body

from effortctl._errors import BackendError, EffortctlError, UsageError
from effortctl._types import Answer
from effortctl.backends import answer_from, fault_from
from effortctl.backends._exchange import Exchange
from effortctl.backends._replies import read_reply

FACTOR = int(os.environ.get("FUZZ_FACTOR", "1"))
FUZZER = Path(__file__).parents[2] / "evals" / "fuzz"
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


@pytest.fixture(scope="module", autouse=True)
def scripts():
    """The independent reader of `evals/fuzz`, found by name as when it runs."""
    sys.path.insert(0, str(FUZZER))
    yield
    sys.path.remove(str(FUZZER))


def check(read: Callable[[], Answer], exchange: Exchange) -> None:
    """An error that pickles and holds nothing foreign, or an answer; whole only if it really is."""
    from _second_reader import sound_text

    result = outcome(read)
    if isinstance(result, EffortctlError):
        pickle.loads(pickle.dumps(result))
        assert result.__context__ is None
        return
    result.model_dump_json()
    if result.finish == "complete" and result.text.strip():
        call = exchange.call
        said = sound_text(call.arm.api, exchange.status, exchange.body, cap=call.max_output_tokens)
        assert said == result.text


@settings(max_examples=1500 * FACTOR, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bodies, statuses, st.sampled_from(APIS))
def test_any_bytes_become_an_answer_or_a_typed_error(body: bytes, status: int, api: Api) -> None:
    exchange = Exchange(make_call(api), status=status, body=body)
    check(lambda: read_reply(exchange, now=NOW), exchange)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=300 * FACTOR, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=bodies, status=statuses, api=st.sampled_from(APIS))
def test_any_reply_through_the_sdk_becomes_an_answer_or_a_typed_error(
    mode: Any, body: bytes, status: int, api: Api
) -> None:
    wire = Wire(replying(body, status=status), mode=mode)
    exchange = Exchange(make_call(api), status=status, body=body)
    check(lambda: wire.complete(exchange.call), exchange)


@pytest.mark.parametrize("api", APIS)
def test_a_reply_cut_at_any_byte_is_an_error(api: Api) -> None:
    whole = json.dumps(GOOD[APIS.index(api)]).encode()
    for end in range(len(whole)):
        exchange = Exchange(make_call(api), status=200, body=whole[:end])
        with pytest.raises(EffortctlError):
            read_reply(exchange, now=NOW)


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308])
@pytest.mark.parametrize("api", APIS)
def test_a_redirect_is_no_answer_whatever_comes_with_it(api: Api, status: int) -> None:
    body = json.dumps(GOOD[APIS.index(api)]).encode()
    with pytest.raises(BackendError, match="redirect") as caught:
        read_reply(Exchange(make_call(api), status=status, body=body), now=NOW)
    assert caught.value.billed


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_only_utf_8_is_read(encoding: str) -> None:
    text = json.dumps(GOOD[0])
    exchange = Exchange(make_call(), status=200, body=text.encode(encoding))
    with pytest.raises(BackendError, match="not a JSON object"):
        read_reply(exchange, now=NOW)
    exchange = Exchange(make_call(), status=200, body=text.encode("utf-8-sig"))
    assert read_reply(exchange, now=NOW).finish == "complete"


def test_what_was_put_together_from_a_broken_stream_is_not_complete() -> None:
    broken = chat_body(usage=None, choice={"finish_reason": None})
    assert answer_from(broken, make_call(), now=NOW).finish == "truncated"
    silent = chat_body(choice={"finish_reason": None})
    assert answer_from(silent, make_call(), now=NOW).finish == "complete", "its usage came"


def test_what_is_not_json_is_a_usage_error_without_the_document() -> None:
    with pytest.raises(UsageError) as caught:
        answer_from({"choices": {1, 2}}, make_call(), now=NOW)
    assert caught.value.__context__ is None


def test_a_parser_error_out_of_the_client_is_a_malformed_reply_and_the_users_own_is_not() -> None:
    def chunks() -> list[Any]:
        handler = replying(b"data: {oops\n\n", headers={"content-type": "text/event-stream"})
        with openai.OpenAI(
            api_key="k",
            base_url="http://127.0.0.1:1/v1",
            http_client=httpx2.Client(transport=httpx2.MockTransport(handler)),
        ) as client:
            return list(client.chat.completions.create(model="m", messages=[], stream=True))

    with pytest.raises(json.JSONDecodeError) as broken:
        chunks()
    meaning = fault_from(broken.value, make_call(), now=NOW)
    assert isinstance(meaning, BackendError)
    assert (meaning.kind, meaning.billed) == ("malformed_reply", True)
    with pytest.raises(json.JSONDecodeError) as own:
        json.loads("{oops")
    assert fault_from(own.value, make_call(), now=NOW) is None
