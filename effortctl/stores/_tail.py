"""Following a file of traces while others write to it."""

from __future__ import annotations

import os
from pathlib import Path

from effortctl._errors import StoreError
from effortctl._types import Trace
from effortctl.stores._traces import parse_trace

_PIECE = 1 << 24
"""Bytes read at a time."""


class TraceTail:
    """Gives the traces that were written since the last look; a line still being written waits.

    Attributes:
        path: The file; it may appear later.
        restarts: How often the file was replaced or cut short, so that reading began anew.
    """

    def __init__(self, path: str | Path) -> None:
        """Remember the file; nothing is read yet."""
        self.path = Path(path).expanduser().absolute()
        self.restarts = 0
        self._offset = 0
        self._line = 0
        self._file: tuple[int, int] | None = None

    def read(self) -> list[Trace]:
        """New traces, in the order they were written; none while there is no file.

        Raises:
            StoreError: The file cannot be read, or a line is no trace.
        """
        found: list[Trace] = []
        try:
            with self.path.open("rb") as file:
                self._notice(os.fstat(file.fileno()))
                file.seek(self._offset)
                while piece := file.readlines(_PIECE):
                    found += self._parsed(piece)
        except FileNotFoundError:
            return found
        except OSError as error:
            raise StoreError(
                f"traces cannot be read from {self.path}: {error.strerror or error}"
            ) from error
        return found

    def _notice(self, status: os.stat_result) -> None:
        which = (status.st_dev, status.st_ino)
        if self._file is not None and (which != self._file or status.st_size < self._offset):
            self.restarts += 1
            self._offset = self._line = 0
        self._file = which

    def _parsed(self, lines: list[bytes]) -> list[Trace]:
        found = []
        for line in lines:
            if not line.endswith(b"\n"):
                break  # its writer has not come to the end
            self._offset += len(line)
            self._line += 1
            if line.strip():
                trace = parse_trace(line, f"{self.path}, line {self._line}")
                found += [] if trace is None else [trace]
        return found
