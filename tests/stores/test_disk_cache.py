"""The cache keeps complete answers, and is never the reason that something fails."""

import json
import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest

from effortctl._errors import ConfigError, EffortctlWarning
from effortctl._types import Answer, Usage
from effortctl.stores import DiskCache

ANSWER = Answer(text="408", usage=Usage(input_tokens=9, output_tokens=2), model="m", latency_s=0.5)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "answers"


def database(directory):
    return directory / "cache.db"


def tamper(directory, statement, *values):
    connection = sqlite3.connect(database(directory))
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_an_answer_comes_back_as_it_was(directory):
    with DiskCache(directory) as cache:
        cache.set("k", ANSWER)
        assert cache.get("k") == ANSWER
        assert cache.get("another") is None


def test_answers_outlive_the_process(directory):
    code = (
        "import sys; from effortctl.stores import DiskCache; from effortctl._types import Answer\n"
        "DiskCache(sys.argv[1]).set('k', Answer(text='from afar'))"
    )
    subprocess.run([sys.executable, "-c", code, directory], check=True)
    with DiskCache(directory) as cache:
        assert cache.get("k").text == "from afar"


def test_the_default_place_is_the_users_cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with DiskCache() as cache:
        assert cache.enabled
        assert cache.directory.is_relative_to(tmp_path)


def test_namespaces_do_not_see_each_other(directory):
    with DiskCache(directory, namespace="a") as a, DiskCache(directory, namespace="b") as b:
        a.set("k", ANSWER)
        assert b.get("k") is None
        assert a.get("k") == ANSWER


@pytest.mark.parametrize("finish", ["truncated", "refused", "filtered", "context_exceeded"])
def test_only_complete_answers_are_kept(directory, finish):
    with DiskCache(directory) as cache:
        with pytest.warns(EffortctlWarning, match=f"it is {finish}"):
            cache.set("k", Answer(text="half an ans", finish=finish))
        assert cache.get("k") is None


def test_an_answer_whose_python_value_would_be_lost_is_not_kept(directory):
    with DiskCache(directory) as cache:
        with pytest.warns(EffortctlWarning, match="Python value"):
            cache.set("k", Answer(text="", value={"x": 1}))
        assert cache.get("k") is None


def test_an_answer_that_is_too_large_is_not_kept(directory):
    with DiskCache(directory, max_value_bytes=1000) as cache:
        with pytest.warns(EffortctlWarning, match="the limit is 1000"):
            cache.set("k", Answer(text="x" * 1000))
        assert cache.get("k") is None


def test_a_row_that_is_larger_than_allowed_is_not_believed(directory):
    with DiskCache(directory) as cache:
        cache.set("k", Answer(text="x" * 2000))
        cache.set("huge", Answer(text="x" * 200_000))
    with DiskCache(directory, max_value_bytes=1000) as cache:
        with pytest.warns(EffortctlWarning, match="max_value_bytes"):
            assert cache.get("k") is None
        with pytest.warns(EffortctlWarning, match="too big"):
            assert cache.get("huge") is None


def test_an_answer_that_cannot_be_written_as_text_is_not_kept(directory):
    with DiskCache(directory) as cache:
        with pytest.warns(EffortctlWarning, match="was not cached: PydanticSerializationError"):
            cache.set("k", Answer(text="half a pair \ud800"))
        assert cache.get("k") is None


def test_answers_age_by_the_clock_they_are_given(directory):
    now = [1000.0]
    with DiskCache(directory, ttl_s=60, clock=lambda: now[0]) as cache:
        cache.set("k", ANSWER)
        now[0] += 60
        assert cache.get("k") == ANSWER
        now[0] += 0.001
        assert cache.get("k") is None


def test_the_oldest_answers_make_room(directory):
    with DiskCache(directory, size_limit=300_000) as cache:
        for number in range(100):
            cache.set(f"k{number}", Answer(text="x" * 10_000))
        assert cache.get("k0") is None
        assert cache.get("k99") is not None
    assert database(directory).stat().st_size < 500_000


def test_the_files_are_for_their_owner_only(directory):
    with DiskCache(directory) as cache:
        cache.set("k", ANSWER)
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        files = [path for path in directory.iterdir() if path.is_file()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


# --- places that are not safe to use -----------------------------------------------------------------


def assert_off(directory, reason):
    with pytest.warns(EffortctlWarning, match=reason):
        cache = DiskCache(directory)
    assert not cache.enabled
    cache.set("k", ANSWER)
    assert cache.get("k") is None
    cache.close()


def test_a_linked_directory_is_not_used(tmp_path, directory):
    (tmp_path / "real").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "real")
    assert_off(directory, "not a plain directory")
    assert list((tmp_path / "real").iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_directory_others_may_write_to_is_not_used(directory, mode):
    directory.mkdir()
    directory.chmod(mode)
    assert_off(directory, "other users; run: chmod go-w")
    assert list(directory.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_not_used(directory):
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, -1)
    assert_off(directory, "another user")


def test_a_file_in_place_of_the_directory_is_not_used(directory):
    directory.write_text("x")
    assert_off(directory, "cache is off")


def test_a_linked_database_is_not_used(tmp_path, directory):
    directory.mkdir(mode=0o700)
    (tmp_path / "elsewhere.db").write_bytes(b"")
    database(directory).symlink_to(tmp_path / "elsewhere.db")
    assert_off(directory, "not a plain file")


def test_a_directory_name_that_diskcache_would_expand_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ELSEWHERE", "surprise")
    with pytest.raises(ConfigError, match="write its value"):
        DiskCache(tmp_path / "$ELSEWHERE")


# --- damage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_a_flipped_bit_is_a_miss_with_a_warning(directory, position):
    with DiskCache(directory) as cache:
        cache.set("k", ANSWER)
    connection = sqlite3.connect(database(directory))
    (text,) = connection.execute("SELECT value FROM Cache").fetchone()
    connection.close()
    flipped = bytearray(text.encode())
    flipped[position % len(flipped)] ^= 1
    tamper(directory, "UPDATE Cache SET value = ?", flipped.decode())
    with DiskCache(directory) as cache, pytest.warns(EffortctlWarning, match="not used"):
        assert cache.get("k") is None


def test_an_answer_moved_to_another_key_is_not_believed(directory):
    with DiskCache(directory) as cache:
        cache.set("k", ANSWER)
    tamper(directory, "UPDATE Cache SET key = 'default/other'")
    with (
        DiskCache(directory) as cache,
        pytest.warns(EffortctlWarning, match="checksum does not match"),
    ):
        assert cache.get("other") is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"version": 1}',
        '{"version": 1, "answer": 7, "sha256": 7}',
        '{"version": 2, "stored_at": 0, "sha256": "", "answer": ""}',
        "[" * 100_000,
        "not json",
    ],
)
def test_a_row_of_another_shape_is_a_miss_with_a_warning(directory, value):
    with DiskCache(directory) as cache:
        cache.set("k", ANSWER)
    tamper(directory, "UPDATE Cache SET value = ?", value)
    with DiskCache(directory) as cache, pytest.warns(EffortctlWarning, match="not used"):
        assert cache.get("k") is None


def test_a_warning_never_quotes_what_was_stored(directory):
    with DiskCache(directory) as cache:
        cache.set("k", ANSWER)
    tamper(directory, "UPDATE Cache SET value = ?", json.dumps({"secret text": 1})[:-2])
    with DiskCache(directory) as cache, pytest.warns(EffortctlWarning) as caught:
        cache.get("k")
    assert "secret" not in str(caught[0].message)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"SQLite format 3\0" + b"\xff" * 5000,
        lambda whole: b"a diary" * 1000,
        lambda whole: whole[:4096] + b"\xff" * (len(whole) - 4096),
    ],
    ids=["cut short", "header only", "text", "overwritten"],
)
def test_a_damaged_database_is_a_miss_with_a_warning(directory, damage):
    with DiskCache(directory) as cache:
        for number in range(50):
            cache.set(f"k{number}", Answer(text="x" * 500))
    content = damage(database(directory).read_bytes())
    database(directory).write_bytes(content)

    def use():
        with DiskCache(directory) as cache:
            cache.set("k1", ANSWER)
            return cache.get("k1")

    with pytest.warns(EffortctlWarning):
        assert use() is None


def test_tables_of_another_shape_turn_the_cache_off(directory):
    directory.mkdir(mode=0o700)
    tamper(directory, "CREATE TABLE Cache (diary TEXT)")
    assert_off(directory, "cache is off")


def test_a_cache_locked_by_another_process_is_still_read_and_not_waited_for(directory):
    with DiskCache(directory, lock_timeout_s=0.05) as cache:
        cache.set("k", ANSWER)
        other = sqlite3.connect(database(directory), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert cache.get("k") == ANSWER
        with pytest.warns(EffortctlWarning, match="was not cached: Timeout"):
            cache.set("k2", ANSWER)
        other.execute("ROLLBACK")
        other.close()
        cache.set("k2", ANSWER)
        assert cache.get("k2") == ANSWER


def test_a_full_disk_is_a_warning(directory):
    with DiskCache(directory) as cache:
        cache.set("k", ANSWER)
        ((pages,),) = cache._cache._con.execute("PRAGMA page_count")
        cache._cache._con.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.warns(EffortctlWarning, match="full"):
            cache.set("big", Answer(text="x" * 1_000_000))
        assert cache.get("k") == ANSWER


# --- threads and forks ---------------------------------------------------------------------------------


def _use(cache, number):
    for turn in range(30):
        cache.set(f"{number}-{turn}", ANSWER)
        assert cache.get(f"{number}-{turn}") == ANSWER


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_threads_and_forked_children_share_a_cache(directory):
    with DiskCache(directory, lock_timeout_s=30) as cache:
        threads = [threading.Thread(target=_use, args=(cache, n)) for n in range(4)]
        fork = multiprocessing.get_context("fork")
        children = [fork.Process(target=_use, args=(cache, n)) for n in range(4, 8)]
        for worker in (*threads, *children):
            worker.start()
        for worker in (*threads, *children):
            worker.join(30)
        assert [child.exitcode for child in children] == [0] * 4
        stored = [cache.get(f"{n}-{turn}") for n in range(8) for turn in range(30)]
        assert stored == [ANSWER] * 240
