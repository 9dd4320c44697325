"""Server-sent events are read as the SDK reads them, however they are cut, and sent on as they came."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from hypothesis import example, given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from effortctl.serve._events import Event, EventDecoder

FIELDS = st.sampled_from(["data", "event", "id", "retry", "", "other"])
VALUES = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=12)
LINES = st.tuples(FIELDS, st.sampled_from([":", ": "]), VALUES).map("".join)
BLOCKS = st.lists(LINES, min_size=1, max_size=4)


async def pieces_of(raw, cuts):
    ends = sorted({min(cut, len(raw)) for cut in cuts} | {len(raw)})
    for start, end in zip([0, *ends], ends, strict=False):
        yield raw[start:end]


def run(work):
    """What a coroutine returns that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def read(decoder, raw, cuts=()):
    async def main():
        return [(e.event, e.data) async for e in decoder.aiter_bytes(pieces_of(raw, cuts))]

    return run(main())


@given(
    blocks=st.lists(BLOCKS, max_size=4),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 200), max_size=6),
)
@example(blocks=[["data: a"], ["data: b", "data: c"]], end="\r\n", cuts=[8, 9, 10])
def test_it_finds_the_events_of_the_sdk_wherever_the_stream_is_cut(blocks, end, cuts):
    raw = "".join(end.join(block) + end + end for block in blocks).encode()
    # The SDK also tells of blocks without data, which are none by the standard.
    wanted = [(event, data) for event, data in read(SSEDecoder(), raw) if data]
    assert [each for each in read(EventDecoder(), raw, cuts) if each[1]] == wanted


def test_what_has_no_end_is_no_event():
    assert read(EventDecoder(), b"data: 1\n\ndata: 2\n") == [(None, "1")]


def test_an_event_is_sent_on_byte_for_byte():
    raw = b'{"id" : "c1",  "choices": [], "usage": null, "x": 1.50}'

    async def main():
        return [
            e.json() async for e in EventDecoder().aiter_bytes(pieces_of(b"data: %b\n\n" % raw, []))
        ]

    (event,) = run(main())
    assert event == json.loads(raw)
    assert event.encoded() == raw


def test_an_event_of_several_lines_is_written_on_one():
    async def main():
        raw = b'data: {"a":\ndata: 1}\n\n'
        return [e.json() async for e in EventDecoder().aiter_bytes(pieces_of(raw, []))]

    (event,) = run(main())
    assert (event, event.encoded()) == ({"a": 1}, b'{"a":1}')


def test_an_event_without_a_text_of_its_own_is_encoded():
    assert Event({"a": "é"}).encoded() == '{"a":"é"}'.encode()
