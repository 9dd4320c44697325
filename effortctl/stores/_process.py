"""Who made a reservation, and whether that process is certainly gone."""

from __future__ import annotations

import functools
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, named so that a re-used process id is not mistaken for it.

    Attributes:
        pid: Process id.
        started: Start time in clock ticks since boot; empty where the system does not tell.
        host: Boot and process-id namespace. Processes of another container cannot be judged by pid.
    """

    pid: int
    started: str
    host: str


def current_owner() -> Owner:
    """The process we are in."""
    return _owner(os.getpid())


@functools.lru_cache(maxsize=4)
def _owner(pid: int) -> Owner:
    state = _linux_state(pid)
    return Owner(pid=pid, started=state[1] if state else "", host=_host())


def certainly_dead(owner: Owner) -> bool:
    """True when the process has ended; False when it lives or nobody can tell from here."""
    if owner.host != _host() or sys.platform == "win32":
        return False
    if not owner.started:
        return not _signalable(owner.pid)
    state = _linux_state(owner.pid)
    return state is None or state[0] in "ZX" or state[1] != owner.started


def _host() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return platform.node()


def _linux_state(pid: int) -> tuple[str, str] | None:
    """State letter and start time of a process, from proc(5); None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The command name may hold spaces and parentheses, so fields are counted from its last ")".
    fields = text.rpartition(")")[2].split()
    return fields[0], fields[19]


def _signalable(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
