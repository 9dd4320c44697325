"""A database that somebody else wrote runs nothing, deletes nothing, and redirects nothing."""

import os
import pickle
import sqlite3

import diskcache
import pytest

from effortctl._errors import EffortctlWarning
from effortctl._types import Answer
from effortctl.stores import DiskCache

ANSWER = Answer(text="408")


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (os.mkdir, (str(self.canary),))


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


@pytest.fixture
def payload(canary):
    return pickle.dumps(Bomb(canary))


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "answers"
    with DiskCache(path) as cache:
        cache.set("k", ANSWER)
    return path


def tamper(directory, statement, *values):
    connection = sqlite3.connect(directory / "cache.db")
    with connection:
        connection.execute(statement, values)
    connection.close()


def exercise(directory):
    """Everything a program does with a cache; True when all of it worked without a miss."""
    with DiskCache(directory, size_limit=200_000) as cache:
        first = cache.get("k")
        cache.set("k", ANSWER)
        for number in range(40):
            cache.set(f"fill{number}", Answer(text="x" * 10_000))
        cache.set("k", ANSWER)
        return first == ANSWER and cache.get("k") == ANSWER


def test_the_payload_would_go_off_in_plain_diskcache(directory, payload, canary):
    tamper(directory, "UPDATE Cache SET mode = 4, value = ?", payload)
    with diskcache.Cache(str(directory)) as plain:
        plain.get("default/k")
    assert canary.exists()


def test_a_pickled_value_is_not_loaded(directory, payload, canary):
    tamper(directory, "UPDATE Cache SET mode = 4, value = ?", payload)
    with pytest.warns(EffortctlWarning, match="not plain text"):
        exercise(directory)
    assert not canary.exists()


@pytest.mark.parametrize("mode", [2, 3, 4])
def test_a_value_in_a_file_is_not_read(directory, payload, canary, mode):
    planted = directory / "planted.val"
    planted.write_bytes(payload)
    tamper(directory, "UPDATE Cache SET mode = ?, value = NULL, filename = 'planted.val'", mode)
    with DiskCache(directory) as cache, pytest.warns(EffortctlWarning, match="not plain text"):
        assert cache.get("k") is None
    assert not canary.exists()


def test_a_pickled_key_is_not_loaded(directory, payload, canary):
    tamper(directory, "UPDATE Cache SET raw = 0, key = ?", payload)
    with DiskCache(directory) as cache:
        assert cache.get("k") is None
        with pytest.raises(Exception, match="not plain text"):
            list(cache._cache)
        with pytest.raises(Exception, match="not plain text"):
            cache._cache.peekitem()
    assert not canary.exists()


def test_bytes_in_place_of_text_are_not_used(directory):
    tamper(directory, "UPDATE Cache SET value = CAST(value AS BLOB)")
    with DiskCache(directory) as cache, pytest.warns(EffortctlWarning, match="not plain text"):
        assert cache.get("k") is None


def test_a_row_cannot_delete_a_file(directory, tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("keep me")
    tamper(directory, "UPDATE Cache SET filename = '../precious.txt', store_time = 0")
    with pytest.warns(EffortctlWarning, match="not plain text"):
        exercise(directory)
    assert precious.read_text() == "keep me"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("disk", "diskcache.Disk"),
        ("_disk", "diskcache.Disk"),
        ("disk_pickle_protocol", 0),
        ("disk_min_file_size", 0),
        ("disk_fetch", "x"),
        ("disk__directory", "/nowhere"),
        ("disk_directory", "/nowhere"),
        ("_directory", "/nowhere"),
        ("_timeout", "x"),
        ("get", "x"),
        ("reset", "x"),
        ("eviction_policy", "none"),
        ("size_limit", "x"),
        ("statistics", 1),
        ("cull_limit", 0),
        ("sqlite_writable_schema", 1),
        ("sqlite_journal_mode", "delete"),
        ("sqlite_mmap_size", 2**30),
        ("sqlite_user_version = 77; --", "x"),
    ],
)
def test_settings_in_the_file_choose_nothing(directory, name, value):
    tamper(directory, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", name, value)
    assert exercise(directory)
    with DiskCache(directory) as cache:
        inner = cache._cache
        assert type(inner.disk).__name__ == "_TextDisk"
        assert inner.directory == str(directory)
        assert inner.disk._directory == str(directory)
        assert (inner.eviction_policy, inner.statistics) == ("least-recently-stored", 0)
        pragmas = [
            inner._con.execute(f"PRAGMA {pragma}").fetchone()[0]
            for pragma in ("user_version", "writable_schema", "mmap_size", "journal_mode")
        ]
        assert pragmas == [0, 0, 0, "wal"]


def test_a_pickled_setting_is_not_loaded(directory, payload, canary):
    for name in ("disk_pickle_protocol", "size_limit", "anything", "hits"):
        tamper(directory, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", name, payload)
    with pytest.warns(EffortctlWarning, match="cache is off"):
        DiskCache(directory)
    tamper(directory, "UPDATE Settings SET value = 0 WHERE key = 'hits'")
    assert exercise(directory)
    assert not canary.exists()
