"""Every block of the guide to `effortctl serve` runs, against the mock server in the provider's place."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from effortctl.testing import MockServer

FOLDER = str(Path(__file__).parents[1] / "docs")
sys.path.insert(0, FOLDER)
try:
    from docs_pages import DOCS, blocks, without_figures
finally:
    sys.path.remove(FOLDER)

PAGE = DOCS / "guides" / "proxy.md"
HERE = "http://127.0.0.1:8787"


def shown(kind, having=""):
    """The blocks of a kind that hold some text, each with the output pasted below it."""
    found = blocks(PAGE)
    after = [*found[1:], None]
    return [
        (block.text, after[number].text if after[number] and after[number].kind == "text" else "")
        for number, block in enumerate(found)
        if block.kind == kind and having in block.text
    ]


@pytest.fixture
def guide(tmp_path, monkeypatch):
    """The endpoint as the guide starts it, with the mock server for a provider; gives its address."""
    with MockServer(lambda request: "408") as mock:
        catalog = tmp_path / "catalog.toml"
        catalog.write_text(f'[[endpoint]]\nname = "openai"\nbase_url = "{mock.base_url}"\n')
        monkeypatch.setenv("EFFORTCTL_CATALOG", str(catalog))
        monkeypatch.setenv("OPENAI_API_KEY", "sk-pretend")
        with served(tmp_path) as root:
            yield root
        assert mock.hits
        assert not mock.errors


@contextlib.contextmanager
def served(folder):
    ((block, _),) = shown("", "effortctl serve")
    (line,) = re.findall(r"^effortctl (serve .*)$", block, re.MULTILINE)
    own = f"--port 0 --ledger {folder}/ledger.sqlite3 --grace 1"
    command = ["bash", "-c", f"exec {sys.executable} -m effortctl {line} {own}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[-1].removesuffix("/v1")
        finally:
            process.terminate()
            process.communicate(timeout=60)


def test_its_shell_blocks_do_what_it_says(guide):
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("curl or bash is not installed")
    said = []
    for text, pasted in shown("", "curl "):
        script = text.replace(HERE, guide).replace("curl ", "curl --noproxy '*' -sS ")
        command = ["bash", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        said.append(done.stdout)
        names = [line.partition(":")[0] for line in pasted.splitlines()]
        assert not [name for name in names if f"{name}:" not in done.stdout]
    assert '"content":"408"' in said[0].replace(" ", "")
    assert "x-effortctl-verified: true" in said[0]
    assert re.search(r'effortctl_cost_usd_total\{arm="gpt-[^"]+"\} 0\.\d*[1-9]', said[1])


def test_its_python_prints_what_is_pasted_below(guide, capsys):
    ((text, pasted),) = shown("python")
    exec(compile(text.replace(HERE, guide), "proxy.md", "exec"), {})
    assert without_figures(capsys.readouterr().out) == without_figures(pasted)


def test_its_javascript_streams_the_answer(guide, node_folder):
    ((text, _),) = shown("js")
    (node_folder / "guide.mjs").write_text(text.replace(HERE, guide))
    done = subprocess.run(
        ["node", "guide.mjs"],
        cwd=node_folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "408"), done.stderr


def test_every_block_is_one_of_these():
    kinds = {(block.kind, block.text.split()[0]) for block in blocks(PAGE)}
    assert kinds == {
        ("", "pip"),
        ("", "curl"),
        ("text", "x-effortctl-cost-usd:"),
        ("text", "408"),
        ("js", "import"),
        ("python", "from"),
    }
