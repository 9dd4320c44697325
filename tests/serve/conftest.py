"""A running endpoint in front of the mock server, in a thread of this process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve'")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

import openai  # noqa: E402 - after the check for what may be missing

from effortctl import Arm, Endpoint, Price  # noqa: E402 - as above
from effortctl.serve import Listener, ServeConfig, build_app  # noqa: E402 - as above
from effortctl.serve._run import server_config  # noqa: E402 - as above
from effortctl.stores import MemoryLedger  # noqa: E402 - as above
from effortctl.testing import MockServer  # noqa: E402 - as above

# The npm client reads its registry and proxy from here; the rest of a test's home is empty.
_REAL_HOME = os.environ.get("HOME", "")
PRICE = Price(input_usd_per_mtok="1", output_usd_per_mtok="2")


def arms(base_url, *, price=PRICE, endpoint="mine", key_env=None):
    """Two arms of a server: gpt-6-luna at low effort, gpt-6-sol at high effort."""
    at = Endpoint(name=endpoint, base_url=base_url, api_key_env=key_env)
    return [
        Arm(
            name=f"{model}@{effort}",
            model=model,
            effort=effort,
            endpoint=at,
            price=price,
            max_output_tokens=8000,
        )
        for model, effort in (("gpt-6-luna", "low"), ("gpt-6-sol", "high"))
    ]


@dataclass
class Proxy:
    """A running endpoint."""

    base_url: str
    root: str
    mock: MockServer
    ledger: Any
    token: str | None
    stack: ExitStack

    def client(self, **options):
        """The official client, pointed at the endpoint."""
        return self.stack.enter_context(openai.OpenAI(**self._options(options)))

    def aclient(self, **options):
        """The official async client, pointed at the endpoint."""
        return openai.AsyncOpenAI(**self._options(options))

    def _options(self, options):
        return {"base_url": self.base_url, "api_key": self.token or "none", **options}


@contextmanager
def running(app, *, token=None):
    """Serve an app until the end of the block; gives its base_url."""
    with Listener("127.0.0.1", 0, token=token) as listener:
        server = uvicorn.Server(server_config(app, grace_s=10))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener.socket]})
        thread.start()
        try:
            yield listener.base_url
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Any]:
    """Starts an endpoint in front of a mock server."""
    with ExitStack() as stack:

        def start(responder=None, *, mock=None, **options):
            mock = mock or (MockServer(responder) if responder else MockServer())
            stack.enter_context(mock)
            ledger = options.pop("ledger", None) or MemoryLedger()
            of_arms = {n: options.pop(n) for n in ("price", "endpoint", "key_env") if n in options}
            ladder = options.pop("ladder", None) or arms(mock.base_url, **of_arms)
            config = ServeConfig(ladder=ladder, ledger=ledger, **options)
            token = options.get("token")
            base_url = stack.enter_context(running(build_app(config), token=token))
            root = base_url.removesuffix("/v1")
            return Proxy(base_url, root, mock, ledger, token, stack)

        yield start


def post(url, body, *, headers=None, timeout=30):
    """One request with nothing but the standard library: status, headers, text."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"content-type": "application/json", **(headers or {})}
    return _sent(urllib.request.Request(url, data=data, headers=sent, method="POST"), timeout)


def get(url, *, headers=None):
    """As `post`, with GET."""
    return _sent(urllib.request.Request(url, headers=headers or {}), 30)


def _sent(request, timeout):
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return (
                reply.status,
                {name.lower(): value for name, value in reply.headers.items()},
                reply.read().decode(),
            )
    except urllib.error.HTTPError as error:
        with error:
            headers = {name.lower(): value for name, value in error.headers.items()}
            return error.code, headers, error.read().decode()


def until(condition, *, seconds=10.0):
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.01)


@pytest.fixture
def http():
    """Plain HTTP."""
    return SimpleNamespace(post=post, get=get, until=until)


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory):
    """A folder with the official Node client."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "openai"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "HOME": _REAL_HOME},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("the package registry did not answer in time")
    if done.returncode != 0:
        pytest.skip(f"npm cannot install the client: {done.stderr.strip()[-200:]}")
    return folder
