"""Token counts of both API shapes, under every inclusion rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl._errors import UsageError
from effortctl._types import Usage, UsageRules
from effortctl.backends import normalise_usage

CHAT = {
    "prompt_tokens": 2000,
    "completion_tokens": 900,
    "total_tokens": 2900,
    "prompt_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 512},
    "completion_tokens_details": {"reasoning_tokens": 700, "rejected_prediction_tokens": 3},
}
RESPONSES = {
    "input_tokens": 2000,
    "output_tokens": 900,
    "total_tokens": 2900,
    "input_tokens_details": {
        "cached_tokens": 1024,
        "cache_write_tokens": 512,
        "cache_write_tokens_details": {"ttl_30m_tokens": 512, "ttl_12h_tokens": 0},
    },
    "output_tokens_details": {"reasoning_tokens": 700},
}


@pytest.mark.parametrize("raw", [CHAT, RESPONSES], ids=["chat", "responses"])
@pytest.mark.parametrize(
    ("rules", "total_in", "total_out"),
    [
        (UsageRules(), 2000, 900),
        (UsageRules(reasoning_in_output=False), 2000, 1600),
        (UsageRules(cached_in_input=False), 3024, 900),
        (UsageRules(cache_write_in_input=False), 2512, 900),
        (
            UsageRules(
                reasoning_in_output=False, cached_in_input=False, cache_write_in_input=False
            ),
            3536,
            1600,
        ),
    ],
    ids=str,
)
def test_both_shapes_give_the_same_totals(
    raw: dict[str, Any], rules: UsageRules, total_in: int, total_out: int
) -> None:
    assert normalise_usage(raw, rules) == Usage(
        input_tokens=total_in,
        cached_tokens=1024,
        cache_write_tokens=512,
        output_tokens=total_out,
        reasoning_tokens=700,
    )


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, {}),
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, {}),
        ({"prompt_tokens_details": {"cached_tokens": None}}, {}),
        ({"prompt_tokens_details": {"cached_tokens": 7}}, {"cached_tokens": 7}),
        ({"prompt_cache_hit_tokens": 7, "prompt_cache_miss_tokens": 3}, {"cached_tokens": 7}),
        ({"cached_tokens": 7}, {"cached_tokens": 7}),
        (
            {"cache_read_input_tokens": 7, "cache_creation_input_tokens": 2},
            {"cached_tokens": 7, "cache_write_tokens": 2},
        ),
        ({"completion_tokens_details": {"reasoning_tokens": 0}}, {"reasoning_tokens": 0}),
        ({"cost": 0.1, "queue_time": "soon"}, {}),
    ],
)
def test_what_servers_add_or_leave_out_is_understood(
    extra: dict[str, Any], expected: dict[str, int]
) -> None:
    raw = {"prompt_tokens": 10, "completion_tokens": 5, **extra}
    assert normalise_usage(raw, UsageRules()) == Usage(input_tokens=10, output_tokens=5, **expected)


def test_a_part_above_its_whole_names_the_rule_to_change() -> None:
    raw = {
        "input_tokens": 1,
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 50},
    }
    with pytest.raises(UsageError, match="reasoning_in_output = false"):
        normalise_usage(raw, UsageRules())
    apart = normalise_usage(raw, UsageRules(reasoning_in_output=False))
    assert apart.output_tokens == 60


@pytest.mark.parametrize(
    "raw", [{}, {"input_tokens": 3}, {"completion_tokens": 3}, {"total_tokens": 3}]
)
def test_a_missing_total_is_an_error(raw: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cannot be priced"):
        normalise_usage(raw, UsageRules())


def test_the_message_of_an_absurd_count_stays_short() -> None:
    raw = {"input_tokens": 10**4000, "output_tokens": 1}
    with pytest.raises(UsageError) as caught:
        normalise_usage(raw, UsageRules())
    assert len(str(caught.value)) < 120


counts = st.integers(min_value=0, max_value=10**6)


@given(
    plain=counts,
    cached=counts,
    written=counts,
    answer=counts,
    thought=counts,
    r=st.booleans(),
    c=st.booleans(),
    w=st.booleans(),
)
def test_parts_counted_apart_are_added_exactly_once(
    *, plain: int, cached: int, written: int, answer: int, thought: int, r: bool, c: bool, w: bool
) -> None:
    """Whatever an endpoint includes, the totals come out the same."""
    raw = {
        "input_tokens": plain + c * cached + w * written,
        "output_tokens": answer + r * thought,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens_details": {"reasoning_tokens": thought},
    }
    rules = UsageRules(reasoning_in_output=r, cached_in_input=c, cache_write_in_input=w)
    usage = normalise_usage(raw, rules)
    assert usage.input_tokens == plain + cached + written
    assert usage.output_tokens == answer + thought


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "12"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["cached_tokens", "reasoning_tokens", "x"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*CHAT, *RESPONSES]), json_values))
def test_anything_else_is_a_usage_error(raw: dict[str, Any]) -> None:
    try:
        usage = normalise_usage(raw, UsageRules())
    except UsageError:
        return
    assert usage.input_tokens >= usage.cached_tokens + usage.cache_write_tokens
