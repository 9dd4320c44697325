"""Directories that only we may write to: what lies in them can be trusted to be ours."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def why_not_private(directory: Path) -> str | None:
    """Create the directory (0700) if it is missing; None if it is ours alone, else what is wrong.

    Raises:
        OSError: It cannot be created or looked at.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _complaint(directory, stat.S_ISDIR, "directory")


def why_not_private_file(path: Path) -> str | None:
    """The same for a file that may be missing.

    Raises:
        OSError: It cannot be looked at.
    """
    try:
        return _complaint(path, stat.S_ISREG, "file")
    except FileNotFoundError:
        return None


def _complaint(path: Path, is_expected: Callable[[int], bool], kind: str) -> str | None:
    status = path.lstat()
    if not is_expected(status.st_mode):
        return f"{path} is not a plain {kind} (a link is not followed)"
    if not hasattr(os, "geteuid"):
        return None
    if status.st_uid != os.geteuid():
        return f"{path} belongs to another user"
    if status.st_mode & _OTHERS_WRITE:
        return f"{path} can be written by other users; run: chmod go-w {path}"
    return None
