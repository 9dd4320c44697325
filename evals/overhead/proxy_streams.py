"""What `effortctl serve` adds to a stream while 200 of them are open.

A pretend provider, a process of its own, writes its answer word by word, each word with the time at which
it was written. (`effortctl.testing.MockServer` waits in a thread for each request, which at 200 of them is
too coarse here.) The same requests go to it directly, through a relay that copies bytes and does nothing
else, and through `effortctl serve`, each a process of its own; serve keeps ledger and daily budget on disk.

Two arrivals are measured. *Held*: opens are spread evenly until all streams are open, and whoever comes to
the end opens the next stream at once, so that so many stay open; the first and last streams of a client
count like all others. *Burst*: all streams are opened in the same instant, which mostly measures how long
they queue. Every figure is the difference to the same quantile of direct calls with the same arrivals. The
client, the provider and what lies between share the machine's cores: read the CPU column first when other
programs run, too. Run it with `python evals/overhead/proxy_streams.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

ANSWER = "The sum of 17 times 24 is found by splitting it up. " * 6 + "408"
LADDER = """
[ladder]
name = "bench"
description = "The pretend provider"
[[arm]]
name = "m@low"
model = "m"
effort = "low"
endpoint = {{ name = "mine", base_url = "{url}" }}
max_output_tokens = 4000
price = {{ input_usd_per_mtok = "1", output_usd_per_mtok = "2" }}
"""
AIM_MS = 5.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STAMP = re.compile(rb'"system_fingerprint": ?"t(\d+)"')
DONE = b"data: [DONE]"

Arrivals: TypeAlias = Literal["held", "burst"]


# --- the pretend provider, and the relay ---


async def provide(wait_s: float) -> None:
    """Answer with a first word after half the time, and be done when it is over."""
    words = ANSWER.split(" ")
    step_s = wait_s / 2 / len(words)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while head := await _head(reader):
            size = re.search(rb"content-length: (\d+)", head.lower())
            await reader.readexactly(int(size[1]) if size else 0)
            start = loop.time()
            writer.write(HEAD)
            for number, word in enumerate(words):
                # Words come unevenly, as they do in life; else all streams of a burst would march in step.
                late_s = step_s * random.random() if number else 0.0
                await asyncio.sleep(start + wait_s / 2 + number * step_s + late_s - loop.time())
                writer.write(_http(_event(word if number + 1 == len(words) else f"{word} ")))
            await asyncio.sleep(start + wait_s - loop.time())
            last = _event(None) + b'data: {"usage": {"prompt_tokens": 20, "completion_tokens": 60, '
            last += b'"total_tokens": 80}, ' + _event_head() + b', "choices": []}\n\n'
            writer.write(_http(last + DONE + b"\n\n") + b"0\r\n\r\n")
        writer.close()

    await _listen(answer)


async def relay(port: int) -> None:
    """Copy bytes between a client and the provider: what any process in between costs."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            writer.write(piece)
        writer.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, before), copy(behind, writer))

    await _listen(answer)


async def _listen(answer: object) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)  # type: ignore[arg-type]
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def _event_head() -> bytes:
    return (
        b'"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "service_tier": '
        b'"default", "system_fingerprint": "t%d"' % time.monotonic_ns()
    )


def _event(word: str | None) -> bytes:
    """One event as providers write them; the last word is followed by one that says why it ends."""
    delta = {} if word is None else {"content": word}
    choice = {
        "index": 0,
        "delta": delta,
        "logprobs": None,
        "finish_reason": None if word else "stop",
    }
    choices = json.dumps([choice]).encode()
    return b'data: {%s, "choices": %s, "usage": null}\n\n' % (_event_head(), choices)


def _http(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


# --- the client ---


@dataclass(slots=True)
class Times:
    """What was measured, in milliseconds without the provider's own time."""

    first: list[float] = field(default_factory=list)
    word: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """One way of asking: quantiles in milliseconds."""

    way: str
    arrivals: Arrivals
    streams: int
    failed: int
    first_ms: dict[str, float]
    word_ms: dict[str, float]
    whole_ms: dict[str, float]
    cpu_ms_per_stream: float


async def ask(base_url: str, body: bytes, *, wait_s: float, times: Times) -> None:
    """Read one stream, and note when its pieces came."""
    host, port = base_url.removeprefix("http://").removesuffix("/v1").split(":")
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    start = time.monotonic_ns()
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    seen, words = b"", []
    while not seen.endswith(b"0\r\n\r\n") and (piece := await reader.read(65536)):
        now = time.monotonic_ns()
        seen = (seen + piece)[-2000:]
        words += [(now, int(stamp)) for stamp in STAMP.findall(piece)]
    end = time.monotonic_ns()
    writer.close()
    if not words or DONE not in seen:
        raise ConnectionError(seen[-300:].decode(errors="replace"))
    times.first.append((words[0][0] - start) / 1e6 - 500 * wait_s)
    times.word += [(now - sent) / 1e6 for now, sent in words[1:]]
    times.whole.append((end - start) / 1e6 - 1000 * wait_s)


async def measure(
    url: str, body: bytes, *, arrivals: Arrivals, options: argparse.Namespace
) -> Times:
    """Keep so many streams open, each client reading one after the other; or open them all at once."""
    times = Times()

    async def client(number: int) -> None:
        await asyncio.sleep(options.wait * number / options.streams if arrivals == "held" else 0)
        for _ in range(options.rounds if arrivals == "held" else 1):
            try:
                await ask(url, body, wait_s=options.wait, times=times)
            except OSError as error:
                times.faults.append(str(error))

    await asyncio.gather(*(client(number) for number in range(options.streams)))
    return times


def asked(model: str, **more: object) -> bytes:
    """The body of a request."""
    messages = [{"role": "user", "content": "What is 17*24?"}]
    return json.dumps({"model": model, "messages": messages, "stream": True, **more}).encode()


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    ranked = sorted(values) or [float("nan")]
    return {f"p{q}": round(ranked[(len(ranked) - 1) * q // 100], 2) for q in (50, 95)}


# --- all of it ---


@contextmanager
def started(*arguments: str) -> Iterator[tuple[int, str]]:
    """Run a server of ours; gives its process id and the address it prints."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own command
        try:
            line = server.stdout.readline() if server.stdout else ""
            found = re.search(r"http://\S+", line)
            if found is None:
                raise SystemExit(f"the server did not start: {line!r}")
            yield server.pid, found[0]
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=60)


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(
    way: str,
    server: tuple[int, str],
    body: bytes,
    *,
    arrivals: Arrivals,
    options: argparse.Namespace,
) -> Row:
    """Measure one way of asking."""
    pid, url = server
    asyncio.run(ask(url, body, wait_s=options.wait, times=Times()))  # warm
    before = cpu_s(pid)
    times = asyncio.run(measure(url, body, arrivals=arrivals, options=options))
    if times.faults:
        print("first fault:", times.faults[0], file=sys.stderr)
    return Row(
        way,
        arrivals,
        len(times.whole),
        len(times.faults),
        quantiles(times.first),
        quantiles(times.word),
        quantiles(times.whole),
        round(1000 * (cpu_s(pid) - before) / max(1, len(times.whole)), 2),
    )


def table(rows: Sequence[Row]) -> str:
    """Added latency of each way as a Markdown table; held-back streams have no words to time."""
    lines = [
        "| arrivals | way | first p50 | p95 | word p50 | p95 | end p50 | p95 | CPU per stream |"
    ]
    lines.append("|" + "---|" * 9)
    for row in rows:
        base = next(each for each in rows if each.arrivals == row.arrivals)
        held_back = "checked" in row.way
        cells = [
            "-"
            if held_back and name != "whole_ms"
            else f"{getattr(row, name)[q] - getattr(base, name)[q]:+.1f}"
            for name in ("first_ms", "word_ms", "whole_ms")
            for q in ("p50", "p95")
        ]
        lines.append(
            f"| {row.arrivals} | {row.way} | {' | '.join(cells)} | {row.cpu_ms_per_stream:.1f} ms |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200, help="open at a time")
    parser.add_argument(
        "--rounds", type=int, default=2, help="streams each client reads, when held"
    )
    parser.add_argument("--wait", type=float, default=6.0, help="seconds a stream takes")
    parser.add_argument("--arrivals", choices=("held", "burst", "both"), default="both")
    parser.add_argument("--only", default="", help="measure ways whose name contains this")
    parser.add_argument("--provide", action="store_true", help="be the pretend provider")
    parser.add_argument("--relay", type=int, metavar="PORT", help="be the relay")
    options = parser.parse_args()
    if options.provide or options.relay:
        asyncio.run(provide(options.wait) if options.provide else relay(options.relay))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        direct = stack.enter_context(started(__file__, "--provide", "--wait", str(options.wait)))
        port = direct[1].removesuffix("/v1").rpartition(":")[2]
        between = stack.enter_context(started(__file__, "--relay", port))
        (folder / "bench.toml").write_text(LADDER.format(url=direct[1]))
        serve = ["-m", "effortctl", "serve", "--port", "0", "--budget", "$1000/day"]
        serve += [
            "--ladder",
            str(folder / "bench.toml"),
            "--ledger",
            str(folder / "ledger.sqlite3"),
        ]
        proxy = stack.enter_context(started(*serve))
        at_once, checked = {"stream": "commit_first"}, {"verify": "number:408"}
        ways = [
            ("direct", direct, asked("m")),
            ("relay", between, asked("m")),
            ("passed through", proxy, asked("m")),
            ("auto, shown at once", proxy, asked("effortctl/auto", effortctl=at_once)),
            ("auto, checked", proxy, asked("effortctl/auto", effortctl=checked)),
        ]
        both: tuple[Arrivals, ...] = ("held", "burst")
        rows = [
            run(way, server, body, arrivals=arrivals, options=options)
            for arrivals in both
            if options.arrivals in (arrivals, "both")
            for way, server, body in ways
            if way == "direct" or options.only in way
        ]
    print(table(rows))
    firsts = [
        row.first_ms["p50"] - rows[0].first_ms["p50"] for row in rows if row.way == "passed through"
    ]
    print(f"added to the first word at the median: {firsts} ms (held, burst); aim: {AIM_MS:.0f} ms")
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()}
    print(json.dumps({"rows": [asdict(row) for row in rows], "machine": machine}))


if __name__ == "__main__":
    main()
