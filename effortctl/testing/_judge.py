"""The other side of `effortctl.verifiers.judge`: what a judge is shown, and a reply in its form."""

from __future__ import annotations

import json
from collections.abc import Mapping

from effortctl._types import Call, VerdictStatus
from effortctl.testing._records import MockRequest

_SAYS: Mapping[VerdictStatus, str] = {"pass": "pass", "fail": "fail", "abstain": "unsure"}


def judged(asked: Call | MockRequest) -> dict[str, str]:
    """What a judge is shown: `task`, `answer` and the `token` of the call.

    Raises:
        ValueError: The request is no judge's.
    """
    text = asked.messages[-1].text if isinstance(asked, Call) else asked.text.splitlines()[-1]
    shown = json.loads(text)
    return {str(name): str(value) for name, value in shown.items()}


def judge_reply(
    asked: Call | MockRequest,
    status: VerdictStatus = "pass",
    *,
    score: float | None = None,
    feedback: str = "",
) -> str:
    """A reply in the form the judge was asked for; for a backend script or a `MockServer` responder.

    Args:
        asked: The request to the judge.
        status: Its verdict.
        score: Probability that the answer meets the rubric. None: 1 for pass, else 0.
        feedback: What is wrong with the answer.

    Raises:
        ValueError: The request is no judge's.
    """
    level = float(status == "pass") if score is None else score
    said = {
        "token": judged(asked)["token"],
        "feedback": feedback,
        "verdict": _SAYS[status],
        "score": level,
    }
    return json.dumps(said)
