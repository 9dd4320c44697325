"""Streams that the caller reads as bytes or lines: what runs past is read along, to book it exactly."""

from __future__ import annotations

import json
import weakref
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from effortctl._client._meter import in_thread
from effortctl._client._streams import BookedStream


@dataclass(slots=True)
class _Lines:
    """Puts chunks of bytes together into the events they hold."""

    rest: bytes = b""

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """The events that a chunk completes."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            try:
                yield json.loads(line[len(b"data:") :])
            except (ValueError, RecursionError):  # [DONE], or what the caller will stumble over
                continue


def tap(response: Any, booked: BookedStream) -> None:
    """Read along what is read of a response as bytes, text or lines, unless a stream is made of it."""
    response.iter_bytes = partial(_tapped, weakref.ref(response), booked)


def atap(response: Any, booked: BookedStream) -> None:
    """`tap` for asyncio."""
    response.aiter_bytes = partial(_atapped, weakref.ref(response), booked)


def _tapped(
    response: weakref.ref[Any], booked: BookedStream, *args: Any, **options: Any
) -> Iterator[bytes]:
    still: Any = response()
    inner, lines = type(still).iter_bytes(still, *args, **options), _Lines()
    if booked.streams:
        yield from inner
        return
    while True:
        booked.reading = True
        try:
            chunk = next(inner, None)
        finally:
            booked.reading = False
        if chunk is None:
            break
        for event in lines.feed(chunk):
            booked.add(event)
        yield chunk
    booked.ended()


async def _atapped(
    response: weakref.ref[Any], booked: BookedStream, *args: Any, **options: Any
) -> AsyncIterator[bytes]:
    still: Any = response()
    inner, lines = type(still).aiter_bytes(still, *args, **options), _Lines()
    if booked.streams:
        async for chunk in inner:
            yield chunk
        return
    while True:
        booked.reading = True
        try:
            chunk = await booked.in_time(anext(inner, None))
        finally:
            booked.reading = False
        if chunk is None:
            break
        for event in lines.feed(chunk):
            booked.add(event)
        yield chunk
    await in_thread(booked.ended)
