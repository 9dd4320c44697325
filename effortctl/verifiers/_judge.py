"""A language model as a verifier, which the answer it judges cannot talk into anything by form.

What a judge thinks of an answer is its own affair; that the answer reaches it as data, that only a
well-formed verdict of its own counts, and that every call is paid for is ours.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from effortctl._errors import ConfigError
from effortctl._types import Arm, Ask, Call, Reply, Verdict, Verify
from effortctl.protocols import Asking, AsyncBackend, Backend
from effortctl.verifiers._asked import Asked, as_arm, reply_to, text_of, why
from effortctl.verifiers._judge_prompt import decision_task, judge_task
from effortctl.verifiers._judge_reply import Opinion, UnclearError, read_decision, read_verdict
from effortctl.verifiers._judge_screen import objection

MAX_CHARS = 200_000
"""Longest answer a judge is shown, in characters."""

DECISIONS_PRICES = "openai-decisions"
"""Provider id of the Decisions endpoint in the price book: input only, output is free."""

_DECISION_TOKENS = 16
_DATED = re.compile(r"[-@](?:20\d\d-\d\d-\d\d|20\d{6})$")


def _new_token() -> str:
    return secrets.token_hex(6)


@dataclass(frozen=True, repr=False, kw_only=True)
class JudgeVerifier(Asked):
    """See `judge` and `decisions_judge`."""

    name = "judge"
    rubric: str
    arm: Arm = field(hash=False)
    threshold: float = 0.5
    maker_may_judge: bool = False
    fail_closed: bool = True
    max_chars: int = MAX_CHARS
    backend: Any = field(default=None, compare=False)
    token: Callable[[], str] = field(default=_new_token, compare=False)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ConfigError: One of them makes no sense.
        """
        if not self.rubric.strip():
            raise ConfigError("the rubric is empty; say in words what a good answer is")
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"threshold must lie in 0..1 and above 0, got {self.threshold!r}")
        if self.max_chars < 1:
            raise ConfigError(f"max_chars must be at least 1, got {self.max_chars!r}")

    def arms(self, makers: Sequence[Arm]) -> Sequence[Arm]:
        """The judge's arm; see `AskingVerifier.arms`.

        Raises:
            ConfigError: Every answer would be the judge's own.
        """
        own = [_same_model(maker.model, self.arm.model) for maker in makers]
        if own and all(own) and not self.maker_may_judge:
            raise ConfigError(
                f"the judge {self.arm.model!r} is the only model that answers, and a model is a lenient "
                "judge of itself; choose another judge, or set maker_may_judge=True"
            )
        return (self.arm,)

    def ask(self, verify: Verify) -> Asking:
        """Judge an answer; see `judge`."""
        text = text_of(verify.answer)
        problem = objection(text, max_chars=self.max_chars)
        if problem is not None:
            return self._says("fail", feedback=problem)
        if self._made_it(verify) and not self.maker_may_judge:
            return self._says(
                "abstain", error="VerifierError: the judge's own model gave the answer"
            )
        token = self.token()
        reply = yield from reply_to(Ask(self._call(verify, text, token), self.backend))
        if reply.answer is None:
            return self._says("abstain", error=why(reply.error))
        try:
            return self._verdict(self._opinion(reply, token))
        except UnclearError as error:
            return self._unclear(str(error))

    def _made_it(self, verify: Verify) -> bool:
        maker = verify.call.arm.model if verify.call else None
        models = [model for model in (maker, verify.answer.model) if model]
        return any(_same_model(model, self.arm.model) for model in models)

    def _call(self, verify: Verify, text: str, token: str) -> Call:
        if self.arm.api == "decisions":
            task = decision_task(verify.task, text, rubric=self.rubric)
        else:
            task = judge_task(verify.task, text, rubric=self.rubric, token=token)
        cap = min(self.arm.max_output_tokens, self.arm.max_output_tokens_limit)
        return Call(task, self.arm, task.messages, 0, cap, verify.timeout_s)

    def _opinion(self, reply: Reply, token: str) -> Opinion:
        answer = reply.answer
        assert answer is not None  # noqa: S101 - narrowed by the caller
        if answer.finish != "complete":
            raise UnclearError(f"it is {answer.finish.replace('_', ' ')}")
        if self.arm.api == "decisions":
            return read_decision(answer.text)
        return read_verdict(answer.text, token=token)

    def _verdict(self, opinion: Opinion) -> Verdict:
        if opinion.says == "unsure":
            return self._unclear("it says it cannot tell")
        if opinion.says == "pass" and opinion.score >= self.threshold:
            return self._says("pass", score=opinion.score)
        feedback = opinion.feedback or "The answer does not meet the rubric."
        return self._says("fail", feedback=feedback, score=opinion.score)

    def _unclear(self, reason: str) -> Verdict:
        error = f"VerifierError: the judge's reply is no verdict: {reason}"
        if self.fail_closed:
            return self._says("fail", feedback="The answer could not be judged.", error=error)
        return self._says("abstain", error=error)

    def _says(self, status: Any, **rest: Any) -> Verdict:
        return Verdict(status=status, verifier=self.name, **rest)

    def __repr__(self) -> str:
        """Show the judge; the rubric may hold what the answers should not know."""
        return f"{self.name}(arm={self.arm.name!r}, threshold={self.threshold:g})"


def judge(
    rubric: str,
    *,
    arm: Arm | str,
    threshold: float = 0.5,
    maker_may_judge: bool = False,
    fail_closed: bool = True,
    max_chars: int = MAX_CHARS,
    backend: Backend | AsyncBackend | None = None,
) -> JudgeVerifier:
    """Pass when a language model finds that the answer meets a rubric.

    Task and answer reach the judge as JSON in a message of their own, never in the instruction. Its
    verdict counts only as exactly one JSON object of the form asked for, with a token drawn for this
    call. Empty answers, and openers such as "Thought process:" that are known to fool judges, fail
    without a call. Inside a controller the calls are reserved, booked and traced like any other; a
    call that does not fit the budget is not made, and ends the task as `over_budget`.

    Args:
        rubric: In words, what a good answer is. It is trusted: never build it from the answer.
        arm: Who judges: an arm, or `model@effort`. A cheap one will do for most rubrics.
        threshold: Probability from which a "pass" of the judge counts.
        maker_may_judge: False abstains from answers of the judge's own model, and refuses a ladder
            that has no other.
        fail_closed: What becomes of an answer for which the judge gives no clear verdict (malformed,
            refused, cut off, unsure): True fails it, because the answer itself may be the cause; False
            abstains. `Verdict.error` says why either way. An endpoint that cannot be reached is
            never the answer's fault, so that abstains.
        max_chars: Longer answers fail without a call.
        backend: Who makes the judge's calls. None: the controller, by the arm's endpoint. Needed to
            use the judge outside a controller.

    Raises:
        ConfigError: The arm is unknown, or a setting makes no sense.
    """
    return JudgeVerifier(
        rubric=rubric,
        arm=as_arm(arm),
        threshold=threshold,
        maker_may_judge=maker_may_judge,
        fail_closed=fail_closed,
        max_chars=max_chars,
        backend=backend,
    )


def decisions_judge(
    rubric: str,
    *,
    arm: Arm | str = "gpt-6-luna",
    threshold: float = 0.5,
    maker_may_judge: bool = False,
    fail_closed: bool = True,
    max_chars: int = MAX_CHARS,
    backend: Backend | AsyncBackend | None = None,
) -> JudgeVerifier:
    """`judge` by the OpenAI Decisions endpoint, which gives a probability and writes nothing.

    It is cheap (only the input is billed) and hard to talk to: there is no text for an answer to put
    words into. There is no feedback for the next attempt either. The question is a `predicate` of
    `POST /v1/decisions`; its instructions are the rubric, its input is task and answer.

    Args:
        rubric: As for `judge`.
        arm: An arm, or a model of OpenAI's. It is asked by the Decisions API, whatever its own.
        threshold: Probability from which the answer passes.
        maker_may_judge: As for `judge`.
        fail_closed: As for `judge`.
        max_chars: As for `judge`.
        backend: As for `judge`.

    Raises:
        ConfigError: The arm is unknown, or a setting makes no sense.
    """
    return JudgeVerifier(
        rubric=rubric,
        arm=_deciding(as_arm(arm)),
        threshold=threshold,
        maker_may_judge=maker_may_judge,
        fail_closed=fail_closed,
        max_chars=max_chars,
        backend=backend,
    )


def _deciding(arm: Arm) -> Arm:
    """The arm as the Decisions API takes it: no effort, no text, prices of its own."""
    if arm.api == "decisions":
        return arm
    endpoint = arm.endpoint
    if endpoint.price_provider == "openai":
        endpoint = endpoint.model_copy(update={"price_provider": DECISIONS_PRICES})
    update = {
        "name": f"{arm.model}@decisions",
        "api": "decisions",
        "endpoint": endpoint,
        "effort": "default",
        "effective_effort": None,
        "effort_style": "fixed",
        "extra_body": {},
        "max_output_tokens": _DECISION_TOKENS,
    }
    return arm.model_copy(update=update)


def _same_model(one: str, other: str) -> bool:
    """One model under any of its names: with a vendor in front, or with the date of a snapshot."""
    return _bare(one) == _bare(other)


def _bare(model: str) -> str:
    return _DATED.sub("", model.strip().casefold().rpartition("/")[2])
