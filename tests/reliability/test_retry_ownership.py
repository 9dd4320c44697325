"""One owner of retries: exact request counts on the wire, never 15 or 45 for one task."""

import time

import openai
import pytest
from reliability_world import TEAM, arms, run_one

from effortctl import Controller, TransientBackendError
from effortctl._errors import BackendError
from effortctl.backends import OpenAIBackend
from effortctl.stores import MemoryLedger
from effortctl.testing import FakeClock, MockServer

LADDER = ("low", "medium", "high")
RETRIED = [
    "408", "409", "429", "429:retry-after=1", "429:retry-after-date=1", "500", "502", "503", "504",
    "529", "html-502", "empty-500", "reset", "disconnect", "reset-mid-body", "truncated-body",
]  # fmt: skip
NOT_RETRIED = ["400", "401", "403", "404", "422", "insufficient-quota", "prompt-filtered"]


def run_on(server, kind, *efforts, **options):
    clock = FakeClock()
    sleep = clock.sleep if kind == "sync" else clock.asleep
    try:
        run_one(kind, arms(server, *efforts), sleep=sleep, ledger=MemoryLedger(), **options)
    except BackendError as error:
        return clock, error
    return clock, None


def in_turn(faults):
    """Both drivers get their share of the faults; the arithmetic they have in common."""
    return [(fault, ("sync", "async")[number % 2]) for number, fault in enumerate(faults)]


@pytest.mark.parametrize(("fault", "kind"), in_turn(RETRIED))
def test_a_fault_that_may_pass_is_asked_exactly_three_times_per_arm(mock_server, fault, kind):
    mock_server.script([fault], repeat=True)
    clock, error = run_on(mock_server, kind, *LADDER)
    assert isinstance(error, TransientBackendError)
    assert [mock_server.count(model=f"m-{effort}") for effort in LADDER] == [3, 3, 3]
    assert len(clock.sleeps) == 6, "two waits per arm, none between arms"


@pytest.mark.parametrize(("fault", "kind"), in_turn(NOT_RETRIED))
def test_a_fault_that_cannot_pass_is_asked_once(mock_server, fault, kind):
    mock_server.script([fault], repeat=True)
    clock, _ = run_on(mock_server, kind, *LADDER)
    assert mock_server.count() == 1
    assert clock.sleeps == []


@pytest.mark.parametrize("retries", [0, 2, 5])
def test_retries_of_the_users_own_client_do_not_multiply_ours(mock_server, retries):
    mock_server.script(["500"], repeat=True)
    client = openai.OpenAI(api_key="k", base_url=mock_server.base_url, max_retries=retries)
    ladder = arms(mock_server, *LADDER)
    backend = OpenAIBackend(ladder[0].endpoint, client=client)
    controller = Controller(ladder, backends={"mock": backend}, sleep=FakeClock().sleep)
    with pytest.raises(TransientBackendError):
        controller.run("What is 17*24?")
    assert mock_server.count() == 9
    client.close()


def test_the_wait_an_endpoint_asks_for_is_kept_on_the_real_clock(mock_server):
    mock_server.script(["429:retry-after=0.5"])
    began = time.monotonic()
    with Controller(arms(mock_server, "low")) as controller:
        assert controller.run("408").trace.attempts[0].calls == 2
    assert 0.5 <= time.monotonic() - began < 2.5


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_wait_beyond_the_deadline_is_neither_slept_nor_charged(mock_server, kind):
    mock_server.script(["429:retry-after=60"], repeat=True)
    clock, error = run_on(mock_server, kind, "low", deadline_s=20.0)
    assert isinstance(error, TransientBackendError)
    assert clock.sleeps == []
    assert mock_server.count() == 1
    assert error.trace.cost_usd == 0


def test_a_rate_limit_never_raises_the_effort_and_a_failed_check_never_waits():
    with MockServer(lambda request: "408" if request.effort == "high" else "1") as server:
        server.script(["429", "429", "ok"], model="m-low")
        clock, error = run_on(server, "sync", *LADDER, verify="number:408", budget=TEAM)
    assert error is None
    assert [hit.effort for hit in server.hits] == ["low", "low", "low", "medium", "high"]
    assert len(clock.sleeps) == 2
