"""One SQLite file behind one connection: how the ledger opens, locks, checks and leaves it.

One connection per process, behind a lock. SQLite lets a single writer in at a time, so more
connections would only make threads wait in its sleeping busy handler instead of in our lock, and
connections of other threads could not be closed before a fork.

`synchronous=NORMAL` in WAL mode: a commit is in the operating system's hands when it returns, so a
killed process loses nothing. A power cut may lose the last commits (never the file's integrity);
`FULL` would close that gap at four to ten times the time per call.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from effortctl._errors import EffortctlError, StoreError
from effortctl.stores._fork import pause_around_forks

APPLICATION_ID = 0x65666C67
"""Marks the file as ours in its header."""

SCHEMA_VERSION = 1

_RESTORE = "move the file away or restore a copy; spending before that is in the file only"

_SCHEMA = """
CREATE TABLE reservations (
    id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, reserved_us INTEGER NOT NULL,
    pico INTEGER NOT NULL CHECK (typeof(pico) = 'integer' AND pico >= 0), scopes TEXT NOT NULL,
    pid INTEGER NOT NULL, started TEXT NOT NULL, host TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE holds (
    scope TEXT NOT NULL, reservation TEXT NOT NULL, trace_id TEXT NOT NULL,
    reserved_us INTEGER NOT NULL, pico INTEGER NOT NULL,
    PRIMARY KEY (scope, reservation)
) WITHOUT ROWID;
CREATE TABLE spent (
    scope TEXT NOT NULL, period TEXT NOT NULL, start_us INTEGER NOT NULL,
    pico INTEGER NOT NULL CHECK (typeof(pico) = 'integer'),
    PRIMARY KEY (scope, period, start_us)
) WITHOUT ROWID;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, reserved_us INTEGER NOT NULL, settled_us INTEGER NOT NULL,
    kind TEXT NOT NULL, reservation TEXT NOT NULL, trace_id TEXT NOT NULL,
    pico INTEGER NOT NULL CHECK (typeof(pico) = 'integer'), reserved_pico INTEGER NOT NULL,
    price_source TEXT NOT NULL, price_version TEXT NOT NULL, estimated INTEGER NOT NULL,
    scopes TEXT NOT NULL, task_id TEXT, arm TEXT, model TEXT, requested_effort TEXT,
    effective_effort TEXT, input_tokens INTEGER, cached_tokens INTEGER, cache_write_tokens INTEGER,
    output_tokens INTEGER, reasoning_tokens INTEGER, latency_s REAL, compute_s REAL,
    service_tier TEXT, request_id TEXT,
    UNIQUE (reservation, kind)
);
CREATE TRIGGER entries_keep_rows BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'ledger entries are append-only'); END;
CREATE TRIGGER entries_keep_values BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'ledger entries are append-only'); END;
"""


class Database:
    """The ledger's tables, in a file or in memory."""

    def __init__(self, path: Path | None, *, lock_timeout_s: float) -> None:
        """Open, and create what is missing.

        Args:
            path: The file. None: in memory, gone with the process.
            lock_timeout_s: How long to wait for another process's transaction.

        Raises:
            StoreError: The file is not a ledger of this version, or cannot be used.
        """
        self._path = path
        self._lock_timeout_s = lock_timeout_s
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        with self._lock, self._explained():
            self._open()
        pause_around_forks(self)

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other writer can come between; undone when its body raises."""
        with self._lock, self._explained():
            connection = self._open()
            try:
                # Inside, because an interrupt that came while it waited strikes when it has the lock.
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of the tables."""
        with self._lock, self._explained():
            connection = self._open()
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file; the next use opens it again. Memory is kept."""
        with self._lock:
            self._close()

    def before_fork(self) -> None:
        """Wait for the running transaction and close the file."""
        self._lock.acquire()
        self._close()

    def after_fork(self) -> None:
        """Let transactions in again."""
        self._lock.release()

    def _close(self) -> None:
        if self._connection is not None and self._path is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._path is not None:
                _create_private(self._path)
            connection = sqlite3.connect(
                ":memory:" if self._path is None else self._path,
                timeout=self._lock_timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # Nothing is written before the file is known to be ours or empty.
        new = self._is_new(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        if not new:
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            if self._is_new(connection):  # another process may have been first
                for statement in _statements(_SCHEMA):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        ((application,),) = connection.execute("PRAGMA application_id").fetchall()
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        if (application, version, tables) == (0, 0, 0):
            return True
        if application != APPLICATION_ID:
            raise StoreError(
                f"{self._path} is a database of another program, expected an effortctl ledger; "
                "give the ledger a path of its own"
            )
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"ledger {self._path} has version {version}, expected {SCHEMA_VERSION}; "
                "use the effortctl that wrote it, or give the new one another path"
            )
        return False

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            where = f"ledger {self._path or 'in memory'}"
            raise StoreError(f"{where} cannot be used: {error}; {_fix(error)}") from error
        except (ValueError, TypeError, ArithmeticError) as error:
            if isinstance(error, EffortctlError):
                raise
            where = f"ledger {self._path or 'in memory'}"
            raise StoreError(f"{where} has a damaged row ({error}); {_RESTORE}") from error


def _fix(error: Exception) -> str:
    text = str(error)
    if "locked" in text:
        return "another process holds it for too long; find that process, or raise lock_timeout_s"
    if "not a database" in text or "malformed" in text or "disk image" in text:
        return _RESTORE
    if "full" in text:
        return "free some disk space"
    return "check the path, its permissions and the disk"


def _create_private(path: Path) -> None:
    """Create the file for our eyes only; SQLite gives its side files the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _statements(script: str) -> Iterator[str]:
    """Single statements of a script: `executescript` would commit between them."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
