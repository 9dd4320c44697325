"""Self-consistency: an answer that comes back when the same is asked again is more likely right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from effortctl._answers import SameAnswer, answer_key
from effortctl._errors import ConfigError
from effortctl._types import Answer, Arm, Ask, Call, Verdict, Verify
from effortctl.protocols import Asking, AsyncBackend, Backend
from effortctl.verifiers._asked import Asked, as_arm, reply_to, text_of, why

MAX_SAMPLES = 64


@dataclass(frozen=True, repr=False, kw_only=True)
class AgreementVerifier(Asked):
    """See `agreement`."""

    name = "agreement"
    samples: int
    same_answer: SameAnswer
    at_least: int
    arm: Arm | None = field(default=None, hash=False)
    backend: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ConfigError: One of them makes no sense.
        """
        answer_key(self.same_answer)
        if not 1 <= self.samples <= MAX_SAMPLES:
            raise ConfigError(f"samples must be 1 to {MAX_SAMPLES}, got {self.samples!r}")
        if not 1 <= self.at_least <= self.samples:
            raise ConfigError(
                f"at_least is {self.at_least!r} of {self.samples} samples; expected 1 to {self.samples}"
            )
        if self.arm is not None and self.samples > 1:
            _refuse_deterministic(self.arm)

    def arms(self, makers: Sequence[Arm]) -> Sequence[Arm]:
        """The arm that gives the samples; see `AskingVerifier.arms`.

        Raises:
            ConfigError: An arm would only repeat its own answer.
        """
        if self.arm is not None:
            return (self.arm,)
        for maker in makers:
            _refuse_deterministic(maker)
        return ()

    def ask(self, verify: Verify) -> Asking:
        """Compare an answer with further samples; see `agreement`."""
        key = answer_key(self.same_answer)
        mine = key(text_of(verify.answer))
        if mine is None:
            return self._says("fail", feedback="There is nothing in the answer to compare.")
        asked = agreed = missing = 0
        fault = ""
        for left, call in self._calls(verify):
            reply = yield from reply_to(Ask(call, self.backend, as_maker=self.arm is None))
            asked += 1
            if reply.answer is None:
                missing, fault = missing + 1, why(reply.error)
            else:
                agreed += _says_it(reply.answer) and key(text_of(reply.answer)) == mine
            if agreed >= self.at_least or agreed + missing + left < self.at_least:
                break
        share = agreed / asked
        if agreed >= self.at_least:
            return self._says("pass", score=share)
        if agreed + missing >= self.at_least:
            return self._says("abstain", error=fault)
        feedback = "Asked again, the answer was a different one."
        return self._says("fail", feedback=feedback, score=share)

    def _calls(self, verify: Verify) -> Iterator[tuple[int, Call]]:
        """The samples to ask for, each with the number of those that may still follow it."""
        first = self._first(verify)
        for number in range(self.samples):
            index = first.sample_index + number
            yield self.samples - 1 - number, replace(first, sample_index=index)

    def _first(self, verify: Verify) -> Call:
        task, made = verify.task, verify.call
        if self.arm is not None:
            messages = made.messages if made else task.messages
            cap = min(
                task.max_output_tokens or self.arm.max_output_tokens,
                self.arm.max_output_tokens_limit,
            )
            return Call(task, self.arm, messages, 0, cap, verify.timeout_s)
        if made is None:
            raise ConfigError(
                "outside a controller nobody knows which arm gave the answer; set arm= to the one to ask"
            )
        return replace(made, sample_index=made.sample_index + 1, timeout_s=verify.timeout_s)

    def _says(self, status: Any, **rest: Any) -> Verdict:
        return Verdict(status=status, verifier=self.name, **rest)

    def __repr__(self) -> str:
        shown = (
            f"samples={self.samples}, same_answer={self.same_answer!r}, at_least={self.at_least}"
        )
        arm = "" if self.arm is None else f", arm={self.arm.name!r}"
        return f"{self.name}({shown}{arm})"


def agreement(
    *,
    samples: int = 2,
    same_answer: SameAnswer = "text",
    at_least: int | None = None,
    arm: Arm | str | None = None,
    backend: Backend | AsyncBackend | None = None,
) -> AgreementVerifier:
    """Pass when enough further samples give the same answer.

    The samples are asked for one after another, and only for as long as they can change the verdict.
    Inside a controller they are reserved, booked and traced like any other call. A sample that is cut
    off or refused does not agree; one that an endpoint fails to give is left open, and when the open
    ones could decide, the verdict is an abstention.

    After Wang et al., "Self-Consistency Improves Chain of Thought Reasoning" (arXiv:2203.11171). Errors that
    a model makes every time pass: a check of the content, where there is one, is worth more.

    Args:
        samples: How many further samples at most.
        same_answer: When two answers are the same: `text`, `choice`, `number`, or a function of the
            text; see `policies.answer_key`.
        at_least: How many of them must agree with the answer. None: more than half.
        arm: Who gives the samples: an arm, or `model@effort`. None: the arm that gave the answer,
            which must not be deterministic.
        backend: Who makes the calls. None: the controller.

    Raises:
        ConfigError: A setting makes no sense, or the arm would only repeat itself.
    """
    return AgreementVerifier(
        samples=samples,
        same_answer=same_answer,
        at_least=samples // 2 + 1 if at_least is None else at_least,
        arm=None if arm is None else as_arm(arm),
        backend=backend,
    )


def _says_it(answer: Answer) -> bool:
    return answer.finish == "complete"


def _refuse_deterministic(arm: Arm) -> None:
    """Refuse an arm whose samples are all the same answer, so that their agreement means nothing."""
    again = arm.temperature if arm.resample_temperature is None else arm.resample_temperature
    if arm.endpoint.kind == "recorded":
        reason, fix = "only has recorded answers", "compare recorded answers with a policy"
    elif again == 0:
        reason, fix = "is sampled at temperature 0", "set resample_temperature, e.g. to 0.7"
    elif "seed" in arm.extra_body:
        reason, fix = "has a fixed seed in extra_body", "remove the seed"
    else:
        return
    raise ConfigError(
        f"arm {arm.name!r} {reason}, so asking it again gives the same answer and agreement means "
        f"nothing; {fix}, or let another arm give the samples (arm=...)"
    )
