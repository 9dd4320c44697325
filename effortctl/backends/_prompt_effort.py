"""Effort as honest work, for models that have no reasoning mode of their own.

`none` asks for the answer alone, `low` for a short chain of thought that ends in a marked line,
`medium` and above for a longer one. The rest of an effort is data on the arm: its output cap and,
for `high`, how many samples the verifier may judge.
"""

from __future__ import annotations

from collections.abc import Sequence

from effortctl._types import Effort, Message

ANSWER_MARK = "Answer:"
"""What precedes the answer when the model was asked to think first."""

_ALONE = "Answer directly: give only the final answer, with no explanation."
_STEPS = f"Do not answer at once. First write down the steps, one calculation per line, using the result of each step in the next. The very last line must be:\n{ANSWER_MARK} <the answer>"
_BRIEF = f'Let\'s solve it in small steps, one short line per step. Then write a last line that starts with "{ANSWER_MARK}".\n\nStep 1:'
_LONG = f"Do not answer at once. First write down every step with its result, one per line, then check the result by another way. The very last line must be:\n{ANSWER_MARK} <the answer>"

_CODE_ALONE = "Write the complete function in one Python code block. Leave out the docstring. No explanation, no examples."
_CODE_BRIEF = "Write the complete function in one Python code block. Leave out the docstring; begin the body with one to three short comment lines that plan the steps and the edge cases. No text outside the block."
_CODE_LONG = "First trace the examples of the docstring by hand and list the edge cases, in a few lines. Then write the complete function in one Python code block, without the docstring."

_BY_EFFORT: dict[str, dict[Effort, str]] = {
    "code": {
        "none": _CODE_ALONE,
        "minimal": _CODE_ALONE,
        "low": _CODE_BRIEF,
        "medium": _CODE_LONG,
        "high": _CODE_ALONE,
    },
    "math": {"none": _ALONE, "minimal": _ALONE, "low": _STEPS, "medium": _LONG, "high": _STEPS},
    "": {"none": _ALONE, "minimal": _ALONE, "low": _BRIEF, "medium": _LONG, "high": _BRIEF},
}


def prompt_effort(
    messages: Sequence[Message], effort: Effort, *, category: str | None = None
) -> tuple[Message, ...]:
    """Return the turns with the instruction for this effort at the end of the last user turn.

    Small models follow what they read last, so the instruction goes there and not into a system
    turn. The extra work of `high` is more samples, judged by the verifier, so each of them is asked
    for in the cheapest words that suit the task: brief steps for text, the bare function for code.

    Args:
        messages: The turns of the call.
        effort: How much work to ask for. `default` changes nothing.
        category: The task's category; `code` keeps the output code.
    """
    if effort == "default":
        return tuple(messages)
    by_effort = _BY_EFFORT.get(category or "", _BY_EFFORT[""])
    return _append(messages, by_effort.get(effort, by_effort["medium"]))


def _append(messages: Sequence[Message], instruction: str) -> tuple[Message, ...]:
    turns = list(messages)
    for index in reversed(range(len(turns))):
        turn = turns[index]
        if turn.role == "user":
            turns[index] = turn.model_copy(update={"content": _extended(turn, instruction)})
            return tuple(turns)
    return (*turns, Message(role="user", content=instruction))


def _extended(turn: Message, instruction: str) -> str | tuple[dict[str, object], ...]:
    if isinstance(turn.content, str):
        return f"{turn.content}\n\n{instruction}"
    return (*turn.content, {"type": "text", "text": instruction})
