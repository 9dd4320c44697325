"""The ledger's file: private, checked before it is touched, and safe across forks."""

import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest

from effortctl._errors import StoreError
from effortctl._types import Budget, Cost
from effortctl.stores import SqliteLedger, default_ledger_path
from effortctl.stores._process import Owner, certainly_dead, current_owner

TEAM = Budget(limit_usd=Decimal(100), scope="team")
CENT = Cost(usd=Decimal("0.01"), source="user")


def spend(ledger):
    reservation = ledger.reserve(Decimal("0.01"), budgets=[TEAM], trace_id="t")
    ledger.settle(reservation, CENT, row={})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "ledger.sqlite3"


def test_the_file_is_for_its_owner_only(path):
    with SqliteLedger(path) as ledger:
        spend(ledger)
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
        assert set(modes.values()) == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_default_place_is_the_users_data_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with SqliteLedger() as ledger:
        assert ledger.path == default_ledger_path()
        assert ledger.path.is_file()


def test_money_is_still_there_after_closing_and_opening(path):
    with SqliteLedger(path) as ledger:
        spend(ledger)
    with SqliteLedger(path) as ledger:
        spend(ledger)
        assert ledger.spent(TEAM) == Decimal("0.02")


def test_a_closed_ledger_opens_again_when_it_is_used(path):
    ledger = SqliteLedger(path)
    ledger.close()
    spend(ledger)
    assert ledger.spent(TEAM) == Decimal("0.01")
    ledger.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"this is not a database, it is a diary\n" * 50,
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:4096] + b"\xff" * (len(whole) - 4096),
        lambda whole: b"\xff" * 64 + whole[64:],
    ],
    ids=["text", "cut short", "overwritten inside", "overwritten at its start"],
)
def test_a_damaged_file_is_refused_with_a_fix_and_left_as_it_was(path, damage):
    with SqliteLedger(path) as ledger:
        for _ in range(200):
            spend(ledger)
    content = damage(path.read_bytes())
    path.write_bytes(content)

    def use():
        with SqliteLedger(path) as ledger:
            spend(ledger)

    with pytest.raises(StoreError, match="move the file away") as caught:
        use()
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_as_it_was(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE diary (entry TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        SqliteLedger(path)
    assert path.read_bytes() == before


def test_a_ledger_of_another_version_is_refused(path):
    SqliteLedger(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(StoreError, match="version 7, expected 1"):
        SqliteLedger(path)


def test_a_directory_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(StoreError, match="check the path"):
        SqliteLedger(tmp_path)


def test_a_ledger_locked_for_too_long_is_refused(path):
    with SqliteLedger(path, lock_timeout_s=0.05) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process holds it"):
            spend(ledger)
        other.execute("ROLLBACK")
        other.close()
        spend(ledger)


def test_entries_can_be_neither_changed_nor_removed(path):
    with SqliteLedger(path) as ledger:
        spend(ledger)
    connection = sqlite3.connect(path)
    for statement in ("DELETE FROM entries", "UPDATE entries SET pico = 0"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def test_a_counter_that_was_tampered_with_is_found(path):
    with SqliteLedger(path) as ledger:
        spend(ledger)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE spent SET pico = 5 WHERE period = 'forever'")
    connection.commit()
    connection.close()
    with SqliteLedger(path) as ledger:
        (problem,) = ledger.check()
        assert problem.startswith("scope:team (forever")


def test_processes_may_create_the_same_ledger_at_once(path):
    code = (
        "import sys; from decimal import Decimal; from effortctl._types import Cost\n"
        "from effortctl.stores import SqliteLedger\n"
        "sys.stdin.readline()\n"
        "ledger = SqliteLedger(sys.argv[1])\n"
        "r = ledger.reserve(Decimal('0.01'), budgets=[], trace_id='t')\n"
        "ledger.settle(r, Cost(usd=Decimal('0.01'), source='user'), row={})\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    with SqliteLedger(path) as ledger:
        assert len(list(ledger.entries())) == 6


# --- forks ---------------------------------------------------------------------------------------


def _spend_many(ledger):
    for _ in range(50):
        spend(ledger)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_ledger_in_use_by_threads_survives_forks(path):
    ledger = SqliteLedger(path)
    spend(ledger)
    stop = threading.Event()
    counts = [0, 0, 0]

    def busy(number):
        while not stop.is_set():
            spend(ledger)
            counts[number] += 1

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_spend_many, args=(ledger,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    stop.set()
    for thread in threads:
        thread.join()
    assert [child.exitcode for child in children] == [0, 0, 0, 0]
    assert ledger.spent(TEAM) == Decimal("0.01") * (1 + 200 + sum(counts))
    assert ledger.check() == []
    ledger.close()


def test_a_child_that_outlives_its_parents_connection_keeps_the_file_whole(path):
    # SQLite's notes of inherited locks would let a third process reset the log under the child.
    ledger = SqliteLedger(path)
    spend(ledger)
    ready, go_on = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        spend(ledger)
        os.write(ready[1], b"x")
        os.read(go_on[0], 1)
        _spend_many(ledger)
        os._exit(0)
    os.read(ready[0], 1)
    ledger.close()
    code = (
        "import sys; from effortctl.stores import SqliteLedger; SqliteLedger(sys.argv[1]).close()"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)
    os.write(go_on[1], b"x")
    assert os.waitpid(child, 0)[1] == 0
    for end in (*ready, *go_on):
        os.close(end)
    assert ledger.spent(TEAM) == Decimal("0.52")
    assert ledger.check() == []
    ledger.close()


# --- who is dead -----------------------------------------------------------------------------------


def test_a_dead_process_leaves_reservations_that_are_charged_and_counted(path):
    code = (
        "import os, sys; from decimal import Decimal; from effortctl._types import Budget\n"
        "from effortctl.stores import SqliteLedger\n"
        "budget = Budget(limit_usd=Decimal(100), scope='team')\n"
        "SqliteLedger(sys.argv[1]).reserve(Decimal('0.25'), budgets=[budget], trace_id='t')\n"
        "os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    with SqliteLedger(path) as ledger:
        (entry,) = ledger.entries()
        assert (entry.kind, entry.cost_usd) == ("reaped", Decimal("0.25"))
        assert (ledger.spent(TEAM), ledger.reserved(TEAM)) == (Decimal("0.25"), 0)


def test_the_living_are_not_buried():
    assert not certainly_dead(current_owner())


@pytest.mark.skipif(not current_owner().started, reason="needs /proc")
def test_a_reused_process_id_is_told_from_its_predecessor():
    me = current_owner()
    assert certainly_dead(Owner(pid=me.pid, started="1", host=me.host))


def test_a_process_of_another_host_or_container_is_not_judged_by_its_id():
    me = current_owner()
    assert not certainly_dead(Owner(pid=me.pid, started="1", host="elsewhere"))


def test_without_start_times_an_unused_process_id_is_proof_enough():
    me = current_owner()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert certainly_dead(Owner(pid=gone.pid, started="", host=me.host))
    assert not certainly_dead(Owner(pid=me.pid, started="", host=me.host))


@pytest.mark.skipif(not current_owner().started, reason="needs /proc")
def test_a_killed_process_nobody_waited_for_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert certainly_dead(Owner(pid=child.pid, started=started, host=current_owner().host))
    child.communicate()


@pytest.fixture
def interruptible():
    """Python's own handler of Ctrl-C: a process that was started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="POSIX only")
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_while_waiting_for_another_process_leaves_the_file_free(path):
    # Python delivers the interrupt the moment SQLite returns, that is with the lock just granted.
    with SqliteLedger(path) as ledger:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        main = threading.main_thread().ident

        def interrupt_and_let_go():
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.2)
            other.execute("ROLLBACK")

        letting_go = threading.Timer(0.2, interrupt_and_let_go)
        letting_go.start()
        with pytest.raises(KeyboardInterrupt):
            ledger.reserve(Decimal("0.01"), budgets=[TEAM], trace_id="t")
        letting_go.join()
        other.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
        other.close()
        spend(ledger)
        assert ledger.reserved(TEAM) == 0
