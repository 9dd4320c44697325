"""Concurrency finds its level, paces hold, and a storm of rate limits is survived."""

import asyncio
from itertools import pairwise

import pytest
from runner_worlds import Fake, arm, inputs_of, run

from effortctl._errors import BackendError, TransientBackendError
from effortctl.harness.runner._limits import Gate, Pace, Window
from effortctl.testing import FakeClock


def limited(**kwargs):
    return TransientBackendError("slow down", kind="rate_limit", status=429, **kwargs)


def broken():
    return TransientBackendError("oops", kind="server", status=503)


def window(most=200, **options):
    clock = FakeClock()
    return Window(most, clock=clock, **options), clock


def test_the_window_doubles_with_every_round_until_its_limit():
    found, _ = window(most=100)
    sizes = [found.size]
    for _ in range(4):
        for _ in range(found.size):
            found.succeeded()
        sizes.append(found.size)
    assert sizes == [20, 40, 80, 100, 100]


def test_one_episode_of_rate_limiting_cuts_once_and_growth_is_slow_afterwards():
    found, clock = window(start=100)
    for _ in range(50):
        found.failed(limited())
    assert found.size == 80
    found.succeeded()
    assert found.size == 80
    clock.advance(15.1)
    for _ in range(80):
        found.succeeded()
    assert found.size in {80, 81}
    found.failed(limited())
    assert found.size == 64


def test_a_server_fault_stops_the_growth_and_cuts_nothing():
    found, clock = window()
    found.failed(broken())
    for _ in range(50):
        found.succeeded()
    assert found.size == 20
    clock.advance(15.1)
    for _ in range(25):
        found.succeeded()
    assert found.size == 21


def test_faults_that_are_not_the_endpoints_load_change_nothing():
    found, _ = window()
    found.failed(BackendError("no such model", kind="not_found", status=404))
    found.failed(TransientBackendError("timeout", kind="timeout"))
    assert found.size == 20
    assert found.hold_s == 0


def test_a_request_to_wait_holds_everything_but_never_longer_than_a_minute():
    found, clock = window()
    found.failed(limited(retry_after_s=10_000.0))
    assert found.hold_s == 60
    clock.advance(61)
    assert found.hold_s == 0


def test_the_window_never_falls_below_one():
    found, clock = window(start=1, most=5)
    for _ in range(20):
        found.failed(limited())
        clock.advance(16)
    assert found.size == 1


@pytest.mark.parametrize("rate", [6, 60, 600])
def test_a_pace_lets_through_a_second_at_once_and_its_rate_afterwards(rate):
    clock, pace, sent = FakeClock(), Pace(rate), []
    for _ in range(3 * rate):
        clock.advance(pace.delay_s(clock()))
        pace.spend(1, clock())
        sent.append(clock())
    within_a_minute = max(sum(s <= t < s + 60 for t in sent) for s in sent)
    assert within_a_minute <= rate + rate / 60 + 1
    assert sent[-1] - sent[0] == pytest.approx(180, rel=0.2 if rate == 6 else 0.02)
    assert all(a <= b for a, b in pairwise(sent))


def test_tokens_that_were_not_needed_are_given_back():
    clock = FakeClock()
    gate = Gate(10, tpm=600, clock=clock, sleep=clock.asleep)

    async def many():
        for _ in range(10):
            await gate.enter(600)
            gate.correct(-590)
            gate.leave()

    start = clock()
    asyncio.run(many())
    assert clock() - start <= 10


def test_no_more_calls_are_in_flight_than_allowed(tmp_path):
    backend = Fake(latency_s=0.001)
    summary = run(inputs_of(60, max_concurrency=7), tmp_path / "run", backend)
    assert summary.complete
    assert backend.high_water <= 7


def test_a_storm_of_rate_limits_narrows_the_gate_and_loses_no_answer(tmp_path):
    storm = {"left": 300}

    def script(_call, _n):
        if storm["left"] > 0:
            storm["left"] -= 1
            return limited()
        return None

    told = []
    clock = FakeClock()
    summary = run(
        inputs_of(200, max_concurrency=60),
        tmp_path / "run",
        Fake(script),
        start=60,
        clock=clock,
        sleep=clock.asleep,
        on_progress=told.append,
    )
    assert summary.complete
    assert not summary.failed
    assert min(progress.allowed for progress in told) < 60


def test_a_wait_the_endpoint_asks_for_is_kept(tmp_path):
    clock = FakeClock()
    sent = []

    def script(_call, n):
        sent.append(clock())
        return limited(retry_after_s=7.0) if n == 1 else None

    assert run(
        inputs_of(2, arms=[arm()], max_concurrency=1),
        tmp_path / "run",
        Fake(script),
        clock=clock,
        sleep=clock.asleep,
    ).complete
    assert sent[1] - sent[0] >= 7
