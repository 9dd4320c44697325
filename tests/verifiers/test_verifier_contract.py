"""Promises that every verifier keeps."""

import asyncio
import dataclasses
import pickle

import pytest
from pydantic import BaseModel

from effortctl import Answer, Arm, Endpoint, Task, Verdict
from effortctl.testing import judge_reply, judged
from effortctl.verifiers import (
    agreement,
    all_of,
    any_of,
    check,
    choice,
    code_tests,
    contains,
    decisions_judge,
    equals,
    guarded,
    is_async,
    json_fields,
    json_schema,
    judge,
    math_equal,
    not_empty,
    not_refused,
    not_truncated,
    number,
    pydantic_model,
    regex,
)

TASK = Task(input="What is 17 * 24?")
SECRET = "8675309"


class Total(BaseModel):
    total: int


def is_short(text):
    return len(text) < 20


async def is_short_later(text):
    return len(text) < 20


ASKED = Arm(name="asked", model="m", endpoint=Endpoint(name="e", kind="local"))


class Asked:
    """A backend that pickles: judges and samples know that the answer is SECRET."""

    def complete(self, call):
        if call.arm.api == "decisions":
            return Answer(text=f'{{"probability": {float(judged(call)["answer"] == SECRET)}}}')
        if call.task.response_schema is None:
            return Answer(text=SECRET)
        right = judged(call)["answer"] == SECRET
        return Answer(text=judge_reply(call, "pass" if right else "fail"))


@dataclasses.dataclass
class Member:
    """One verifier, an answer it accepts, and one it rejects."""

    make: object
    right: str
    wrong: str
    pickles: bool = True

    def __post_init__(self):
        self.verifier = None


CODE = f"def check(candidate):\n    assert candidate(1) == {SECRET}\n"

MEMBERS = {
    "regex": Member(lambda: regex(f"^{SECRET}$"), SECRET, "8675308"),
    "contains": Member(lambda: contains(SECRET), f"it is {SECRET}!", "it is 8675308"),
    "equals": Member(lambda: equals(SECRET), f"**{SECRET}**", "8675308"),
    "choice": Member(lambda: choice(["yes", "no"]), "Yes.", "maybe"),
    "number": Member(lambda: number(SECRET), f"so {SECRET}", "8675308"),
    "math_equal": Member(lambda: math_equal(SECRET), rf"\boxed{{{SECRET}}}", r"\boxed{8675308}"),
    "json_schema": Member(
        lambda: json_schema({"type": "object", "required": ["total"]}), '{"total": 1}', "{}"
    ),
    "pydantic_model": Member(lambda: pydantic_model(Total), '{"total": 1}', '{"total": "x"}'),
    "json_fields": Member(
        lambda: json_fields({"total": int(SECRET)}), f'{{"total": {SECRET}}}', '{"total": 1}'
    ),
    "not_empty": Member(not_empty, "x", " \n"),
    "not_truncated": Member(not_truncated, "x", "TRUNCATED"),
    "not_refused": Member(not_refused, "x", "I'm sorry, but I can't help with that."),
    "code_tests": Member(
        lambda: code_tests(CODE, entry_point="f", backend="unsafe-subprocess"),
        f"def f(x): return {SECRET}",
        "def f(x): return x",
    ),
    "judge": Member(
        lambda: judge(f"It is {SECRET}.", arm=ASKED, backend=Asked()), SECRET, "8675308"
    ),
    "decisions_judge": Member(
        lambda: decisions_judge(f"It is {SECRET}.", arm=ASKED, backend=Asked()), SECRET, "8675308"
    ),
    "agreement": Member(
        lambda: agreement(samples=1, arm=ASKED, backend=Asked()), SECRET, "8675308"
    ),
    "check": Member(lambda: check(is_short), "short", "long" * 10),
    "async check": Member(lambda: check(is_short_later), "short", "long" * 10),
    "all_of": Member(lambda: all_of(not_empty(), number(SECRET)), SECRET, "8675308"),
    "any_of": Member(lambda: any_of(equals("x"), number(SECRET)), SECRET, "8675308"),
    "guarded": Member(lambda: guarded(number(SECRET)), SECRET, "8675308"),
    "async all_of": Member(
        lambda: all_of(not_empty(), check(is_short_later)), "short", "long" * 10
    ),
}
EVERY = pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)


def answer(text):
    return Answer(text=text, finish="truncated" if text == "TRUNCATED" else "complete")


def verdict_of(verifier, text):
    verdict = verifier(TASK, answer(text))
    return asyncio.run(verdict) if is_async(verifier) else verdict


@EVERY
def test_a_right_answer_passes_without_feedback(member):
    verdict = verdict_of(member.make(), member.right)
    assert isinstance(verdict, Verdict)
    assert (verdict.status, verdict.feedback, verdict.error) == ("pass", "", None)


@EVERY
def test_a_wrong_answer_fails(member):
    verdict = verdict_of(member.make(), member.wrong)
    assert (verdict.status, verdict.error) == ("fail", None)


@EVERY
def test_an_empty_answer_is_a_verdict_and_not_a_crash(member):
    assert verdict_of(member.make(), "").status in {"pass", "fail"}


@EVERY
@pytest.mark.parametrize(
    "text",
    ["\x00", "\ud800", "[" * 100_000, "9" * 100_000, "```json\n", "\\boxed{" * 100, "\u202e1"],
    ids=["null", "surrogate", "nesting", "digits", "open fence", "boxes", "bidi"],
)
def test_hostile_text_is_a_verdict_and_not_a_crash(member, text):
    verdict = verdict_of(guarded(member.make()), text)
    assert verdict.error is None


@EVERY
def test_feedback_never_holds_the_expected_value(member):
    for text in (member.wrong, "", "nonsense", "{}", "8675308"):
        assert SECRET not in verdict_of(guarded(member.make()), text).feedback


@EVERY
def test_the_verdict_names_its_verifier(member):
    verifier = member.make()
    assert verifier.name
    assert verdict_of(verifier, member.wrong).verifier == verifier.name
    assert SECRET not in verifier.name


@EVERY
def test_the_repr_is_the_call_that_made_it(member):
    verifier = member.make()
    assert repr(verifier).partition("(")[0] == verifier.name.partition("(")[0] or repr(
        verifier
    ).startswith(("check(", "guarded("))
    assert "object at 0x" not in repr(verifier)


@EVERY
def test_it_pickles_and_still_judges_the_same(member):
    copy = pickle.loads(pickle.dumps(member.make()))
    assert verdict_of(copy, member.right).status == "pass"
    assert verdict_of(copy, member.wrong).status == "fail"


@EVERY
def test_a_failed_verdict_survives_json(member):
    verdict = verdict_of(member.make(), member.wrong)
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


@EVERY
def test_guarding_changes_no_status(member):
    verifier = member.make()
    for text in (member.right, member.wrong):
        assert verdict_of(guarded(verifier), text).status == verdict_of(verifier, text).status
    assert is_async(guarded(verifier)) == is_async(verifier)
