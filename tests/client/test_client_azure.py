"""Azure clients end to end: deployments in the path, the API version in the query, managed or passed through."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import openai
import pytest
from sdk_calls import API

import effortctl
from effortctl.catalog import ArmRequest
from effortctl.stores import MemoryLedger
from effortctl.testing import MockServer

ASK = {
    "chat": {"messages": [{"role": "user", "content": "What is 17*24?"}]},
    "responses": {"input": "What is 17*24?"},
}
PRICE = effortctl.Price(input_usd_per_mtok=Decimal("0.1"), output_usd_per_mtok=Decimal("0.5"))
LADDER = [
    ArmRequest(model="our-luna", endpoint={"name": "azure"}, effort=effort, price=PRICE)
    for effort in ("none", "medium")
]
VERSION = "2026-10-01"


def by_effort(request):
    return "it is 41" if request.effort == "none" else "it is 408"


@pytest.fixture
def server():
    with MockServer(by_effort) as running:
        yield running
        assert not running.errors


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


@pytest.fixture(params=sorted(API))
def api(request):
    return request.param


class Azure:
    """A wrapped Azure client of either kind whose requests reach a server that knows no deployments."""

    def __init__(self, server, kind, **options):
        self.urls = []
        self.is_async = kind == "async"
        self.ledger = MemoryLedger()
        cls = openai.AsyncAzureOpenAI if self.is_async else openai.AzureOpenAI
        hook = self._aremember if self.is_async else self._remember
        http = openai.DefaultAsyncHttpxClient if self.is_async else openai.DefaultHttpxClient
        client = cls(
            azure_endpoint=server.base_url.removesuffix("/v1"),
            api_key="azure-key",
            api_version=VERSION,
            http_client=http(event_hooks={"request": [hook]}),
        )
        self.client = effortctl.wrap(client, **{"ladder": LADDER, "ledger": self.ledger} | options)
        assert isinstance(self.client, cls)

    def _remember(self, request):
        self.urls.append(request.url)
        path = "/responses" if request.url.path.endswith("/responses") else "/chat/completions"
        request.url = request.url.copy_with(path=f"/v1{path}")

    async def _aremember(self, request):
        self._remember(request)

    def call(self, api, **kwargs):
        """One call; a stream is read to its end."""
        if self.is_async:
            return asyncio.run(self._acall(api, kwargs))
        with self.client as client:
            made = API[api](client).create(**ASK[api], **kwargs)
            return (made, list(made)) if kwargs.get("stream") else made

    async def _acall(self, api, kwargs):
        async with self.client as client:
            made = await API[api](client).create(**ASK[api], **kwargs)
            return (made, [event async for event in made]) if kwargs.get("stream") else made

    @property
    def paths(self):
        assert all(dict(url.params) == {"api-version": VERSION} for url in self.urls)
        return [url.path for url in self.urls]


PATH = {
    "chat": "/openai/deployments/our-luna/chat/completions",
    "responses": "/openai/responses",
}


def test_a_managed_call_goes_to_the_deployment_of_each_arm(server, kind, api):
    azure = Azure(server, kind, verify="number:408", budget="$0.10")
    reply = azure.call(api, model="auto")
    known = effortctl.info(reply)
    assert [attempt.arm for attempt in known.trace.attempts] == [
        "our-luna@none",
        "our-luna@medium",
    ]
    assert known.verified
    assert known.cost_usd == sum(entry.cost_usd for entry in azure.ledger.entries()) > 0
    assert azure.paths == [PATH[api]] * 2
    assert [hit.model for hit in server.hits] == ["our-luna"] * 2
    assert all(hit.headers["api-key"] == "azure-key" for hit in server.hits)


def test_a_call_that_passes_through_goes_to_its_deployment_and_is_priced(server, kind, api):
    azure = Azure(server, kind, budget="$0.10")
    reply = azure.call(api, model="our-luna")
    known = effortctl.info(reply)
    assert not known.managed
    assert known.cost_usd == next(iter(azure.ledger.entries())).cost_usd > 0
    assert azure.paths == [PATH[api]]


@pytest.mark.parametrize("model", ["auto", "our-luna"])
def test_streams_go_to_the_deployment_and_are_booked_exactly(server, kind, api, model):
    azure = Azure(server, kind)
    stream, events = azure.call(api, model=model, stream=True)
    assert events
    assert not effortctl.info(stream).estimated
    assert azure.paths == [PATH[api]]


def test_a_copy_keeps_the_deployments_and_the_version(server):
    azure = Azure(server, "sync")
    copied = azure.client.with_options(timeout=9.0)
    copied.chat.completions.create(model="auto", **ASK["chat"])
    assert azure.paths == [PATH["chat"]]
    copied.close()


def test_a_deployment_nobody_has_a_price_for_is_refused_under_a_budget(server):
    azure = Azure(server, "sync", budget="$0.10")
    with pytest.raises(effortctl.UnknownPriceError, match="unheard-of"):
        azure.call("chat", model="unheard-of")
    assert server.count() == 0


def test_a_client_of_one_deployment_is_wrapped_as_it_is(server):
    urls = []

    def hook(request):
        urls.append(request.url.path)
        request.url = request.url.copy_with(path="/v1/chat/completions")

    client = openai.AzureOpenAI(
        azure_endpoint=server.base_url.removesuffix("/v1"),
        azure_deployment="only-one",
        api_key="k",
        api_version=VERSION,
        http_client=openai.DefaultHttpxClient(event_hooks={"request": [hook]}),
    )
    with effortctl.wrap(client, ladder=LADDER, verify="number:408") as wrapped:
        reply = wrapped.chat.completions.create(model="auto", **ASK["chat"])
    assert effortctl.info(reply).attempts == 2
    assert urls == ["/openai/deployments/only-one/chat/completions"] * 2
