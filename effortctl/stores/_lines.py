"""Files of one record per line, which many processes append to at the same time.

A record is one `write` to a file opened for appending, so writers do not mix their lines, and a writer
that is killed leaves at most its own last line unfinished. The next writer ends that line first.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?$)')


def append_line(path: Path, line: bytes) -> None:
    """Append one line, which must end in a line break; the file (0600) is made if it is missing.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, _APPEND, 0o600)
    try:
        if os.fstat(handle).st_size:
            os.lseek(handle, -1, os.SEEK_END)
            if os.read(handle, 1) != b"\n":
                line = b"\n" + line
        if os.write(handle, line) != len(line):
            raise OSError("only a part of the line could be written")
    finally:
        os.close(handle)


def is_torn(line: bytes) -> bool:
    """True when the line is an object that is never closed: only its end is missing."""
    outside_strings = _STRING.sub(b"", line)
    return line.startswith(b"{") and outside_strings.count(b"{") > outside_strings.count(b"}")
