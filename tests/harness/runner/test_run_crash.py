"""Kill it, interrupt it, start it twice: no finished call is repeated, and the table is the same."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from decimal import Decimal

import pytest
from runner_worlds import Fake, inputs_of, run

from effortctl._errors import ConfigError
from effortctl.harness.runner import OUTCOMES, load_config, prepare, read_history, run_eval
from effortctl.harness.runner._journal import locked
from effortctl.stores import read_outcomes
from effortctl.testing import MockReply, MockServer

KILLS = 20
CALLS = 500
CONCURRENCY = 8

# Imports once and forks a child for every line it reads, so that twenty sessions start quickly.
NURSERY = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from effortctl.backends import _openai
    from effortctl.harness.runner import load_config, prepare, run_eval
    from effortctl.stores import _database

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            config = load_config(sys.argv[1])
            try:
                summary = run_eval(prepare(config), Path(config.out))
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit({None: 0, "interrupted": 130}.get(summary.stopped, 5))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    """
)


class Sessions:
    """Sessions of one run, each in a process of its own."""

    def __init__(self, config):
        self._process = subprocess.Popen(
            [sys.executable, "-c", NURSERY, str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def start(self):
        """The id of the new session's process."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self):
        """How it ended."""
        return int(self._process.stdout.readline())


def respond(request):
    number = int(request.text.split()[0])
    return MockReply(text=str(2 * number) if number % 3 else "no idea")


@pytest.fixture
def evaluation(tmp_path):
    """Writes the files of an evaluation against a server."""

    def write(server, *, calls=CALLS, extra=""):
        lines = "".join(f"s{n},{n} plus {n},{2 * n}\n" for n in range(calls))
        (tmp_path / "tasks.csv").write_text(f"id,input,target\n{lines}")
        (tmp_path / "mine.toml").write_text(
            f"""
            [[arm]]
            name = "m"
            model = "m"
            endpoint = {{ name = "mine", base_url = "{server.base_url}" }}
            max_output_tokens = 2000
            price = {{ input_usd_per_mtok = "1", output_usd_per_mtok = "2" }}
            """
        )
        path = tmp_path / "EVAL.toml"
        path.write_text(
            f'name = "crash"\ndataset = "tasks.csv"\nladder = "mine.toml"\nmetric = "number"\n'
            f'max_concurrency = {CONCURRENCY}\nbudget_usd = "50"\nout = "run"\n{extra}'
        )
        return path

    return write


def prompt(body):
    turns = body.get("messages") or body["input"]
    return turns if isinstance(turns, str) else turns[-1]["content"]


def table(folder):
    matrix = read_outcomes(folder / OUTCOMES)
    return {
        task: (matrix.score[i, 0], matrix.verdict[i, 0], matrix.cost_usd[i, 0], matrix.texts[i])
        for i, task in enumerate(matrix.task_ids)
    }


def scores(folder):
    return {task: (row[0], row[1], row[3]) for task, row in table(folder).items()}


def refuse_repeats(folder):
    """No wire request for a cell whose answer was on record, in any session."""
    done = set()
    for path in sorted(folder.glob("journal-*.jsonl")):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                cell = tuple(event.get("cell", ()))
                assert not (event["k"] == "start" and cell in done), cell
                if event["k"] == "done":
                    done.add(cell)
    return done


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_twenty_times_no_finished_call_is_repeated_and_the_table_is_the_same(
    evaluation, tmp_path
):
    rng = random.Random(20)
    with MockServer(respond, latency_s=0.004) as server:
        config, folder = evaluation(server), tmp_path / "run"
        with Sessions(config) as sessions:
            for _ in range(KILLS):
                pid = sessions.start()
                server.wait_for_hits(server.count() + rng.randrange(3, 2 * CALLS // KILLS - 10))
                time.sleep(rng.uniform(0, 0.01))
                os.kill(pid, signal.SIGKILL)
                assert sessions.end() in {-signal.SIGKILL, 0}
            sessions.start()
            assert sessions.end() == 0
        assert len(refuse_repeats(folder)) == CALLS
        # A process that dies while it sends leaves half a request, which is no call.
        asked = Counter(prompt(hit.body) for hit in server.hits if hit.body)
        starts = read_history(folder).starts
        assert sum(asked.values()) <= CALLS + KILLS * CONCURRENCY
        for cell, count in starts.items():
            number = cell.case[1:]
            assert asked[f"{number} plus {number}"] in range(1, count + 1)
        billed = sum(
            usage.input_tokens + 2 * usage.output_tokens
            for usage in server.billed_by_model.values()
        )
        summary = run_eval(prepare(load_config(config)), folder)
        assert summary.total_spent_usd >= Decimal(billed) / 1_000_000
        assert summary.total_spent_usd <= 50
        assert summary.called == 0

        whole = config.with_name("WHOLE.toml")
        whole.write_text(config.read_text().replace('out = "run"', 'out = "whole"'))
        run_eval(prepare(load_config(whole)), tmp_path / "whole")
    assert scores(folder) == scores(tmp_path / "whole")
    assert len(scores(folder)) == CALLS


def test_ctrl_c_finishes_what_is_in_flight_and_leaves_a_run_that_can_go_on(evaluation, tmp_path):
    with MockServer(respond, latency_s=0.05) as server:
        config, folder = evaluation(server, calls=60), tmp_path / "run"
        with Sessions(config) as sessions:
            pid = sessions.start()
            assert server.wait_for_hits(10)
            os.kill(pid, signal.SIGINT)
            assert sessions.end() == 130
            first = server.count()
            assert first < 60
            assert len(refuse_repeats(folder)) == first
            sessions.start()
            assert sessions.end() == 0
        assert server.count() == 60
    assert len(table(folder)) == 60


def test_a_second_ctrl_c_gives_up_what_is_in_flight(evaluation, tmp_path):
    with MockServer(respond, latency_s=30.0) as server:
        config = evaluation(server, calls=20)
        with Sessions(config) as sessions:
            pid = sessions.start()
            deadline = time.monotonic() + 30
            while not read_history(tmp_path / "run").starts and time.monotonic() < deadline:
                time.sleep(0.02)
            os.kill(pid, signal.SIGINT)
            time.sleep(0.2)
            os.kill(pid, signal.SIGINT)
            assert sessions.end() == 130
    history = read_history(tmp_path / "run")
    assert history.answered == {}
    assert history.unsettled() == {}


def test_two_runs_into_one_folder_at_once_are_refused(tmp_path):
    folder = tmp_path / "run"
    with (
        locked(folder),
        pytest.raises(ConfigError, match=rf"process {os.getpid()} is running into"),
    ):
        run(inputs_of(2), folder, Fake())
    assert run(inputs_of(2), folder, Fake()).complete


def test_dollars_of_a_process_that_died_are_known_to_the_cent(evaluation, tmp_path):
    with MockServer(respond, latency_s=0.05) as server:
        config, folder = evaluation(server, calls=40), tmp_path / "run"
        with Sessions(config) as sessions:
            pid = sessions.start()
            assert server.wait_for_hits(20)
            os.kill(pid, signal.SIGKILL)
            sessions.end()
        history = read_history(folder)
        finished = sum(sample.spent_usd for sample in history.answered.values())
        lost = history.lost_requests()
        assert 0 < lost <= CONCURRENCY
        worst = sum(usd for tranche in history.tranches.values() for usd in tranche.open.values())
        summary = run_eval(prepare(load_config(config)), folder)
    assert summary.total_spent_usd == finished + worst + summary.spent_usd
    assert any(f"{lost} requests were in flight" in note for note in summary.notes)
