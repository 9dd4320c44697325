"""The application: paths, and what happens between a request and its reply."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from effortctl.serve._config import ServeConfig
from effortctl.serve._faults import refuse
from effortctl.serve._guard import Guard
from effortctl.serve._metrics import Metrics
from effortctl.serve._receipts import CURRENT, Receipt, Receipts
from effortctl.serve._replays import Replays
from effortctl.serve._replies import Reply, document_reply, error_reply, stream_reply
from effortctl.serve._tasks import ClientGoneError, InFlight, unless_gone
from effortctl.serve._upstream import Upstream
from effortctl.serve._wanted import Api, Wanted, read_wanted

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_BODY_S = 60.0
_LONGEST_NUMBER = 20
_CLIENT_CLOSED = 499
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PATHS: dict[str, Api] = {"/v1/responses": "responses", "/v1/chat/completions": "chat"}


def build_app(config: ServeConfig) -> ASGIApp:
    """An ASGI application that answers OpenAI's Responses and Chat Completions.

    It must run in one process: `Idempotency-Key` and metrics are kept in memory.

    Args:
        config: How requests are answered.

    Raises:
        ConfigError: An option makes no sense, or the endpoint's key is missing.
        StoreError: The policy file is missing or damaged.
    """
    return _Service(config).app()


class _Service:
    def __init__(self, config: ServeConfig) -> None:
        self._config = config
        self._metrics = Metrics()
        self._tasks = InFlight()
        self._replays = Replays(self._tasks)
        self._upstream = Upstream(config, traces=Receipts(self._metrics, config.traces))

    def app(self) -> ASGIApp:
        """It as an ASGI application."""
        gets = {
            "/v1/models": self._models,
            "/healthz": self._health,
            "/metrics": self._numbers,
        }
        routes = [
            *(
                Route(path, partial(self._generate, api), methods=["POST"])
                for path, api in _PATHS.items()
            ),
            *(Route(path, answer, methods=["GET"]) for path, answer in gets.items()),
            Route("/v1/models/{name:path}", self._model, methods=["GET"]),
        ]
        app = Starlette(
            routes=routes,
            lifespan=self._life,
            exception_handlers={HTTPException: self._no_such_path},
        )
        return Guard(
            app,
            token=self._config.token,
            metrics=self._metrics,
            tasks=self._tasks,
            paths=frozenset(_PATHS) | frozenset(gets),
        )

    @contextlib.asynccontextmanager
    async def _life(self, _app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self._tasks.settle()
            await self._upstream.close()

    # --- generating ---

    async def _generate(self, api: Api, request: Request) -> Response:
        receipt = Receipt()
        CURRENT.set(receipt)
        try:
            raw = await _body(request, self._config.max_body_bytes)
            wanted = read_wanted(api, raw, mode=self._config.stream)
            make: Callable[[], Coroutine[Any, Any, Reply]] = partial(self._answer, wanted, receipt)
            key = request.headers.get("idempotency-key")
            if key is not None:
                make = partial(self._replays.once, key, api.encode() + b"\n" + raw, make)
            reply = await unless_gone(request.receive, self._tasks.start(make()))
        except (ClientGoneError, ClientDisconnect):
            return Response(status_code=_CLIENT_CLOSED)
        except Exception as error:  # noqa: BLE001 - the border to the client, which gets an error, not a traceback
            reply = error_reply(error, receipt.trace)
        return reply.response(self._tasks)

    async def _answer(self, wanted: Wanted, receipt: Receipt) -> Reply:
        until = self._until(wanted)
        async with asyncio.timeout_at(until):
            made = await self._upstream.post(wanted)
        if wanted.stream:
            return stream_reply(made, wanted.api, receipt=receipt, until=until)
        return document_reply(made, receipt.trace)

    def _until(self, wanted: Wanted) -> float | None:
        """When a call that is passed through is cut off; managed ones keep their deadline themselves."""
        deadline_s = self._config.deadline_s
        if deadline_s is None or self._upstream.is_managed(wanted):
            return None
        return asyncio.get_running_loop().time() + deadline_s

    # --- the rest ---

    async def _models(self, _request: Request) -> Response:
        data = [_model_card(name) for name in self._upstream.models()]
        return JSONResponse({"object": "list", "data": data})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            self._upstream.check_model(name)
        except Exception as error:  # noqa: BLE001 - as in `_generate`
            return error_reply(error).response(self._tasks)
        return JSONResponse(_model_card(name))

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _numbers(self, _request: Request) -> Response:
        text = self._metrics.text(in_flight=len(self._tasks))
        return PlainTextResponse(text, headers={"content-type": _METRICS_TYPE})

    async def _no_such_path(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        known = ", ".join((*_PATHS, "/v1/models"))
        told = refuse(
            status, "not_found", f"{request.method} {request.url.path} is not served; {known} are"
        )
        return error_reply(told).response(self._tasks)


async def _body(request: Request, most: int) -> bytes:
    """The body of a request.

    Raises:
        RefusedError: It is larger than allowed, or comes too slowly.
    """
    told = request.headers.get("content-length", "")
    pieces, size = (
        [],
        int(told) if told.isascii() and told.isdigit() and len(told) < _LONGEST_NUMBER else 0,
    )
    try:
        async with asyncio.timeout(_BODY_S):
            if size <= most:
                size = 0
                async for piece in request.stream():
                    size += len(piece)
                    if size > most:
                        break
                    pieces.append(piece)
    except TimeoutError:
        raise refuse(
            408, "request_timeout", f"the body of a request has to come within {_BODY_S:.0f} s"
        ) from None
    if size > most:
        raise refuse(413, "request_too_large", f"a request has at most {most} bytes")
    return b"".join(pieces)


def _model_card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "effortctl"}
