"""Listening, and stopping gently."""

from __future__ import annotations

import signal
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

import uvicorn

from effortctl._errors import ConfigError
from effortctl.serve._config import Address
from effortctl.serve._connections import Connection

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_BACKLOG = 2048


class Listener:
    """A socket that takes connections from now on; they are answered once `run` runs.

    Args:
        host: Name or IP address; other machines can reach the endpoint unless it is a loopback one.
        port: TCP port; 0 picks a free one.
        token: What clients must send. None: nothing, which needs a loopback address.

    Raises:
        ConfigError: A token is needed, or the address cannot be used.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8787, *, token: str | None) -> None:
        Address(host, port).check_token(token)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self.socket = socket.create_server(
                (host.strip("[]"), port), family=family, backlog=_BACKLOG
            )
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"cannot listen on {host} port {port}: {error}; choose another --port"
            ) from error
        self._host = f"[{host.strip('[]')}]" if ":" in host else host

    @property
    def base_url(self) -> str:
        """What to give to a client as `base_url`."""
        return f"http://{self._host}:{self.socket.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.socket.close()


def server_config(app: ASGIApp, *, grace_s: int) -> uvicorn.Config:
    """How uvicorn is to serve: nothing is logged but its own mistakes, nothing is believed of a proxy."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        access_log=False,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=grace_s,
        server_header=False,
        proxy_headers=False,
    )


def run(app: ASGIApp, listener: Listener, *, grace_s: int = 10) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and settle the books.

    Args:
        app: What `build_app` made.
        listener: Where it listens.
        grace_s: Seconds that requests under way get to finish; then they are stopped and booked.

    Raises:
        KeyboardInterrupt: It was stopped by SIGINT, after all that.
    """
    config = server_config(app, grace_s=grace_s)
    # The server raises the signal again once it has stopped; it must not kill us before the books close.
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: None) if in_main else None
    try:
        uvicorn.Server(config).run(sockets=[listener.socket])
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
