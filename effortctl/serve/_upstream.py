"""The endpoints behind: a client of the SDK for each, wrapped once for each way in which it is to answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import openai
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from effortctl._client import wrap
from effortctl._client._conversation import Conversations
from effortctl._errors import ConfigError
from effortctl._types import Arm, Budget, Endpoint
from effortctl.backends._openai import foreign_headers, read_key
from effortctl.catalog import ArmRequest, Ladder, load_catalog, load_ladder, parse_arm, resolve
from effortctl.protocols import Ledger, TraceSink
from effortctl.serve._config import ServeConfig, StreamMode
from effortctl.serve._events import EventDecoder
from effortctl.serve._faults import refuse
from effortctl.serve._wanted import AUTO, Api, Wanted
from effortctl.stores import MemoryLedger, SqliteLedger

if TYPE_CHECKING:
    import httpx2

_KEEP_CLIENTS: Final = 256
_SIGNED: Final = {"security": {"bearer_auth": True}}
_PATHS: Final[Mapping[Api, str]] = {"responses": "/responses", "chat": "/chat/completions"}
_TYPES: Final[Mapping[Api, Any]] = {"responses": Response, "chat": ChatCompletion}


@dataclass(frozen=True, slots=True)
class _Manner:
    """A way to answer: clients are made once for each, and kept while they are used.

    Attributes:
        endpoint: Name of the endpoint that gets what is passed through.
        arm: The one arm that may answer. None: the ladder.
        verify: Checks the request brings.
        strict: No answer rather than one that failed.
        mode: What a stream may show before its check has passed.
    """

    endpoint: str
    arm: str | None = None
    verify: tuple[str, ...] = ()
    strict: bool = False
    mode: StreamMode = "buffer_until_verified"


class Upstream:
    """Answers what is wanted with the endpoints of a ladder.

    Args:
        config: How.
        traces: Receives every finished trace.

    Raises:
        ConfigError: An arm is not at an HTTP endpoint, the key of an endpoint is missing, or an option
            makes no sense.
        StoreError: The policy file is missing or damaged.
    """

    def __init__(self, config: ServeConfig, *, traces: TraceSink) -> None:
        self._config = config
        self._traces = traces
        self.ladder = load_ladder(config.ladder)
        self._endpoints = _http_endpoints(self.ladder)
        self._arms = {arm.name: arm for arm in self.ladder.arms}
        self._policy = _loaded(config.policy)
        self._ledger = config.ledger or _ledger(config)
        self._clients = {name: _client(each) for name, each in self._endpoints.items()}
        self._conversations = Conversations()
        self._wrapped: OrderedDict[_Manner, Any] = OrderedDict()
        # Whatever is wrong with the options is told here.
        self._wrap(_Manner(self.ladder.arms[0].endpoint.name, mode=config.stream))

    def models(self) -> list[str]:
        """Ids to offer: ours, the models of the ladder, and its arms."""
        names = [AUTO, *(arm.model for arm in self.ladder.arms), *self._arms]
        return list(dict.fromkeys(names))

    def check_model(self, name: str) -> None:
        """Refuse a model nobody knows.

        Raises:
            RefusedError: With status 404.
        """
        model = name.rpartition("@")[0] or name
        if name == AUTO or name in self._arms or any(a.model == model for a in self._arms.values()):
            return
        catalog = load_catalog()
        try:
            catalog.card(model, allow_unknown=False)
        except ConfigError as error:
            raise refuse(404, "model_not_found", str(error), param="model") from None

    async def post(self, wanted: Wanted) -> Any:
        """Answer: a response of the SDK, or a stream of its events.

        Raises:
            RefusedError: The model is unknown.
            EffortctlError: As `Controller.run`.
            openai.OpenAIError: As the bare client, for a call that is passed through.
        """
        self.check_model(wanted.arm or wanted.model)
        arm = self._arm(wanted)
        body = dict(wanted.body)
        if arm is not None:
            body = _without_effort(body) | {"model": AUTO}
        manner = _Manner(
            self._home(wanted.model).name if arm is None else arm.endpoint.name,
            None if arm is None else arm.name,
            wanted.verify,
            wanted.strict,
            wanted.mode,
        )
        return await self._wrap(manner, arm).post(
            _PATHS[wanted.api],
            cast_to=_TYPES[wanted.api],
            body=body,
            options=dict(_SIGNED),
            stream=wanted.stream,
            stream_cls=openai.AsyncStream[object],
        )

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.close()

    def is_managed(self, wanted: Wanted) -> bool:
        """True when we choose, or check; False for a call that is passed through."""
        return wanted.is_auto or bool(wanted.arm or wanted.verify) or wanted.model in self._arms

    def _arm(self, wanted: Wanted) -> Arm | None:
        """The one arm a request names. None: it leaves the choice to us, or is passed through."""
        if wanted.is_auto or not self.is_managed(wanted):
            return None
        name = wanted.arm or wanted.model
        if name in self._arms:
            return self._arms[name]
        if wanted.arm is None:
            name = f"{wanted.model}@{_effort(wanted.body)}"
        if name in self._arms:
            return self._arms[name]
        asked = parse_arm(name)
        home = self._home(asked.model)
        arm = resolve(ArmRequest(model=asked.model, effort=asked.effort, endpoint=home))
        price = next((a.price for a in self.ladder.arms if a.model == arm.model), None)
        return arm.model_copy(update={"price": price})

    def _home(self, model: str) -> Endpoint:
        """Who serves a model: the endpoint of its first arm, else its maker's if that is ours, else the first."""
        first = self.ladder.arms[0].endpoint
        if model == AUTO or len(self._endpoints) == 1:
            return first
        named = next((arm.endpoint for arm in self.ladder.arms if arm.model == model), None)
        return named or self._endpoints.get(load_catalog().home(model) or "", first)

    def _wrap(self, manner: _Manner, arm: Arm | None = None) -> Any:
        found = self._wrapped.get(manner)
        if found is None:
            found = self._wrapped[manner] = self._make(manner, arm)
            if len(self._wrapped) > _KEEP_CLIENTS:
                self._wrapped.popitem(last=False)
        self._wrapped.move_to_end(manner)
        return found

    def _make(self, manner: _Manner, arm: Arm | None) -> Any:
        config = self._config
        ladder = self.ladder if arm is None else Ladder(name=arm.name, arms=(arm,))
        names = {each.endpoint.name for each in ladder.arms}
        return wrap(
            self._clients[manner.endpoint],
            ladder=ladder,
            clients={name: self._clients[name] for name in names},
            policy=self._policy if arm is None else None,
            verify=[*config.verify, *manner.verify] or None,
            budget=config.budget,
            stream=manner.mode,
            on_not_accepted="raise" if manner.strict else "return",
            ledger=self._ledger,
            traces=self._traces,
            deadline_s=config.deadline_s,
            conversations=self._conversations,
        )


def _http_endpoints(ladder: Ladder) -> dict[str, Endpoint]:
    for arm in ladder.arms:
        if arm.endpoint.kind != "openai":
            raise ConfigError(
                f"arm {arm.name!r} of ladder {ladder.name!r} is not at an HTTP endpoint "
                f"({arm.endpoint.kind}); serve needs one, such as a llama.cpp, vLLM or Ollama server, or a "
                "provider"
            )
    return {arm.endpoint.name: arm.endpoint for arm in reversed(ladder.arms)}


def _loaded(policy: Any) -> Any:
    if not isinstance(policy, str | Path):
        return policy
    from effortctl._fitted_policy import FittedPolicy  # noqa: PLC0415 - NumPy is slow to load

    return FittedPolicy.load(policy)


def _ledger(config: ServeConfig) -> Ledger:
    shared = config.budget is not None and Budget.parse(config.budget).scope is not None
    return SqliteLedger() if shared else MemoryLedger()


class _Client(openai.AsyncOpenAI):
    """A client that gives events as plain JSON, where asked for a stream of `object`."""

    def _make_sse_decoder(self) -> Any:
        return EventDecoder()


def _http() -> httpx2.AsyncClient:
    """What the SDK sends by: aiohttp takes a quarter less CPU for a stream than its usual transport."""
    try:
        return openai.DefaultAioHttpClient()
    except RuntimeError as error:  # so the SDK says that aiohttp is not there
        raise ConfigError("serve needs aiohttp; pip install 'effortctl[serve]'") from error


def _client(endpoint: Endpoint) -> openai.AsyncOpenAI:
    return _Client(
        http_client=_http(),
        api_key=read_key(endpoint),
        base_url=endpoint.base_url,
        default_headers=foreign_headers(endpoint),
    )


def _effort(body: Mapping[str, Any]) -> str:
    reasoning = body.get("reasoning")
    of_responses = reasoning.get("effort") if isinstance(reasoning, Mapping) else None
    return str(body.get("reasoning_effort") or of_responses or "default")


def _without_effort(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body without an effort, which the arm has."""
    kept = {name: value for name, value in body.items() if name != "reasoning_effort"}
    reasoning = kept.get("reasoning")
    if isinstance(reasoning, Mapping):
        kept["reasoning"] = {k: v for k, v in reasoning.items() if k != "effort"}
    return kept
