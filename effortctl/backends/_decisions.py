"""The OpenAI Decisions API: one question about the input, answered by a probability.

Shapes are those of `client.decisions` in the `openai` package, version 3. A call's system message is the
statement to weigh (a `predicate` question), its other messages are the input.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from effortctl._types import Answer, Call, Finish, Usage
from effortctl.backends._requests import responses_request

if TYPE_CHECKING:
    from effortctl.backends._replies import _Page

QUESTION = "verdict"
"""Name of the one question."""


def decisions_request(call: Call) -> dict[str, Any]:
    """Keyword arguments for `client.decisions.create`."""
    request = responses_request(call)
    statement = request.get("instructions") or "The input is correct."
    question = {"type": "predicate", "name": QUESTION, "instructions": statement}
    decision = {"model": call.arm.model, "input": request["input"], "questions": [question]}
    for name in ("timeout", "extra_body"):
        if name in request:
            decision[name] = request[name]
    return decision


def read_decision(page: _Page, usage: Usage | None) -> Answer:
    """The probability, as the text `{"probability": 0.93}`; a refusal is an outcome."""
    answers = page.objects(page.document.get("answers"), "answers")
    if len(answers) != 1:
        page.fail(f"it has {len(answers)} answers, expected one")
    text, finish = _read(page, answers[0])
    return page.answer(text, finish=finish, usage=usage)


def _read(page: _Page, answer: Mapping[str, Any]) -> tuple[str, Finish]:
    kind = answer.get("type")
    if kind == "refusal":
        return "", "refused"
    probability = answer.get("probability")
    if isinstance(probability, bool) or not isinstance(probability, int | float):
        page.fail("its answer is no probability")
    if kind != "predicate" or not 0 <= probability <= 1:
        page.fail("its answer is no probability within 0..1")
    return json.dumps({"probability": probability}), "complete"
