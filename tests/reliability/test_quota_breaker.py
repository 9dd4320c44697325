"""An account without credit is not asked again for every task."""

import asyncio

import pytest
from reliability_world import arms

from effortctl import AsyncController, BackendError, Controller
from effortctl._limits import QUOTA_PAUSE_S
from effortctl.testing import FakeClock


def drive(kind, server, script):
    """Run `script(run, clock)` as a generator of prompts' results on one controller of a kind."""
    clock = FakeClock()
    ladder = arms(server, "low", "high")
    if kind == "sync":
        with Controller(ladder, clock=clock) as controller:
            return script(lambda: controller.run("What is 17*24?"), clock)

    controller = AsyncController(ladder, clock=clock)
    with asyncio.Runner() as loop:
        try:
            return script(lambda: loop.run(controller.run("What is 17*24?")), clock)
        finally:
            loop.run(controller.close())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_after_a_refusal_for_want_of_credit_no_call_is_made_for_a_while(mock_server, kind):
    mock_server.script(["insufficient-quota"], repeat=True)

    def script(run, clock):
        for _ in range(3):
            with pytest.raises(BackendError, match="credit") as caught:
                run()
            assert caught.value.kind == "quota"
        assert mock_server.count() == 1
        assert caught.value.trace.calls == 0
        assert caught.value.trace.cost_usd == 0
        clock.advance(QUOTA_PAUSE_S)
        for _ in range(3):
            with pytest.raises(BackendError):
                run()
        assert mock_server.count() == 2, "one call finds out, and closes the endpoint again"

    drive(kind, mock_server, script)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_credit_that_was_added_is_noticed(mock_server, kind):
    mock_server.script(["insufficient-quota"])

    def script(run, clock):
        with pytest.raises(BackendError):
            run()
        clock.advance(QUOTA_PAUSE_S)
        assert [run().accepted, run().accepted] == [True, True]

    drive(kind, mock_server, script)
