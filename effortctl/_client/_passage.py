"""A call that is passed through, while the SDK makes its requests: each is booked, none outlives its time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import openai

from effortctl._client._meter import Booking, in_thread
from effortctl._errors import DeadlineExceededError

CURRENT: Final[ContextVar[Passage | None]] = ContextVar("effortctl_passage", default=None)
"""The call whose requests the SDK is making; threads and tasks it starts see it too."""

SLACK_S: Final = 1.0
"""Seconds that the SDK's own timeout outlasts ours, so that it is ours that strikes."""


@dataclass(slots=True)
class Passage:
    """One call that is passed through, over all the requests the SDK makes for it.

    Attributes:
        booking: Its money and its time.
    """

    booking: Booking
    _request: Any = None
    _fault: Exception | None = None

    def sent(self, request: Any, send: Callable[[], Any]) -> Any:
        """Make one request of the call."""
        self._begins(request)
        try:
            return self._got(send())
        except Exception as error:
            self._fault = error
            raise

    async def asent(self, request: Any, send: Callable[[], Awaitable[Any]]) -> Any:
        """`sent` for asyncio."""
        if self._request is None:
            self._begins(request)
        else:
            await in_thread(self._begins, request)
        try:
            return self._got(await send())
        except Exception as error:
            self._fault = error
            raise

    def _begins(self, request: Any) -> None:
        if self.booking.is_over:
            raise late(self.booking.deadline_s)  # nobody waits for it any more
        if self._request is not None:
            self.booking.again(self._fault)
        self._request, self._fault = request, None

    def _got(self, response: Any) -> Any:
        if response.status_code >= 400:
            try:
                response.raise_for_status()
            except Exception as error:  # noqa: BLE001 - foreign code: httpx, httpx2 or what the caller brought
                self._fault = error
        return response

    # --- retries ---

    def may_retry(self) -> bool:
        """Pay for a retry that the SDK is about to make; False when there is none left to be had."""
        return self.booking.meter.limits.retries.take(self.booking.call.arm.endpoint.name)

    def check_retry(self) -> None:
        """As `may_retry`, after a request that got no response.

        Raises:
            openai.APIConnectionError: There is none left; as the SDK raises it after its last retry.
        """
        if self.may_retry():
            return
        names = {kind.__name__ for kind in type(self._fault).__mro__}
        if "TimeoutException" in names:
            raise openai.APITimeoutError(request=self._request) from self._fault
        raise openai.APIConnectionError(request=self._request) from self._fault


def late(deadline_s: float | None) -> DeadlineExceededError:
    """The error of a call that was cut off."""
    seconds = 0.0 if deadline_s is None else deadline_s
    return DeadlineExceededError(
        f"the call was cut off at its deadline, after {seconds:.3g} s; its worst case is booked"
    )


def close_quietly(returned: Any) -> None:
    """Close a reply that came when nobody waited for it any more."""
    for name in ("response", "http_response"):
        closing = getattr(getattr(returned, name, None), "close", None)
        if callable(closing):
            closing()


def hang_up(response: Any) -> None:
    """End a read of this response that is under way in another thread, as closing it would not."""
    stream = response.extensions.get("network_stream")
    found = None if stream is None else stream.get_extra_info("socket")
    if isinstance(found, socket.socket) and response.http_version != "HTTP/2":
        # An HTTP/2 connection is shared. The plain call, because TLS must not say goodbye beneath a reader.
        with contextlib.suppress(OSError):  # it was closed in the same moment
            socket.socket.shutdown(found, socket.SHUT_RDWR)


def after(seconds: float, strike: Callable[[], None]) -> threading.Timer:
    """Call `strike` later, from a thread that keeps nobody alive."""
    timer = threading.Timer(seconds, strike)
    timer.daemon = True
    timer.start()
    return timer
