"""A limit on the whole of a blocking call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


def run_within(work: Callable[[threading.Event], T], *, timeout_s: float | None) -> T:
    """Run `work`, and stop waiting for it after `timeout_s` seconds.

    The timeouts of an HTTP client bound one read each, so a server that drips its reply outlives
    them. Waiting from outside is the one limit that also holds for name resolution, the TLS handshake,
    dripping headers, and clients whose transport belongs to somebody else. The thread is a
    daemon, so it never keeps the process alive; `work` sees the event and hangs up at the next byte
    of the body. In the headers it hangs up when they end or when its own read timeout strikes.

    Args:
        work: Gets an event that is set once nobody waits for its result any more.
        timeout_s: Seconds to wait. None: no limit, and no thread.

    Raises:
        TimeoutError: The time is over.
    """
    abandoned = threading.Event()
    if timeout_s is None:
        return work(abandoned)
    future: Future[T] = Future()
    context = copy_context()

    def target() -> None:
        try:
            value = context.run(work, abandoned)
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
            future.set_exception(error)
        else:
            future.set_result(value)

    threading.Thread(target=target, name="effortctl-call", daemon=True).start()
    try:
        return future.result(timeout_s)
    finally:
        abandoned.set()
