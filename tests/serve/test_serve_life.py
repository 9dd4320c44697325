"""Money and requests over the life of the endpoint: repeated keys, clients that leave, SIGTERM."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from effortctl.stores import SqliteLedger
from effortctl.testing import MockServer

CHAT = "/chat/completions"
ASK = {"model": "effortctl/auto", "messages": [{"role": "user", "content": "the-secret-prompt"}]}
LADDER = """
[ladder]
name = "mine"
description = "One arm"
[[arm]]
name = "m@low"
model = "m"
effort = "low"
endpoint = {{ name = "mine", base_url = "{url}" }}
max_output_tokens = 200
price = {{ input_usd_per_mtok = "1", output_usd_per_mtok = "2" }}
"""


# --- Idempotency-Key ---


@pytest.mark.parametrize("stream", [False, True])
def test_a_repeated_key_is_answered_once_and_paid_once(serve, http, stream):
    proxy = serve()
    body, headers = {**ASK, "stream": stream}, {"idempotency-key": "k1"}
    first = http.post(proxy.base_url + CHAT, body, headers=headers)
    again = http.post(proxy.base_url + CHAT, body, headers=headers)
    assert first[0] == again[0] == 200
    assert first[2] == again[2]
    assert first[1]["x-effortctl-decision"] == again[1]["x-effortctl-decision"]
    assert len(proxy.mock.hits) == 1


def test_requests_with_one_key_at_the_same_time_share_one_call(serve, http):
    proxy = serve(mock=MockServer(latency_s=0.3))
    url, headers = proxy.base_url + CHAT, {"idempotency-key": "k1"}
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: http.post(url, ASK, headers=headers), range(8)))
    assert {reply[0] for reply in replies} == {200}
    assert len({reply[2] for reply in replies}) == 1
    assert len(proxy.mock.hits) == 1


def test_a_key_used_for_another_request_is_a_409(serve, http):
    proxy = serve()
    headers = {"idempotency-key": "k1"}
    http.post(proxy.base_url + CHAT, ASK, headers=headers)
    status, _, text = http.post(proxy.base_url + CHAT, {**ASK, "seed": 1}, headers=headers)
    assert (status, json.loads(text)["error"]["code"]) == (409, "idempotency_key_reused")


def test_a_failed_request_may_be_sent_again_with_its_key(serve, http):
    proxy = serve(lambda request: "fine")
    proxy.mock.script(["400"])
    headers = {"idempotency-key": "k1"}
    assert http.post(proxy.base_url + CHAT, ASK, headers=headers)[0] == 400
    assert http.post(proxy.base_url + CHAT, ASK, headers=headers)[0] == 200


# --- clients that leave ---


def leave_early(base_url, body, *, read=0):
    """Send a request, read some bytes of the reply, and hang up."""
    port = int(re.search(r":(\d+)/", base_url)[1])
    data = json.dumps(body).encode()
    head = f"POST /v1{CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + data)
        yield
        if read:
            connection.recv(read)


@pytest.mark.parametrize("model", ["effortctl/auto", "gpt-6-sol"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_the_call_and_its_money_is_booked(serve, http, model, stream):
    traces = Traces()
    proxy = serve(mock=MockServer(latency_s=30), budget="$1/day", traces=traces)
    visit = leave_early(proxy.base_url, {**ASK, "model": model, "stream": stream})
    next(visit)
    http.until(lambda: proxy.ledger.reserved(budget()) > 0)
    next(visit, None)
    http.until(lambda: proxy.ledger.reserved(budget()) == 0)
    (entry,) = proxy.ledger.entries()
    assert entry.cost_usd > 0
    http.until(lambda: "effortctl_requests_in_flight 0" in http.get(proxy.root + "/metrics")[2])
    (trace,) = traces.all
    assert (trace.outcome, trace.id) == ("failed", entry.trace_id)
    assert trace.cost_usd == entry.cost_usd == dollars(http, proxy)


class Traces:
    """Keeps traces in a list."""

    def __init__(self):
        self.all = []

    def write(self, trace):
        self.all.append(trace)


def dollars(http, proxy):
    """What `/metrics` says was spent."""
    lines = http.get(proxy.root + "/metrics")[2].splitlines()
    return sum(
        Decimal(line.split()[-1]) for line in lines if line.startswith("effortctl_cost_usd_total")
    )


@pytest.mark.parametrize("mode", ["commit_first", "passes_through"])
def test_leaving_in_the_middle_of_a_stream_books_it(serve, http, mode):
    mock = MockServer(lambda request: "word " * 50, faults={"stream-slow:interval=0.2": 1.0})
    proxy = serve(mock=mock, budget="$1/day", stream="commit_first")
    model = "gpt-6-sol" if mode == "passes_through" else "effortctl/auto"
    visit = leave_early(proxy.base_url, {**ASK, "model": model, "stream": True}, read=100)
    next(visit)
    next(visit, None)
    http.until(lambda: len(list(proxy.ledger.entries())) == 1)
    http.until(lambda: proxy.ledger.reserved(budget()) == 0)
    (entry,) = proxy.ledger.entries()
    http.until(lambda: dollars(http, proxy) == entry.cost_usd > 0)


def budget():
    from effortctl import Budget

    return Budget.parse("$1/day")


# --- numbers ---


def test_metrics_count_tasks_calls_dollars_escalations_and_checks(serve, http):
    proxy = serve(lambda r: "408" if r.effort == "high" else "41", verify=["number:408"])
    _, headers, _ = http.post(proxy.base_url + CHAT, ASK)
    _, kind, text = http.get(proxy.root + "/metrics")
    assert kind["content-type"].startswith("text/plain; version=0.0.4")
    numbers = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    arm = '{arm="gpt-6-sol@high"}'
    assert numbers["effortctl_verified_total" + arm] == "1"
    assert numbers["effortctl_escalations_total" + arm] == "1"
    assert numbers["effortctl_calls_total" + arm] == "1"
    dollars = [float(v) for name, v in numbers.items() if "cost_usd" in name]
    assert sum(dollars) == pytest.approx(float(headers["x-effortctl-cost-usd"]))
    assert numbers['effortctl_requests_total{path="/v1/chat/completions",status="200"}'] == "1"
    assert "secret" not in text


# --- as a process ---


@contextlib.contextmanager
def process(tmp_path, *options, env=None):
    """`effortctl serve` as a process; gives it and its base_url."""
    command = [sys.executable, "-m", "effortctl", "serve", "--port", "0", *options]
    command += ["--ledger", str(tmp_path / "ledger.sqlite3"), "--grace", "1"]
    served = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    try:
        line = served.stdout.readline()
        assert line.startswith("listening on "), served.stderr.read()
        yield served, line.split()[-1]
    finally:
        served.kill()
        served.communicate()


@pytest.fixture
def ladder(tmp_path):
    def write(url):
        path = tmp_path / "mine.toml"
        path.write_text(LADDER.format(url=url))
        return str(path)

    return write


@pytest.mark.parametrize("latency_s", [0.5, 60])
def test_sigterm_finishes_or_stops_what_is_under_way_and_settles(tmp_path, ladder, http, latency_s):
    with (
        MockServer(lambda request: "the-secret-answer", latency_s=latency_s) as mock,
        process(tmp_path, "--ladder", ladder(mock.base_url), "--budget", "$1/day") as (served, url),
    ):
        replies = []

        def ask():
            with contextlib.suppress(OSError):
                replies.append(http.post(url + CHAT, ASK))

        asking = threading.Thread(target=ask)
        asking.start()
        http.until(lambda: _seen(tmp_path))
        served.send_signal(signal.SIGTERM)
        out, err = served.communicate(timeout=30)
        asking.join(10)
    assert served.returncode == 0, err
    assert "secret" not in out + err
    assert [reply[0] for reply in replies] in ([[200]] if latency_s < 1 else [[], [500], [499]])
    with SqliteLedger(tmp_path / "ledger.sqlite3") as ledger:
        assert ledger.reserved(budget()) == 0
        (entry,) = ledger.entries()
        assert entry.cost_usd > 0
        assert not ledger.check()


def _seen(tmp_path):
    with SqliteLedger(tmp_path / "ledger.sqlite3") as ledger:
        return ledger.reserved(budget()) > 0


def test_the_command_refuses_the_world_without_a_token(cli_run):
    done = cli_run("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 3
    assert "EFFORTCTL_TOKEN" in done.stderr


def test_the_command_says_what_is_wrong_with_its_ladder(cli_run):
    done = cli_run("serve", "--port", "0", "--ladder", "local")
    assert done.returncode == 3
    assert "HTTP endpoint" in done.stderr


@pytest.fixture
def cli_run():
    def run(*arguments):
        command = [sys.executable, "-m", "effortctl", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_curl_streams(tmp_path, ladder):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    with (
        MockServer(lambda request: "408") as mock,
        process(tmp_path, "--ladder", ladder(mock.base_url), env={"EFFORTCTL_TOKEN": "s3cret"}) as (
            _,
            url,
        ),
    ):
        body = json.dumps({**ASK, "stream": True, "effortctl": {"verify": "number:408"}})
        headers = ["-H", "authorization: Bearer s3cret", "-H", "content-type: application/json"]
        command = [curl, "-sS", "-i", "--noproxy", "*", url + CHAT, *headers, "-d", body]
        text = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=True
        ).stdout
    assert "x-effortctl-verified: true" in text.lower()
    assert "text/event-stream" in text
    assert text.rstrip().endswith("data: [DONE]")
