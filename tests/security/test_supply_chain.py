"""What is installed, what an import does, and what the sources may not contain."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "effortctl"
HOME = f"{Path.home()}/"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCES
    if path.name != "__main__.py"
)

LOADERS = frozenset(
    {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
)
RUNNERS = frozenset({"eval", "exec", "compile", "__import__"})
RUNS_CODE_ON_PURPOSE = {
    "verifiers/_guest_program.py",  # runs inside the jail, where the answer belongs
    "verifiers/_guest_tests.py",  # likewise
    "verifiers/_sandbox.py",  # the text of the program that starts the two
}


@cache
def tree(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Top-level names of all packages a file imports, wherever in it."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def called(path: Path) -> set[str]:
    """Names of the built-in functions a file calls."""
    return {
        node.func.id
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def test_no_module_can_load_a_pickle():
    assert [str(path) for path in SOURCES if imported(path) & LOADERS] == []


def test_no_text_becomes_code_outside_the_jail():
    found = {str(p.relative_to(PACKAGE)) for p in SOURCES if called(p) & RUNNERS}
    assert found <= RUNS_CODE_ON_PURPOSE


def test_no_yaml_and_no_shell():
    assert [str(path) for path in SOURCES if imported(path) & {"yaml", "ruamel"}] == []
    shell = re.compile(r"shell\s*=\s*True|os\.system\(|os\.popen\(")
    assert [str(path) for path in SOURCES if shell.search(path.read_text("utf-8"))] == []


def test_arrays_are_never_loaded_with_pickles():
    loads = re.compile(r"allow_pickle\s*=\s*True|np\.load\(|numpy\.load\(|read_pickle\(")
    texts = {path: path.read_text("utf-8") for path in SOURCES}
    # The advice to convert a pickle yourself is the one mention.
    found = [p.name for p, text in texts.items() if loads.search(text)]
    assert found in ([], ["_files.py"])


PROBE = """
import socket, sys, importlib

class Refused(AssertionError):
    pass

def refuse(*_args, **_kwargs):
    raise Refused("the network was touched")

for name in ("connect", "connect_ex", "bind", "sendto"):
    setattr(socket.socket, name, refuse)
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse
missing = []
for module in {modules!r}:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("effortctl"):
            raise
        missing.append(f"{{module}} needs {{error.name}}")
print(*missing, sep="\\n")
"""


def test_importing_every_module_touches_no_network():
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(modules=MODULES)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # An optional package may be missing; its module is then not imported, and says so when used.
    assert all(" needs effortctl" not in line for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built by the backend named in pyproject.toml, without network or a new environment."""
    builder = pytest.importorskip("hatchling.builders.wheel", reason="hatchling builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = builder.WheelBuilder(str(ROOT)).build(directory=str(folder))
    with zipfile.ZipFile(built) as archive:
        yield archive


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = wheel.namelist()
    roots = {name.partition("/")[0] for name in names}
    assert roots == {"effortctl", next(root for root in roots if root.endswith(".dist-info"))}
    expected = {str(path.relative_to(ROOT)) for path in SOURCES}
    assert {name for name in names if name.endswith(".py")} == expected


def test_the_wheel_brings_no_start_up_hook_and_no_leftovers(wheel):
    for name in wheel.namelist():
        assert not name.endswith((".pth", ".pkl", ".pickle", ".so", ".dll", ".dylib", ".pyc")), name
        assert not re.search(r"(^|/)(tests?|evals|docs|conftest\.py|\.env|\.git)(/|$)", name), name
        assert not name.endswith((".sqlite3", ".db", ".key", ".pem", ".gguf")), name


def test_the_wheel_carries_type_marker_licence_and_data(wheel):
    names = set(wheel.namelist())
    assert "effortctl/py.typed" in names
    assert "effortctl/catalog/prior/prior.json" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_nothing_in_the_wheel_looks_like_a_key_or_names_a_machine(wheel):
    secret = re.compile(rb"\bsk-[A-Za-z0-9]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY")
    here = (str(ROOT).encode(), HOME.encode())
    for name in wheel.namelist():
        data = wheel.read(name)
        assert not secret.search(data), name
        assert not any(path in data for path in here), name


def test_every_requirement_has_an_upper_bound_or_a_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    # What speaks a protocol of its own is bounded; what follows numpy's calendar is not.
    bounded = {"openai", "pydantic", "tenacity", "diskcache", "genai-prices"}
    for line in project["dependencies"]:
        name = re.match(r"[A-Za-z0-9-]+", line)[0]
        assert ">=" in line, line
        assert "<" in line or name not in bounded, line
    assert not any("@" in line or "git+" in line for line in project["dependencies"])
