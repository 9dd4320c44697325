"""Fakes and a fault-injecting mock server for tests, yours and ours.

`FakeBackend`, `AsyncFakeBackend`, `scripted_verifier` and `FakeClock` stand in for the seams of
effortctl. `MockServer` stands in for a provider: an OpenAI-compatible server on loopback that can
fail in every way of `FAULTS` and keeps exact count of what it was asked and would have billed.
`judge_reply` writes what a judge of `effortctl.verifiers.judge` says.
"""

from effortctl.testing._fakes import (
    DEFAULT_USAGE,
    AsyncFakeBackend,
    FakeBackend,
    FakeClock,
    ScriptedVerifier,
    answer,
    scripted_verifier,
)
from effortctl.testing._faults import FAULTS, FaultMode
from effortctl.testing._judge import judge_reply, judged
from effortctl.testing._mock import MockServer
from effortctl.testing._records import Hit, MockReply, MockRequest

__all__ = [
    "DEFAULT_USAGE",
    "FAULTS",
    "AsyncFakeBackend",
    "FakeBackend",
    "FakeClock",
    "FaultMode",
    "Hit",
    "MockReply",
    "MockRequest",
    "MockServer",
    "ScriptedVerifier",
    "answer",
    "judge_reply",
    "judged",
    "scripted_verifier",
]
