import pytest

from effortctl import Answer, ConfigError, Task
from effortctl.verifiers import (
    choice,
    contains,
    equals,
    not_empty,
    not_refused,
    not_truncated,
    regex,
)

TASK = Task(input="q")


def judge(verifier, text, **fields):
    return verifier(TASK, Answer(text=text, **fields))


@pytest.mark.parametrize("text", ["408", " 408\n", "408\n"])
def test_regex_ignores_space_around_the_answer(text):
    assert judge(regex("^408$"), text).passed


def test_regex_takes_flags():
    assert judge(regex("^ok$", flags=2), "OK").passed


@pytest.mark.parametrize("pattern", [r"^\d{3}-\d{4}$", "^[A-Z]{3}-[0-9]+$", r"^\w+@\w+\.[a-z]+$"])
def test_a_pattern_that_only_describes_a_form_is_shown(pattern):
    assert pattern in judge(regex(pattern), "!").feedback


@pytest.mark.parametrize("pattern", ["^408$", r"\b408\b", ".*Paris.*", "(?i)^yes$", r"^4\d8$"])
def test_a_pattern_that_spells_out_the_answer_is_not_shown(pattern):
    feedback = judge(regex(pattern), "!").feedback
    assert pattern not in feedback
    assert not {"408", "Paris", "yes", "4"} & set(feedback.replace(".", " ").split())


def test_a_hint_is_shown_instead_of_the_pattern():
    feedback = judge(regex("^408$", hint="Give only digits."), "x").feedback
    assert feedback.endswith("Give only digits.")
    assert judge(contains("x1", hint="Name the file."), "y").feedback.endswith("Name the file.")


def test_a_broken_pattern_is_refused_when_built():
    with pytest.raises(ConfigError, match="not a regular expression"):
        regex("(")


def test_contains_can_ignore_case():
    assert not judge(contains("foo"), "FOO").passed
    assert judge(contains("foo", ignore_case=True), "a FOO b").passed


@pytest.mark.parametrize(
    "text",
    [
        "Paris", "paris.", " PARIS \n", "**Paris**", '"Paris"', "`Paris`.", "\u201cParis.\u201d",
        "The capital. Answer: Paris", "thinking...\n**Answer:** Paris.", "#### Paris", "$Paris$",
    ],
)  # fmt: skip
def test_equals_forgives_dress(text):
    assert judge(equals("Paris"), text).passed


@pytest.mark.parametrize("text", ["", "Parise", "Paris, France", "London", "Answer: not Paris"])
def test_equals_forgives_nothing_else(text):
    assert not judge(equals("Paris"), text).passed


def test_equals_can_heed_case_and_collapses_space():
    assert not judge(equals("Paris", ignore_case=False), "paris").passed
    assert judge(equals("New  York"), "new york").passed


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("positive", True),
        ("The sentiment is Positive.", True),
        ("very positive", True),
        ("**negative**", True),
        ("not positive but negative", False),
        ("It could be positive. Answer: negative", True),
        ("positively", False),
        ("", False),
    ],
)
def test_choice_wants_exactly_one_option(text, passes):
    verdict = judge(choice(["positive", "very positive", "negative"]), text)
    assert verdict.passed is passes
    if not passes:
        assert "positive, very positive, negative" in verdict.feedback


def test_choice_options_may_hold_signs():
    assert judge(choice(["A+", "A"]), "A+").passed
    assert judge(choice(["c++", "c#"]), "I would use C++ here").passed


@pytest.mark.parametrize("options", [[], ["a"], ["a", "A"], ["a", ""], "abc"])
def test_choice_refuses_options_that_are_no_choice(options):
    with pytest.raises(ConfigError):
        choice(options)


@pytest.mark.parametrize("make", [contains, equals])
def test_an_empty_expectation_is_refused(make):
    with pytest.raises(ConfigError, match="not empty"):
        make("")


def test_not_empty_accepts_a_value_without_text():
    assert judge(not_empty(), "", value=[1]).passed


@pytest.mark.parametrize(
    ("finish", "truncated", "refused"),
    [
        ("complete", False, False),
        ("truncated", True, False),
        ("context_exceeded", True, False),
        ("refused", False, True),
        ("filtered", False, True),
    ],
)
def test_how_an_answer_ended_decides(finish, truncated, refused):
    assert judge(not_truncated(), "x", finish=finish).passed is not truncated
    assert judge(not_refused(), "x", finish=finish).passed is not refused


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I am really sorry, I cannot provide this.",
        "Sorry, I\u2019m not able to do this.",
        "I can't assist with this request.",
        "As an AI language model, I am unable to answer.",
        "Unfortunately, I cannot answer this question.",
    ],
)
def test_refusing_words_are_a_refusal(text):
    assert judge(not_refused(), text).status == "fail"


@pytest.mark.parametrize(
    "text",
    [
        "408",
        "Sorry for the delay. The answer is 408.",
        "A prime cannot be divided.",
        "I can't believe it: 408",
        "def f(x):\n    # cannot fail\n    return x",
    ],
)
def test_other_uses_of_such_words_are_none(text):
    assert judge(not_refused(), text).passed


@pytest.mark.parametrize(
    "text",
    [
        "Answer: **Paris**",
        "**Answer:** Paris",
        "**Answer**: Paris",
        "**Answer: Paris**",
        "Answer:**Paris**",
        "__Answer: Paris__",
        "So `Answer: Paris`",
        "### Answer: *Paris*.",
    ],
)
def test_markup_around_a_labelled_answer_does_not_count(text):
    assert equals("Paris")(Task(input="?"), Answer(text=text)).passed
