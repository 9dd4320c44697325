"""CPython confined by sandlock (Landlock and seccomp), for machines without bubblewrap.

Asked for by name only, because Landlock leaves open what a namespace hides: a program can learn that a
host file exists and how large it is (`stat`), although not what it holds, and how many threads it
starts is bounded by its memory alone. What Landlock does not cover and would change the host (modes,
times and attributes of files, limits of other processes) is refused here by system call.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from effortctl.verifiers._bubblewrap import NOBODY, python_files, reachable_by_others
from effortctl.verifiers._process import Peer, PeerError

_PROBE_S = 20.0
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
# Landlock judges opening, making and removing files; these reach a file or a process by other ways.
_DENIED = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat",
    "utime", "utimes", "futimesat", "utimensat",
    "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
    "prlimit64", "setrlimit", "setpriority", "ioprio_set",
    "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr",
    "inotify_init", "inotify_init1", "fanotify_init", "pidfd_getfd", "kcmp",
    # Could unset the signal that ends the program together with its supervisor.
    "prctl",
)  # fmt: skip
# Supervises the program from a process of its own, which holds nothing worth attacking. The limits are
# set here, because the program must not be able to call what sets them.
_SUPERVISOR = """
import json, os, resource, sys, warnings
settings = json.loads(sys.argv[1])
sys.path.append(settings["packages"])
warnings.simplefilter("ignore")
import sandlock
for name, value in settings["rlimits"].items():
    hard = resource.getrlimit(getattr(resource, name))[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(getattr(resource, name), (value, value))
os._exit(sandlock.Sandbox(**settings["policy"]).run_interactive(sys.argv[2:]) & 255)
"""


@dataclass(frozen=True)
class Confinement:
    """How to start sandlock on this machine.

    Attributes:
        packages: Folder that holds the package sandlock.
        user: Unprivileged user to run it as, when we are root and it can reach the interpreter.
    """

    packages: str
    user: int | None

    def start(self, source: str, rlimits: Mapping[str, int], *args: str) -> Peer:
        """Start the untrusted side of `source`.

        Args:
            source: Text of the program.
            rlimits: Limits by their name for `setrlimit`.
            *args: Its command line arguments.
        """
        python = os.path.realpath(sys.executable)
        settings = {
            "packages": self.packages,
            "policy": _policy(python),
            # Counts what the user runs outside as well, so it would refuse honest work.
            "rlimits": {k: v for k, v in rlimits.items() if k != "RLIMIT_NPROC"},
        }
        argv = [python, "-I", "-S", "-c", _SUPERVISOR, json.dumps(settings)]
        argv += [python, "-I", "-S", "-X", "utf8", "-c", source, *args]
        return Peer(argv, env={}, user=self.user, cwd="/")


def _policy(python: str) -> dict[str, object]:
    files = [str(path) for path in python_files(python)]
    return {
        "fs_readable": [folder for folder in _SYSTEM if Path(folder).is_dir()] + files,
        # No folder to write to: sandlock can limit the size of one only by giving up a part of _DENIED.
        "fs_writable": ["/dev/null"],
        "cwd": "/",
        "clean_env": True,
        "max_processes": 1,
        "no_coredump": True,
        "uid": NOBODY,
        "gid": NOBODY,
        "extra_deny_syscalls": list(_DENIED),
    }


# Every line must be refused; a kernel on which one of them works is not good enough.
_PROBE = """
import os, socket, struct, sys
target, port = sys.argv[1], int(sys.argv[2])
attempts = [
    lambda: open(target), lambda: open(target, "a"), lambda: os.unlink(target),
    lambda: os.chmod(target, 0o644), lambda: os.utime(target, (0, 0)), lambda: os.rename(target, "x"),
    lambda: os.listdir("/"), lambda: os.fork() or os._exit(0), lambda: os.kill(os.getppid(), 0),
    lambda: socket.create_connection(("127.0.0.1", port), 1),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), lambda: os.setuid(0),
]
allowed = os.getuid() == 0 or set(os.environ) - {"LC_CTYPE"}
for attempt in attempts:
    try:
        attempt()
        allowed = True
    except OSError as error:
        allowed = allowed or isinstance(error, (ConnectionError, TimeoutError))
if not allowed:
    os.write(1, struct.pack(">I", 2) + b"{}")
"""


@cache
def find_confinement() -> Confinement | None:
    """The way sandlock works on this machine, tried once; None when a protection is missing."""
    spec = importlib.util.find_spec("sandlock") if sys.platform.startswith("linux") else None
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin)
    packages = str(package.parent.parent)
    users: list[int | None] = [None]
    if os.geteuid() == 0:
        needed = (package, *python_files(os.path.realpath(sys.executable)))
        if all(map(reachable_by_others, needed)):
            users.insert(0, NOBODY)
    ways = (Confinement(packages, user) for user in users)
    return next((way for way in ways if _works(way)), None)


def _works(way: Confinement) -> bool:
    with tempfile.NamedTemporaryFile(prefix="effortctl-") as target:
        try:
            # Port 9 need not listen: being refused by the other end means having reached it.
            with way.start(_PROBE, {}, target.name, "9") as peer:
                return peer.receive(deadline=time.monotonic() + _PROBE_S) == b"{}"
        except (PeerError, OSError):
            return False
