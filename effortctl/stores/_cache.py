"""Answers kept on disk with diskcache, which is not trusted with anything but strings.

diskcache unpickles what its database tells it to, copies every row of the database's settings table
onto itself as attributes and PRAGMA statements, and deletes the files its rows name. A database
somebody else wrote (unpacked, restored, synchronised) therefore runs code in plain diskcache, and in
its `JSONDisk`. Here rows hold JSON text only, settings come from us and never from the file, no row
can name a file, and connections do not cross forks.

The cache fails open: whatever is wrong with it is a warning and a miss, never an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import diskcache
import platformdirs

from effortctl._errors import ConfigError, EffortctlWarning
from effortctl._types import Answer
from effortctl.stores._fork import pause_around_forks
from effortctl.stores._private import why_not_private, why_not_private_file
from effortctl.stores._singleflight import SingleFlight

ROW_VERSION = 1

_ROW_OVERHEAD = 64 * 1024
"""Bytes of a database row beyond its value; also room for the text of the schema."""

_METADATA = frozenset({"count", "size", "hits", "misses"})


class _UnusableRowError(Exception):
    """A row that we did not write, or not like this."""


class _TextDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Stores strings in the database itself, and reads nothing else."""

    def __init__(self, directory: str, /, **_from_settings: object) -> None:
        super().__init__(directory)

    def put(self, key: object) -> tuple[str, bool]:
        if type(key) is not str:
            raise _UnusableRowError("keys are strings")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if type(key) is not str or not raw:
            raise _UnusableRowError("its key is not plain text")
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, str]:  # noqa: FBT001 - diskcache's signature
        del key
        if read or type(value) is not str:
            raise _UnusableRowError("values are strings")
        return 0, diskcache.core.MODE_RAW, None, value

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> str:  # noqa: FBT001 - diskcache's signature
        if read or mode != diskcache.core.MODE_RAW or filename is not None:
            raise _UnusableRowError("its value is not plain text")
        if type(value) is not str:
            raise _UnusableRowError("its value is not plain text")
        return value

    def remove(self, file_path: object) -> None:
        """We never store files, so a row that names one was planted: leave that file alone."""


class _TextCache(diskcache.Cache):  # type: ignore[misc]  # diskcache has no types
    """diskcache on one connection, with settings that come from us alone."""

    def __init__(
        self, directory: Path, *, size_limit: int, row_limit: int, lock_timeout_s: float
    ) -> None:
        self._single: sqlite3.Connection | None = None
        self._row_limit = row_limit
        self._lock_timeout_s = lock_timeout_s
        self._ours: dict[str, object] = {
            **diskcache.DEFAULT_SETTINGS,
            "size_limit": size_limit,
            # A mapped file that another process cuts short would end us with a bus error.
            "sqlite_mmap_size": 0,
        }
        try:
            super().__init__(str(directory), disk=_TextDisk, **self._ours)
        except BaseException:
            self.close()
            raise

    def reset(self, key: str, value: object = diskcache.core.ENOVAL, update: object = True) -> Any:  # noqa: FBT002 - diskcache's signature
        """Take a setting from us, a counter from the file, and ignore every other name."""
        del value, update
        if key in _METADATA:
            row = self._con.execute("SELECT value FROM Settings WHERE key = ?", (key,)).fetchone()
            ours: object = int(row[0])
        elif key in self._ours:
            ours = self._ours[key]
        else:
            return None
        setattr(self, key, ours)
        return ours

    @property
    def _con(self) -> sqlite3.Connection:
        if self._single is None:
            connection = sqlite3.connect(
                Path(self._directory) / diskcache.core.DBNAME,
                timeout=self._lock_timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._row_limit)
                for name, value in self._ours.items():
                    if name.startswith("sqlite_"):
                        connection.execute(f"PRAGMA {name.removeprefix('sqlite_')} = {value}")
            except BaseException:
                connection.close()
                raise
            self._single = connection
        return self._single

    @property
    def _sql_retry(self) -> Callable[..., sqlite3.Cursor]:
        # diskcache would retry for a minute; SQLite's own timeout is as long as we want to wait.
        return self._con.execute

    def close(self) -> None:
        if self._single is not None:
            self._single.close()
            self._single = None


class DiskCache:
    """Complete, accepted answers, kept between runs.

    Attributes:
        directory: Where the database is.
        namespace: Answers of other namespaces are never returned.
        enabled: False when the directory or its database cannot be used; then every look is a miss.
        flight: Joins equal requests of all threads, tasks and processes that use the directory.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        namespace: str = "default",
        size_limit: int = 2**30,
        max_value_bytes: int = 4 * 2**20,
        ttl_s: float | None = None,
        lock_timeout_s: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the cache; warn and stay disabled when that is not possible or not safe.

        Args:
            directory: Made with mode 0700 when missing. It is not used when it is a link, belongs to
                another user, or others may write to it. None: the user's cache directory.
            namespace: Keeps tenants apart; give each its own, to `cache_key` as well.
            size_limit: Bytes of the database above which the oldest answers are dropped.
            max_value_bytes: Answers larger than this are not stored, and not believed when found.
            ttl_s: Age above which an answer is a miss. None: answers do not age.
            lock_timeout_s: How long to wait for another process's write.
            clock: Seconds since 1970, for `ttl_s`.

        Raises:
            ConfigError: The directory's name holds a `$`, which diskcache would expand.
        """
        self.directory = _directory(directory)
        self.namespace = namespace
        self.enabled = False
        self._size_limit = size_limit
        self._max_value_bytes = max_value_bytes
        self._ttl_s = ttl_s
        self._lock_timeout_s = lock_timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: _TextCache | None = None
        self._open()
        self.flight = SingleFlight(self.directory / "flights" if self.enabled else None)
        pause_around_forks(self)

    def _open(self) -> None:
        try:
            problem = why_not_private(self.directory) or why_not_private_file(
                self.directory / diskcache.core.DBNAME
            )
            if problem is not None:
                _warn(f"the cache is off: {problem}")
                return
            _create_private(self.directory / diskcache.core.DBNAME)
            self._cache = _TextCache(
                self.directory,
                size_limit=self._size_limit,
                row_limit=self._max_value_bytes + _ROW_OVERHEAD,
                lock_timeout_s=self._lock_timeout_s,
            )
        except Exception as error:  # noqa: BLE001 - foreign code on a foreign file; the cache fails open
            _warn(f"the cache is off: {_said(error)}; remove {self.directory} if it is damaged")
            return
        self.enabled = True

    def get(self, key: str) -> Answer | None:
        """The stored answer, or None. Whatever is wrong with the store is a warning and a miss."""
        if self._cache is None:
            return None
        row_key = self._row_key(key)
        try:
            with self._lock:
                text = self._cache.get(row_key)
            return None if text is None else self._unwrap(row_key, text)
        except Exception as error:  # noqa: BLE001 - foreign code on a foreign file; the cache fails open
            _warn(f"a cached answer was not used: {_said(error)}")
            return None

    def set(self, key: str, answer: Answer) -> None:
        """Store a complete answer that was accepted. What cannot be stored is a warning.

        Refused are answers that are not `complete`, carry a Python `value` (it would be lost), or are
        larger than `max_value_bytes`.
        """
        if self._cache is None:
            return
        row_key = self._row_key(key)
        try:
            row = self._wrap(row_key, answer)
            with self._lock:
                self._cache.set(row_key, row)
        except Exception as error:  # noqa: BLE001 - foreign code on a foreign file; the cache fails open
            _warn(f"an answer was not cached: {_said(error)}")

    def close(self) -> None:
        """Close the database. The next use opens it again."""
        with self._lock:
            self._close()

    def before_fork(self) -> None:
        """Wait for work in progress and close the database."""
        self._lock.acquire()
        self._close()

    def after_fork(self) -> None:
        """Let work in again."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_cache", None) is not None:
            self._close()

    def _close(self) -> None:
        if self._cache is not None:
            self._cache.close()

    def _row_key(self, key: str) -> str:
        return f"{self.namespace}/{key}"

    def _wrap(self, row_key: str, answer: Answer) -> str:
        if answer.finish != "complete":
            raise _UnusableRowError(f"it is {answer.finish}, and only complete answers are kept")
        if answer.value is not None:
            raise _UnusableRowError("it carries a Python value, which JSON cannot bring back")
        body = answer.model_dump_json()
        stored_at = self._clock()
        row = {
            "version": ROW_VERSION,
            "stored_at": stored_at,
            "sha256": _checksum(row_key, stored_at, body),
            "answer": body,
        }
        text = json.dumps(row)
        if len(text) > self._max_value_bytes:
            raise _UnusableRowError(
                f"it takes {len(text)} bytes, the limit is {self._max_value_bytes}"
            )
        return text

    def _unwrap(self, row_key: str, text: str) -> Answer | None:
        if len(text) > self._max_value_bytes:
            raise _UnusableRowError("its row is larger than max_value_bytes")
        row = json.loads(text)
        if not isinstance(row, dict) or row.get("version") != ROW_VERSION:
            raise _UnusableRowError(f"its row is not of version {ROW_VERSION}")
        body = row["answer"]
        if row["sha256"] != _checksum(row_key, row["stored_at"], body):
            raise _UnusableRowError("its checksum does not match")
        if self._ttl_s is not None and self._clock() - row["stored_at"] > self._ttl_s:
            return None
        answer = Answer.model_validate_json(body)
        if answer.finish != "complete":
            raise _UnusableRowError("it is not a complete answer")
        return answer


def _directory(directory: str | Path | None) -> Path:
    if directory is None:
        directory = Path(platformdirs.user_cache_dir("effortctl", appauthor=False)) / "answers"
    path = Path(directory).expanduser().absolute()
    if os.path.expandvars(path) != str(path):
        raise ConfigError(f"cache directory {path} holds a variable; write its value instead")
    return path


def _create_private(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _checksum(row_key: str, stored_at: float, body: str) -> str:
    """Binds an answer to its key and time, so that neither damage nor a swapped row goes unseen."""
    return hashlib.sha256(f"{ROW_VERSION}\n{stored_at}\n{row_key}\n{body}".encode()).hexdigest()


def _said(error: Exception) -> str:
    # Validation errors quote what they could not read, and that is an answer.
    if isinstance(error, _UnusableRowError | sqlite3.Error | OSError):
        return str(error)
    return type(error).__name__


def _warn(message: str) -> None:
    warnings.warn(message, EffortctlWarning, stacklevel=3)
