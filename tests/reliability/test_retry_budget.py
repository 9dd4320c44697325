"""An outage is not multiplied: retries beyond what successes have paid for are not made."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reliability_world import arms

from effortctl import AsyncController, ConfigError, Controller, TransientBackendError
from effortctl._limits import EARNED_BY_SUCCESS, RetryBudget
from effortctl.testing import FakeBackend, FakeClock, MockServer

CALLERS = 200


def test_under_nothing_but_rate_limits_200_callers_soon_stop_retrying():
    with MockServer() as server:
        server.script(["429"], repeat=True)

        async def main():
            clock = FakeClock()
            ladder = arms(server, "low")
            async with AsyncController(ladder, sleep=clock.asleep) as controller:

                async def everybody():
                    tasks = (controller.run(f"task {number}") for number in range(CALLERS))
                    return await asyncio.gather(*tasks, return_exceptions=True)

                warm_up = await everybody()
                warm_count = server.count()
                after = await everybody()
                return warm_up + after, warm_count

        errors, warm_count = asyncio.run(main())
        assert all(isinstance(error, TransientBackendError) for error in errors)
        assert warm_count == CALLERS + 100, "the account held 100 retries"
        assert server.count() - warm_count <= CALLERS * 1.1


def test_an_endpoint_that_recovers_gets_its_retries_back():
    down = TransientBackendError("slow down", kind="rate_limit")
    state = {"up": False}
    backend = FakeBackend(lambda call: "408" if state["up"] else down)
    with MockServer() as server:
        controller = Controller(
            arms(server, "low"), backends={"mock": backend}, sleep=FakeClock().sleep, retry_budget=2
        )

        def calls():
            before = len(backend.calls)
            with contextlib.suppress(TransientBackendError):
                controller.run("x")
            return len(backend.calls) - before

        assert [calls() for _ in range(3)] == [3, 1, 1]
        state["up"] = True
        assert [calls() for _ in range(5)] == [1] * 5
        state["up"] = False
        assert calls() == 2, "five successes earned one retry"


def test_without_a_limit_every_task_retries():
    budget = RetryBudget(None)
    assert all(budget.take("e") for _ in range(1000))


def test_one_endpoint_does_not_use_up_the_retries_of_another():
    budget = RetryBudget(1)
    assert [budget.take("a"), budget.take("a"), budget.take("b")] == [True, False, True]


@pytest.mark.parametrize("options", [{"retry_budget": -1}, {"max_concurrency": 0}])
def test_limits_that_make_no_sense_are_refused_at_once(mock_server, options):
    with pytest.raises(ConfigError):
        Controller(arms(mock_server, "low"), **options)


@given(st.lists(st.sampled_from(["retry", "success", "retried success"]), max_size=60))
def test_retries_never_exceed_the_account_and_what_was_earned(events):
    budget, taken, earned = RetryBudget(5), 0, 0.0
    for event in events:
        if event == "retry":
            taken += budget.take("e")
        else:
            budget.succeeded("e", retried=event != "success")
            earned += 1.0 if event != "success" else EARNED_BY_SUCCESS
        assert taken <= 5 + earned + 1e-9


def test_threads_share_one_account():
    budget, barrier = RetryBudget(500), threading.Barrier(16)

    def take(_):
        barrier.wait()
        return sum(budget.take("e") for _ in range(100))

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(take, range(16))) == 500
