"""What a client of `effortctl serve` sees when something goes wrong: OpenAI's shape, and no retries."""

from __future__ import annotations

import json

import openai
import pytest

from effortctl import ConfigError
from effortctl.serve import Listener, ServeConfig
from effortctl.testing import MockServer

CHAT = "/chat/completions"
ASK = {"model": "effortctl/auto", "messages": [{"role": "user", "content": "secret-prompt"}]}


def error_of(reply):
    status, headers, text = reply
    error = json.loads(text)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert headers["x-should-retry"] == "false"
    return status, error["code"]


def test_a_budget_that_is_used_up_is_a_402_before_any_call(serve, http):
    proxy = serve(budget="$0.000001/day")
    reply = http.post(proxy.base_url + CHAT, ASK)
    assert error_of(reply) == (402, "budget_exceeded")
    assert not proxy.mock.hits
    assert reply[1]["x-effortctl-cost-usd"] == "0"


def test_a_budget_holds_for_calls_that_pass_through(serve, http):
    proxy = serve(budget="$0.000001/day")
    reply = http.post(proxy.base_url + CHAT, {**ASK, "model": "gpt-6-sol"})
    assert error_of(reply) == (402, "budget_exceeded")
    assert not proxy.mock.hits


@pytest.mark.parametrize("model", ["effortctl/auto", "gpt-6-sol"])
def test_a_reply_nested_too_deeply_to_be_passed_on_is_a_502(serve, http, model):
    proxy = serve(lambda request: "408")
    proxy.mock.script(["deep-nesting:depth=600"], repeat=True)
    status, code = error_of(http.post(proxy.base_url + CHAT, {**ASK, "model": model}))
    assert status == 502
    assert code.startswith("upstream_malformed")


@pytest.mark.parametrize("model", ["effortctl/auto", "gpt-6-sol"])
def test_a_deadline_is_a_504(serve, http, model):
    proxy = serve(mock=MockServer(latency_s=5), deadline_s=0.3)
    status, code = error_of(http.post(proxy.base_url + CHAT, {**ASK, "model": model}))
    assert status == 504
    assert code in ("deadline_exceeded", "upstream_timeout")


def test_an_answer_that_failed_its_check_is_returned_and_marked(serve, http):
    proxy = serve(lambda request: "41", verify=["number:408"])
    status, headers, text = http.post(proxy.base_url + CHAT, ASK)
    assert status == 200
    assert headers["x-effortctl-verified"] == "false"
    assert json.loads(text)["choices"][0]["message"]["content"] == "41"


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_a_422_when_asked_to_be_strict(serve, http, stream):
    proxy = serve(lambda request: "41", verify=["number:408"])
    body = {**ASK, "stream": stream, "effortctl": {"strict": True}}
    reply = http.post(proxy.base_url + CHAT, body)
    assert error_of(reply) == (422, "unverified")
    assert float(reply[1]["x-effortctl-cost-usd"]) > 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"[1]", "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        ({**ASK, "model": 3}, "invalid_request"),
        ({"model": "effortctl/auto"}, "invalid_request"),
        ({**ASK, "stream": "yes"}, "invalid_request"),
        ({**ASK, "n": 3}, "invalid_request"),
        ({**ASK, "model": "gpt-6-sol@low", "reasoning_effort": "high"}, "invalid_request"),
        ({**ASK, "effortctl": {"verfy": "number:1"}}, "invalid_request"),
        ({**ASK, "effortctl": []}, "invalid_request"),
        ({**ASK, "effortctl": {"strict": 1}}, "invalid_request"),
        ({**ASK, "effortctl": {"stream": "now"}}, "invalid_request"),
        ({**ASK, "effortctl": {"verify": 5}}, "invalid_verify"),
        ({**ASK, "effortctl": {"verify": ["number:1"] * 9}}, "invalid_verify"),
        ({**ASK, "effortctl": {"verify": "number:many"}}, "invalid_request"),
    ],
)
def test_a_request_that_makes_no_sense_is_a_400(serve, http, body, code):
    proxy = serve()
    assert error_of(http.post(proxy.base_url + CHAT, body)) == (400, code)
    assert not proxy.mock.hits


@pytest.mark.parametrize(
    "spec",
    [
        "python:/etc/hosts.py:main",
        " PYTHON :x.py:f",
        "code-tests:tests.py:f",
        "code_tests:tests.py:f",
        "json-schema:/etc/passwd",
        "judge:gpt-6-sol@max:is it good?",
        "regex:(a+)+$",
        "agreement:number",
    ],
)
def test_a_request_cannot_name_code_files_or_what_costs_money(serve, http, spec):
    proxy = serve()
    body = {**ASK, "effortctl": {"verify": ["not-empty", spec]}}
    assert error_of(http.post(proxy.base_url + CHAT, body)) == (400, "invalid_verify")
    assert not proxy.mock.hits


def test_a_model_nobody_knows_is_a_404(serve):
    proxy = serve()
    with pytest.raises(openai.NotFoundError) as caught:
        proxy.client().responses.create(model="gpt-none", input="hi")
    assert caught.value.code == "model_not_found"
    assert not proxy.mock.hits


def test_a_path_that_is_not_served_is_a_404(serve, http):
    assert error_of(http.get(serve().base_url + "/files"))[0] == 404


def test_a_request_that_is_too_large_is_a_413(serve, http):
    proxy = serve(max_body_bytes=1000)
    body = {**ASK, "messages": [{"role": "user", "content": "x" * 2000}]}
    assert error_of(http.post(proxy.base_url + CHAT, body)) == (413, "request_too_large")


def test_an_upstream_fault_is_cured_by_us_and_not_by_the_client(serve):
    proxy = serve(lambda request: "fine")
    proxy.mock.script(["500", "ok"])
    reply = proxy.client().responses.create(model="effortctl/auto", input="hi")
    assert reply.output_text == "fine"
    assert len(proxy.mock.hits) == 2


@pytest.mark.parametrize("model", ["effortctl/auto", "gpt-6-sol"])
def test_clients_do_not_multiply_our_retries(serve, model):
    mock = MockServer(faults={"500": 1.0})
    proxy = serve(mock=mock)
    with pytest.raises(openai.APIStatusError) as caught:
        proxy.client(max_retries=2).responses.create(model=model, input="hi")
    assert caught.value.status_code == 502
    assert len(mock.hits) <= 6


@pytest.mark.parametrize("model", ["effortctl/auto", "gpt-6-sol"])
def test_a_key_the_provider_rejects_is_our_fault_and_is_not_shown(serve, http, model):
    proxy = serve(mock=MockServer(faults={"401": 1.0}))
    reply = http.post(proxy.base_url + CHAT, {**ASK, "model": model})
    assert error_of(reply) == (502, "upstream_auth")
    assert "key-needed" not in reply[2]


def test_a_stream_that_breaks_upstream_ends_with_an_error_event(serve):
    proxy = serve(lambda request: "one two three four five six seven eight nine")
    proxy.mock.script(["stream-reset"] * 9)
    stream = proxy.client().chat.completions.create(
        model="gpt-6-sol", messages=ASK["messages"], stream=True
    )
    with pytest.raises(openai.APIError):
        list(stream)
    assert len(list(proxy.ledger.entries())) == 1


def test_a_token_is_needed_off_loopback():
    with pytest.raises(ConfigError, match="token"):
        Listener("0.0.0.0", 0, token=None)


def test_an_empty_token_is_refused():
    with pytest.raises(ConfigError, match="token"):
        ServeConfig(token="")


@pytest.mark.parametrize("given", [None, "Bearer nope", "Bearer s3cre", "Basic s3cret", "Bearer é"])
def test_a_wrong_token_is_a_401(serve, http, given):
    proxy = serve(token="s3cret")
    headers = {} if given is None else {"authorization": given.encode().decode("latin-1")}
    assert error_of(http.post(proxy.base_url + CHAT, ASK, headers=headers)) == (
        401,
        "invalid_api_key",
    )
    assert http.get(proxy.root + "/metrics", headers=headers)[0] == 401
    assert http.get(proxy.root + "/healthz")[0] == 200


def test_the_right_token_opens(serve):
    proxy = serve(token="s3cret")
    assert proxy.client().responses.create(model="effortctl/auto", input="hi").output_text
    assert "s3cret" not in json.dumps([dict(hit.headers) for hit in proxy.mock.hits])


@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}, {"origin": "null"}]
)
def test_no_web_page_can_spend_without_a_token(serve, http, headers):
    proxy = serve()
    assert http.post(proxy.base_url + CHAT, ASK, headers=headers)[0] == 403
    assert not proxy.mock.hits
