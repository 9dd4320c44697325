"""A key, a header and a prompt go through every path; none of them is found afterwards.

Where a prompt is kept on purpose, the test says so by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from decimal import Decimal
from pathlib import Path

import canaries
import httpx2
import openai
import pytest

from effortctl import (
    Arm,
    AsyncController,
    Controller,
    EffortctlError,
    EffortctlWarning,
    Endpoint,
    Price,
    Task,
    adaptive,
    wrap,
)
from effortctl.backends import AsyncOpenAIBackend, OpenAIBackend
from effortctl.stores import DiskCache, SqliteLedger, TraceStore
from effortctl.testing import FAULTS, FakeBackend, MockServer
from effortctl.verifiers import judge

HANGS = {"hang", "hang-after-headers", "hang-mid-body", "stream-stall"}
QUICK = {"huge-body": "huge-body:mb=0.2", "slow": "slow:delay=0.01"}
QUICK |= {name: f"{name}:interval=0.0001" for name in ("drip-body", "drip-headers", "stream-slow")}
PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(10))
BOTH = ["chat", "responses"]
NOWHERE = "http://127.0.0.1:1/v1"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("CANARY_API_KEY", canaries.KEY)


@pytest.fixture(autouse=True)
def watched(caplog, capfd):
    """After the test, nothing that was logged or printed holds a canary."""
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpcore2", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield caplog
    logged = "\n".join(f"{r.getMessage()} {r.args} {r.exc_text}" for r in caplog.records)
    assert canaries.leaks(logged) == []
    assert canaries.leaks("".join(capfd.readouterr())) == []


def arms(base_url: str, *, api: str = "chat") -> list[Arm]:
    endpoint = Endpoint(name="canary", base_url=base_url, api_key_env="CANARY_API_KEY")
    shared = {"model": "m", "endpoint": endpoint, "price": PRICE, "max_output_tokens": 50}
    return [Arm(name=f"m@{effort}", effort=effort, api=api, **shared) for effort in ("low", "high")]


@contextlib.contextmanager
def stores(folder: Path):
    """Options of a controller that keeps everything it can keep."""
    with SqliteLedger(folder / "ledger.sqlite3") as ledger, DiskCache(folder / "cache") as cache:
        yield {
            "ledger": ledger,
            "cache": cache,
            "traces": TraceStore(folder / "traces.jsonl"),
            "budget": "$5/day",
            "max_calls": 2,
            "namespace": "tenant",
        }


def result_of(run):
    try:
        return run()
    except EffortctlError as error:
        return error


def attempt(run):
    """Run it; return the outcome or our error. What it says, raises and returns holds no canary."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        outcome = result_of(run)
    is_error = isinstance(outcome, EffortctlError)
    found = canaries.error_leaks(outcome) if is_error else canaries.value_leaks(outcome.trace)
    assert found == []
    assert canaries.leaks(" ".join(str(each.message) for each in said)) == []
    return outcome


def specs() -> list[str]:
    return ["ok", *(QUICK.get(name, name) for name in sorted(set(FAULTS) - HANGS)), "hang"]


async def no_wait(_seconds):
    await asyncio.sleep(0)


@pytest.mark.parametrize("api", BOTH)
def test_no_fault_makes_the_controller_show_or_keep_a_secret(tmp_path, api):
    with MockServer(lambda _request: "42") as server, stores(tmp_path) as kept:
        ctl = Controller(
            arms(server.base_url, api=api), verify="number:7", sleep=lambda _s: None, **kept
        )
        for number, spec in enumerate(specs()):
            server.script([spec], repeat=True)
            deadline_s = 0.3 if spec == "hang" else 20
            prompt = f"{canaries.PROMPT} ({number})"
            attempt(lambda p=prompt, d=deadline_s: ctl.run(p, deadline_s=d))
        assert any(canaries.KEY in hit.headers["authorization"] for hit in server.hits)
        assert any("cell 8841" in str(hit.body) for hit in server.hits)
        ctl.close()
    assert canaries.leaking_files(tmp_path) == {}
    assert {path.name for path in tmp_path.iterdir()} >= {"ledger.sqlite3", "cache"}


@pytest.mark.parametrize("api", BOTH)
def test_no_fault_makes_the_async_controller_show_or_keep_a_secret(tmp_path, api):
    with MockServer(lambda _request: "42") as server, stores(tmp_path) as kept:
        ends = []

        async def asked(ctl, number, deadline_s):
            try:
                return await ctl.run(f"{canaries.PROMPT} ({number})", deadline_s=deadline_s)
            except EffortctlError as error:
                return error

        async def run_all() -> None:
            options = {"verify": "number:42", "sleep": no_wait, **kept}
            async with AsyncController(arms(server.base_url, api=api), **options) as ctl:
                for number, spec in enumerate(specs()):
                    server.script([spec], repeat=True)
                    deadline_s = 0.3 if spec == "hang" else 20
                    ends.append(await asked(ctl, number, deadline_s))

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EffortctlWarning)
            asyncio.run(run_all())
        errors = [end for end in ends if isinstance(end, EffortctlError)]
        traces = [end.trace for end in ends if not isinstance(end, EffortctlError)]
        assert [found for error in errors if (found := canaries.error_leaks(error))] == []
        assert [found for trace in traces if (found := canaries.value_leaks(trace))] == []
        assert len(errors) > 20
        assert len(traces) > 5
    assert canaries.leaking_files(tmp_path) == {}


# --- a server that gives everything back -----------------------------------------------------------


def echoes(request: httpx2.Request) -> dict[str, tuple[int, dict[str, str], object]]:
    """Replies that repeat the request's headers and body, in every place that we read."""
    seen = f"{dict(request.headers)} {request.content.decode()}"
    key, header = request.headers["authorization"], request.headers.get("x-tenant", "")
    said = f"Incorrect request: {key} {header} {canaries.PROMPT}"
    one = {"message": said, "code": key, "type": canaries.PROMPT, "param": header}
    return {
        "401": (401, {}, {"error": one}),
        "400": (400, {}, {"error": one}),
        "422-detail": (422, {}, {"detail": [{"loc": [key, canaries.PROMPT], "msg": said}]}),
        "429": (429, {"retry-after": canaries.PROMPT, "x-should-retry": key}, {"error": one}),
        "500-text": (500, {}, seen),
        "404-string": (404, {}, {"error": said, "code": header}),
        "503-page": (503, {}, f"<html>{seen}</html>"),
        "effort": (400, {}, {"error": one | {"message": f"reasoning_effort {said}: 'low'"}}),
        "in-200": (200, {}, {"error": one}),
        "in-choice": (200, {}, {"choices": [{"error": one}]}),
        "key-only": (400, {}, {"error": {"message": f"Bad key {key}", "code": key}}),
        "header-only": (400, {}, {"error": {"message": f"No tenant {header}!", "code": header}}),
        "header-id": (500, {"x-request-id": header or "none"}, {"error": {"message": header}}),
        "request-id": (500, {"x-request-id": key, "request-id": canaries.PROMPT}, {"error": {}}),
        "finish": (200, {}, {"choices": [{"finish_reason": said, "message": {"content": [said]}}]}),
        "usage": (200, {}, {"usage": {"prompt_tokens": said}, "choices": []}),
        "usage-key": (200, {}, {"usage": {key: 1, "prompt_tokens": -1}, "choices": []}),
        "not-json": (200, {}, seen),
        "redirect": (301, {}, {"location": seen}),
    }


KINDS = [
    "401", "400", "422-detail", "429", "500-text", "404-string", "503-page", "effort", "in-200",
    "in-choice", "key-only", "header-only", "header-id", "request-id", "finish", "usage", "usage-key", "not-json", "redirect",
]  # fmt: skip


def echoing(kind: str):
    def answer(request: httpx2.Request) -> httpx2.Response:
        status, headers, body = echoes(request)[kind]
        content = {"text": body} if isinstance(body, str) else {"json": body}
        return httpx2.Response(status, headers=headers, **content)

    return httpx2.MockTransport(answer)


def echoing_client(client_type, kind: str, **more):
    """A client of the SDK with every secret in it, whose server gives them back."""
    http_type = httpx2.Client if client_type is openai.OpenAI else httpx2.AsyncClient
    return client_type(
        api_key=canaries.KEY,
        base_url=NOWHERE,
        default_headers={"x-tenant": canaries.HEADER},
        http_client=http_type(transport=echoing(kind)),
        **more,
    )


def test_every_kind_of_echo_is_tried():
    request = httpx2.Request("POST", "http://127.0.0.1", headers={"authorization": "x"})
    assert list(echoes(request)) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_repeats_the_request_is_not_quoted(tmp_path, kind):
    client = echoing_client(openai.OpenAI, kind)
    with client, stores(tmp_path) as kept:
        backend = OpenAIBackend(arms(NOWHERE)[0].endpoint, client=client)
        ctl = Controller(arms(NOWHERE), backends={"canary": backend}, sleep=lambda _s: None, **kept)
        assert isinstance(attempt(lambda: ctl.run(canaries.PROMPT)), EffortctlError)
    assert canaries.leaking_files(tmp_path) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_repeats_the_request_is_not_quoted_in_asyncio(tmp_path, kind):
    async def run_it():
        async with echoing_client(openai.AsyncOpenAI, kind) as client:
            backend = AsyncOpenAIBackend(arms(NOWHERE)[0].endpoint, client=client)
            options = {"backends": {"canary": backend}, "sleep": no_wait, **kept}
            return await AsyncController(arms(NOWHERE), **options).run(canaries.PROMPT)

    with stores(tmp_path) as kept:
        assert isinstance(attempt(lambda: asyncio.run(run_it())), EffortctlError)
    assert canaries.leaking_files(tmp_path) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_decorated_function_that_meets_such_a_server_shows_nothing(tmp_path, kind):
    client = echoing_client(openai.OpenAI, kind, max_retries=0)
    with client, stores(tmp_path) as kept:

        @adaptive(arms(NOWHERE), sleep=lambda _s: None, **kept)
        def ask(arm, question):
            turn = {"role": "user", "content": question}
            reply = client.chat.completions.create(messages=[turn], **arm.chat_kwargs())
            arm.record(reply)
            return "42"

        assert isinstance(attempt(lambda: ask.run(canaries.PROMPT)), EffortctlError)
    assert canaries.leaking_files(tmp_path) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrapped_client_that_meets_such_a_server_shows_nothing_of_ours(tmp_path, kind):
    client = echoing_client(openai.OpenAI, kind)
    with client, stores(tmp_path) as kept:
        del kept["cache"], kept["namespace"]  # what the SDK returns is not cached
        wrapped = wrap(client, ladder=arms(NOWHERE), sleep=lambda _s: None, **kept)
        turn = {"role": "user", "content": canaries.PROMPT}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EffortctlWarning)
            error = result_of(
                lambda: wrapped.chat.completions.create(model="auto", messages=[turn])
            )
    assert isinstance(error, EffortctlError)
    assert canaries.error_leaks(error) == []
    assert canaries.leaking_files(tmp_path) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_judge_behind_such_a_server_shows_nothing(tmp_path, kind):
    client = echoing_client(openai.OpenAI, kind)
    maker = Arm(name="maker", model="w", endpoint=Endpoint(name="fake"), price=PRICE)
    judging = arms(NOWHERE)[0].model_copy(update={"model": "j", "name": "judge"})
    with client, stores(tmp_path) as kept:
        backends = {
            "fake": FakeBackend("42"),
            "canary": OpenAIBackend(judging.endpoint, client=client),
        }
        check = judge("Is the answer a number?", arm=judging)
        ctl = Controller([maker], verify=check, backends=backends, sleep=lambda _s: None, **kept)
        attempt(lambda: ctl.run(canaries.PROMPT))
    assert canaries.leaking_files(tmp_path) == {}


def test_observers_show_neither_prompt_nor_key(tmp_path, watched):
    from effortctl.observers import LogObserver

    with MockServer(lambda _request: "42") as server, stores(tmp_path) as kept:
        ctl = Controller(arms(server.base_url), **kept | {"traces": LogObserver()})
        ctl.run(canaries.PROMPT)
        server.script(["401"])
        with contextlib.suppress(EffortctlError):
            ctl.run(f"{canaries.PROMPT} again")
        ctl.close()
    assert sum(record.name == "effortctl" for record in watched.records) >= 3


# --- what is configured or planted wrongly ---------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [f"{canaries.KEY}\u2028", f"\x00{canaries.KEY}", f"{canaries.KEY}é"]
)
def test_a_key_that_cannot_be_sent_is_not_shown(monkeypatch, bad):
    if "\x00" not in bad:  # which no variable can hold
        monkeypatch.setenv("CANARY_API_KEY", bad)
    else:
        monkeypatch.setattr("effortctl.backends._openai.read_key", lambda _endpoint: bad)
    ctl = Controller(arms("http://127.0.0.1:1/v1"), sleep=lambda _s: None)
    assert isinstance(attempt(lambda: ctl.run(canaries.PROMPT)), EffortctlError)


@pytest.mark.filterwarnings("ignore:The check nosy raised RuntimeError:effortctl.EffortctlWarning")
def test_a_verifier_that_quotes_the_prompt_is_not_kept_or_logged(tmp_path):
    def nosy(task: Task, _answer: str) -> bool:
        raise RuntimeError(f"cannot judge {task.text}")

    with MockServer(lambda _request: "42") as server, stores(tmp_path) as kept:
        ctl = Controller(arms(server.base_url), verify=nosy, **kept)
        with contextlib.suppress(EffortctlError):
            ctl.run(canaries.PROMPT)
        ctl.close()
    assert canaries.leaking_files(tmp_path) == {}


def test_the_search_would_find_them(tmp_path, watched):
    import gzip
    import json
    import sqlite3

    text = f"{canaries.KEY} {canaries.HEADER} {canaries.PROMPT}"
    for name in canaries.MARKS:
        assert name in canaries.leaks(json.dumps({"x": text}))
        assert name in canaries.leaks(gzip.compress(text.encode()))
        assert name in canaries.leaks(text.upper())
    connection = sqlite3.connect(tmp_path / "db.sqlite3")
    with connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (?)", (text,))
    connection.close()
    assert canaries.leaking_files(tmp_path) == {"db.sqlite3": sorted(canaries.MARKS)}
    cause = ValueError(text)
    with pytest.raises(EffortctlError) as caught:
        raise EffortctlError("quiet") from cause
    assert canaries.error_leaks(caught.value) == sorted(canaries.MARKS)
