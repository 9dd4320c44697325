"""What an import loads: nothing heavy, and nothing that talks to the network."""

import subprocess
import sys

import pytest

HEAVY = ("openai", "sklearn", "diskcache", "typer", "rich", "xllamacpp")

PROBE = """
import socket, sys

def refuse(*_args, **_kwargs):
    raise AssertionError("a socket was opened during import")

socket.socket.connect = socket.socket.bind = socket.create_connection = refuse
socket.getaddrinfo = refuse
{statement}
print(*sorted(name for name in {heavy!r} if name in sys.modules))
"""


def loaded_by(statement):
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(statement=statement, heavy=HEAVY)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    "statement",
    [
        "import effortctl",
        "from effortctl import *",
        "import effortctl.backends, effortctl.stores, effortctl.verifiers",
        "import effortctl.policies, effortctl.catalog, effortctl.estimators",
        "import effortctl.harness",
        "import effortctl.testing",
    ],
)
def test_importing_loads_no_heavy_package(statement):
    assert loaded_by(statement) == []


def test_the_probe_would_notice():
    assert loaded_by("import diskcache") == ["diskcache"]
