"""The request's own demands and the caller's verifier, as one verifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from effortctl._asking import arms_asked, asks
from effortctl._client._checks import RequestChecks
from effortctl._client._reply import Json, tool_calls
from effortctl._types import Answer, Arm, Task, Verdict, VerdictStatus, Verify
from effortctl.protocols import AnyVerifier, Asking

NAME = "request"
"""Name of the check that comes from the request, in verdicts."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A reply that an attempt got.

    Attributes:
        answer: What the loop makes of it.
        document: It as JSON.
        raw: The object of the SDK; None for a stream.
    """

    answer: Answer
    document: Json
    raw: object = None


class RequestVerifier:
    """Checks the request's own demands first, then asks the caller's verifier.

    A reply that calls a tool is no answer yet: only its arguments are checked.

    Args:
        checks: What the request demands.
        verifier: The caller's own. None: there is none.
        find: The reply an answer was made of.
    """

    name = NAME

    def __init__(
        self,
        checks: RequestChecks,
        verifier: AnyVerifier | None,
        find: Callable[[Answer], Kept | None],
    ) -> None:
        self._checks = checks
        self._verifier = verifier
        self._find = find

    def arms(self, makers: Sequence[Arm]) -> Sequence[Arm]:
        """See `AskingVerifier.arms`."""
        return arms_asked(self._verifier, makers)

    def ask(self, verify: Verify) -> Asking:
        """See `AskingVerifier.ask`."""
        verdict = self(verify.task, verify.answer)
        inner = self._verifier
        if inner is None or verdict.status == "fail" or self._calls_tool(verify.answer):
            return verdict
        answered = (yield from inner.ask(verify)) if asks(inner) else (yield inner)
        return answered if isinstance(answered, Verdict) else verdict

    def __call__(self, task: Task, answer: Answer, /) -> Verdict:  # noqa: ARG002 - part of the protocol
        """The verdict on the request's own demands; abstain where it demands nothing."""
        kept = self._find(answer)
        problem = None
        if kept is not None:
            problem = self._checks.problem(answer, raw=kept.raw, document=kept.document)
        if problem is None:
            return Verdict(status="abstain", verifier=self.name)
        status: VerdictStatus = "fail" if problem else "pass"
        return Verdict(status=status, verifier=self.name, feedback=problem)

    def _calls_tool(self, answer: Answer) -> bool:
        kept = self._find(answer)
        return kept is not None and bool(tool_calls(kept.document))
