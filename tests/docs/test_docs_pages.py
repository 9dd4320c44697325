"""Every page does what it shows: its Python runs, and prints what is pasted below it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT, blocks, commands, name_of, pages, printed, without_figures

from effortctl.testing import MockServer

RUN_BY = {
    "README.md": "tests/test_readme.py",
    "docs/quickstart.md": "tests/test_quickstart.py",
    "docs/guides/planning.md": "tests/test_docs.py",
    "docs/guides/verifiers.md": "tests/verifiers/test_verifiers_guide.py",
    "docs/guides/agents.md": "tests/docs/test_docs_agents.py",
    "docs/guides/openai-app.md": "tests/client/test_client_app.py",
    "docs/guides/proxy.md": "tests/serve/test_serve_guide.py",
}
"""Pages whose Python needs a stage of its own, and the tests that set it."""

SERVERS = ("vllm", "ollama", "llamacpp")
TOML_NAME = re.compile(r"`([\w.-]+\.toml)`")


def has_python(page):
    return any(block.kind == "python" for block in blocks(page))


RUN_HERE = [page for page in pages() if has_python(page) and name_of(page) not in RUN_BY]


@pytest.fixture
def stage(tmp_path, tmp_path_factory, monkeypatch):
    """An empty folder, and local servers that answer 408, the product most pages ask for."""
    pytest.importorskip("reasoning_gym", reason="some of the recorded tasks come from it")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EFFORTCTL_LEDGER", "cli-ledger.sqlite3")
    with MockServer(lambda request: "408") as server:
        catalog = moved_to(server.base_url, tmp_path_factory.mktemp("catalog"))
        monkeypatch.setenv("EFFORTCTL_CATALOG", str(catalog))
        yield server


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("page", RUN_HERE, ids=name_of)
def test_a_page_does_what_it_shows(page, capsys):
    tell(page, capsys)


def moved_to(url, folder):
    """A catalog file that moves the local servers of the pages to another address."""
    entries = (f'[[endpoint]]\nname = "{name}"\nbase_url = "{url}"\n' for name in SERVERS)
    file = folder / "catalog.toml"
    file.write_text("\n".join(entries), encoding="utf-8")
    return file


def tell(page, capsys):
    """Run the blocks of a page in order, as a reader would."""
    names: dict[str, object] = {"__name__": "__main__"}
    said, ran = "", False
    for block in blocks(page):
        if block.kind == "python" and runs(block):
            exec(compile(block.text, name_of(page), "exec"), names)
            said, ran = capsys.readouterr().out, True
            continue
        if block.kind == "text" and block.adjacent and ran:
            assert without_figures(said) == without_figures(block.text), name_of(page)
        if block.kind == "toml" and (named := TOML_NAME.findall(block.before)):
            Path(named[-1]).write_text(block.text, encoding="utf-8")
        if block.kind == "console":
            compare(block)
        ran = False


def runs(block):
    """Can this machine run the block? Only a model inside the process may be missing."""
    if block.label != "embedded":
        return True
    from effortctl import ConfigError
    from effortctl.backends import find_weights

    if find_spec("xllamacpp") is None:
        return False
    try:
        weights = find_weights(download=no_download)
    except ConfigError:
        return False
    Path("model.gguf").symlink_to(weights)
    return True


def no_download(*_args, **_options):
    from effortctl import ConfigError

    raise ConfigError("no download in tests")


def compare(block):
    """Commands with pasted output print it; the pages may leave lines out."""
    for command, pasted in commands(block):
        if not pasted.strip() or not command.startswith("effortctl "):
            continue
        shown = without_figures(printed(command))
        missing = [line for line in without_figures(pasted) if line not in shown]
        assert not missing, f"{command}: no longer printed: {missing}\n{shown}"


@pytest.mark.parametrize("page", RUN_BY)
def test_a_page_that_is_not_run_here_is_run_by_the_tests_named(page):
    if not (ROOT / page).exists():
        pytest.skip("the page is not written yet")
    test = (ROOT / RUN_BY[page]).read_text(encoding="utf-8")
    assert Path(page).name in test
    assert "exec(" in test


def test_a_changed_output_would_be_noticed():
    page = DOCS / "concepts.md"
    shown = without_figures("a $0.0012 b\n───\nc 1")
    assert shown == without_figures("a $0.5 b\n──────\n c   2")
    assert shown != without_figures("a $0.0012 x\n───\nc 1")
    assert sum(block.kind == "text" and block.adjacent for block in blocks(page)) >= 3
