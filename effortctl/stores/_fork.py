"""Take what must not cross a fork out of the way of it.

SQLite keeps per-process notes of the file locks it holds. A child inherits the notes but not the
locks, so a connection that is open during a fork makes every later connection of the child unsafe,
even a new one. Objects registered here are quiet and closed while the process forks, and open again
on their next use, in the parent and in the child.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """Something that must be at rest while the process forks."""

    def before_fork(self) -> None:
        """Wait for work in progress, keep new work out, and close what must not be inherited."""

    def after_fork(self) -> None:
        """Let work in again."""


_registered: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_forking = threading.Lock()
_paused: list[ForkAware] = []


def pause_around_forks(item: ForkAware) -> None:
    """Call the item's hooks around every fork for as long as it lives."""
    with _forking:  # a set that grows while it is walked would break off the preparation of a fork
        _registered.add(item)


def _before() -> None:
    _forking.acquire()
    _paused.extend(_registered)
    for item in _paused:
        item.before_fork()


def _after() -> None:
    for item in _paused:
        item.after_fork()
    _paused.clear()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
