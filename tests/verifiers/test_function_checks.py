import asyncio
import functools
import warnings

import numpy as np
import pytest

from effortctl import Answer, ConfigError, EffortctlWarning, Task, Verdict, VerifierError
from effortctl.verifiers import as_verifier, check, guarded, is_async, json_schema, number, regex

TASK, ANSWER = Task(input="q", id="t"), Answer(text="four")


def with_task(task, answer):
    return task.id == "t" and answer.text == "four"


def raises(text):
    raise RuntimeError("boom")


@pytest.mark.parametrize(
    "fn",
    [
        lambda text: text == "four",
        lambda text, strict=False: text == "four" and not strict,
        with_task,
        lambda *args: len(args) == 2 and args[1].text == "four",
        functools.partial(lambda wanted, text: text == wanted, "four"),
        lambda task, answer: (True, ""),
        lambda task, answer: Verdict(status="pass"),
        str.isalpha,
    ],
)
def test_any_function_of_the_answer_or_of_both_is_a_verifier(fn):
    verdict = check(fn)(TASK, ANSWER)
    assert verdict.passed
    assert verdict.verifier


def test_a_callable_object_is_a_verifier_named_after_its_class():
    class LongEnough:
        def __call__(self, text):
            return len(text) > 3

    verifier = check(LongEnough())
    assert verifier(TASK, ANSWER).passed
    assert verifier.name == "LongEnough"


def test_feedback_given_with_false_is_kept_and_with_true_dropped():
    assert check(lambda t: (False, "too short"))(TASK, ANSWER).feedback == "too short"
    assert check(lambda t: (True, "fine"))(TASK, ANSWER).feedback == ""


def test_a_decorated_functions_value_is_what_a_one_argument_check_sees():
    answer = Answer(text="ignored", value={"total": 3})
    assert check(lambda value: value["total"] == 3)(TASK, answer).passed


def test_a_name_can_be_given():
    assert check(lambda t: True, name="mine")(TASK, ANSWER).verifier == "mine"


@pytest.mark.parametrize("fn", [lambda: True, lambda a, b, c: True, lambda a, *, key: True])
def test_a_function_that_cannot_be_called_with_an_answer_is_refused_at_once(fn):
    with pytest.raises(ConfigError, match="must take"):
        check(fn)


def test_what_is_not_callable_is_refused():
    with pytest.raises(ConfigError, match="needs a function"):
        check(42)


@pytest.mark.parametrize("value", [None, 1, "yes", (True, 3), (1, "x"), (True, "x", 1), object()])
def test_any_other_result_is_a_verifier_error_and_abstains_behind_the_guard(value):
    verifier = check(lambda text: value)
    told = pytest.warns(EffortctlWarning, match="return a bool")
    with told, pytest.raises(VerifierError, match="return a bool"):
        verifier(TASK, ANSWER)
    with told:
        verdict = guarded(verifier)(TASK, ANSWER)
    assert verdict.status == "abstain"
    assert "return a bool" in verdict.error


def test_a_plain_function_that_returns_a_coroutine_is_told_to_be_async():
    async def later(text):
        return True

    told = pytest.warns(EffortctlWarning, match="async def")
    with told, pytest.raises(VerifierError, match="async def"):
        check(lambda text: later(text + ""))(TASK, ANSWER)


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("box", [np.bool_, np.array, lambda value: np.equal(value, True)])
def test_the_bools_of_numpy_are_bools(box, right):
    wanted = "pass" if right else "fail"
    assert check(lambda text: box(right))(TASK, ANSWER).status == wanted
    verdict = check(lambda text: (box(right), "too short"))(TASK, ANSWER)
    assert (verdict.status, verdict.feedback) == (wanted, "" if right else "too short")


@pytest.mark.parametrize("value", [np.float64(1), np.array([True, True]), np.array("yes")])
def test_other_things_of_numpy_are_not(value):
    with pytest.warns(EffortctlWarning), pytest.raises(VerifierError):
        check(lambda text: value)(TASK, ANSWER)


@pytest.mark.parametrize("maker", [json_schema, regex, number])
def test_what_makes_a_check_is_not_taken_for_one(maker):
    with pytest.raises(ConfigError, match="call it"):
        as_verifier(maker)


@pytest.mark.filterwarnings("ignore:The check .* raised:effortctl.EffortctlWarning")
def test_an_error_that_cannot_say_what_it_is_is_a_crash_like_any_other():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError

    def crash(text):
        raise MuteError

    verdict = guarded(check(crash))(TASK, ANSWER)
    assert (verdict.status, verdict.error) == ("abstain", "MuteError: (it cannot say what)")


def test_async_functions_make_async_verifiers():
    async def later(text):
        await asyncio.sleep(0)
        return text == "four"

    class Later:
        async def __call__(self, task, answer):
            return True

    for fn in (later, functools.partial(later), Later()):
        verifier = check(fn)
        assert is_async(verifier)
        assert asyncio.run(verifier(TASK, ANSWER)).passed
    assert not is_async(check(with_task))


def test_a_crash_abstains_and_is_visible():
    with pytest.warns(EffortctlWarning, match=r"check raises raised RuntimeError .* accepted"):
        verdict = guarded(check(raises))(TASK, ANSWER)
    assert (verdict.status, verdict.error) == ("abstain", "RuntimeError: boom")
    assert verdict.verifier == "raises"
    assert verdict.feedback == "The check raises raised RuntimeError and could not tell."


def test_each_kind_of_crash_of_a_check_is_told_once_and_quotes_nothing():
    def picky(text):
        raise {"a": ValueError, "b": KeyError}[text](f"secret {text}")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for text in "abab":
            guarded(check(picky))(TASK, Answer(text=text))
    told = [str(warning.message) for warning in caught]
    assert ["ValueError" in told[0], "KeyError" in told[1], len(told)] == [True, True, 2]
    assert not any("secret" in text for text in told)


@pytest.mark.filterwarnings("ignore:The check .* raised:effortctl.EffortctlWarning")
def test_a_crash_fails_when_fail_closed():
    verdict = guarded(check(raises), fail_closed=True)(TASK, ANSWER)
    assert (verdict.status, verdict.error) == ("fail", "RuntimeError: boom")


def test_an_honest_abstention_stays_one_when_fail_closed():
    verifier = check(lambda t: Verdict(status="abstain"))
    assert guarded(verifier, fail_closed=True)(TASK, ANSWER).status == "abstain"


@pytest.mark.filterwarnings("ignore:The check .* raised:effortctl.EffortctlWarning")
def test_an_async_crash_abstains():
    async def later(text):
        raise KeyError("lost")

    verdict = asyncio.run(guarded(check(later))(TASK, ANSWER))
    assert (verdict.status, verdict.error) == ("abstain", "KeyError: 'lost'")


def test_cancellation_and_ctrl_c_are_not_swallowed():
    def interrupted(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(check(interrupted))(TASK, ANSWER)

    async def cancelled(text):
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(guarded(check(cancelled))(TASK, ANSWER))


def test_the_guard_times_the_check_with_the_clock_it_is_given():
    ticks = iter([10.0, 12.5])
    assert guarded(check(with_task), clock=lambda: next(ticks))(TASK, ANSWER).latency_s == 2.5
