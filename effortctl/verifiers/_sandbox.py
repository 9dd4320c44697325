"""Where untrusted Python runs: Monty (an interpreter without I/O), bubblewrap, sandlock, or nowhere.

A session loads one program and answers calls of one of its functions. It gives back bytes that the
trusted side decodes; nothing that happens in a session is believed beyond that.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from effortctl._errors import ConfigError, SandboxUnavailableError
from effortctl.verifiers import _wire
from effortctl.verifiers._bubblewrap import find_jail
from effortctl.verifiers._process import Peer, PeerError
from effortctl.verifiers._program import LoadError, Program
from effortctl.verifiers._sandlock import find_confinement

Backend = Literal["auto", "monty", "bubblewrap", "sandlock", "unsafe-subprocess"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)

STARTUP_S = 20.0
_MIB = 2**20
_INSTALL = (
    "install Monty (`pip install 'effortctl[sandbox]'`) or bubblewrap (package `bubblewrap` of your "
    "Linux distribution)"
)
_INSTALL_SANDLOCK = "install sandlock (`pip install 'effortctl[sandlock]'`); it needs Linux 6.12 or newer with Landlock"


@dataclass(frozen=True)
class Limits:
    """What one run may use.

    Attributes:
        timeout_s: Seconds of wall clock and of CPU.
        memory_bytes: Address space.
        processes: Processes and threads of the user it runs as.
    """

    timeout_s: float
    memory_bytes: int = 512 * _MIB
    processes: int = 32

    def as_rlimits(self) -> dict[str, int]:
        """The same as names and values for `setrlimit`."""
        return {
            "RLIMIT_CPU": int(self.timeout_s) + 2,
            "RLIMIT_AS": self.memory_bytes,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_FSIZE": 16 * _MIB,
            "RLIMIT_NOFILE": 64,
            "RLIMIT_CORE": 0,
        }


class Session(Protocol):
    """A running sandbox."""

    def load(self, program: Program, *, deadline: float) -> None:
        """Execute a program, so that its function can be called.

        Raises:
            LoadError: The program raised something, ended, or hung.
            UnsupportedProgramError: This sandbox may not know enough Python for it.
            SandboxUnavailableError: The sandbox did not start.
        """
        ...

    def call(self, message: dict[str, Any], *, deadline: float) -> bytes:
        """Call the function with encoded arguments; return its encoded outcome.

        Raises:
            PeerError: The program ended, hangs, or answers too much.
            UnsupportedProgramError: As `load`.
        """
        ...


Opener = Callable[[Limits], AbstractContextManager[Session]]


# --- CPython in a process --------------------------------------------------------------------------


_BOOT = """
import sys, types
for name in ("effortctl", "effortctl.verifiers", "effortctl.verifiers._wire"):
    sys.modules[name] = types.ModuleType(name)
exec(compile({wire!r}, "<wire>", "exec"), sys.modules["effortctl.verifiers._wire"].__dict__)
exec(compile({guest!r}, "<guest>", "exec"))
"""


@cache
def guest_source(guest: Literal["_guest_program", "_guest_tests"]) -> str:
    """A program for `python -c` that holds a guest and what it imports, so that no file is needed."""
    folder = Path(__file__).parent
    texts = {
        "wire": (folder / "_wire.py").read_text(encoding="utf-8"),
        "guest": (folder / f"{guest}.py").read_text(encoding="utf-8"),
    }
    return _BOOT.format(**texts)


class _ProcessSession:
    def __init__(self, peer: Peer, rlimits: dict[str, int]) -> None:
        self._peer = peer
        self._rlimits = rlimits

    def load(self, program: Program, *, deadline: float) -> None:
        started = time.monotonic()
        try:
            self._peer.receive(deadline=started + STARTUP_S)
        except PeerError as error:
            raise SandboxUnavailableError(f"the sandbox did not start: {error}") from error
        deadline += time.monotonic() - started
        start = {
            "program": program.source,
            "entry_point": program.entry_point,
            "limits": self._rlimits,
        }
        try:
            self._peer.send(json.dumps(start).encode("ascii"), deadline=deadline)
            payload = self._peer.receive(deadline=deadline, most_bytes=65536)
        except PeerError as error:
            raise LoadError(f"The program could not be loaded: {error}.") from error
        _check_loaded(payload, program)

    def call(self, message: dict[str, Any], *, deadline: float) -> bytes:
        self._peer.send(json.dumps(message).encode("ascii"), deadline=deadline)
        return self._peer.receive(deadline=deadline, most_bytes=_wire.MOST_BYTES)


def _check_loaded(payload: bytes, program: Program) -> None:
    try:
        reply = _wire.loads(payload)
    except _wire.MalformedError as error:
        raise LoadError("The program could not be loaded: it ended by itself.") from error
    if reply == {"loaded": True}:
        return
    if "raised" not in reply:
        raise LoadError(f"`{program.entry_point}` is not a function.")
    if reply["raised"] == ["KeyError", "LookupError", "Exception", "BaseException", "object"] and (
        reply.get("message") == repr(program.entry_point)
    ):
        raise LoadError(f"The program does not define `{program.entry_point}`.")
    raise LoadError(f"Running the program raised {_wire.describe_error(reply)}.")


@contextmanager
def _open_bubblewrap(limits: Limits) -> Iterator[Session]:
    jail = find_jail()
    if jail is None:
        raise SandboxUnavailableError(f"bubblewrap does not work here; {_INSTALL}")
    with jail.start(guest_source("_guest_program")) as peer:
        yield _ProcessSession(peer, limits.as_rlimits())


@contextmanager
def _open_sandlock(limits: Limits) -> Iterator[Session]:
    confinement = find_confinement()
    if confinement is None:
        raise SandboxUnavailableError(f"sandlock does not work here; {_INSTALL_SANDLOCK}")
    with confinement.start(guest_source("_guest_program"), limits.as_rlimits()) as peer:
        # The limits are in force already, and the guest is not allowed to change them.
        yield _ProcessSession(peer, {})


@contextmanager
def _open_unsafe(limits: Limits) -> Iterator[Session]:
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-c", guest_source("_guest_program")]
    with (
        tempfile.TemporaryDirectory(prefix="effortctl-") as folder,
        Peer(argv, env={}, cwd=folder) as peer,
    ):
        yield _ProcessSession(peer, limits.as_rlimits())


# --- Monty -----------------------------------------------------------------------------------------


@contextmanager
def _open_monty(limits: Limits) -> Iterator[Session]:
    from effortctl.verifiers import _monty  # noqa: PLC0415 - needs the extra `sandbox`

    with _monty.open_session(limits.timeout_s) as session:
        yield session


@cache
def _has_monty() -> bool:
    try:
        from effortctl.verifiers import _monty  # noqa: PLC0415 - needs the extra `sandbox`
    except ImportError:
        return False
    return _monty.works()


# --- choice ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sandbox:
    """One way to run a program.

    Attributes:
        name: Its backend name.
        open: Starts it.
        complete: True when it runs all of Python, so that its "no" is final.
    """

    name: Backend
    open: Opener
    complete: bool


_MONTY = Sandbox("monty", _open_monty, complete=False)
_BUBBLEWRAP = Sandbox("bubblewrap", _open_bubblewrap, complete=True)
_SANDLOCK = Sandbox("sandlock", _open_sandlock, complete=True)
_UNSAFE = Sandbox("unsafe-subprocess", _open_unsafe, complete=True)


def _has_bubblewrap() -> bool:
    return find_jail() is not None


def _has_sandlock() -> bool:
    return find_confinement() is not None


def choose(backend: Backend) -> tuple[Sandbox, ...]:
    """The sandboxes to try in order; a later one is asked when an earlier one cannot tell.

    Raises:
        ConfigError: There is no backend of this name.
        SandboxUnavailableError: It does not work on this machine.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"unknown sandbox {backend!r}; write one of: {', '.join(BACKENDS)}")
    if backend == "unsafe-subprocess":
        return (_UNSAFE,)
    # Sandlock hides less than the other two, so it is never chosen for anyone who did not ask for it.
    wanted = {
        "auto": (_MONTY, _BUBBLEWRAP),
        "monty": (_MONTY,),
        "bubblewrap": (_BUBBLEWRAP,),
        "sandlock": (_SANDLOCK,),
    }
    available: dict[str, Callable[[], bool]] = {
        "monty": _has_monty,
        "bubblewrap": _has_bubblewrap,
        "sandlock": _has_sandlock,
    }
    found = tuple(sandbox for sandbox in wanted[backend] if available[sandbox.name]())
    if not found:
        what = "no sandbox" if backend == "auto" else f"no sandbox {backend!r}"
        fix = _INSTALL_SANDLOCK if backend == "sandlock" else _INSTALL
        raise SandboxUnavailableError(
            f"{what} works here, and untrusted code is never run without one; {fix}"
        )
    return found


def cannot_tell(reason: str) -> SandboxUnavailableError:
    """The error for a program that only a sandbox which is missing here can run."""
    return SandboxUnavailableError(
        f"Monty cannot run this program ({reason}) and there is no bubblewrap to run it in; {_INSTALL}"
    )


def start_tests() -> Peer:
    """Start the trusted side: a plain Python process that will run the caller's tests."""
    argv = [sys.executable, "-I", "-X", "utf8", "-c", guest_source("_guest_tests")]
    return Peer(argv, env={"PATH": os.defpath})
