"""Throw broken replies and cut streams at effortctl; count what gets through.

`python evals/fuzz/fuzz.py --bodies 20000 --json evals/fuzz/result.json`
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from _bodies import Reply, replies
from _calls import CAP, bench
from _second_reader import sound_text
from _streams import Stream, cuts, finished, record, sdk_reader
from _wrapped import MODES, wrap_reader

from effortctl import Answer, EffortctlError


def fuzz_bodies(count: int, *, seed: int) -> dict[str, Any]:
    """Send broken replies through a controller that accepts any complete answer.

    Returns:
        Counts of accepted answers, of rejections by class, and the replies that got through: as an
        exception that is not ours (`escapes`), or accepted though they were not sound (`fooled`).
    """
    ends: Counter[str] = Counter()
    ways: Counter[str] = Counter()
    escapes, fooled = [], []
    slowest_s = 0.0
    with bench() as table:
        for reply in replies(count, seed=seed):
            start = time.perf_counter()
            try:
                outcome = table.run(reply)
            except Exception as error:  # noqa: BLE001 - what this script looks for
                escapes.append(_shown(reply, type(error).__name__))
                continue
            finally:
                slowest_s = max(slowest_s, time.perf_counter() - start)
                ways[reply.how] += 1
            if isinstance(outcome, EffortctlError):
                ends[type(outcome).__name__] += 1
                continue
            ends["accepted" if outcome.accepted else outcome.trace.outcome] += 1
            sound = sound_text(reply.api, reply.status, reply.body, cap=CAP)
            if outcome.accepted and outcome.value != sound:
                fooled.append(_shown(reply, repr(outcome.value)))
    return {
        "replies": count,
        "seed": seed,
        "ways": dict(sorted(ways.items())),
        "ends": dict(sorted(ends.items())),
        "slowest_s": round(slowest_s, 3),
        "escapes": escapes,
        "fooled": fooled,
    }


def fuzz_streams(*, every: int = 1) -> dict[str, Any]:
    """Cut recorded event streams at every byte and read each with the SDK.

    Args:
        every: Take only every n-th cut.

    Returns:
        As `fuzz_bodies`; complete means an answer that is whole and not empty.
    """
    tally = Tally(record())
    with sdk_reader() as reader:
        for stream, end in cuts(tally.streams, every=every):
            tally.add(stream, end, reader.read(stream.api, stream.data[:end]))
    return tally.found()


def fuzz_wrapped(*, every: int = 7) -> dict[str, Any]:
    """The same through `effortctl.wrap`, in both of its modes.

    Args:
        every: Take only every n-th cut.

    Returns:
        As `fuzz_streams`.
    """
    tally = Tally(record())
    with wrap_reader() as reader:
        for stream, end in cuts(tally.streams, every=every):
            for mode in MODES:
                tally.add(stream, end, reader.read(stream.api, stream.data[:end], mode=mode))
    return tally.found()


@dataclass
class Tally:
    """Counts what became of cut streams.

    Attributes:
        streams: The whole streams.
    """

    streams: list[Stream]
    _ends: Counter[str] = field(default_factory=Counter)
    _escapes: list[str] = field(default_factory=list)
    _fooled: list[str] = field(default_factory=list)

    def add(self, stream: Stream, end: int, found: Answer | Exception) -> None:
        """Count one stream, cut at `end`."""
        where = f"{stream.api} {stream.fault} at {end}"
        if isinstance(found, EffortctlError):
            self._ends[type(found).__name__] += 1
        elif not isinstance(found, Answer):
            self._escapes.append(f"{where}: {type(found).__name__}")
        elif found.finish == "complete" and found.text.strip():
            self._ends["complete"] += 1
            if not (finished(stream, end) and found.text == stream.text):
                self._fooled.append(f"{where}: {found.text!r}")
        else:
            self._ends[found.finish if found.text.strip() else "empty"] += 1

    def found(self) -> dict[str, Any]:
        """The counts."""
        return {
            "streams": len(self.streams),
            "bytes": sum(len(stream.data) for stream in self.streams),
            "cuts": sum(self._ends.values()) + len(self._escapes),
            "ends": dict(sorted(self._ends.items())),
            "escapes": self._escapes,
            "fooled": self._fooled,
        }


def _shown(reply: Reply, what: str) -> str:
    return f"{reply.api} {reply.status} {reply.how}: {what}: {reply.body[:300]!r}"


def main() -> int:
    """Run all three; the exit code is 1 when anything got through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=1, help="only every n-th cut of a stream")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the counts")
    options = parser.parse_args()
    found = {
        "bodies": fuzz_bodies(options.bodies, seed=options.seed),
        "streams": fuzz_streams(every=options.every),
        "wrapped": fuzz_wrapped(every=7 * options.every),
    }
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    return int(any(part[kind] for part in found.values() for kind in ("escapes", "fooled")))


if __name__ == "__main__":
    raise SystemExit(main())
