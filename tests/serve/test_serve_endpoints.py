"""`effortctl serve` with one ladder over several endpoints: a local floor, then a provider."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from decimal import Decimal
from types import SimpleNamespace

import openai
import pytest

from effortctl import Arm, ConfigError, Endpoint, Price
from effortctl.serve import ServeConfig, build_app
from effortctl.stores import MemoryLedger, SqliteLedger
from effortctl.testing import MockServer

MESSAGES = [{"role": "user", "content": "What is 17*24?"}]
KEYS = {"FLOOR_API_KEY": "key-of-the-floor", "TOP_API_KEY": "key-of-the-top"}


def _arm(model, endpoint):
    price = Price(input_usd_per_mtok=1, output_usd_per_mtok=2)
    return Arm(name=f"{model}@low", model=model, effort="low", endpoint=endpoint, price=price)


@pytest.fixture
def places(monkeypatch):
    """Two mock servers with a key each, and the ladder over them."""
    for variable, key in KEYS.items():
        monkeypatch.setenv(variable, key)
    with MockServer(lambda request: "41") as floor, MockServer(lambda request: "408") as top:
        at_floor = Endpoint(name="floor", base_url=floor.base_url, api_key_env="FLOOR_API_KEY")
        at_top = Endpoint(name="top", base_url=top.base_url, api_key_env="TOP_API_KEY")
        ladder = [_arm("small", at_floor), _arm("gpt-6-luna", at_top)]
        yield SimpleNamespace(floor=floor, top=top, ladder=ladder)


@pytest.fixture
def proxy(places, serve):
    """Starts the endpoint over both servers; gives a client of it."""

    def start(**options):
        return serve(mock=places.floor, ladder=places.ladder, **options).client()

    return start


def keys_seen(places):
    return [
        {hit.headers["authorization"].removeprefix("Bearer ") for hit in server.hits}
        for server in (places.floor, places.top)
    ]


def test_a_failed_check_at_the_floor_escalates_to_the_provider(places, proxy):
    ledger = MemoryLedger()
    client = proxy(verify=["number:408"], ledger=ledger)
    raw = client.chat.completions.with_raw_response.create(
        model="effortctl/auto", messages=MESSAGES
    )
    assert raw.parse().choices[0].message.content == "408"
    assert raw.headers["x-effortctl-arm"] == "gpt-6-luna@low"
    assert raw.headers["x-effortctl-attempts"] == "2"
    assert keys_seen(places) == [{"key-of-the-floor"}, {"key-of-the-top"}]
    entries = list(ledger.entries())
    assert [entry.arm for entry in entries] == ["small@low", "gpt-6-luna@low"]
    booked = sum(entry.cost_usd for entry in entries)
    assert booked == Decimal(raw.headers["x-effortctl-cost-usd"]) > 0


@pytest.mark.parametrize("mode", ["buffer_until_verified", "commit_first"])
def test_a_stream_comes_from_the_endpoint_whose_answer_is_shown(places, proxy, mode):
    client = proxy(verify=["number:408"], stream=mode)
    with client.responses.stream(model="effortctl/auto", input="17*24?") as stream:
        shown = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
    assert shown == ("408" if mode == "buffer_until_verified" else "41")
    assert [len(places.floor.hits), len(places.top.hits)] == (
        [1, 1] if mode == "buffer_until_verified" else [1, 0]
    )


def test_a_model_is_passed_through_to_the_endpoint_of_its_arm(places, proxy):
    client = proxy()
    for model in ("small", "gpt-6-luna", "gpt-6-luna@low"):
        client.chat.completions.create(model=model, messages=MESSAGES)
    assert [hit.model for hit in places.floor.hits] == ["small"]
    assert [hit.model for hit in places.top.hits] == ["gpt-6-luna", "gpt-6-luna"]
    assert keys_seen(places) == [{"key-of-the-floor"}, {"key-of-the-top"}]


def test_a_model_that_no_arm_has_goes_to_its_maker_if_that_is_on_the_ladder(places, proxy):
    (floor, top) = places.ladder
    maker = top.endpoint.model_copy(update={"name": "openai", "price_provider": "openai"})
    places.ladder = [floor, top.model_copy(update={"endpoint": maker})]
    proxy().chat.completions.create(model="gpt-6-sol", messages=MESSAGES)
    assert [hit.model for hit in places.top.hits] == ["gpt-6-sol"]
    assert not places.floor.hits


def test_a_follow_up_stays_where_its_previous_response_is_kept(places, proxy):
    client = proxy(verify=["number:408"])
    first = client.responses.create(model="effortctl/auto", input="17*24?")
    client.responses.create(
        model="effortctl/auto",
        input="Sure?",
        previous_response_id=first.id,
        extra_body={"effortctl": {"verify": "contains:408"}},
    )
    assert [len(places.floor.hits), len(places.top.hits)] == [1, 2]
    assert places.top.hits[-1].body["previous_response_id"] == first.id


@pytest.mark.parametrize("variable", sorted(KEYS))
def test_any_missing_key_is_told_at_the_start(places, monkeypatch, variable):
    monkeypatch.delenv(variable)
    with pytest.raises(ConfigError, match=f"needs a key: set .* {variable}"):
        build_app(ServeConfig(ladder=places.ladder))


def test_an_arm_that_is_at_no_http_endpoint_is_named_at_the_start(places):
    inside = _arm("tiny", Endpoint(name="local", kind="local"))
    with pytest.raises(ConfigError, match=r"arm 'tiny@low' .* is not at an HTTP endpoint"):
        build_app(ServeConfig(ladder=[*places.ladder, inside]))


def test_the_command_serves_a_ladder_file_over_two_endpoints(places, tmp_path):
    def table(arm):
        at = arm.endpoint
        return (
            f'[[arm]]\nmodel = "{arm.model}"\neffort = "low"\n'
            f'endpoint = {{ name = "{at.name}", base_url = "{at.base_url}", api_key_env = "{at.api_key_env}" }}\n'
            "price = { input_usd_per_mtok = 1, output_usd_per_mtok = 2 }\n"
        )

    (tmp_path / "two.toml").write_text("\n".join(map(table, places.ladder)))
    command = f"{sys.executable} -m effortctl serve --ladder two.toml --port 0 --verify number:408 --ledger l.sqlite3 --budget $1"
    with subprocess.Popen(
        command.split(), cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        try:
            (url,) = re.findall(r"listening on (\S+)", process.stdout.readline())
            with openai.OpenAI(base_url=url, api_key="none") as client:
                reply = client.responses.create(model="effortctl/auto", input="17*24?")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    assert reply.output_text == "408"
    assert keys_seen(places) == [{"key-of-the-floor"}, {"key-of-the-top"}]
    with SqliteLedger(tmp_path / "l.sqlite3") as ledger:
        assert [entry.model for entry in ledger.entries()] == ["small", "gpt-6-luna"]
