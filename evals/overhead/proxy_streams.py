"""What `effortctl serve` adds to a stream when 200 of them are open at a time.

A pretend provider, a process of its own, writes its answer word by word, and knows to the millisecond when
it is done. (`effortctl.testing.MockServer` waits in a thread for each request, which at 200 of them comes
some 200 ms late: too coarse here.) The same requests go to it directly and through `effortctl serve`, also
a process of its own, with ledger and daily budget on disk. Every client opens a connection, reads its
stream to the end, and starts again at once; the clients start spread over the provider's time, so that they
do not all come in the same instant. The figure that counts is the difference of the medians. Run it with
`python evals/overhead/proxy_streams.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

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


async def provide(wait_s: float) -> None:
    """Answer every request after half the time with a first word, and be done when it is over."""
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
                await asyncio.sleep(start + wait_s / 2 + number * step_s - loop.time())
                writer.write(_chunk(f"{word} " if number + 1 < len(words) else word))
            await asyncio.sleep(start + wait_s - loop.time())
            writer.write(_chunk(None) + _http(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def _chunk(word: str | None) -> bytes:
    """One event; the last one has no word, but the usage."""
    delta = {} if word is None else {"content": word}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if word is None else None}
    event: dict[str, object] = {"id": "c1", "object": "chat.completion.chunk", "created": 1}
    event |= {"model": "m", "choices": [choice]}
    if word is None:
        event["usage"] = {"prompt_tokens": 20, "completion_tokens": 60, "total_tokens": 80}
    return _http(b"data: " + json.dumps(event).encode() + b"\n\n")


def _http(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way of asking; milliseconds are the client's, without the provider's own."""

    name: str
    streams: int
    first_p50_ms: float
    whole_p50_ms: float
    whole_p95_ms: float
    failed: int


@contextmanager
def started(command: Sequence[str], pattern: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server of ours; gives it and the address it prints."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own command
        try:
            line = server.stdout.readline() if server.stdout else ""
            found = re.search(pattern, line)
            if found is None:
                raise SystemExit(f"the server did not start: {line!r}")
            yield server, found[0]
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=60)


async def ask(base_url: str, model: str) -> tuple[float, float]:
    """Seconds to the first event and to the end of one stream."""
    host, port = base_url.removeprefix("http://").removesuffix("/v1").split(":")
    messages = [{"role": "user", "content": "What is 17*24?"}]
    asked = {"verify": "number:408"} if model == "effortctl/auto" else {"stream": "commit_first"}
    extra = {} if model == "m" else {"effortctl": asked}
    body = json.dumps(
        {"model": model.strip(), "messages": messages, "stream": True, **extra}
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    start = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    seen, first = b"", 0.0
    while not seen.endswith(b"0\r\n\r\n") and (piece := await reader.read(65536)):
        seen += piece
        if not first and b"data: " in seen:
            first = time.perf_counter() - start
    writer.close()
    whole = time.perf_counter() - start
    if b" 200 " not in seen[:20] or b"data: [DONE]" not in seen:
        raise ConnectionError(seen[:300].decode(errors="replace"))
    return first, whole


async def measure(name: str, base_url: str, model: str, *, options: argparse.Namespace) -> Row:
    """Keep so many streams open, each client one after the other."""
    times: list[tuple[float, float]] = []
    faults: list[str] = []

    async def client(number: int) -> None:
        await asyncio.sleep(options.wait * number / options.streams)
        for _ in range(options.rounds):
            try:
                times.append(await ask(base_url, model))
            except OSError as error:
                faults.append(str(error))

    await asyncio.gather(*(client(number) for number in range(options.streams)))
    if faults:
        print("first fault:", faults[0])
    firsts = [1000 * (first - options.wait / 2) for first, _ in times]
    wholes = sorted(1000 * (whole - options.wait) for _, whole in times)
    return Row(
        name=name,
        streams=len(times),
        first_p50_ms=round(statistics.median(firsts), 2),
        whole_p50_ms=round(statistics.median(wholes), 2),
        whole_p95_ms=round(wholes[int(0.95 * (len(wholes) - 1))], 2),
        failed=len(faults),
    )


def cpu_s(pid: int) -> float | None:
    """CPU seconds a process has used; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200, help="open at a time")
    parser.add_argument("--rounds", type=int, default=2, help="streams each client reads")
    parser.add_argument("--wait", type=float, default=6.0, help="seconds a stream takes")
    parser.add_argument("--provide", action="store_true", help="be the pretend provider")
    options = parser.parse_args()
    if options.provide:
        asyncio.run(provide(options.wait))
    provider = [sys.executable, __file__, "--provide", "--wait", str(options.wait)]
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        started(provider, r"http://\S+") as (_, direct),
    ):
        ladder = Path(folder, "bench.toml")
        ladder.write_text(LADDER.format(url=direct))
        serve = [sys.executable, "-m", "effortctl", "serve", "--port", "0", "--budget", "$1000/day"]
        serve += ["--ladder", str(ladder), "--ledger", str(Path(folder, "ledger.sqlite3"))]
        with started(serve, r"http://\S+") as (server, proxy):
            ways = [
                ("direct", direct, "m"),
                ("passed through", proxy, "m"),
                ("effortctl/auto, checked", proxy, "effortctl/auto"),
                ("effortctl/auto, shown at once", proxy, "effortctl/auto "),
                ("direct again", direct, "m"),
            ]
            for name, url, model in ways:
                asyncio.run(ask(url, model))  # warm
                before = cpu_s(server.pid)
                row = asyncio.run(measure(name, url, model, options=options))
                rows.append(row)
                used = (cpu_s(server.pid) or 0.0) - (before or 0.0)
                per_stream = 1000 * used / max(1, row.streams)
                print(f"{row}  endpoint's CPU per stream: {per_stream:.2f} ms")
    base = min(row.whole_p50_ms for row in rows if row.name.startswith("direct"))
    for row in rows[1:-1]:
        added = row.whole_p50_ms - base
        print(f"{row.name}: adds {added:.1f} ms at the median (aim: {AIM_MS:.0f} ms)")
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()}
    print(json.dumps({"rows": [asdict(row) for row in rows], "machine": machine}))


if __name__ == "__main__":
    main()
