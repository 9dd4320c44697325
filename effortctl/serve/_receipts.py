"""Which trace belongs to which request, and what its headers and comments say of it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from effortctl._client._headers import headers_of
from effortctl._types import Trace
from effortctl.protocols import TraceSink
from effortctl.serve._metrics import Metrics


@dataclass(slots=True)
class Receipt:
    """What became of one request.

    Attributes:
        trace: Its trace, once it is finished.
    """

    trace: Trace | None = None


CURRENT: ContextVar[Receipt | None] = ContextVar("effortctl_receipt", default=None)
"""The receipt of the request that is being answered; tasks and threads it starts see it too."""


@dataclass(frozen=True, slots=True)
class Receipts:
    """Hands each finished trace to its request, to the counters, and on to the user's own sink.

    Attributes:
        metrics: Counts.
        inner: The user's own. None: there is none.
    """

    metrics: Metrics
    inner: TraceSink | None

    def write(self, trace: Trace) -> None:
        """Take in a finished trace."""
        receipt = CURRENT.get()
        if receipt is not None:
            receipt.trace = trace
        self.metrics.add(trace)
        if self.inner is not None:
            self.inner.write(trace)


def comment_of(trace: Trace | None) -> bytes:
    """The same as a comment at the end of an event stream, which clients skip."""
    lines = [f": {name}: {value}\n" for name, value in headers_of(trace).items()]
    return ("".join(lines) + "\n").encode() if lines else b""
