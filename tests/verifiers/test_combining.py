import asyncio
import threading
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl import Answer, ConfigError, Task, Verdict
from effortctl.verifiers import all_of, any_of, check, guarded, is_async, not_empty, number, regex

TASK, ANSWER = Task(input="q"), Answer(text="4")
STATUSES = st.sampled_from(["pass", "fail", "abstain"])


def saying(status, **fields):
    return check(lambda t: Verdict(status=status, **fields), name=status)


def saying_later(status):
    async def later(text):
        return Verdict(status=status)

    return check(later, name=status)


def all_rule(statuses):
    if "fail" in statuses:
        return "fail"
    return "abstain" if "abstain" in statuses else "pass"


def any_rule(statuses):
    if "pass" in statuses:
        return "pass"
    return "abstain" if "abstain" in statuses else "fail"


@given(st.lists(STATUSES, min_size=1, max_size=6))
def test_all_of_follows_its_rule_sync_and_async(statuses):
    verdict = all_of(*map(saying, statuses))(TASK, ANSWER)
    assert verdict.status == all_rule(statuses)
    later = asyncio.run(all_of(*map(saying_later, statuses))(TASK, ANSWER))
    assert later.status == all_rule(statuses)


@given(st.lists(STATUSES, min_size=1, max_size=6))
def test_any_of_follows_its_rule_sync_and_async(statuses):
    assert any_of(*map(saying, statuses))(TASK, ANSWER).status == any_rule(statuses)
    later = asyncio.run(any_of(*map(saying_later, statuses))(TASK, ANSWER))
    assert later.status == any_rule(statuses)


def test_all_of_stops_at_the_first_failure_and_any_of_at_the_first_pass():
    def never(text):
        raise AssertionError("asked although the outcome was certain")

    assert all_of(saying("fail"), never)(TASK, ANSWER).error is None
    assert any_of(saying("pass"), never)(TASK, ANSWER).error is None


@pytest.mark.filterwarnings("ignore:The check .* raised:effortctl.EffortctlWarning")
def test_a_crashing_member_abstains_and_the_others_are_still_asked():
    def crash(text):
        raise OSError("disk")

    verdict = all_of(crash, saying("fail", feedback="no"))(TASK, ANSWER)
    assert (verdict.status, verdict.feedback, verdict.error) == ("fail", "no", "OSError: disk")
    assert all_of(crash, saying("pass"))(TASK, ANSWER).status == "abstain"
    assert guarded(all_of(crash, saying("pass")), fail_closed=True)(TASK, ANSWER).status == "fail"


def test_costs_and_latencies_add_up_over_the_members_that_were_asked():
    paid = {"cost_usd": Decimal("0.01"), "latency_s": 0.5}
    verdict = all_of(saying("pass", **paid), saying("fail", **paid), saying("pass", **paid))(
        TASK, ANSWER
    )
    assert verdict.cost_usd == Decimal("0.02")
    assert verdict.latency_s == 1.0


def test_all_of_keeps_the_lowest_score_and_any_of_the_highest():
    scored = [saying("pass", score=0.9), saying("pass", score=0.4), saying("pass")]
    assert all_of(*scored)(TASK, ANSWER).score == 0.4
    assert any_of(saying("fail", score=0.2), saying("fail", score=0.6))(TASK, ANSWER).score == 0.6


def test_feedback_of_all_failures_is_joined_without_repeats_and_dropped_on_pass():
    verdict = any_of(
        saying("fail", feedback="a"), saying("fail", feedback="b"), saying("fail", feedback="a")
    )(TASK, ANSWER)
    assert verdict.feedback == "a\nb"
    passed = any_of(saying("fail", feedback="a"), saying("pass"))(TASK, ANSWER)
    assert passed.feedback == ""


def test_nesting_of_the_same_kind_is_flattened():
    inner = all_of(not_empty(), regex("^4$"))
    assert all_of(inner, number(4)).name == "all_of(not_empty, regex, number)"
    assert any_of(inner, number(4)).name == "any_of(all_of(not_empty, regex), number)"


def test_one_member_stays_itself_and_none_is_refused():
    assert all_of(number(4)) == number(4)
    with pytest.raises(ConfigError, match="at least one"):
        any_of()


def test_one_async_member_makes_the_combination_async_and_sync_members_leave_the_loop_free():
    threads = []

    def where(text):
        threads.append(threading.current_thread())
        return True

    combined = all_of(where, saying_later("pass"))
    assert is_async(combined)
    assert asyncio.run(combined(TASK, ANSWER)).passed
    assert threads != [threading.main_thread()]
