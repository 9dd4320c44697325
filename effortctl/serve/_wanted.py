"""What a request asks for, read from its JSON; nothing in it may name code or files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from effortctl._types import EFFORTS
from effortctl.serve._config import StreamMode
from effortctl.serve._faults import refuse
from effortctl.serve._shapes import check_fields, read_object
from effortctl.verifiers import as_verifier

Api: TypeAlias = Literal["responses", "chat"]

AUTO: Final = "effortctl/auto"
EXTRA: Final = "effortctl"
SAFE_KINDS: Final = (
    "number",
    "contains",
    "equals",
    "choice",
    "math",
    "not-empty",
    "not-truncated",
    "not-refused",
)
"""Checks a request may ask for: none reads a file, runs code, spends money or backtracks without end."""

_MOST_SPECS: Final = 8
_LONGEST_SPEC: Final = 1000
_AUTO_MODELS: Final = frozenset({AUTO, "auto"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One request.

    Attributes:
        api: Which API.
        model: Model asked for, without any effort; `effortctl/auto` leaves it to us.
        arm: `model@effort` where the model was written so.
        body: What is sent on, without our own field.
        stream: True when events are wanted.
        verify: Checks the request asks for.
        strict: True to get an error rather than an answer that did not pass.
        mode: What a stream may show before its check has passed.
    """

    api: Api
    model: str
    arm: str | None
    body: Mapping[str, Any]
    stream: bool
    verify: tuple[str, ...]
    strict: bool
    mode: StreamMode

    @property
    def is_auto(self) -> bool:
        """True when the choice of the arm is ours."""
        return self.model == AUTO


def read_wanted(api: Api, raw: bytes, *, mode: StreamMode) -> Wanted:
    """Read a request.

    Args:
        api: Which API it came for.
        raw: Its body.
        mode: What a stream may show, unless the request says otherwise.

    Raises:
        RefusedError: It is no request of this API; says which field is wrong.
    """
    body = read_object(raw)
    extra = _extra(body.pop(EXTRA, None))
    given = body.get("model")
    if not isinstance(given, str) or not given:
        raise refuse(400, "invalid_request", f'model must be text, e.g. "{AUTO}"', param="model")
    turns = "messages" if api == "chat" else "input"
    if body.get(turns) is None:
        raise refuse(400, "invalid_request", f"{turns} is missing", param=turns)
    check_fields(body)
    body.pop("extra_body", None)
    model, arm = _arm(given)
    _check_one_effort(api, body, arm)
    body["model"] = model
    return Wanted(
        api=api,
        model=model,
        arm=arm,
        body=body,
        stream=bool(body.get("stream")),
        verify=_specs(extra.get("verify")),
        strict=_flag(extra.get("strict")),
        mode=_mode(extra.get("stream"), mode),
    )


def _extra(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    unknown = sorted(set(value) - {"verify", "strict", "stream"}) if isinstance(value, dict) else ()
    if not isinstance(value, dict) or unknown:
        named = f"; it does not know {', '.join(map(repr, unknown))}" if unknown else ""
        raise refuse(
            400,
            "invalid_request",
            f"{EXTRA} takes verify, strict and stream{named}",
            param=EXTRA,
        )
    return value


def _arm(given: str) -> tuple[str, str | None]:
    if given in _AUTO_MODELS:
        return AUTO, None
    model, at, effort = given.rpartition("@")
    return (model, given) if at and model and effort in EFFORTS else (given, None)


def _check_one_effort(api: Api, body: Mapping[str, Any], arm: str | None) -> None:
    field = "reasoning_effort" if api == "chat" else "reasoning"
    value = body.get(field)
    given = value.get("effort") if isinstance(value, dict) else value
    if arm is not None and given not in (None, arm.rpartition("@")[2]):
        raise refuse(
            400, "invalid_request", f"{arm!r} and {field} name two efforts; give one", param=field
        )


def _specs(value: object) -> tuple[str, ...]:
    specs = [value] if isinstance(value, str) else value
    if specs is None:
        return ()
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        raise _bad_spec("must be a text such as number:408, or a list of such")
    if len(specs) > _MOST_SPECS or any(len(spec) > _LONGEST_SPEC for spec in specs):
        raise _bad_spec(f"takes up to {_MOST_SPECS} checks of {_LONGEST_SPEC} characters")
    for spec in cast("Sequence[str]", specs):
        kind = spec.partition(":")[0].strip().lower().replace("_", "-")
        if kind not in SAFE_KINDS:
            raise _bad_spec(f"of a request knows {', '.join(SAFE_KINDS)}; got {kind[:40]!r}")
        as_verifier(spec)
    return tuple(specs)


def _bad_spec(why: str) -> Exception:
    return refuse(400, "invalid_verify", f"{EXTRA}.verify {why}", param=f"{EXTRA}.verify")


def _flag(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise refuse(
        400, "invalid_request", f"{EXTRA}.strict must be true or false", param=f"{EXTRA}.strict"
    )


def _mode(value: object, usual: StreamMode) -> StreamMode:
    if value is None:
        return usual
    if value not in get_args(StreamMode):
        words = " or ".join(get_args(StreamMode))
        raise refuse(400, "invalid_request", f"{EXTRA}.stream is {words}", param=f"{EXTRA}.stream")
    return cast("StreamMode", value)
