"""The SDK on aiohttp, as `effortctl serve` uses it, books what it books on httpx: its errors have other names."""

from __future__ import annotations

import asyncio
import socket
from decimal import Decimal

import openai
import pytest

import effortctl
from effortctl import Budget, EffortctlError
from effortctl.stores import MemoryLedger
from effortctl.testing import FAULTS, MockServer

pytest.importorskip("aiohttp", reason="needs the extra 'fast' or 'serve'")

TEAM = Budget(limit_usd=Decimal(5), scope="team")
ASK = {"model": "auto", "messages": [{"role": "user", "content": "What is 17*24?"}]}
SLOW = {"drip-headers", "drip-body", "hang-after-headers", "stream-slow", "huge-body", "slow"}
LEARNED = {"unsupported-effort"}  # by the first of the two, for both


def booked(http_client, base_url):
    """What a call that may make one request costs in the ledger, and how it ended."""
    ledger = MemoryLedger()

    async def ask():
        inner = openai.AsyncOpenAI(
            base_url=base_url, api_key="k", timeout=0.5, max_retries=0, http_client=http_client()
        )
        client = effortctl.wrap(
            inner, ladder=["gpt-6-luna@none"], ledger=ledger, budget=TEAM, max_calls=1
        )
        try:
            await client.chat.completions.create(**ASK)
        except EffortctlError as error:
            return getattr(error, "kind", type(error).__name__)
        finally:
            await client.close()
        return "answered"

    end = asyncio.run(ask())
    return [(entry.cost_usd > 0, entry.price_source) for entry in ledger.entries()], end


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in SLOW | LEARNED])
def test_every_fault_is_booked_as_on_httpx(fault):
    ends = []
    for http_client in (openai.DefaultAsyncHttpxClient, openai.DefaultAioHttpClient):
        with MockServer(lambda _: "The answer is 408") as server:
            server.script([fault])
            ends.append(booked(http_client, server.base_url))
    assert ends[0] == ends[1]


def test_a_lost_connection_is_charged_at_its_worst_case_and_a_refused_one_is_not():
    with MockServer(lambda _: "408") as server:
        server.script(["reset"])
        (entry,), _ = booked(openai.DefaultAioHttpClient, server.base_url)
        assert entry[0]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        (entry,), _ = booked(openai.DefaultAioHttpClient, base_url)
        assert not entry[0]
