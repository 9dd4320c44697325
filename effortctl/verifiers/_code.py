"""Unit tests on Python that a language model wrote, which the program cannot talk its way through.

The program runs in a sandbox and never sees a test or an expected value: it gets arguments and gives
back plain data. The tests run in a second, trusted process on exact built-in types. This process
carries the messages between the two and keeps the time.
"""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from effortctl._errors import ConfigError, VerifierError
from effortctl._types import Answer
from effortctl.verifiers import _wire
from effortctl.verifiers._base import BuiltIn
from effortctl.verifiers._process import (
    Peer,
    PeerError,
    PeerFloodError,
    PeerTimeoutError,
)
from effortctl.verifiers._program import LoadError, Program, UnsupportedProgramError, readings
from effortctl.verifiers._sandbox import (
    STARTUP_S,
    Backend,
    Limits,
    Sandbox,
    Session,
    cannot_tell,
    choose,
    start_tests,
)

_TESTS_MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True, repr=False)
class CodeTests(BuiltIn):
    """See `code_tests`."""

    name = "code_tests"
    tests: str = field(repr=False)
    entry_point: str
    timeout_s: float = 10.0
    backend: Backend = "auto"
    prompt_prefix: str = field(default="", repr=False)

    def problem(self, answer: Answer) -> str | None:
        """Run the tests; see `code_tests`."""
        try:
            sources = readings(answer.text, entry_point=self.entry_point, prefix=self.prompt_prefix)
        except LoadError as error:
            return str(error)
        return self._run(sources, choose(self.backend))

    def _run(self, sources: Sequence[str], sandboxes: Sequence[Sandbox]) -> str | None:
        sandbox, *others = sandboxes
        try:
            problem = self._run_in(sandbox, sources)
        except UnsupportedProgramError as error:
            if not others:
                raise cannot_tell(str(error)) from error
            return self._run(sources, others)
        # A sandbox that knows only a part of Python is believed when it says yes.
        return problem if problem is None or not others else self._run(sources, others)

    def _run_in(self, sandbox: Sandbox, sources: Sequence[str]) -> str | None:
        with (
            start_tests() as tests,
            sandbox.open(Limits(timeout_s=self.timeout_s)) as session,
        ):
            try:
                return _Conversation(self, tests, session).hold(sources)
            except LoadError as error:
                return str(error)


class _Conversation:
    """Carries calls from the tests to the program and outcomes back, until the tests report."""

    def __init__(self, check: CodeTests, tests: Peer, session: Session) -> None:
        self._check = check
        self._tests = tests
        self._session = session
        self._shown = ""

    def hold(self, sources: Sequence[str]) -> str | None:
        """Return what is wrong with the program, or None.

        Raises:
            LoadError: The program does not even run.
            UnsupportedProgramError: The sandbox may not know enough Python for it.
            VerifierError: The tests are broken, whatever the program does.
        """
        self._start(sources)
        deadline = time.monotonic() + self._check.timeout_s
        self._session.load(self._choose(sources, deadline), deadline=deadline)
        deadline = time.monotonic() + self._check.timeout_s
        outcome = b"{}"
        while True:
            try:
                self._tests.send(outcome, deadline=deadline)
                message = json.loads(self._tests.receive(deadline=deadline))
            except PeerError as error:
                return self._tests_ended(error)
            if "done" in message:
                return self._judge(message["done"])
            self._shown = message["shown"]
            try:
                outcome = self._session.call(message["call"], deadline=deadline)
            except PeerError as error:
                return self._program_ended(error)

    def _start(self, sources: Sequence[str]) -> None:
        message = {
            "tests": self._check.tests,
            "entry_point": self._check.entry_point,
            "prefix": self._check.prompt_prefix,
            "readings": sources,
            "limits": {
                "RLIMIT_AS": _TESTS_MEMORY_BYTES,
                "RLIMIT_CPU": int(2 * self._check.timeout_s) + 2,
            },
        }
        deadline = time.monotonic() + STARTUP_S
        try:
            self._tests.receive(deadline=deadline)
            self._tests.send(json.dumps(message).encode("ascii"), deadline=deadline)
        except PeerError as error:
            raise self._broken(f"their process did not start: {error}") from error

    def _choose(self, sources: Sequence[str], deadline: float) -> Program:
        try:
            choice = json.loads(self._tests.receive(deadline=deadline))
        except PeerError as error:
            raise LoadError("The program could not be read: it is too large or nested.") from error
        if "invalid" in choice:
            raise LoadError(choice["invalid"])
        return Program(sources[choice["program"]], self._check.entry_point, choice["lazy"])

    def _judge(self, report: dict[str, Any]) -> str | None:
        if report["status"] == "broken":
            raise self._broken(report["feedback"])
        return None if report["status"] == "pass" else str(report["feedback"])

    def _tests_ended(self, error: PeerError) -> str:
        # Once the program has answered, it may be what drove the tests into this.
        if not self._shown:
            raise self._broken(f"they ended without a call: {error}")
        if isinstance(error, PeerTimeoutError):
            limit = f"{self._check.timeout_s:g}"
            return f"The tests did not finish within {limit} s; the last call was {self._shown}."
        return f"The tests could not go on with what {self._shown} returned."

    def _program_ended(self, error: PeerError) -> str:
        if isinstance(error, PeerTimeoutError):
            return f"{self._shown} did not finish within {self._check.timeout_s:g} s."
        if isinstance(error, PeerFloodError):
            return f"{self._shown} returned more than {_wire.MOST_BYTES // 2**20} MB of data."
        return (
            f"The program ended during {self._shown}: it exited, or used too much time or memory."
        )

    def _broken(self, reason: str) -> VerifierError:
        return VerifierError(
            f"the tests of {self._check.entry_point} are broken: {reason}",
            verifier=self._check.name,
        )


def code_tests(
    tests: str,
    *,
    entry_point: str,
    timeout_s: float = 10.0,
    backend: Backend = "auto",
    prompt_prefix: str = "",
) -> CodeTests:
    """Pass when the Python in the answer passes unit tests, run in a sandbox.

    The tests may be plain asserts that call the entry point, a `check(candidate)` function as in
    HumanEval, or `test_*()` functions. They run as trusted code in their own process, where the entry
    point is a stand-in: arguments are copied to the program and its results come back as exact
    built-in types (None, bool, numbers, str, bytes, list, tuple, dict, set, range; Decimal and
    Fraction; an iterator is used up and comes back as one). Changes the program makes to its
    arguments are not seen by the tests. A result of any other type fails.

    The program is the last fenced block that defines the entry point, else the last Python block,
    else the whole answer. The standard library is all it can import. The feedback shows the failing
    call with its arguments and its result, never the expected value.

    Args:
        tests: Source of the tests.
        entry_point: Name of the function under test.
        timeout_s: Seconds the tests may take; loading the program may take as long again.
        backend: `auto` tries Monty, an interpreter without I/O that knows a part of Python, and
            confirms every "no" in bubblewrap, a namespace jail around CPython. Either can be asked
            for by name. So can `sandlock` (Linux, extra `sandlock`), which needs no namespaces but
            hides less: programs have no folder to write to, can see which files exist, and may start
            as many threads as memory allows. `unsafe-subprocess` has no sandbox at all. The last two
            are never chosen for you.
        prompt_prefix: Start of the program the model was asked to complete: imports, helpers, the
            head of the function. Trusted, since it is part of the prompt; tests may use its helpers.

    Raises:
        ConfigError: The tests are empty or not valid Python, or another argument is wrong.
        SandboxUnavailableError: No sandbox of the wanted kind works on this machine.
    """
    if not entry_point.isidentifier():
        raise ConfigError(f"entry_point must be the name of a function, got {entry_point!r}")
    if not timeout_s > 0 or timeout_s == float("inf"):
        raise ConfigError(f"timeout_s must be a positive number of seconds, got {timeout_s}")
    try:
        tree = ast.parse(tests)
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"the tests are not valid Python: {error}") from error
    if not tree.body:
        raise ConfigError("the tests are empty")
    choose(backend)
    return CodeTests(tests, entry_point, timeout_s, backend, prompt_prefix)
