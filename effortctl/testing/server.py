"""The mock server as a process: `python -m effortctl.testing.server --port 8000 --seed 7`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence

from effortctl._errors import ConfigError
from effortctl.testing._faults import FAULTS
from effortctl.testing._mock import MockServer
from effortctl.testing._model import echo
from effortctl.testing._records import MockRequest, Responder


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted, then report what was seen.

    Args:
        argv: Command-line arguments. None: those of the process.

    Returns:
        Exit code: 0, or 2 for wrong arguments.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.list_faults:
        _say("\n".join(f"{fault.name:24} {fault.summary}" for fault in FAULTS.values()))
        return 0
    try:
        server = MockServer(
            _always(options.reply) if options.reply is not None else echo,
            port=options.port,
            seed=options.seed,
            latency_s=options.latency,
            enforce_catalog=options.enforce_catalog,
            faults=dict(_share(text) for text in options.fault),
            keep_hits=0,
        )
    except ConfigError as error:
        parser.error(str(error))
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with server:
        _say(f"listening on {server.base_url}")
        done.wait()
        _say(json.dumps(server.stats()))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m effortctl.testing.server",
        description="An OpenAI-compatible server on 127.0.0.1 that fails on demand.",
        epilog='Ask for a fault with a model id such as "gpt-6-sol+fault=429:retry-after=0.5" or the '
        "header x-mock-fault. What was seen is at /mock/stats.",
    )
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 picks a free one")
    parser.add_argument("--seed", type=int, default=0, help="decides all that varies")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every reply")
    parser.add_argument("--reply", help="answer this text; default: the prompt's last line")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SPEC@SHARE",
        help='random fault and its share of requests, e.g. "429:retry-after=1@0.1"; may be repeated',
    )
    parser.add_argument(
        "--enforce-catalog", action="store_true", help="reject what the model does not take"
    )
    parser.add_argument("--list-faults", action="store_true", help="name every fault and stop")
    return parser


def _share(text: str) -> tuple[str, float]:
    spec, _, share = text.rpartition("@")
    try:
        return spec, float(share)
    except ValueError as error:
        raise ConfigError(f"--fault {text!r}: write SPEC@SHARE, e.g. 429@0.1") from error


def _always(text: str) -> Responder:
    def respond(_request: MockRequest) -> str:
        return text

    return respond


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
