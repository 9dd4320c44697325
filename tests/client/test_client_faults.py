"""Whatever the endpoint does, a wrapped client ends with a result or a known error, and settled books."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal

import openai
import pytest
from sdk_calls import API

import effortctl
from effortctl import Budget, EffortctlError
from effortctl.stores import MemoryLedger
from effortctl.testing import FAULTS, FakeClock, MockServer

TEAM = Budget(limit_usd=Decimal(5), scope="team")
ASK = {
    "chat": {"messages": [{"role": "user", "content": "What is 17*24?"}]},
    "responses": {"input": "What is 17*24?"},
}
# Faults that only a timeout ends are a matter of seconds each; two of them stand for the others.
SLOW = {"drip-headers", "drip-body", "hang-after-headers", "stream-slow", "huge-body", "slow"}
# Deep enough for the SDK's models, but not for the parser.
QUICK = [*(name for name in FAULTS if name not in SLOW), "deep-nesting:depth=600"]
# Every event is replaced, also the one with the usage, which a bare client did not ask for.
GARBLED = {"json-array", "json-scalar", "json-null", "empty-object", "wrong-type-choices"}


def client_for(server, ledger, *, kind, mode="commit_first"):
    clock = FakeClock()
    cls = openai.OpenAI if kind == "sync" else openai.AsyncOpenAI
    return effortctl.wrap(
        cls(base_url=server.base_url, api_key="sk-secret", timeout=1.0, max_retries=0),
        ladder=["gpt-6-luna@none", "gpt-6-sol@high"],
        ledger=ledger,
        budget=TEAM,
        deadline_s=0.5,
        max_calls=1,
        stream=mode,
        sleep=clock.sleep if kind == "sync" else clock.asleep,
    )


def keeping_quiet(call, *args, **kwargs):
    """Make a call; an error of ours must carry its trace, and neither prompt nor key."""
    try:
        return call(*args, **kwargs)
    except EffortctlError as error:
        told = (error.trace is None, "17*24" in str(error), "sk-secret" in str(error))
        assert told == (False, False, False)
        raise


def settled(ledger):
    entries = list(ledger.entries())
    return ledger.reserved(TEAM) == 0 and all(entry.cost_usd >= 0 for entry in entries)


@pytest.mark.parametrize("mode", ["create", "commit_first"])
@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("fault", QUICK)
def test_a_managed_call_survives_every_fault(fault, api, mode):
    ledger = MemoryLedger()
    streams = mode != "create"
    with MockServer(lambda _: "The answer is 408") as server:
        server.script([fault])
        options = {"mode": mode} if streams else {}
        client = client_for(server, ledger, kind="sync", **options)
        made = None
        with contextlib.suppress(EffortctlError):
            made = keeping_quiet(API[api](client).create, model="auto", stream=streams, **ASK[api])
            if streams:
                keeping_quiet(list, made)
        if made is not None:
            assert effortctl.info(made).trace.attempts
        client.close()
    assert settled(ledger)


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("fault", QUICK)
def test_an_async_managed_stream_survives_every_fault(fault, api):
    ledger = MemoryLedger()

    async def run(server):
        async with client_for(server, ledger, kind="async") as client:
            made = await API[api](client).create(model="auto", stream=True, **ASK[api])
            _ = [event async for event in made]
            assert effortctl.info(made).trace.attempts

    with MockServer(lambda _: "The answer is 408") as server:
        server.script([fault])
        with contextlib.suppress(EffortctlError):
            keeping_quiet(asyncio.run, run(server))
    assert settled(ledger)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("fault", QUICK)
def test_a_passed_call_fails_as_the_bare_client_does_and_is_settled(fault, api, streams):
    ledger = MemoryLedger()
    kwargs = {"model": "gpt-6-luna", "stream": streams, "timeout": 0.5, **ASK[api]}
    ends = []
    with MockServer(lambda _: "The answer is 408") as server:
        inner = openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0)
        for client in (inner, effortctl.wrap(inner, ledger=ledger, budget=TEAM)):
            server.script([fault])
            try:
                made = API[api](client).create(**kwargs)
                ends.append(len(list(made)) if streams else type(made))
            except Exception as error:
                ends.append(type(error))
        inner.close()
    if streams and fault in GARBLED:
        ends = [isinstance(end, int) for end in ends]
    assert ends[0] == ends[1]
    assert settled(ledger)
    assert len(list(ledger.entries())) == 1
