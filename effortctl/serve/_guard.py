"""Who may ask: a token, or else only programs of this machine, and no web page in its browser."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from effortctl.serve._config import is_loopback
from effortctl.serve._faults import RefusedError, refuse
from effortctl.serve._metrics import Metrics
from effortctl.serve._replies import error_reply
from effortctl.serve._tasks import InFlight

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = frozenset({"/healthz"})
_OWN_SITES = frozenset({"same-origin", "none"})


class Guard:
    """Refuses strangers, and counts every request.

    Without a token, requests must be made to a loopback name, so that a foreign name which resolves to
    this machine does not count, and must not come from a web page: neither from one of elsewhere nor
    from one that another program of this machine serves. Browsers say so in headers that pages cannot
    change (`Origin`, `Sec-Fetch-Site`).

    Args:
        app: What is guarded.
        token: What clients must send. None: nothing.
        metrics: Counts.
        tasks: Where replies are sent from.
        paths: Paths that are counted by name.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        metrics: Metrics,
        tasks: InFlight,
        paths: frozenset[str],
    ) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._metrics = metrics
        self._tasks = tasks
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = path if path in self._paths else "other"
                self._metrics.request(named, message["status"])
            await send(message)

        try:
            if path not in OPEN_PATHS:
                self._check(Headers(scope=scope))
        except RefusedError as error:
            await error_reply(error).response(self._tasks)(scope, receive, counted)
            return
        await self._app(scope, receive, counted)

    def _check(self, headers: Headers) -> None:
        if self._token is not None:
            kind, _, given = headers.get("authorization", "").partition(" ")
            # Compared in constant time, so that the token cannot be found out letter by letter.
            same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
            if kind.lower() != "bearer" or not same:
                raise refuse(
                    401,
                    "invalid_api_key",
                    "send the endpoint's token as `Authorization: Bearer`",
                    headers={"www-authenticate": "Bearer"},
                )
            return
        host = headers.get("host", "")
        if not is_loopback(_host(f"//{host}")):
            raise refuse(403, "foreign_host", "without a token, ask 127.0.0.1 or localhost")
        if _of_a_page(headers, host):
            raise refuse(
                403, "foreign_origin", "without a token, no web page may ask; set EFFORTCTL_TOKEN"
            )


def _of_a_page(headers: Headers, host: str) -> bool:
    """True for a request that a browser makes for a page which does not come from here."""
    origins = headers.getlist("origin")
    sites = headers.getlist("sec-fetch-site")
    own = all(origin.lower() == f"http://{host}".lower() for origin in origins)
    return not own or not {site.lower() for site in sites} <= _OWN_SITES


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
