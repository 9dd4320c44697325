"""`Idempotency-Key`: the same request, sent twice, is answered once and paid for once."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from effortctl.serve._faults import refuse
from effortctl.serve._replies import Reply
from effortctl.serve._tasks import InFlight

MAX_KEYS: Final = 1024
MAX_BYTES: Final = 64 * 2**20
MAX_AGE_S: Final = 24 * 3600.0
_LONGEST_KEY: Final = 255


@dataclass(slots=True)
class _Entry:
    fingerprint: bytes
    work: asyncio.Task[Reply]
    since: float
    size: int = 0


class Replays:
    """Replies by key, in memory, for this process.

    The work of a request with a key goes on when its client leaves, so that the client can fetch the
    answer by asking again. Errors are not kept: asking again tries again.

    Args:
        tasks: Where the work is done.
        clock: Monotonic seconds.
    """

    def __init__(self, tasks: InFlight, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks = tasks
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def once(
        self, key: str, request: bytes, make: Callable[[], Coroutine[Any, Any, Reply]]
    ) -> Reply:
        """The reply to a request: one that is there, one that is under way, else a new one.

        Args:
            key: The client's own.
            request: All that makes the request what it is.
            make: Answers it.

        Raises:
            RefusedError: The key is too long, or was used for another request.
        """
        if not 0 < len(key) <= _LONGEST_KEY:
            raise refuse(400, "invalid_idempotency_key", "Idempotency-Key has 1 to 255 characters")
        self._forget_old()
        fingerprint = hashlib.sha256(request).digest()
        entry = self._entries.get(key)
        if entry is None:
            entry = _Entry(fingerprint, self._tasks.start(_whole(make)), self._clock())
            self._entries[key] = entry
            entry.work.add_done_callback(lambda work: self._done(key, work))
        elif entry.fingerprint != fingerprint:
            raise refuse(
                409, "idempotency_key_reused", "this Idempotency-Key was used for another request"
            )
        return await asyncio.shield(entry.work)

    def _done(self, key: str, work: asyncio.Task[Reply]) -> None:
        entry = self._entries.get(key)
        failed = work.cancelled() or work.exception() is not None or work.result().status != 200
        if entry is None or entry.work is not work:
            return
        if failed:
            del self._entries[key]
            return
        entry.size = len(work.result().body)  # type: ignore[arg-type]  # `_whole` has made it bytes

    def _forget_old(self) -> None:
        """Forget the oldest replies that are too old or too many; what is under way stays."""
        limit = self._clock() - MAX_AGE_S
        size = sum(entry.size for entry in self._entries.values())
        for key, entry in list(self._entries.items()):
            if entry.since > limit and size <= MAX_BYTES and len(self._entries) < MAX_KEYS:
                return
            if entry.work.done():
                size -= entry.size
                del self._entries[key]


async def _whole(make: Callable[[], Coroutine[Any, Any, Reply]]) -> Reply:
    return await (await make()).whole()
