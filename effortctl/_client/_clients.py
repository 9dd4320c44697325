"""The client of each endpoint on a ladder: the one that was wrapped, the caller's others, and our own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Final

from effortctl._errors import ConfigError
from effortctl._types import Endpoint
from effortctl.catalog import Ladder

_SDK_DEFAULT: Final = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Who asks which endpoint. A key stays with the client that has it.

    Attributes:
        own: The endpoint of the wrapped client.
        backends: By endpoint name; each has a `client` of its endpoint.
        made: Names of the endpoints whose clients are ours to close.
    """

    own: Endpoint
    backends: Mapping[str, Any]
    made: frozenset[str]

    def backend(self, endpoint: Endpoint) -> Any:
        """Makes calls of our own at an endpoint, such as further samples; the own one, if unknown."""
        return self.backends.get(endpoint.name, self.backends[self.own.name])

    def other(self, endpoint: Endpoint) -> Any:
        """The client of another endpoint. None: the wrapped client asks it itself."""
        if endpoint.name == self.own.name or endpoint.name not in self.backends:
            return None
        return self.backends[endpoint.name].client

    def close(self) -> None:
        """Close the clients we made. They can still be used afterwards."""
        for name in self.made:
            self.backends[name].close()

    async def aclose(self) -> None:
        """`close` for asyncio."""
        for name in self.made:
            await self.backends[name].aclose()


def clients_of(ladder: Ladder, *, client: Any, given: Mapping[str, Any]) -> Clients:
    """Find or make a client for every endpoint of a ladder.

    Args:
        ladder: Its arms say where they are.
        client: The wrapped client, not wrapped.
        given: Clients of the caller's by endpoint name.

    Raises:
        ConfigError: An endpoint is none that a client can ask, its key is missing, or it cannot be told
            which endpoint the wrapped client is for.
    """
    from effortctl.backends import AsyncOpenAIBackend, OpenAIBackend  # noqa: PLC0415 - loads the SDK

    backend: Any = AsyncOpenAIBackend if iscoroutinefunction(client.post) else OpenAIBackend
    endpoints: dict[str, Endpoint] = {}
    for arm in ladder.arms:
        endpoints.setdefault(arm.endpoint.name, arm.endpoint)
    unknown = sorted(given.keys() - endpoints.keys())
    if unknown:
        raise ConfigError(
            f"clients= names {', '.join(unknown)}, but ladder {ladder.name!r} has arms at "
            f"{', '.join(endpoints)}"
        )
    own = _own(endpoints, client=client, given=given)
    others = {name: endpoint for name, endpoint in endpoints.items() if name != own.name}
    for endpoint in others.values():
        _check_http(endpoint)
    backends = {
        name: backend(endpoint, client=given.get(name)) for name, endpoint in others.items()
    }
    return Clients(
        own=own,
        backends={own.name: backend(own, client=client), **backends},
        made=frozenset(others.keys() - given.keys()),
    )


def _own(endpoints: Mapping[str, Endpoint], *, client: Any, given: Mapping[str, Any]) -> Endpoint:
    """The endpoint of the wrapped client."""
    named = [endpoints[name] for name, each in given.items() if each is client]
    left = [endpoint for name, endpoint in endpoints.items() if name not in given]
    found = named or left
    if len(found) > 1:
        here = _address(str(client.base_url))
        # An endpoint without an address is wherever the client is.
        found = [e for e in found if _address(e.base_url) == here] or [
            e for e in found if e.base_url is None
        ]
    if len(found) == 1:
        return found[0]
    places = ", ".join(f"{e.name} ({_address(e.base_url)})" for e in endpoints.values())
    raise ConfigError(
        f"it cannot be told which endpoint of the ladder this client of {client.base_url} is for: {places}. "
        "Wrap the client of one of them, or name it: clients={'openai': client}"
    )


def _check_http(endpoint: Endpoint) -> None:
    if endpoint.kind != "openai":
        raise ConfigError(
            f"endpoint {endpoint.name!r} is not asked over HTTP ({endpoint.kind}), so no client can ask it; "
            "use Controller, or a server such as llama-server, vLLM or Ollama"
        )


def _address(base_url: str | None) -> str:
    """The address in one spelling, to compare; never used to call it."""
    url = base_url or os.environ.get("OPENAI_BASE_URL") or _SDK_DEFAULT
    return url.rstrip("/").lower().replace("//localhost", "//127.0.0.1", 1)
