"""Values survive the way between processes exactly; nothing else gets through."""

import math
from collections import Counter, OrderedDict, defaultdict, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl.verifiers._wire import (
    MalformedError,
    decode,
    effortctl_encode,
    encode_any,
    loads,
)

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.complex_numbers() | st.decimals(allow_nan=False) | st.fractions()
)  # fmt: skip
HASHABLE = st.recursive(
    SCALARS.filter(lambda v: v == v),  # noqa: PLR0124 - only NaN differs from itself
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
    ),
    max_leaves=12,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
)
PLAIN = (
    type(None), bool, int, float, str, bytes, complex, list, tuple, dict, set, frozenset, range,
    Decimal, Fraction, type(iter([])),
)  # fmt: skip


def wire(value):
    import json

    return decode(json.loads(json.dumps(encode_any(value))))


def same(a, b):
    return type(a) is type(b) and repr(a) == repr(b)


@given(VALUES)
def test_plain_data_arrives_with_its_exact_types(value):
    arrived = wire(value)
    assert type(arrived) is type(value)
    if "nan" not in repr(value).lower():
        assert arrived == value


@given(VALUES)
def test_both_encoders_agree_where_the_simple_one_can(value):
    try:
        simple = effortctl_encode(value)
    except ValueError:
        return
    assert repr(simple) == repr(encode_any(value))


def test_floats_that_are_no_number_arrive():
    assert math.isnan(wire(math.nan))
    assert wire([math.inf, -math.inf]) == [math.inf, -math.inf]
    assert same(wire(-0.0), -0.0)


Point = namedtuple("Point", "x y")  # noqa: PYI024 - the old kind is what programs return


class Level(IntEnum):
    LOW = 1


class Sly(int):
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


class SlyText(str):
    __slots__ = ()

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1, 2), (1, 2)),
        (Level.LOW, 1),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (Sly(5), 5),
        (SlyText("x"), "x"),
        ([Sly(5), {SlyText("k"): Sly(1)}], [5, {"k": 1}]),
        (range(2, 9, 3), range(2, 9, 3)),
    ],
)
def test_subclasses_arrive_as_the_built_in_type_below_them(value, plain):
    assert same(wire(value), plain)


def test_iterators_are_used_up_and_arrive_as_iterators():
    arrived = wire(x * x for x in range(4))
    assert next(arrived) == 0
    assert list(arrived) == [1, 4, 9]


@pytest.mark.parametrize("value", [object(), len, int, {"a": object()}, [lambda: 1], Ellipsis])
def test_anything_else_is_refused_by_the_name_of_its_type(value):
    with pytest.raises(ValueError, match=r"object|builtin|type|function|ellipsis"):
        encode_any(value)


@given(JSON)
def test_decoding_any_json_gives_plain_data_or_malformed(node):
    try:
        value = decode(node)
    except MalformedError:
        return
    assert type(value) in PLAIN


@pytest.mark.parametrize(
    "node",
    [[], ["q"], ["l"], ["l", 3], ["s", [["l", []]]], ["d", [[1]]], ["i", "x"], ["F", "1e9"], ["b", 1],
     ["D", "x"], ["c", 1], [["l"]], {}, ["f", []], ["r", 1.5]],
)  # fmt: skip
def test_forged_nodes_are_malformed(node):
    with pytest.raises(MalformedError):
        decode(node)


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"\xff", b"{", b"[" * 100_000, b"1"])
def test_forged_messages_are_malformed(payload):
    with pytest.raises(MalformedError):
        loads(payload)
