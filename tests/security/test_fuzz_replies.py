"""A small run of `evals/fuzz`: broken replies and cut streams, none of which gets through.

`FUZZ_SEED` chooses other replies; `evals/fuzz/README.md` says how the full run is made.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "evals" / "fuzz"
SEED = int(os.environ.get("FUZZ_SEED", "0"))
REPLIES = 400
EVERY = 83
"""Only every 83rd cut of a stream: it is a prime, so that all places of an event are hit."""


@pytest.fixture(scope="module", autouse=True)
def scripts():
    """The modules of the fuzzer, found by name as when it runs."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def test_broken_replies_are_typed_errors_and_never_accepted():
    from _bodies import WAYS
    from fuzz import fuzz_bodies

    found = fuzz_bodies(REPLIES, seed=SEED)
    assert found["escapes"] == []
    assert found["fooled"] == []
    assert set(found["ways"]) == set(WAYS)
    assert sum(found["ends"].values()) == REPLIES
    assert found["ends"]["accepted"] > 0, "the sound ones among them still are"


def test_streams_cut_anywhere_are_typed_errors_and_never_complete():
    from fuzz import fuzz_streams

    found = fuzz_streams(every=EVERY)
    assert found["escapes"] == []
    assert found["fooled"] == []
    assert found["cuts"] >= 1000
    assert found["ends"]["complete"] > 0, "the whole ones among them still are"


def test_a_wrapped_client_shows_no_cut_stream_as_a_whole_one():
    from fuzz import fuzz_wrapped

    found = fuzz_wrapped(every=11 * EVERY)
    assert found["escapes"] == []
    assert found["fooled"] == []
    assert found["cuts"] >= 200
    assert found["ends"]["complete"] > 0


def test_the_fuzzer_would_notice(monkeypatch):
    import fuzz

    monkeypatch.setattr(fuzz, "sound_text", lambda *_args, **_kwargs: None)
    assert len(fuzz.fuzz_bodies(80, seed=SEED)["fooled"]) > 3


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_the_second_reader_knows_sound_from_broken(api):
    import json

    from _bodies import SOUND
    from _second_reader import sound_text

    sound = json.dumps(SOUND[api]()).encode()
    assert sound_text(api, 200, sound, cap=100) == "Cardiff"
    assert sound_text(api, 301, sound, cap=100) is None
    assert sound_text(api, 200, sound[:-1], cap=100) is None
    assert (
        sound_text(api, 200, sound.replace(b'"usage": {', b'"usage": 7, "u": {'), cap=100) is None
    )
