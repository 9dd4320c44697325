import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl._types import EFFORTS, Message
from effortctl.backends._prompt_effort import ANSWER_MARK, prompt_effort

CATEGORIES = (None, "code", "math", "facts", "extraction")
ASKED = (Message(role="user", content="How many legs have 7 spiders?"),)


def said(effort, category=None, messages=ASKED):
    return prompt_effort(messages, effort, category=category)


def test_default_effort_changes_nothing():
    assert said("default") == ASKED


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("effort", [e for e in EFFORTS if e != "default"])
def test_every_other_effort_keeps_the_prompt_and_adds_an_instruction(effort, category):
    (turn,) = said(effort, category)
    assert turn.role == "user"
    assert turn.content.startswith("How many legs have 7 spiders?\n\n")


@pytest.mark.parametrize("category", CATEGORIES)
def test_none_low_and_medium_ask_for_different_work(category):
    assert len({said(effort, category) for effort in ("none", "low", "medium")}) == 3


@pytest.mark.parametrize("effort", ["low", "medium", "high", "max"])
@pytest.mark.parametrize("category", ["math", "facts", None])
def test_a_model_that_thinks_first_is_asked_to_mark_its_answer(effort, category):
    assert ANSWER_MARK in said(effort, category)[0].content


def test_no_effort_does_not_ask_for_a_marked_answer():
    assert ANSWER_MARK not in said("none")[0].content


@pytest.mark.parametrize("effort", ["none", "low", "medium", "high"])
def test_code_stays_code_at_every_effort(effort):
    text = said(effort, "code")[0].content
    assert "Python code block" in text
    assert ANSWER_MARK not in text


def test_high_uses_the_words_of_low_for_text_because_its_extra_work_is_samples():
    assert said("high", "math") == said("low", "math")


def test_the_instruction_goes_to_the_last_user_turn():
    turns = (
        Message(role="system", content="Be kind."),
        Message(role="user", content="first"),
        Message(role="assistant", content="no"),
        Message(role="user", content="second"),
    )
    asked = said("low", None, turns)
    assert asked[:3] == turns[:3]
    assert asked[3].content.startswith("second\n\n")


def test_a_conversation_without_a_user_turn_gets_one():
    turns = (Message(role="system", content="Count to three."),)
    asked = said("none", None, turns)
    assert asked[0] == turns[0]
    assert asked[1].role == "user"


def test_content_parts_are_kept_and_the_instruction_is_one_more_part():
    image = {"type": "image_url", "image_url": {"url": "https://host.example/cat.png"}}
    (turn,) = said("none", None, (Message(role="user", content=(image,)),))
    assert turn.content[0] == image
    assert turn.content[1]["type"] == "text"


MESSAGES = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["system", "user", "assistant"]),
        content=st.text(max_size=20),
    ),
    max_size=5,
).map(tuple)


@given(MESSAGES, st.sampled_from(EFFORTS), st.sampled_from(CATEGORIES))
def test_all_other_turns_are_left_as_they_are(messages, effort, category):
    asked = prompt_effort(messages, effort, category=category)
    same = sum(before == after for before, after in zip(messages, asked, strict=False))
    assert same >= len(messages) - 1
    assert len(asked) - len(messages) in {0, 1}
