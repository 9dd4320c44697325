import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from mock_wire import CHAT, PROMPT, RESPONSES, post

from effortctl._errors import ConfigError
from effortctl._types import Price, Usage
from effortctl.testing import MockReply, MockServer


def test_a_hit_tells_what_was_asked_and_answered(mock_server):
    body = post(mock_server, RESPONSES, model="gpt-6-sol", reasoning={"effort": "high"}).json()
    (hit,) = mock_server.hits
    assert (hit.path, hit.model, hit.effort) == ("/v1/responses", "gpt-6-sol", "high")
    assert (hit.fault, hit.status, hit.stream, hit.n) == (None, 200, False, 1)
    assert hit.body["input"] == PROMPT
    assert hit.would_bill_usage.input_tokens == body["usage"]["input_tokens"]
    assert hit.would_bill_usage.output_tokens == body["usage"]["output_tokens"]


def test_a_hit_does_not_show_the_key(mock_server):
    post(mock_server, headers={"Authorization": "Bearer sk-canary"})
    assert mock_server.hits[0].headers["authorization"] == "Bearer sk-canary"
    assert "canary" not in repr(mock_server.hits)


def test_hits_are_counted_by_what_they_have_in_common(mock_server):
    mock_server.script(["500", "429", "ok"])
    for model in ("a", "a", "b"):
        post(mock_server, model=model, reasoning_effort="low")
    assert mock_server.count() == 3
    assert mock_server.count(model="a") == 2
    assert mock_server.count(model="a", status=429) == 1
    assert mock_server.count(fault=None) == 1
    assert mock_server.count(effort="low", path=CHAT) == 3
    with pytest.raises(TypeError, match="not by \\['colour'\\]"):
        mock_server.count(colour="red")


def test_counts_and_bills_stay_exact_when_hits_are_not_kept():
    with MockServer(keep_hits=2) as server:
        usages = [post(server).json()["usage"] for _ in range(5)]
        assert len(server.hits) == 2
        assert server.count() == 5
        assert server.billed_usage.output_tokens == sum(u["completion_tokens"] for u in usages)


def test_dollars_are_exact():
    usage = Usage(
        input_tokens=2000,
        cached_tokens=1024,
        cache_write_tokens=512,
        output_tokens=900,
        reasoning_tokens=700,
    )
    price = Price(
        input_usd_per_mtok=Decimal(2),
        cached_input_usd_per_mtok=Decimal("0.2"),
        cache_write_usd_per_mtok=Decimal("2.5"),
        output_usd_per_mtok=Decimal(10),
    )
    with MockServer(lambda _: MockReply("x", usage=usage)) as server:
        post(server, model="a")
        post(server, model="a")
        once = (464 * 2 + Decimal(1024) / 5 + 512 * Decimal("2.5") + 9000) / 10**6
        assert server.billed_usd({"a": price}) == 2 * once
        with pytest.raises(KeyError):
            server.billed_usd({"b": price})


def test_reasoning_grows_with_effort_and_the_cap_holds(mock_server):
    efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]
    spent = [
        post(mock_server, reasoning_effort=effort).json()["usage"]["completion_tokens_details"]
        for effort in efforts
    ]
    tokens = [usage["reasoning_tokens"] for usage in spent]
    assert tokens == sorted(tokens)
    assert tokens[0] == 0
    capped = post(mock_server, reasoning_effort="max", max_completion_tokens=100).json()
    assert capped["usage"]["completion_tokens"] == 100
    assert capped["choices"][0]["finish_reason"] == "length"


def test_a_long_prefix_is_written_to_the_cache_then_read_from_it(mock_server):
    long = "word " * 2000

    def details(**fields):
        body = post(mock_server, messages=[{"role": "user", "content": long}], **fields).json()
        return body["usage"]["prompt_tokens_details"]

    first, second, other = details(), details(), details(reasoning_effort="high")
    assert first["cached_tokens"] == 0 < first["cache_write_tokens"]
    assert second["cached_tokens"] == first["cache_write_tokens"]
    assert second["cache_write_tokens"] == 0
    assert other["cached_tokens"] == 0, "another effort misses the provider's cache"


def test_the_same_seed_gives_the_same_tokens():
    def tokens(seed):
        with MockServer(seed=seed) as server:
            return [
                post(server, messages=[{"role": "user", "content": str(i)}], model="m").json()[
                    "usage"
                ]["completion_tokens"]
                for i in range(10)
            ]

    assert tokens(1) == tokens(1) != tokens(2)


def test_a_responder_sees_model_effort_text_and_count():
    seen = []

    def respond(request):
        seen.append(request)
        return f"try {request.repeat}"

    with MockServer(respond) as server:
        texts = [
            post(server, RESPONSES, model="m+fault=ok", instructions="be brief").json()["output"]
            for _ in range(2)
        ]
    assert [text[-1]["content"][0]["text"] for text in texts] == ["try 1", "try 2"]
    assert [(r.model, r.effort, r.n, r.repeat) for r in seen] == [
        ("m", "default", 1, 1),
        ("m", "default", 2, 2),
    ]
    assert seen[0].text == f"be brief\n{PROMPT}"


def test_content_parts_and_turns_are_read_as_text():
    with MockServer(lambda request: request.text.replace("\n", "|")) as server:
        turns = [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]},
        ]
        body = post(server, messages=turns).json()
    assert body["choices"][0]["message"]["content"] == "s|a"


def test_a_responder_may_ask_for_a_fault_or_an_ending():
    replies = iter([MockReply(fault="503"), MockReply(finish="context_exceeded"), MockReply("x")])
    with MockServer(lambda _: next(replies)) as server:
        assert [post(server).status for _ in range(3)] == [503, 400, 200]


def test_a_crashing_responder_is_a_500_that_tells_and_is_kept():
    def respond(_request):
        raise ZeroDivisionError("oops")

    with MockServer(respond) as server:
        seen = post(server)
        assert seen.status == 500
        assert "ZeroDivisionError: oops" in seen.json()["error"]["message"]
        assert isinstance(server.errors[0], ZeroDivisionError)


def test_scripts_run_out_repeat_and_may_be_for_one_model(mock_server):
    mock_server.script(["500"], model="a", repeat=True)
    mock_server.script(["429", MockReply("scripted")])
    assert [post(mock_server, model="a").status for _ in range(3)] == [500] * 3
    assert post(mock_server, model="b").status == 429
    scripted = post(mock_server, model="b").json()
    assert scripted["choices"][0]["message"]["content"] == "scripted"
    assert post(mock_server, model="b").status == 200


def test_a_bad_script_is_refused_when_it_is_set(mock_server):
    with pytest.raises(ConfigError, match="volcano"):
        mock_server.script(["ok", "volcano"])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "could not parse"),
        (b"[]", "must be a JSON object"),
        (b"{}", "model parameter"),
        (b'{"model": "m"}', "Missing required parameter: 'messages'"),
    ],
)
def test_requests_no_provider_takes_are_400s(mock_server, raw, message):
    seen = post(mock_server, raw=raw)
    assert seen.status == 400
    assert message in seen.json()["error"]["message"]
    assert mock_server.count(status=400) == 1


def test_unknown_urls_are_404s_and_no_hits(mock_server):
    assert post(mock_server, "/v1/nonsense", raw=b"{}").status == 404
    assert mock_server.count() == 0


def test_the_truth_is_served_to_other_processes(mock_server):
    post(mock_server, model="a")
    connection = http.client.HTTPConnection("127.0.0.1", mock_server.port, timeout=5)
    connection.request("GET", "/mock/stats")
    stats = json.loads(connection.getresponse().read())
    connection.close()
    assert stats == mock_server.stats()
    assert (stats["hits"], stats["high_water"]) == (1, 1)


def test_the_high_water_mark_is_the_exact_number_of_concurrent_requests():
    with MockServer(latency_s=0.02) as server:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: post(server), range(64)))
        assert server.count() == 64
        assert 2 <= server.high_water <= 8


def test_one_client_at_a_time_never_counts_as_two(mock_server):
    connection = http.client.HTTPConnection("127.0.0.1", mock_server.port, timeout=5)
    body = json.dumps({"model": "m", "input": "x", "stream": True})
    for _ in range(300):
        connection.request("POST", RESPONSES, body=body)
        connection.getresponse().read()
    connection.close()
    assert mock_server.high_water == 1


def test_a_client_that_gave_up_does_not_count_twice(mock_server):
    for _ in range(5):
        with pytest.raises(TimeoutError):
            post(mock_server, model="m+fault=hang", timeout=0.02)
    assert mock_server.high_water == 1


def test_many_threads_with_keep_alive_lose_nothing(mock_server):
    def ask_twenty(worker):
        connection = http.client.HTTPConnection("127.0.0.1", mock_server.port, timeout=30)
        texts = []
        for i in range(20):
            text = f"{worker}-{i}"
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
            connection.request("POST", CHAT, body=body)
            reply = json.loads(connection.getresponse().read())
            texts.append((text, reply["choices"][0]["message"]["content"]))
        connection.close()
        return texts

    with ThreadPoolExecutor(40) as pool:
        pairs = [pair for texts in pool.map(ask_twenty, range(40)) for pair in texts]
    assert all(asked == answered for asked, answered in pairs)
    assert mock_server.count() == 800
    assert sorted(hit.n for hit in mock_server.hits) == list(range(1, 801))
    assert mock_server.high_water <= 40
    total = sum((hit.would_bill_usage for hit in mock_server.hits), Usage())
    assert mock_server.billed_usage == total


def test_stopping_is_prompt_while_requests_hang_and_leaves_no_thread():
    before = set(threading.enumerate())
    server = MockServer().start()
    idle = socket.create_connection(("127.0.0.1", server.port))
    dripping = "drip-body:interval=30"
    with ThreadPoolExecutor(3) as pool:
        waiting = [
            pool.submit(post, server, model=f"m+fault={fault}", timeout=60)
            for fault in ("hang", "hang-mid-body", dripping)
        ]
        assert server.wait_for_hits(3)
        start = time.monotonic()
        server.stop()
        stopped_after_s = time.monotonic() - start
        for future in waiting:
            with pytest.raises((http.client.HTTPException, OSError)):
                future.result(timeout=10)
    idle.close()
    assert stopped_after_s < 5
    left = {thread for thread in set(threading.enumerate()) - before if thread.name[:4] == "mock"}
    assert left == set()


def test_waiting_for_hits_ends_when_time_is_up(mock_server):
    assert not mock_server.wait_for_hits(1, timeout_s=0.01)
    post(mock_server, model="a")
    assert mock_server.wait_for_hits(1, model="a")


def test_a_server_that_does_not_run_has_no_address():
    server = MockServer()
    with pytest.raises(ConfigError, match="not running"):
        _ = server.base_url
    server.stop()
    with server:
        assert server.base_url == f"http://127.0.0.1:{server.port}/v1"
        assert server.start().port == server.port
    with pytest.raises(ConfigError, match="not running"):
        _ = server.port


def test_reset_forgets_everything(mock_server):
    mock_server.script(["500"], repeat=True)
    post(mock_server)
    mock_server.reset()
    assert post(mock_server).status == 200
    assert (mock_server.count(), mock_server.hits[0].n) == (1, 1)
