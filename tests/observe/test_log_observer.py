"""What happened is in the log, and nothing of what was said."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watched import attempt, trace

from effortctl import Arm, ConfigError, Controller, Price, StoreError
from effortctl.observers import LogObserver, Observers
from effortctl.observers._logs import _word
from effortctl.testing import FakeBackend


def fields(record):
    return {
        name.removeprefix("effortctl_"): value
        for name, value in vars(record).items()
        if name.startswith("effortctl_")
    }


def test_a_task_is_one_record_and_each_attempt_another(caplog):
    caplog.set_level(logging.DEBUG, logger="effortctl")
    LogObserver().write(trace(attempt("fail"), attempt(arm="gpt-6-sol@high", usd="0.125")))
    levels = [(record.levelname, fields(record)["event"]) for record in caplog.records]
    assert levels == [("DEBUG", "attempt"), ("DEBUG", "attempt"), ("INFO", "task")]
    task = fields(caplog.records[-1])
    assert task["decision"] == "trace-0"
    assert (task["outcome"], task["verified"], task["arm"]) == (
        "accepted",
        True,
        "gpt-6-sol@high",
    )
    assert task["cost_usd"] == "0.135"
    tried = fields(caplog.records[0])
    assert (tried["verdict"], tried["effort"], tried["reasoning_tokens"]) == ("fail", "low", 12)
    assert {fields(record)["decision"] for record in caplog.records} == {"trace-0"}


def test_the_text_of_a_record_is_key_value(caplog):
    caplog.set_level(logging.INFO, logger="effortctl")
    LogObserver().write(trace(attempt()))
    (record,) = caplog.records
    event, *words = record.getMessage().split()
    assert event == "task"
    assert dict(word.split("=", 1) for word in words)["cost_usd"] == "0.01"


def test_nothing_that_was_said_is_logged(caplog):
    caplog.set_level(logging.DEBUG, logger="effortctl")
    LogObserver().write(trace(attempt("fail"), attempt(answered=False)))
    everything = json.dumps([vars(record) for record in caplog.records], default=str)
    assert "secret" not in everything
    assert fields(caplog.records[1])["error"] == "TransientBackendError"


def test_a_silent_logger_gets_no_records(caplog):
    quiet = logging.getLogger("quiet")
    quiet.setLevel(logging.WARNING)
    LogObserver(quiet).write(trace(attempt()))
    assert caplog.records == []


@given(st.text(min_size=1))
def test_no_value_breaks_out_of_its_word(text):
    word = _word(text)
    assert word.isascii()
    assert "\n" not in word
    assert word == text or json.loads(word) == text


def test_a_controller_logs_its_tasks(caplog):
    caplog.set_level(logging.INFO, logger="effortctl")
    arm = Arm(name="m@low", model="m", effort="low", price=Price())
    ctl = Controller([arm], backends={"openai": FakeBackend(["42"])}, traces=LogObserver())
    outcome = ctl.run("a secret prompt")
    assert fields(caplog.records[-1])["decision"] == outcome.trace.id
    assert "secret" not in caplog.text


class Broken:
    def __init__(self, error):
        self.error = error

    def write(self, trace):
        raise self.error


def test_an_observer_that_fails_keeps_the_trace_from_none_of_the_others():
    class Keeper:
        def write(self, trace):
            kept.append(trace)

    kept = []
    observers = Observers(Broken(StoreError("disk full")), Broken(KeyError("x")), Keeper())
    with pytest.raises(StoreError, match="disk full"):
        observers.write(trace(attempt()))
    assert len(kept) == 1


@pytest.mark.parametrize("sinks", [(), ("traces.jsonl",)])
def test_what_is_no_observer_is_refused(sinks):
    with pytest.raises(ConfigError, match="write"):
        Observers(*sinks)
