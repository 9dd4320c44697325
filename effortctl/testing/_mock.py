"""The mock server: an OpenAI-compatible endpoint on loopback that fails on demand and keeps count."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from effortctl._errors import ConfigError
from effortctl._types import Price, Usage
from effortctl.testing import _fault_body, _fault_status, _fault_transport
from effortctl.testing._faults import OK, FaultSpec, parse_fault, plan_fault
from effortctl.testing._http import HOST, Gate, LoopbackServer
from effortctl.testing._model import PretendModel, echo
from effortctl.testing._plans import Plan, rejected
from effortctl.testing._records import Decider, Hit, MockReply, MockRequest, RawRequest, Responder
from effortctl.testing._requests import (
    APIS,
    BadRequestError,
    effort_of,
    model_of,
    read_body,
    read_request,
    route,
)
from effortctl.testing._truth import Truth, dollars
from effortctl.testing._wire import encode, error_body

MODELS = ("gpt-6-luna", "gpt-6-sol", "gpt-6-astra")
"""What `/v1/models` lists when the catalog's rules are not enforced."""

# The fault modules register their modes when they are imported.
_REGISTERED = (_fault_status, _fault_body, _fault_transport)


class MockServer:
    """An OpenAI-compatible server on 127.0.0.1: honest by default, faulty on demand.

    It serves `/v1/responses`, `/v1/chat/completions` (both also as event streams), `/v1/decisions`
    and `/v1/models`. A fault is chosen, first match wins, by `script`, by the header `x-mock-fault`,
    by the suffix of the model id (`gpt-6-sol+fault=429:retry-after=0.5`), or at random. `FAULTS`
    lists them all.

    Args:
        responder: Says what is answered: text, or a `MockReply`. Default: the prompt's last line.
            An exception in it becomes a 500 and is kept in `errors`.
        decider: Answers the questions of `/v1/decisions`. None: probabilities drawn from the seed.
        port: TCP port; 0 picks a free one.
        seed: Decides reasoning tokens, probabilities and random faults. They depend on seed and
            request, not on the order in which requests arrive.
        latency_s: Seconds before every reply.
        enforce_catalog: Reject, as the provider does, models, efforts, tools and sampling parameters
            that the catalog says the model does not take.
        faults: Random faults: share of requests (0..1) by fault spec.
        keep_hits: How many hits to keep in full. None: all. Counts and bills are exact either way.

    Attributes:
        errors: Exceptions raised by the responder or decider.

    Example:
        >>> with MockServer(lambda request: "42") as server:
        ...     server.script(["429:retry-after=0.05", "ok"])
        ...     url = server.base_url
    """

    def __init__(
        self,
        responder: Responder = echo,
        *,
        decider: Decider | None = None,
        port: int = 0,
        seed: int = 0,
        latency_s: float = 0.0,
        enforce_catalog: bool = False,
        faults: Mapping[str, float] | None = None,
        keep_hits: int | None = None,
    ) -> None:
        self._model = PretendModel(seed=seed, responder=responder, decider=decider)
        self._wanted_port = port
        self._latency_s = latency_s
        self._enforce_catalog = enforce_catalog
        self._random_faults = _random_faults(faults or {})
        self._truth = Truth(keep_hits=keep_hits)
        self._gate = Gate()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._repeats: Counter[bytes] = Counter()
        self._scripts: dict[str | None, _Script] = {}
        self._server: LoopbackServer | None = None
        self.errors: list[Exception] = []

    # --- life ---

    def start(self) -> Self:
        """Start listening; harmless when already started."""
        if self._server is None:
            self._server = LoopbackServer(self._wanted_port, handle=self._handle, gate=self._gate)
        return self

    def stop(self) -> None:
        """Stop at once, also when requests are hanging; harmless when repeated."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The TCP port.

        Raises:
            ConfigError: The server is not running.
        """
        if self._server is None:
            raise ConfigError("the mock server is not running; use `with MockServer() as server:`")
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        """What to give to a client as `base_url`."""
        return f"http://{HOST}:{self.port}/v1"

    # --- orders ---

    def script(
        self, items: Iterable[str | MockReply], *, model: str | None = None, repeat: bool = False
    ) -> None:
        """Set what happens on the next hits, one item per hit; after the last, all is well again.

        Args:
            items: Fault specs, `"ok"`, or `MockReply` objects.
            model: Only for hits of this model. None: for models without a script of their own.
            repeat: Start over after the last item.

        Raises:
            ConfigError: An item is not a fault spec.
        """
        parsed = [parse_fault(item) if isinstance(item, str) else item for item in items]
        with self._lock:
            self._scripts[model] = _Script(deque(parsed), repeat=repeat)

    def reset(self) -> None:
        """Forget hits, bills, scripts, errors and the high-water mark."""
        with self._lock:
            self._scripts.clear()
            self._repeats.clear()
            self._numbers = itertools.count(1)
        self.errors.clear()
        self._truth.clear()
        self._gate.reset()

    # --- ground truth ---

    @property
    def hits(self) -> tuple[Hit, ...]:
        """Every request to an API, in the order in which they were answered."""
        return self._truth.hits()

    def count(self, **wanted: object) -> int:
        """How many hits there were.

        Args:
            wanted: Count only hits with these values of `path`, `model`, `effort`, `fault` or
                `status`.
        """
        return self._truth.count(wanted)

    def wait_for_hits(self, count: int, *, timeout_s: float = 10.0, **wanted: object) -> bool:
        """Wait until there are that many such hits; False when time is up first."""
        return self._truth.wait_for(count, wanted=wanted, timeout_s=timeout_s)

    @property
    def high_water(self) -> int:
        """Most requests that were open at the same time."""
        return self._gate.high_water

    @property
    def billed_usage(self) -> Usage:
        """Tokens a provider would have billed, over all models."""
        return sum(self.billed_by_model.values(), Usage())

    @property
    def billed_by_model(self) -> dict[str, Usage]:
        """Tokens a provider would have billed, by model."""
        return self._truth.billed()

    def billed_usd(self, prices: Mapping[str, Price]) -> Decimal:
        """Exact dollars a provider would have billed, at these prices by model.

        Raises:
            KeyError: A model was billed that has no price here.
        """
        billed = self.billed_by_model.items()
        return sum((dollars(usage, prices[model]) for model, usage in billed), Decimal(0))

    def stats(self) -> dict[str, Any]:
        """The ground truth as JSON; also served at `/mock/stats` for other processes."""
        billed = {model: usage.model_dump() for model, usage in self.billed_by_model.items()}
        return {"hits": self.count(), "high_water": self.high_water, "billed_usage": billed}

    # --- answering ---

    def _handle(self, raw: RawRequest) -> Plan:
        target = route(raw.path)
        if raw.method == "GET":
            return self._get(raw, target)
        if target not in APIS:
            return _unknown_url(raw)
        with self._lock:
            n = next(self._numbers)
        plan, hit = self._answer(raw, n=n)
        self._truth.record(hit)
        return replace(plan, headers=(*plan.headers, ("x-request-id", f"req_mock{n:08d}")))

    def _get(self, raw: RawRequest, target: str) -> Plan:
        if target == "/models":
            data = [
                {"id": model, "object": "model", "created": 0, "owned_by": "mock"}
                for model in MODELS
            ]
            return Plan(chunks=(encode({"object": "list", "data": data}),))
        if target == "/mock/stats":
            return Plan(chunks=(encode(self.stats()),))
        return _unknown_url(raw)

    def _answer(self, raw: RawRequest, *, n: int) -> tuple[Plan, Hit]:
        body: dict[str, Any] = {}
        fault: str | None = None
        try:
            body = read_body(raw.body)
            request, wished = read_request(raw, body, n=n, repeat=self._repeat(raw))
            spec, plan = self._decide(request, wished)
            fault = None if spec.name == OK else spec.text
        except (BadRequestError, ConfigError) as error:
            plan = rejected(400, error_body(str(error), code="mock_bad_request"))
        hit = Hit(
            path=raw.path.partition("?")[0],
            model=model_of(body),
            effort=effort_of(body),
            fault=fault,
            status=plan.seen_status,
            would_bill_usage=plan.billed,
            stream=body.get("stream") is True,
            body=body,
            headers=raw.headers,
            n=n,
        )
        return plan, hit

    def _repeat(self, raw: RawRequest) -> int:
        digest = hashlib.blake2b(raw.path.encode() + raw.body, digest_size=12).digest()
        with self._lock:
            self._repeats[digest] += 1
            return self._repeats[digest]

    def _decide(self, request: MockRequest, wished: str | None) -> tuple[FaultSpec, Plan]:
        """Choose fault and reply; provider rules come first, as they do at a provider."""
        if self._enforce_catalog:
            from effortctl.testing._rules import broken_rule  # noqa: PLC0415  # loads the catalog

            plan = broken_rule(request)
            if plan is not None:
                return FaultSpec(OK), plan
        order = self._next_order(request.model)
        spec = order if isinstance(order, FaultSpec) else self._fault_of(request, wished)
        try:
            reply = order if isinstance(order, MockReply) else self._model.reply(request)
            created = int(time.time())
            completion = self._model.complete(request, reply, created=created)
        except Exception as error:  # noqa: BLE001  # responder and decider are foreign code
            self.errors.append(error)
            text = f"The responder raised {type(error).__name__}: {error}"
            return FaultSpec(OK), rejected(500, error_body(text, kind="mock_responder_error"))
        if isinstance(order, MockReply) or spec.name == OK:
            spec = _fault_in(reply, otherwise=spec)
        plan = plan_fault(completion, spec)
        return spec, replace(plan, delay_s=plan.delay_s + reply.delay_s + self._latency_s)

    def _next_order(self, model: str) -> FaultSpec | MockReply | None:
        with self._lock:
            script = self._scripts.get(model) or self._scripts.get(None)
            return script.next() if script else None

    def _fault_of(self, request: MockRequest, wished: str | None) -> FaultSpec:
        if wished:
            return parse_fault(wished)
        draw = self._model.rng(request, "fault").random()
        for spec, share in self._random_faults:
            draw -= share
            if draw < 0:
                return spec
        return FaultSpec(OK)


class _Script:
    """Orders for the next hits."""

    def __init__(self, items: deque[FaultSpec | MockReply], *, repeat: bool) -> None:
        self._items = items
        self._repeat = repeat

    def next(self) -> FaultSpec | MockReply | None:
        if not self._items:
            return None
        item = self._items.popleft()
        if self._repeat:
            self._items.append(item)
        return item


def _random_faults(faults: Mapping[str, float]) -> list[tuple[FaultSpec, float]]:
    if any(share < 0 for share in faults.values()) or sum(faults.values()) > 1:
        raise ConfigError(
            f"shares of random faults must lie in 0..1 and add up to at most 1: {faults}"
        )
    return [(parse_fault(text), share) for text, share in faults.items()]


def _fault_in(reply: MockReply, *, otherwise: FaultSpec) -> FaultSpec:
    if reply.fault is not None:
        return parse_fault(reply.fault)
    if reply.finish == "context_exceeded":
        return parse_fault("context-length-exceeded")
    return otherwise


def _unknown_url(raw: RawRequest) -> Plan:
    text = f"Unknown request URL: {raw.method} {raw.path}."
    return rejected(404, error_body(text, code="unknown_url"))
