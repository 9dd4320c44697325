"""A bubblewrap jail that holds a Python interpreter, an empty /tmp, and nothing else.

No network (not even loopback), no environment, no host files beyond the interpreter and its
libraries, no new processes, no nested namespaces. Forking is refused by a seccomp filter, because
the kernel does not apply its process limit to root, which containers often run as.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import struct
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from effortctl.verifiers._process import Peer, PeerError

NOBODY = 65534
"""Number of the unprivileged user, by convention."""
_TMP = "/tmp"  # noqa: S108 - inside the jail, where it is private and empty
_TMP_BYTES = 16 * 2**20
_PROBE_S = 10.0


@dataclass(frozen=True)
class Jail:
    """How to start bubblewrap on this machine.

    Attributes:
        bwrap: Path of the program.
        user: Unprivileged user to run it as, when we are root and it can reach the interpreter.
    """

    bwrap: str
    user: int | None

    def start(self, source: str) -> Peer:
        """Start the untrusted side of `source` in a fresh jail."""
        python = os.path.realpath(sys.executable)
        # A user the kernel counts processes for may start threads; root could start any number.
        threads = self.user is not None or os.geteuid() != 0
        with _seccomp_fd(threads=threads) as fd:
            argv = [self.bwrap, *_options(python)]
            if fd is not None:
                argv += ["--seccomp", str(fd)]
            argv += ["--", python, "-I", "-S", "-X", "utf8", "-c", source]
            fds = () if fd is None else (fd,)
            return Peer(argv, env={}, pass_fds=fds, user=self.user)


def _options(python: str) -> list[str]:
    options = [
        "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session",
        "--clearenv", "--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "sandbox",
    ]  # fmt: skip
    for folder in ("/lib", "/lib64", "/usr/lib", "/usr/lib64"):
        path = Path(folder)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), folder]
        elif path.is_dir():
            options += ["--ro-bind", folder, folder]
    for path in python_files(python):
        options += ["--ro-bind", str(path), str(path)]
    packages = Path(sysconfig.get_path("stdlib"), "site-packages")
    if packages.is_dir():
        options += ["--tmpfs", str(packages), "--remount-ro", str(packages)]
    options += ["--dev-bind", "/dev/null", "/dev/null", "--size", str(_TMP_BYTES), "--tmpfs", _TMP]
    return [*options, "--remount-ro", "/", "--chdir", _TMP]


@cache
def python_files(python: str) -> tuple[Path, ...]:
    """What an interpreter needs to start, besides the system's library folders."""
    paths = [
        Path(python),
        Path(sysconfig.get_path("stdlib")),
        Path(sysconfig.get_path("platstdlib")),
    ]
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        libraries = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
        paths += libraries.glob("libpython*.so*")
    system = (Path("/lib"), Path("/lib64"), Path("/usr/lib"), Path("/usr/lib64"))
    unique = dict.fromkeys(Path(os.path.realpath(p.parent)) / p.name for p in paths if p.exists())
    return tuple(p for p in unique if not any(p.is_relative_to(folder) for folder in system))


def reachable_by_others(path: Path) -> bool:
    """True when a user without rights of its own can walk to `path`."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


@cache
def find_jail() -> Jail | None:
    """The way bubblewrap works on this machine, tried once; None when it does not."""
    bwrap = shutil.which("bwrap")
    if bwrap is None or not sys.platform.startswith("linux"):
        return None
    users: list[int | None] = [None]
    if os.geteuid() == 0:
        # As root only with the filter that refuses forks: the kernel would not count them.
        users = [None] if _filter_numbers() else []
        if all(map(reachable_by_others, python_files(os.path.realpath(sys.executable)))):
            users.insert(0, NOBODY)
    return next((jail for jail in (Jail(bwrap, user) for user in users) if _works(jail)), None)


_PROBE = """
import os, struct
os.write(1, struct.pack(">I", 2) + b"{}")
"""


def _works(jail: Jail) -> bool:
    try:
        with jail.start(_PROBE) as peer:
            return peer.receive(deadline=time.monotonic() + _PROBE_S) == b"{}"
    except (PeerError, OSError):
        return False


# --- system calls ----------------------------------------------------------------------------------
# Numbers from the kernel's system call tables, per machine as `platform.machine()` names it.

_CLONE_THREAD = 0x00010000
_EPERM, _ENOSYS = 1, 38
_DENIED = (
    "fork", "vfork", "unshare", "setns", "mount", "umount2", "pivot_root", "ptrace", "bpf", "keyctl",
    "add_key", "request_key", "perf_event_open", "userfaultfd", "io_uring_setup",
    "process_vm_readv", "process_vm_writev", "open_by_handle_at", "init_module", "finit_module",
)  # fmt: skip
_TABLES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, {
        "clone": 56, "clone3": 435, "fork": 57, "vfork": 58, "unshare": 272, "setns": 308,
        "mount": 165, "umount2": 166, "pivot_root": 155, "ptrace": 101, "bpf": 321, "keyctl": 250,
        "add_key": 248, "request_key": 249, "perf_event_open": 298, "userfaultfd": 323,
        "io_uring_setup": 425, "process_vm_readv": 310, "process_vm_writev": 311,
        "open_by_handle_at": 304, "init_module": 175, "finit_module": 313,
    }),
    "aarch64": (0xC00000B7, {
        "clone": 220, "clone3": 435, "unshare": 97, "setns": 268, "mount": 40, "umount2": 39,
        "pivot_root": 41, "ptrace": 117, "bpf": 280, "keyctl": 219, "add_key": 217,
        "request_key": 218, "perf_event_open": 241, "userfaultfd": 282, "io_uring_setup": 425,
        "process_vm_readv": 270, "process_vm_writev": 271, "open_by_handle_at": 265,
        "init_module": 105, "finit_module": 273,
    }),
}  # fmt: skip

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_X32_BIT = 0x40000000


def _filter_numbers() -> tuple[int, dict[str, int]] | None:
    return _TABLES.get(platform.machine()) if sys.maxsize > 2**32 else None


def seccomp_filter(*, threads: bool) -> bytes | None:
    """A classic BPF program that refuses new processes and other needless kernel doors.

    Args:
        threads: Allow threads.

    Returns:
        The filter, or None on a machine whose system call numbers are not known here.
    """
    known = _filter_numbers()
    if known is None:
        return None
    machine, numbers = known
    code = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        # clone3 hides its flags in memory; refused as unknown, so that libc falls back to clone.
        (_EQUAL, 0, 1, numbers["clone3"]),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
    ]
    for name in _DENIED:
        if name in numbers:
            code += [(_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    code += [
        (_EQUAL, 0, 3, numbers["clone"]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_ANY_BIT, 1 if threads else 0, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


@contextlib.contextmanager
def _seccomp_fd(*, threads: bool) -> Iterator[int | None]:
    program = seccomp_filter(threads=threads)
    if program is None:
        yield None
        return
    read, write = os.pipe()
    try:
        os.write(write, program)
        os.close(write)
        yield read
    finally:
        os.close(read)
