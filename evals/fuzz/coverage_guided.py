"""Let coverage guide the search for a reply that gets through: Atheris on `read_reply`.

`pip install atheris`, then `python evals/fuzz/coverage_guided.py -max_total_time=120`. Options are
libFuzzer's. A crash is a reply that raised something else than an `EffortctlError`, or that was read as
a complete answer though `_second_reader.sound_text` says it holds none.
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # only for this script; no wheel on some systems

sys.path.insert(0, str(Path(__file__).parent))

with atheris.instrument_imports(include=["effortctl", "json"]):
    from effortctl import EffortctlError
    from effortctl.backends._exchange import Exchange
    from effortctl.backends._replies import read_reply

from _bodies import APIS, SOUND, replies
from _calls import CAP, call_of
from _second_reader import sound_text

NOW = datetime(2026, 11, 23, tzinfo=UTC)
STATUSES = (200, 200, 200, 301, 400, 422, 429, 500)


def read(data: bytes) -> None:
    """Read one reply: the first byte chooses API and status, the rest is the body."""
    if not data:
        return
    api, status, body = APIS[data[0] % 2], STATUSES[data[0] // 2 % 8], data[1:]
    try:
        answer = read_reply(Exchange(call_of(api), status=status, body=body), now=NOW)
    except EffortctlError:
        return
    if answer.finish == "complete" and answer.text.strip():
        sound = sound_text(api, status, body, cap=CAP)
        if sound != answer.text:
            raise AssertionError(f"read {answer.text!r}, but the reply holds {sound!r}")


def main() -> None:
    """Start from sound replies and from broken ones."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = [json.dumps(SOUND[api]()).encode() for api in APIS]
        seeds += [reply.body[:4000] for reply in replies(400, seed=1)]
        for number, body in enumerate(seeds):
            (Path(folder) / str(number)).write_bytes(bytes([number % 2]) + body)
        atheris.Setup([*sys.argv, folder], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
