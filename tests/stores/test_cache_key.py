"""Equal requests have equal keys; whatever reaches the endpoint changes the key."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl._errors import ConfigError
from effortctl._types import Arm, Call, Endpoint, Message, Price, Task
from effortctl.stores import cache_key

BASE = {
    "kind": "openai",
    "endpoint": "openai",
    "base_url": "https://api.example.test/v1",
    "api": "responses",
    "model": "m",
    "effort": "low",
    "effort_style": "param",
    "extra_body": {"top_k": 3, "nested": {"a": 1, "b": [1, 2]}},
    "messages": (Message(role="system", content="Be brief."), Message(role="user", content="Hi")),
    "max_output_tokens": 100,
    "temperature": 0.5,
    "response_schema": {"type": "object", "properties": {"x": {}, "y": {}}},
    "sample_index": 0,
    "namespace": "tenant-a",
    "verifier": "regex",
}

OTHER = {
    "kind": "local",
    "endpoint": "mirror",
    "base_url": None,
    "api": "chat",
    "model": "m2",
    "effort": "high",
    "effort_style": "budget",
    "extra_body": {"top_k": 3, "nested": {"a": 1, "b": [2, 1]}},
    "messages": (
        Message(role="developer", content="Be brief."),
        Message(role="user", content="Hi"),
    ),
    "max_output_tokens": 101,
    "temperature": None,
    "response_schema": None,
    "sample_index": 1,
    "namespace": "tenant-b",
    "verifier": "",
}


def key_of(fields, **arm_fields):
    arm = Arm(
        name="arm",
        model=fields["model"],
        effort=fields["effort"],
        endpoint=Endpoint(
            name=fields["endpoint"], kind=fields["kind"], base_url=fields["base_url"]
        ),
        api=fields["api"],
        effort_style=fields["effort_style"],
        extra_body=fields["extra_body"],
        temperature=fields["temperature"],
        **arm_fields,
    )
    call = Call(
        task=Task(input="unused", response_schema=fields["response_schema"]),
        arm=arm,
        messages=fields["messages"],
        sample_index=fields["sample_index"],
        max_output_tokens=fields["max_output_tokens"],
    )
    return cache_key(call, namespace=fields["namespace"], verifier=fields["verifier"])


def reordered(value):
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    if isinstance(value, list):
        return [reordered(item) for item in value]
    return value


@pytest.mark.parametrize("field", sorted(BASE))
def test_changing_any_one_field_changes_the_key(field):
    assert key_of(BASE | {field: OTHER[field]}) != key_of(BASE)


@given(st.sets(st.sampled_from(sorted(BASE))), st.sets(st.sampled_from(sorted(BASE))))
def test_keys_are_equal_exactly_when_all_fields_are(first, second):
    keys = [key_of(BASE | {name: OTHER[name] for name in names}) for names in (first, second)]
    assert (keys[0] == keys[1]) == (first == second)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_the_order_of_a_mapping_does_not_matter(body):
    for field in ("extra_body", "response_schema"):
        assert key_of(BASE | {field: body}) == key_of(BASE | {field: reordered(body)})


@given(st.text(), st.text())
def test_prompts_have_the_same_key_only_when_they_are_the_same(first, second):
    keys = [
        key_of(BASE | {"messages": (Message(role="user", content=text),)})
        for text in (first, second)
    ]
    assert (keys[0] == keys[1]) == (first == second)


def test_turns_cannot_be_shifted_into_each_other():
    one = (Message(role="user", content="ab"), Message(role="user", content="c"))
    two = (Message(role="user", content="a"), Message(role="user", content="bc"))
    assert key_of(BASE | {"messages": one}) != key_of(BASE | {"messages": two})


def test_content_parts_count():
    keys = {
        key_of(BASE | {"messages": (Message(role="user", content=content),)})
        for content in (
            ({"type": "text", "text": "Hi"},),
            ({"type": "text", "text": "Ho"},),
            ({"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "x"}}),
            "Hi",
        )
    }
    assert len(keys) == 4


def test_the_effort_that_is_sent_counts_and_the_one_asked_for_does_not():
    low = key_of(BASE)
    assert key_of(BASE | {"effort": "minimal"}, effective_effort="low") == low
    assert key_of(BASE, effective_effort="medium") != low


def test_only_the_temperature_of_this_very_sample_counts():
    first, further = BASE, BASE | {"sample_index": 1}
    assert key_of(first, resample_temperature=1.0) == key_of(first)
    assert key_of(further, resample_temperature=1.0) != key_of(further)
    assert key_of(further, resample_temperature=0.5) == key_of(further)


def test_what_does_not_reach_the_endpoint_does_not_count():
    assert key_of(BASE, price=Price(usd_per_hour=1), samples=3, max_output_tokens=7) == key_of(BASE)


def test_a_key_shows_nothing_of_the_request():
    assert re.fullmatch("[0-9a-f]{64}", key_of(BASE))


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes", object()])
def test_a_request_that_is_not_json_is_refused_with_a_fix(value):
    with pytest.raises(ConfigError, match="use only strings, numbers"):
        key_of(BASE | {"extra_body": {"x": value}})
