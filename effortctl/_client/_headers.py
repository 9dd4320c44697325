"""What a trace says, as HTTP headers: of a managed reply that is read raw, and of the proxy's replies."""

from __future__ import annotations

from typing import Final

from effortctl._types import Trace

PREFIX: Final = "x-effortctl-"


def headers_of(trace: Trace | None) -> dict[str, str]:
    """Headers that tell what was decided and what it cost; none while nothing is known."""
    if trace is None:
        return {}
    told = {
        "cost-usd": f"{trace.cost_usd:f}",
        "attempts": str(len(trace.attempts)),
        "decision": trace.id,
        "verified": "false",
    }
    best = trace.best
    if best is not None:
        told |= {
            "arm": _latin(best.arm),
            "effort": best.effective_effort,
            "verified": "true" if best.passed else "false",
        }
    return {PREFIX + name: value for name, value in told.items()}


def _latin(text: str) -> str:
    """A header holds no line break and nothing beyond ASCII."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
