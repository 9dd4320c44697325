"""Every exception effortctl raises, and one warning.

```
EffortctlError
├── ConfigError(ValueError)          the caller's mistake, raised when the object is built
├── BackendError                     a call failed and repeating it is pointless
│   ├── TransientBackendError        it may work later (429, 5xx, timeout, dropped connection)
│   └── UnsupportedEffortError       the endpoint does not take this effort; names the ones it takes
├── VerifierError                    the check itself crashed (not "said no")
├── BudgetExceededError              raised before the call that would break the limit
├── DeadlineExceededError            the time allowed for the task is over
├── NotAcceptedError                 every allowed arm was tried and none was accepted
├── UnknownPriceError                a budget is set and nobody knows what this model costs
├── UsageError                       the reply's token counts make no sense
├── SandboxUnavailableError          untrusted code must not run here without a sandbox
└── StoreError                       a file is unreadable, corrupt, or of another version
EffortctlWarning(UserWarning)
```

A failed check is a `Verdict`, not an exception. Errors that happen while a task runs carry the
`Trace` of the money already spent. All of them pickle, and none shows a prompt in `str()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from effortctl._types import Attempt, Trace


class EffortctlWarning(UserWarning):
    """Something works, but probably not the way you meant it."""


class EffortctlError(Exception):
    """Base of every error raised on purpose by effortctl.

    Attributes:
        trace: What had been tried and spent when the error was raised, if a task was running.
    """

    def __init__(self, message: str, *, trace: Trace | None = None) -> None:
        super().__init__(message)
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by message and attributes, so that keyword-only arguments survive."""
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(
    cls: type[EffortctlError], args: tuple[Any, ...], state: dict[str, Any]
) -> EffortctlError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(EffortctlError, ValueError):
    """The caller's mistake: an unknown model, an empty ladder, a malformed file."""


class BackendError(EffortctlError):
    """A call failed and repeating it would not help.

    Attributes:
        arm: Name of the arm that was called.
        kind: One word for the cause, e.g. `auth`, `quota`, `bad_request`, `malformed_reply`.
        status: HTTP status, when the endpoint answered.
        request_id: The endpoint's own id for the call, for its support desk.
        billed: False when the endpoint certainly charged nothing (it rejected the request).
    """

    def __init__(
        self,
        message: str,
        *,
        arm: str | None = None,
        kind: str = "error",
        status: int | None = None,
        request_id: str | None = None,
        billed: bool = False,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(message, trace=trace)
        self.arm = arm
        self.kind = kind
        self.status = status
        self.request_id = request_id
        self.billed = billed


class TransientBackendError(BackendError):
    """A call failed in a way that often passes: rate limit, server fault, timeout.

    Attributes:
        retry_after_s: Seconds the endpoint asked us to wait, if it said so.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.retry_after_s = retry_after_s


class UnsupportedEffortError(BackendError):
    """The endpoint rejected the effort value.

    Attributes:
        supported: The efforts its message lists; empty when it lists none.
    """

    def __init__(self, message: str, *, supported: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(message, kind="unsupported_effort", **kwargs)
        self.supported = tuple(supported)


class VerifierError(EffortctlError):
    """A verifier crashed, which says nothing about the answer.

    Attributes:
        verifier: Name of the verifier.
    """

    def __init__(self, message: str, *, verifier: str = "", trace: Trace | None = None) -> None:
        super().__init__(message, trace=trace)
        self.verifier = verifier


class BudgetExceededError(EffortctlError):
    """The next call could cost more than the budget has left, so it was not made.

    Attributes:
        needed: Worst-case dollars of the refused call.
        left: Dollars left under the tightest limit.
    """

    def __init__(
        self, message: str, *, needed: Decimal, left: Decimal, trace: Trace | None = None
    ) -> None:
        super().__init__(message, trace=trace)
        self.needed = needed
        self.left = left


class DeadlineExceededError(EffortctlError):
    """The time allowed for the task is over."""


class NotAcceptedError(EffortctlError):
    """Every allowed arm was tried and no answer was accepted.

    Attributes:
        best: The attempt closest to acceptance, or None when no arm gave an answer.
    """

    def __init__(
        self, message: str, *, best: Attempt | None = None, trace: Trace | None = None
    ) -> None:
        super().__init__(message, trace=trace)
        self.best = best


class UnknownPriceError(EffortctlError):
    """No price is known for this model, and a budget needs one."""


class UsageError(EffortctlError):
    """The token counts in a reply make no sense: negative, not a number, part above whole."""


class SandboxUnavailableError(EffortctlError):
    """Untrusted code was to be run and no sandbox is available here."""


class StoreError(EffortctlError):
    """A file is unreadable, corrupt, or was written by another version."""
