"""Both controllers over fakes: one table of scenarios, then money, cache, cancellation and checks."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from effortctl import (
    Answer,
    Arm,
    AsyncController,
    Budget,
    BudgetExceededError,
    ConfigError,
    Controller,
    DeadlineExceededError,
    EffortctlWarning,
    Endpoint,
    Price,
    StoreError,
    Task,
    TransientBackendError,
    UnknownPriceError,
    UnsupportedEffortError,
    Usage,
    UsageError,
    Verdict,
)
from effortctl._errors import BackendError
from effortctl.stores import DiskCache, MemoryLedger, SqliteLedger
from effortctl.testing import (
    AsyncFakeBackend,
    FakeBackend,
    FakeClock,
    answer,
    scripted_verifier,
)

PRICE = Price(input_usd_per_mtok=Decimal(10), output_usd_per_mtok=Decimal(50))
EACH = Decimal("0.002")  # 100 tokens in, 20 out
PROMPT = "What is 17*24?"
FAKE = Endpoint(name="fake")


def arm(name, **more):
    more = {"price": PRICE, "endpoint": FAKE, "max_output_tokens": 100} | more
    return Arm(name=name, model=more.pop("model", name), **more)


ARMS = [arm("a", effort="low"), arm("b", effort="medium"), arm("c", effort="high")]


def limited(_=None, **more):
    return TransientBackendError("slow down", kind="rate_limit", **more)


class Sync:
    """Runs a scenario through `Controller`."""

    backend_type = FakeBackend

    def __init__(self, script, arms=ARMS, **options):
        self.clock = FakeClock()
        self.backend = self.backend_type(script, clock=options.pop("clock", None))
        options = {"sleep": self._sleep, "rng": FixedJitter()} | options
        self.controller = self.controller_type(arms, backends={"fake": self.backend}, **options)

    controller_type = Controller

    @property
    def _sleep(self):
        return self.clock.sleep

    def run(self, task=PROMPT, **options):
        return self.controller.run(task, **options)


class Async(Sync):
    """Runs a scenario through `AsyncController`."""

    backend_type = AsyncFakeBackend
    controller_type = AsyncController

    @property
    def _sleep(self):
        return self.clock.asleep

    def run(self, task=PROMPT, **options):
        return asyncio.run(self.controller.run(task, **options))


class FixedJitter:
    def uniform(self, low, high):
        return high


BOTH = pytest.mark.parametrize("driver", [Sync, Async], ids=["sync", "async"])


def ended(run):
    """The trace, whether the run returned or raised."""
    try:
        return run().trace, None
    except Exception as error:
        return getattr(error, "trace", None), error


def story(trace):
    return [
        (
            a.arm,
            a.sample_index,
            a.max_output_tokens,
            a.answer and (a.answer.text, a.answer.finish),
            a.verdict and (a.verdict.status, a.verdict.verifier, a.verdict.error),
            a.cost,
            a.calls,
            a.cached,
            a.error,
        )
        for a in trace.attempts
    ]


# --- one table, two drivers ------------------------------------------------------------------------

CUT = answer("4", finish="truncated")
SCENARIOS = {
    # script, options, outcome, arms tried, wire calls, sleeps
    "accepted at once": ({"a": "408"}, {}, "accepted", "a", 1, []),
    "escalated": ({"a": "1", "b": "2", "c": "408"}, {}, "accepted", "abc", 3, []),
    "exhausted": ("1", {}, "exhausted", "abc", 3, []),
    "retried": ({"a": [limited(), "408"]}, {}, "accepted", "a", 2, [0.5]),
    "retried twice": ({"a": [limited(), limited(), "408"]}, {}, "accepted", "a", 3, [0.5, 1.0]),
    "asked to wait": ({"a": [limited(retry_after_s=7.0), "408"]}, {}, "accepted", "a", 2, [7.0]),
    "asked to wait for hours": (
        {"a": limited(retry_after_s=7200.0), "b": "408"}, {}, "accepted", "ab", 2, [],
    ),
    "moved on": ({"a": limited(), "b": "408"}, {}, "accepted", "ab", 4, [0.5, 1.0]),
    "never retried": ({"a": limited(), "b": "408"}, {"max_calls": 1}, "accepted", "ab", 2, []),
    "all down": (limited(), {}, "exhausted", "abc", 9, [0.5, 1.0] * 3),
    "cap raised": ({"a": [CUT, "408"]}, {}, "accepted", "aa", 2, []),
    "sideways": ({"a": CUT, "b": "408"}, {}, "accepted", "aaab", 4, []),
    "refused": ({"a": answer("No.", finish="refused")}, {}, "refused", "a", 1, []),
    "filtered": ({"a": answer("", finish="filtered")}, {}, "refused", "a", 1, []),
    "too long": (answer("", finish="context_exceeded"), {}, "exhausted", "abc", 3, []),
    "quota": (BackendError("no credit", kind="quota"), {}, "failed", "a", 1, []),
    "empty": ({"a": " ", "b": "408"}, {}, "accepted", "ab", 2, []),
    "no check": ("1", {"verify": None}, "accepted", "a", 1, []),
    "check abstains": ("1", {"verify": scripted_verifier("abstain")}, "accepted", "a", 1, []),
    "failing closed": (
        "1", {"verify": scripted_verifier("abstain"), "fail_closed": True}, "exhausted", "abc", 3, [],
    ),
    "check crashes": (
        "1", {"verify": scripted_verifier(ValueError("oops"))}, "accepted", "a", 1, [],
    ),
    "crash, failing closed": (
        "1", {"verify": scripted_verifier(ValueError("oops")), "fail_closed": True},
        "exhausted", "abc", 3, [],
    ),
    "no time": ("1", {"deadline_s": 0}, "past_deadline", "", 0, []),
    "no money": ("1", {"budget": "$0.001"}, "over_budget", "", 0, []),
    "money for one": ({"a": "1"}, {"budget": "$0.0081"}, "over_budget", "a", 1, []),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The check .* raised:effortctl.EffortctlWarning")
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_both_drivers_tell_the_same_story(scenario):
    script, options, outcome, tried, calls, sleeps = scenario
    stories = []
    for driver in (Sync, Async):
        runner = driver(script, **({"verify": "number:408"} | options))
        trace, error = ended(runner.run)
        assert trace.outcome == outcome
        assert "".join(a.arm for a in trace.attempts) == tried
        assert trace.calls == len(runner.backend.calls) == calls
        assert runner.clock.sleeps == sleeps
        stories.append(
            (story(trace), type(error), str(error), [c.messages for c in runner.backend.calls])
        )
    assert stories[0] == stories[1]


@BOTH
def test_jitter_shortens_waits_and_never_lengthens_them(driver):
    runner = driver([limited(), limited(), "408"], rng=None)
    runner.run()
    first, second = runner.clock.sleeps
    assert 0.25 <= first <= 0.5
    assert 0.5 <= second <= 1.0


@BOTH
def test_a_crashing_check_shows_in_the_trace(driver):
    runner = driver("1", verify=scripted_verifier(ValueError("oops")))
    with pytest.warns(EffortctlWarning, match="raised ValueError"):
        outcome = runner.run()
    (attempt,) = outcome.trace.attempts
    assert attempt.verdict.status == "abstain"
    assert "ValueError" in attempt.verdict.error
    assert outcome.accepted
    assert not outcome.verified


@BOTH
def test_a_task_may_bring_its_own_check_budget_and_deadline(driver):
    runner = driver("1", verify="number:408")
    assert runner.run(verify="number:1").accepted
    with pytest.raises(BudgetExceededError):
        runner.run(budget="$0.000001")
    with pytest.raises(DeadlineExceededError):
        runner.run(deadline_s=0)


@BOTH
def test_options_can_be_replaced_in_a_copy(driver):
    runner = driver("1", verify="number:408")
    other = runner.controller.with_options(verify="number:1")
    assert type(other) is type(runner.controller)
    ran = other.run(PROMPT)
    assert (asyncio.run(ran) if driver is Async else ran).accepted
    assert not runner.run().accepted


@BOTH
def test_options_that_make_no_sense_are_refused_at_once(driver):
    with pytest.raises(ConfigError, match="max_calls"):
        driver("1", max_calls=0)
    with pytest.raises(ConfigError, match="empty"):
        driver("1", arms=[])
    with pytest.raises(ConfigError, match="dollars"):
        driver("1", budget="cheap")
    with pytest.raises(ConfigError, match="unknown check"):
        driver("1", verify="vibes:good")


@BOTH
def test_tasks_without_an_id_get_one_and_ids_are_kept(driver):
    runner = driver("1")
    assert runner.run().trace.task_id
    assert runner.run(Task(input="q", id="mine")).trace.task_id == "mine"


# --- money -----------------------------------------------------------------------------------------


@BOTH
def test_a_call_that_could_break_the_budget_is_not_made(driver):
    runner = driver({"a": "1"}, verify="number:408", budget="$0.0081")
    with pytest.raises(BudgetExceededError) as caught:
        runner.run()
    error = caught.value
    assert len(runner.backend.calls) == 1
    assert error.left == Decimal("0.0081") - EACH
    assert error.needed > error.left
    assert [a.arm for a in error.trace.attempts] == ["a"]
    assert error.trace.cost_usd == EACH


@BOTH
def test_a_budget_too_small_for_anything_makes_no_call(driver):
    runner = driver("1", budget="$0.001")
    with pytest.raises(BudgetExceededError) as caught:
        runner.run()
    assert runner.backend.calls == []
    assert caught.value.left == Decimal("0.001")
    assert caught.value.trace.attempts == ()


@BOTH
@pytest.mark.parametrize("priced_first", [True, False])
def test_with_a_budget_an_unknown_price_is_an_error_before_any_call(driver, priced_first):
    arms = [arm("a"), arm("b", price=None)]
    runner = driver("1", arms=arms if priced_first else arms[::-1], budget="$1")
    with pytest.raises(UnknownPriceError, match="no price is known"):
        runner.run()
    assert runner.backend.calls == []


@BOTH
def test_without_a_budget_an_unknown_price_is_a_warning_and_no_number(driver):
    runner = driver("1", arms=[arm("a", price=None)])
    with pytest.warns(EffortctlWarning, match="no price is known"):
        outcome = runner.run()
    assert outcome.trace.attempts[0].cost.source == "unknown"
    assert outcome.cost_usd == 0


def entries_of(ledger, trace):
    return [entry for entry in ledger.entries() if entry.trace_id == trace.id]


@BOTH
def test_the_ledger_says_what_the_trace_says(driver):
    costly = Verdict(status="fail", verifier="judge", cost_usd=Decimal("0.0005"))
    script = {
        "a": [limited(billed=True), limited(), "1"],
        "b": [TransientBackendError("timeout", kind="timeout", billed=True), "2"],
        "c": answer("cut", finish="refused"),
    }
    ledger = MemoryLedger()
    runner = driver(script, verify=scripted_verifier(costly), ledger=ledger, budget="$1")
    trace = runner.run().trace
    rows = entries_of(ledger, trace)
    assert sum(row.cost_usd for row in rows) == trace.cost_usd
    for name in "abc":
        (attempt,) = (a for a in trace.attempts if a.arm == name)
        mine = [row for row in rows if row.arm == name]
        assert sum(row.cost_usd for row in mine) == attempt.cost.usd
        assert len(mine) == attempt.calls
    assert [r.cost_usd for r in rows if r.price_source == "verifier"] == [Decimal("0.0005")] * 2
    assert ledger.reserved(Budget(limit_usd=Decimal(1)), trace_id=trace.id) == 0


@BOTH
def test_a_rejected_call_costs_nothing_and_an_unclear_one_its_worst_case(driver):
    ledger = MemoryLedger()
    script = [limited(), limited(billed=True), "408"]
    trace = driver(script, ledger=ledger).run().trace
    rejected, unclear, answered = entries_of(ledger, trace)
    assert (rejected.cost_usd, rejected.price_source) == (0, "rejected")
    assert unclear.price_source == "worst_case"
    assert unclear.cost_usd > answered.cost_usd == EACH


@BOTH
@pytest.mark.parametrize(
    "fault", [None, UsageError("reasoning above output")], ids=["missing", "bad"]
)
def test_usage_that_cannot_be_read_is_booked_as_the_worst_case(driver, fault):
    item = fault or answer("408", usage=None)
    ledger = MemoryLedger()
    trace, error = ended(driver(item, ledger=ledger).run)
    (row,) = entries_of(ledger, trace)
    assert row.price_source == "worst_case"
    assert row.cost_usd == trace.cost_usd > EACH
    assert isinstance(error, UsageError) == (fault is not None)


@BOTH
def test_a_shared_budget_holds_over_tasks(driver, ledger_path):
    budget = Budget(limit_usd=Decimal("0.02"), scope="team")
    with SqliteLedger(ledger_path, wait_s=0) as ledger:
        runner = driver("408", ledger=ledger, budget=budget)
        for _ in range(8):
            runner.run()
        with pytest.raises(BudgetExceededError):
            runner.run()
        assert ledger.spent(budget) == 8 * EACH <= budget.limit_usd
        assert len(runner.backend.calls) == 8


@BOTH
def test_a_budget_of_one_task_holds_for_each_task_anew(driver):
    runner = driver("408", budget="$0.0081")
    assert [runner.run().accepted for _ in range(5)] == [True] * 5


@BOTH
def test_time_is_checked_again_after_waiting_for_money(driver):
    clock = FakeClock()

    class Slow(MemoryLedger):
        def reserve(self, needed, *, budgets, trace_id, wait_s=None):
            clock.advance(100)
            return super().reserve(needed, budgets=budgets, trace_id=trace_id)

        async def areserve(self, needed, *, budgets, trace_id, wait_s=None):
            return self.reserve(needed, budgets=budgets, trace_id=trace_id)

    ledger = Slow()
    runner = driver("408", ledger=ledger, deadline_s=10, budget="$1", clock=clock)
    runner.controller._clock = clock
    with pytest.raises(DeadlineExceededError) as caught:
        runner.run()
    assert runner.backend.calls == []
    assert ledger.reserved(Budget(limit_usd=Decimal(1)), trace_id=caught.value.trace.id) == 0
    assert caught.value.trace.cost_usd == 0


# --- efforts an endpoint does not take -------------------------------------------------------------


@BOTH
def test_a_rejected_effort_is_resolved_again_once_and_remembered(driver):
    def script(call):
        if call.arm.sent_effort not in ("low", "medium"):
            return UnsupportedEffortError("no", supported=["low", "medium"], arm=call.arm.name)
        return "408"

    runner = driver(script, arms=[arm("x", model="unheard-of", effort="high")])
    with pytest.warns(EffortctlWarning, match="not accepted"):
        (attempt,) = runner.run().trace.attempts
    assert (attempt.requested_effort, attempt.effective_effort) == ("high", "medium")
    assert attempt.calls == 2
    (attempt,) = runner.run().trace.attempts
    assert (attempt.requested_effort, attempt.effective_effort) == ("high", "medium")
    assert attempt.calls == 1


@BOTH
def test_a_rejected_effort_is_asked_for_once_however_many_samples_follow(driver):
    efforts = []

    def script(call):
        efforts.append(call.arm.sent_effort)
        if call.arm.sent_effort == "high":
            return UnsupportedEffortError("not high", supported=["low", "medium"])
        return ["1", CUT, "2", "408"][len(efforts) - 2]

    arms = [arm("samples-of-one", effort="high", samples=3)]
    with pytest.warns(EffortctlWarning, match="'medium' is used"):
        trace = driver(script, arms=arms, verify="number:408").run().trace
    assert efforts == ["high", "medium", "medium", "medium", "medium"]
    assert trace.outcome == "accepted"
    assert {(a.requested_effort, a.effective_effort) for a in trace.attempts} == {
        ("high", "medium")
    }


@BOTH
def test_an_endpoint_that_rejects_every_effort_is_not_asked_for_ever(driver):
    fault = UnsupportedEffortError("no", supported=["low"])
    runner = driver(fault, arms=[arm("x", model="unheard-of", effort="high")])
    with pytest.warns(EffortctlWarning), pytest.raises(UnsupportedEffortError) as caught:
        runner.run()
    assert len(runner.backend.calls) == 2
    assert caught.value.trace.outcome == "failed"


@BOTH
def test_an_arm_may_rather_fail_than_send_another_effort(driver):
    strict = arm("x", model="unheard-of", effort="high", on_unsupported="error")
    runner = driver(UnsupportedEffortError("no", supported=["low"]), arms=[strict])
    with pytest.raises(
        ConfigError, match=r"x: effort 'high' is not accepted .* choose one"
    ) as caught:
        runner.run()
    assert (len(runner.backend.calls), caught.value.trace.outcome) == (1, "failed")


@BOTH
def test_a_model_that_has_ended_is_told_once(driver):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            arms = [arm("x", model="o4-mini"), arm("y", model="o3")]
            driver("408", arms=arms, now=lambda: datetime(2026, 11, 23, tzinfo=UTC))
    (told,) = [str(warning.message) for warning in caught]
    assert told.startswith("o4-mini was shut down on 2026-10-23; choose")


@BOTH
def test_an_arm_that_sends_no_effort_is_not_called_again(driver):
    runner = driver(UnsupportedEffortError("no"), arms=[arm("x")])
    with pytest.raises(UnsupportedEffortError):
        runner.run()
    assert len(runner.backend.calls) == 1


# --- cache -----------------------------------------------------------------------------------------


@pytest.fixture
def cache(cache_dir):
    with DiskCache(cache_dir) as opened:
        yield opened


@BOTH
def test_an_accepted_answer_is_served_again_for_nothing(driver, cache):
    runner = driver("408", verify="number:408", cache=cache)
    runner.run()
    again = runner.run()
    (attempt,) = again.trace.attempts
    assert (attempt.cached, attempt.calls, attempt.cost.source) == (True, 0, "cache")
    assert again.value == "408"
    assert again.verified
    assert again.cost_usd == 0
    assert len(runner.backend.calls) == 1


@BOTH
def test_a_rejected_answer_is_not_stored(driver, cache):
    runner = driver({"a": ["1", "1"], "b": "408"}, verify="number:408", cache=cache)
    runner.run()
    attempts = runner.run().trace.attempts
    assert [(a.arm, a.cached) for a in attempts] == [("a", False), ("b", True)]


@BOTH
@pytest.mark.parametrize("finish", ["truncated", "refused"])
def test_an_answer_that_is_not_complete_is_not_stored(driver, cache, finish):
    runner = driver(answer("408", finish=finish), cache=cache)
    runner.run()
    assert not any(a.cached for a in runner.run().trace.attempts)


@BOTH
def test_a_stored_answer_is_checked_again_by_another_check(driver, cache):
    runner = driver({"a": "1", "b": "408"}, cache=cache)
    runner.run()
    attempts = runner.run(verify="number:408").trace.attempts
    assert [(a.arm, a.cached, a.verdict.status) for a in attempts] == [
        ("a", True, "fail"),
        ("b", False, "pass"),
    ]


@BOTH
def test_every_sample_has_a_place_of_its_own_in_the_cache(driver, cache):
    arms = [arm("a", samples=3)]
    runner = driver(["1", "2", "408", "9", "9", "9"], arms=arms, verify="number:408", cache=cache)
    runner.run()
    again = runner.run().trace.attempts
    assert [(a.sample_index, a.cached, a.answer.text) for a in again] == [
        (0, False, "9"),
        (1, False, "9"),
        (2, True, "408"),
    ]


@BOTH
def test_namespaces_do_not_share_answers(driver, cache):
    for namespace in ("one", "two"):
        runner = driver("408", cache=cache, namespace=namespace)
        runner.run()
        assert len(runner.backend.calls) == 1


class SlowBackend(FakeBackend):
    def complete(self, call):
        time.sleep(0.05)
        return super().complete(call)


class AsyncSlowBackend(AsyncFakeBackend):
    async def complete(self, call):
        await asyncio.sleep(0.05)
        return await super().complete(call)


def test_equal_tasks_of_many_threads_make_one_call(cache):
    backend = SlowBackend("408")
    controller = Controller(ARMS, backends={"fake": backend}, cache=cache, verify="number:408")
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(controller.run, [PROMPT] * 8))
    assert len(backend.calls) == 1
    assert {o.value for o in outcomes} == {"408"}
    assert sum(o.trace.calls for o in outcomes) == 1
    assert sum(o.cost_usd for o in outcomes) == EACH


def test_equal_tasks_of_one_event_loop_make_one_call(cache):
    backend = AsyncSlowBackend("408")
    controller = AsyncController(ARMS, backends={"fake": backend}, cache=cache)

    async def main():
        return await asyncio.gather(*(controller.run(PROMPT) for _ in range(8)))

    outcomes = asyncio.run(main())
    assert len(backend.calls) == 1
    assert {o.value for o in outcomes} == {"408"}


# --- being interrupted -----------------------------------------------------------------------------


class Hanging(AsyncFakeBackend):
    """Never answers; says when it was asked."""

    def __init__(self):
        super().__init__("never")
        self.asked = asyncio.Event()

    async def complete(self, call):
        self.calls.append(call)
        self.asked.set()
        await asyncio.Event().wait()


def team(limit="1"):
    return Budget(limit_usd=Decimal(limit), scope="team")


def test_a_cancelled_call_leaves_nothing_reserved_and_is_booked_as_the_worst_case(ledger_path):
    with SqliteLedger(ledger_path) as ledger:

        async def main():
            backend = Hanging()
            controller = AsyncController(
                ARMS, backends={"fake": backend}, ledger=ledger, budget=team()
            )
            running = asyncio.create_task(controller.run(PROMPT))
            await backend.asked.wait()
            assert ledger.reserved(team()) > 0
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert ledger.reserved(team()) == 0

        asyncio.run(main())
        (row,) = ledger.entries()
        assert row.price_source == "worst_case"
        assert row.cost_usd == ledger.spent(team()) > 0


def test_a_call_cancelled_while_it_is_booked_is_booked_all_the_same():
    class Slow(MemoryLedger):
        settling = threading.Event()

        def settle(self, reservation, cost, *, row):
            self.settling.set()
            time.sleep(0.05)
            super().settle(reservation, cost, row=row)

    ledger = Slow()

    async def main():
        backend = AsyncFakeBackend("408")
        controller = AsyncController(ARMS, backends={"fake": backend}, ledger=ledger, budget=team())
        running = asyncio.create_task(controller.run(PROMPT))
        await asyncio.to_thread(ledger.settling.wait)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert ledger.reserved(team()) == 0
        assert ledger.spent(team()) == EACH

    asyncio.run(main())


def test_many_cancelled_calls_leave_nothing_reserved():
    ledger = MemoryLedger()

    async def main():
        backend = AsyncSlowBackend("408")
        controller = AsyncController(
            ARMS, backends={"fake": backend}, ledger=ledger, budget=team("100")
        )
        running = [asyncio.create_task(controller.run(PROMPT)) for _ in range(40)]
        for index, task in enumerate(running):
            await asyncio.sleep(0.003)
            if index % 2:
                task.cancel()
                running[index // 2].cancel()
        await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(main())
    assert ledger.reserved(team("100")) == 0
    assert ledger.check() == []


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_call_leaves_nothing_reserved(interrupt):
    ledger = MemoryLedger()
    runner = Sync(interrupt(), ledger=ledger, budget=team())
    with pytest.raises(interrupt):
        runner.run()
    assert ledger.reserved(team()) == 0
    assert ledger.spent(team()) > 0


@BOTH
def test_a_bug_in_a_backend_is_raised_unchanged_and_its_call_is_booked(driver):
    ledger, bug = MemoryLedger(), ZeroDivisionError("a bug")
    runner = driver(bug, ledger=ledger, budget=team())
    with pytest.raises(ZeroDivisionError) as caught:
        runner.run()
    assert caught.value is bug
    assert ledger.reserved(team()) == 0
    assert ledger.spent(team()) > 0


def test_a_cancelled_task_does_not_hold_up_equal_ones(cache):
    async def main():
        backend = Hanging()
        controller = AsyncController(ARMS, backends={"fake": backend}, cache=cache)
        first = asyncio.create_task(controller.run(PROMPT))
        await backend.asked.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        quick = controller.with_options(backends={"fake": AsyncFakeBackend("408")})
        async with asyncio.timeout(5):
            assert (await quick.run(PROMPT)).value == "408"

    asyncio.run(main())


# --- checks ----------------------------------------------------------------------------------------


async def is_408(text):
    await asyncio.sleep(0)
    return text == "408"


def test_an_async_check_is_refused_where_nobody_can_await_it():
    with pytest.raises(ConfigError, match="use AsyncController"):
        Sync("408", verify=is_408).run()
    with pytest.raises(ConfigError, match="use AsyncController"):
        Sync("408").run(verify=is_408)


def test_an_async_check_is_awaited():
    attempts = Async({"a": "1", "b": "408"}, verify=is_408).run().trace.attempts
    assert [a.verdict.status for a in attempts] == ["fail", "pass"]


def test_a_blocking_check_does_not_block_the_event_loop():
    ticks = []

    async def main():
        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0.005)

        ticking = asyncio.create_task(tick())
        await Async("408", verify=lambda _text: time.sleep(0.2) or True).controller.run(PROMPT)
        ticking.cancel()

    asyncio.run(main())
    assert len(ticks) > 5


@BOTH
def test_a_check_that_takes_too_long_ends_with_the_deadline(driver):
    release = threading.Event()
    runner = driver("1", verify=lambda _text: release.wait(60), deadline_s=0.3)
    began = time.monotonic()
    with pytest.raises(DeadlineExceededError) as caught:
        runner.run()
    took = time.monotonic() - began
    release.set()
    assert took < 2.3
    (attempt,) = caught.value.trace.attempts
    assert attempt.verdict.status == "abstain"
    assert "TimeoutError" in attempt.verdict.error
    assert attempt.cost_usd == EACH


def test_an_async_check_that_takes_too_long_is_cancelled():
    cancelled = []

    async def slow(_text):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(DeadlineExceededError):
        Async("1", verify=slow, deadline_s=0.2).run()
    assert cancelled == [True]


@BOTH
def test_a_quick_check_is_not_hurt_by_a_deadline(driver):
    assert driver("408", verify="number:408", deadline_s=30).run().verified


@BOTH
def test_a_timeout_raised_by_a_check_itself_is_a_crash_of_the_check(driver):
    runner = driver("1", verify=scripted_verifier(TimeoutError("mine")), deadline_s=30)
    with pytest.warns(EffortctlWarning, match="raised TimeoutError"):
        outcome = runner.run()
    assert "mine" in outcome.trace.attempts[0].verdict.error


# --- traces and life -------------------------------------------------------------------------------


class Kept(list):
    def write(self, trace):
        self.append(trace)


@BOTH
def test_every_finished_trace_is_written_whatever_the_outcome(driver):
    traces = Kept()
    runner = driver(
        {"a": "1", "b": BackendError("no", kind="auth")}, verify="number:408", traces=traces
    )
    with pytest.raises(BackendError):
        runner.run()
    with pytest.raises(DeadlineExceededError):
        runner.run(deadline_s=0)
    runner.run(verify="number:1")
    assert [trace.outcome for trace in traces] == ["failed", "past_deadline", "accepted"]


@BOTH
def test_attempts_are_told_while_the_task_runs(driver):
    told = []
    trace = driver({"a": "1", "b": "408"}, verify="number:408", on_attempt=told.append).run().trace
    assert tuple(told) == trace.attempts


def test_a_controller_that_is_never_closed_leaves_no_open_sockets(mock_server):
    endpoint = Endpoint(name="mock", base_url=mock_server.base_url)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        controller = Controller([arm("a", endpoint=endpoint)])
        controller.loop = controller  # a cycle: only the garbage collector frees it
        assert controller.run("hello").value == "hello"
        (backend,) = controller._made_backends.values()
        del controller
        gc.collect()
    assert backend._connection._made == {}


def test_answers_of_a_foreign_backend_may_be_any_object():
    class Objects:
        def complete(self, call):
            return Answer(text="", value={"n": 408}, usage=Usage())

    assert Controller(ARMS).run_with(Objects(), PROMPT).value == {"n": 408}


class Full:
    def write(self, trace):
        raise StoreError("the disk is full")


@BOTH
def test_an_answer_is_not_lost_with_its_trace(driver):
    with pytest.warns(EffortctlWarning, match="disk is full. The task goes on"):
        assert driver("408", traces=Full()).run().value == "408"
    failing = driver(BackendError("no", kind="auth"), traces=Full())
    with pytest.warns(EffortctlWarning), pytest.raises(BackendError, match="no"):
        failing.run()


# --- odd arguments ---------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("deadline_s", [float("inf"), 1e12, 3e6])
def test_a_deadline_beyond_all_waiting_is_none(driver, deadline_s):
    options = {"verify": lambda text: text == "408", "max_concurrency": 1}
    runner = driver("408", deadline_s=deadline_s, **options)
    assert runner.run().verified
    assert runner.run(deadline_s=deadline_s).verified
    assert {call.timeout_s for call in runner.backend.calls} == {None}


@BOTH
def test_a_tasks_own_endless_deadline_replaces_the_controllers(driver):
    runner = driver("408", deadline_s=0)
    assert runner.run(deadline_s=float("inf")).accepted


@BOTH
def test_a_deadline_that_is_no_number_is_refused(driver):
    with pytest.raises(ConfigError, match="not a number"):
        driver("408", deadline_s=float("nan"))
    with pytest.raises(ConfigError, match="not a number"):
        driver("408").run(deadline_s=float("nan"))


@BOTH
def test_half_a_surrogate_pair_has_a_size_and_is_not_passed_on(driver):
    # What `os.fsdecode` makes of a file name that is not UTF-8; JSON cannot hold it.
    runner = driver(
        {"a": "1", "b": "408"},
        verify=lambda text: (text == "408", "not \udcff"),
        budget="$1",
    )
    assert runner.run("name \udcff").accepted
    feedback = runner.backend.calls[1].messages[-1].text
    assert "not ?" in feedback


@BOTH
def test_a_check_that_forgets_to_return_is_told_of(driver):
    runner = driver("1", verify=lambda _text: None)
    with pytest.warns(EffortctlWarning, match="returned NoneType; return a bool"):
        outcome = runner.run()
    assert not outcome.verified
